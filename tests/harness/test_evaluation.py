"""The command's contract (§10): options, exit codes, and metrics of the example model on the stand-in."""

import contextlib
import json
import os
import pty
import subprocess
import textwrap

import pytest

from .conftest import STANDIN, clean

REQUIRED = {"top1", "top5", "tokens", "mode", "trace", "timing"}
SHORT = ("--prefill-len", 8, "--decode-len", 4)


def test_progress_over_tokens_is_drawn_on_a_terminal_and_told_in_a_file(repo, python, tiny, bringup, tmp_path):
    bringup()
    options = ("--prefill-len", "8", "--decode-len", "4", "--reference-cache", str(tmp_path / "references"))
    for mode in ("hf", "tt"):
        ours, theirs = pty.openpty()
        file = tmp_path / f"{mode}.progress"
        command = [python, "scripts/run_eval.py", "--hf-model", str(tiny), "--mode", mode, *options]
        environment = clean(YT_PROGRESS_FILE=str(file))
        done = subprocess.run(command, cwd=repo, env=environment, stderr=theirs, stdout=subprocess.DEVNULL, check=False)
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(ours, 4096):
                drawn += more
        os.close(ours)
        assert done.returncode == 0, drawn.decode()
        assert b"[##############################] 4/4 tokens" in drawn
        assert file.read_text() == "4/4"


def test_hf_mode_scores_a_sound_reference(evaluate):
    done = evaluate("--mode", "hf", *SHORT)
    assert done.code == 0
    found = done.metrics
    assert found.keys() >= REQUIRED
    assert (found["mode"], found["trace"], found["tokens"]) == ("hf", False, 4)
    assert found["top1"] == found["top5"] == 1.0
    assert 0 < found["max_difference"] < found["max_difference_allowed"]
    assert found["perplexity"] > 1
    assert 0.5 <= found["noise_floor"]["top1"] <= 1
    assert done.out.count("YT_METRICS=") == 1


@pytest.mark.parametrize("lengths", [SHORT, ("--prefill-len", 128, "--decode-len", 32)])
@pytest.mark.parametrize("trace", [0, 1])
def test_the_example_meets_the_thresholds(evaluate, bringup, lengths, trace):
    bringup()
    found = evaluate("--mode", "tt", "--trace", trace, *lengths).metrics
    assert found.keys() >= REQUIRED
    assert (found["mode"], found["trace"], found["tokens"]) == ("tt", bool(trace), lengths[3])
    assert found["top1"] >= 0.90
    assert found["top5"] >= 0.97
    assert found["kl"] < 0.02
    assert found["suspect"] == []
    assert found["device"] == "cpu-standin"
    assert found["captures"] == trace
    assert found["executes"] == trace * (lengths[3] - 1)
    assert {"load", "prefill", "first_step", "decode", "tokens_per_second", "reference", "total"} <= found[
        "timing"
    ].keys()


@pytest.mark.parametrize(("system", "trace"), [("n300", 1), ("lb", 1), ("t3000", 0)])
def test_the_example_runs_on_every_system(evaluate, bringup, system, trace):
    bringup(system=system)
    found = evaluate("--mode", "tt", "--trace", trace, "--system", system, *SHORT).metrics
    assert found["system"] == {"t3000": "lb"}.get(system, system)
    assert found["top1"] >= 0.75
    assert found["top5"] == 1.0


@pytest.mark.parametrize(("system", "mesh"), [("pair", "1x2"), ("n300", "2x4")])
def test_a_system_of_a_teams_own_has_the_mesh_that_is_told(evaluate, bringup, system, mesh):
    bringup(system=system)
    found = evaluate("--mode", "tt", *SHORT, YT_SYSTEM=system, YT_MESH=mesh).metrics
    assert found["system"] == system
    assert found["top5"] == 1.0


def test_a_mesh_is_that_of_the_machine_and_of_no_other_system(evaluate):
    done = evaluate("--mode", "tt", "--system", "pair", YT_SYSTEM="n300", YT_MESH="1x2")
    assert done.code == 2
    assert "--system 'pair': choose n150, n300 or lb" in done.err


def test_every_row_of_a_batch_is_counted(evaluate, bringup):
    bringup()
    found = evaluate("--mode", "tt", "--trace", 1, "--batch", 5, *SHORT).metrics
    assert found["tokens"] == 20
    assert found["batch"] == 5
    assert found["top1"] >= 0.90


def test_the_interval_says_how_little_32_tokens_tell(evaluate, bringup):
    bringup()
    low, high = evaluate("--mode", "tt").metrics["interval"]
    assert low < 0.90 < high


def test_a_private_file_gets_the_same_metrics_with_the_nonce(evaluate, bringup, tmp_path):
    bringup()
    file = tmp_path / "metrics.json"
    done = evaluate("--mode", "tt", *SHORT, YT_METRICS_FILE=str(file), YT_METRICS_NONCE="4f2a")
    assert json.loads(file.read_text()) == {"nonce": "4f2a", "metrics": done.metrics}
    assert done.metrics["nonce"] == "4f2a"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("metrics")] == ["metrics.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mode", "hf", "--trace", 0), "--trace is for --mode tt only"),
        (("--mode", "tt", "--trace", 2), "invalid choice: 2"),
        (("--mode", "both"), "invalid choice: 'both'"),
        ((), "required: --mode"),
        (("--mode", "tt", "--prefill-len", 0), "0 is not a positive number"),
        (("--mode", "tt", "--decode-len", "many"), "invalid _positive value: 'many'"),
        (("--mode", "tt", "--system", "n7"), "--system 'n7': choose n150, n300 or lb"),
        (("--mode", "tt", "--batch", 33), "--batch is 32 at most"),
        (("--mode", "tt", "--trace", 1, "--decode-len", 1), "--trace 1 needs --decode-len 2 or more"),
    ],
)
def test_usage_errors_end_with_code_2(evaluate, options, message):
    done = evaluate(*options)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""


def test_a_missing_model_file_is_named(evaluate):
    done = evaluate("--mode", "tt", *SHORT)
    assert done.code == 1
    assert "models/tiny/llama/n150/functional/model.py is missing" in done.error


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("no/such-model", "could not be fetched"),
        ("not a model", "could not be fetched"),
    ],
)
def test_a_model_that_is_not_there_is_an_error(evaluate, model, message):
    error = evaluate("--mode", "hf", model=model).error
    assert model in error
    assert message in error


def test_a_folder_without_a_model_is_an_error(evaluate, tmp_path):
    assert "is a folder without config.json" in evaluate("--mode", "hf", model=tmp_path).error


def test_a_model_with_no_ttnn_is_an_error(evaluate, bringup):
    bringup()
    error = evaluate("--mode", "tt", *SHORT, PYTHONPATH="").error
    assert "ttnn cannot be imported" in error


def test_a_model_that_raises_is_quoted_with_its_line(evaluate, bringup):
    bringup(
        (
            "        cos, sin = self.rope.prefill",
            "        raise ValueError('no rope today')\n        cos, sin = self.rope.prefill",
        )
    )
    done = evaluate("--mode", "tt", *SHORT)
    assert done.code == 1
    assert "the model failed: ValueError: no rope today (model.py:" in done.error
    assert "Traceback" in done.err


def test_a_board_that_does_not_open_is_told_from_a_model_that_fails(evaluate, bringup, tmp_path):
    """Faults W2: the worker asks the board before it blames a model that never ran."""
    bringup()
    board = tmp_path / "board.json"
    board.write_text('{"open": "timeout"}')
    done = evaluate("--mode", "tt", *SHORT, YTFSM_LAB_BOARD=str(board))
    assert done.code == 4
    assert "a mesh of 1x1 does not open: RuntimeError: TT_THROW" in done.error
    assert "failed to initialize FW! Try resetting the board." in done.error


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ((2040, 20), "prefill + decode is 2060 tokens; the model has positions for 2048"),
        ((900000, 20), "does not fit the corpus, which has "),
    ],
)
def test_lengths_that_the_model_or_the_corpus_does_not_have_are_usage(evaluate, lengths, words):
    """Faults W10: what was asked for is wrong there, and no reference."""
    prefill, decode = lengths
    done = evaluate("--mode", "hf", "--prefill-len", prefill, "--decode-len", decode)
    assert done.code == 2
    assert words in done.error


def test_logits_that_are_not_numbers_are_an_error(evaluate, bringup):
    bringup(("self.epsilon = epsilon", "self.epsilon = -1e9"))
    assert "logits are not finite: row 0, step 0" in evaluate("--mode", "tt", *SHORT).error


def test_a_reference_that_disagrees_with_itself_ends_with_code_3_and_its_metrics(evaluate, repo):
    file = repo / "scripts" / "harness" / "hf_model.py"
    source, good = file.read_text(), "model(row[None, at : at + 1], use_cache"
    assert good in source
    # The token before the right one, as a cache that is off by one would have it.
    file.write_text(source.replace(good, "model(row[None, at - 1 : at], use_cache"))
    done = evaluate("--mode", "hf", *SHORT, "--reference-cache", repo / "references")
    assert done.code == 3
    assert "reference error: decoding token by token over the cache agrees with one full pass in only" in done.error
    assert done.metrics["top1"] < 0.99


def test_a_stopped_evaluation_closes_the_device_and_leaves_nothing_running(
    repo, bringup, python, tiny, references, tmp_path
):
    head = "        cos, sin = self.rope.prefill"
    bringup((head, f"        import time; print('RUNNING', flush=True); time.sleep(600)\n{head}"))
    seen = """
        import sys
        if "device_main" in " ".join(sys.orig_argv):
            import ttnn.device
            real = ttnn.device.MeshDevice.close
            ttnn.device.MeshDevice.close = lambda self: (print("CLOSED", flush=True), real(self))
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(seen))
    command = [python, "scripts/run_eval.py", "--mode", "tt", "--hf-model", str(tiny), *map(str, SHORT)]
    environment = clean(PYTHONPATH=f"{tmp_path}:{STANDIN}")
    started = subprocess.Popen(
        [*command, "--reference-cache", str(references)], cwd=repo, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert started.stderr is not None
    for line in started.stderr:
        if "RUNNING" in line:
            break
    started.terminate()
    assert started.wait(30) == 143
    said = started.stderr.read()
    started.stderr.close()
    assert "CLOSED" in said
    assert str(repo) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
