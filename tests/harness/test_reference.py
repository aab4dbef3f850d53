"""The reference is computed once, shared, checked when read, and computed again when it cannot be trusted."""

import json
import os
import subprocess
import threading

import pytest

from .conftest import clean

SHORT = ("--prefill-len", 8, "--decode-len", 4)


def entries(folder):
    return sorted(folder.glob("*.ytref"))


def test_all_modes_share_one_reference(evaluate, bringup, tmp_path):
    bringup()
    cache = tmp_path / "references"
    options = (*SHORT, "--reference-cache", cache)
    cached = [
        evaluate("--mode", "tt", "--trace", 1, *options).metrics["reference_cached"],
        evaluate("--mode", "hf", *options).metrics["reference_cached"],
        evaluate("--mode", "tt", "--trace", 0, *options).metrics["reference_cached"],
    ]
    assert cached == [False, True, True]
    assert len(entries(cache)) == 1


def test_a_cached_reference_is_used_without_torch_or_transformers(evaluate, repo, tmp_path):
    cache = tmp_path / "references"
    evaluate("--mode", "hf", *SHORT, "--reference-cache", cache)
    broken = tmp_path / "broken"
    for name in ("torch", "transformers", "huggingface_hub"):
        (broken / name).mkdir(parents=True)
        (broken / name / "__init__.py").write_text("raise RuntimeError('imported')")
    done = evaluate("--mode", "hf", *SHORT, "--reference-cache", cache, PYTHONPATH=str(broken))
    assert done.code == 0, done.err
    assert done.metrics["reference_cached"]


@pytest.mark.parametrize(
    "options",
    [
        ("--prefill-len", 9, "--decode-len", 4),
        ("--prefill-len", 8, "--decode-len", 5),
        (*SHORT, "--batch", 2),
        (*SHORT, "--seed", 1),
    ],
)
def test_other_settings_are_another_reference(evaluate, tmp_path, options):
    cache = tmp_path / "references"
    evaluate("--mode", "hf", *SHORT, "--reference-cache", cache)
    assert not evaluate("--mode", "hf", *options, "--reference-cache", cache).metrics["reference_cached"]
    assert len(entries(cache)) == 2


def test_another_corpus_is_another_reference(evaluate, tmp_path):
    cache, text = tmp_path / "references", tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 10)
    evaluate("--mode", "hf", *SHORT, "--reference-cache", cache)
    assert not evaluate("--mode", "hf", *SHORT, "--reference-cache", cache, "--corpus", text).metrics["reference_cached"]


def test_changed_weights_are_another_reference(evaluate, tiny, tmp_path):
    cache, copy = tmp_path / "references", tmp_path / "tiny" / "llama"
    copy.mkdir(parents=True)
    for file in tiny.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    first = evaluate("--mode", "hf", *SHORT, "--reference-cache", cache, model=copy)
    assert evaluate("--mode", "hf", *SHORT, "--reference-cache", cache, model=tiny).metrics["reference_cached"]
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-100] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    second = evaluate("--mode", "hf", *SHORT, "--reference-cache", cache, model=copy)
    assert not first.metrics["reference_cached"]
    assert not second.metrics["reference_cached"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_reference_is_computed_again_with_a_word(evaluate, tmp_path, damage):
    cache = tmp_path / "references"
    options = ("--mode", "hf", *SHORT, "--reference-cache", cache)
    good = evaluate(*options).metrics
    (entry,) = entries(cache)
    raw = bytearray(entry.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 4
    elif damage == "cut":
        del raw[len(raw) // 2 :]
    elif damage == "empty":
        raw.clear()
    else:
        raw = bytearray(raw.replace(entry.stem.encode(), b"0" * len(entry.stem)))
    entry.write_bytes(raw)
    again = evaluate(*options)
    assert "is damaged" in again.err
    assert "computing it again" in again.err
    assert not again.metrics["reference_cached"]
    assert again.metrics["perplexity"] == good["perplexity"]
    assert evaluate(*options).metrics["reference_cached"]


def test_concurrent_evaluations_agree_and_leave_one_whole_entry(evaluate, tmp_path):
    cache = tmp_path / "references"
    found = []

    def run():
        found.append(evaluate("--mode", "hf", *SHORT, "--reference-cache", cache))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {done.metrics["perplexity"] for done in found} == {found[0].metrics["perplexity"]}
    assert [path.suffix for path in cache.iterdir()] == [".ytref"]
    assert evaluate("--mode", "hf", *SHORT, "--reference-cache", cache).metrics["reference_cached"]


def test_the_cache_stays_within_its_bound_and_the_least_recently_used_goes_first(evaluate, tmp_path):
    cache = tmp_path / "references"

    def ask(seed):
        options = ("--mode", "hf", *SHORT, "--seed", seed, "--reference-cache", cache)
        return evaluate(*options, YT_REFERENCE_CACHE_BYTES=str(limit)).metrics["reference_cached"]

    limit = 10**9
    ask(1)
    (first,) = entries(cache)
    size = first.stat().st_size
    os.utime(first, (1, 1))
    ask(2)
    assert ask(1)  # now the other one is the oldest
    for entry in entries(cache):
        if entry != first:
            os.utime(entry, (2, 2))
    limit = int(2.5 * size)
    ask(3)
    assert len(entries(cache)) == 2
    assert first in entries(cache)


def test_the_cache_may_be_behind_a_url(evaluate, tmp_path):
    place = f"simplecache::file://{tmp_path / 'remote'}"
    (tmp_path / "remote").mkdir()
    evaluate("--mode", "hf", *SHORT, YT_REFERENCE_CACHE=place)
    assert len(entries(tmp_path / "remote")) == 1
    assert evaluate("--mode", "hf", *SHORT, YT_REFERENCE_CACHE=place).metrics["reference_cached"]


def test_a_cache_that_cannot_be_written_costs_time_only(evaluate, tmp_path):
    (tmp_path / "file").write_text("")
    done = evaluate("--mode", "hf", *SHORT, "--reference-cache", tmp_path / "file" / "references")
    assert done.code == 0
    assert "the reference could not be stored" in done.err


def test_a_model_in_the_hub_cache_is_found_without_the_network(evaluate, bringup, repo, tiny, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hf" / "hub" / "models--tiny--llama"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "snapshots" / commit).symlink_to(tiny)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    bringup()
    for revision in ((), ("--revision", commit), ("--revision", "main")):
        done = evaluate("--mode", "tt", *SHORT, *revision, model="tiny/llama", HF_HOME=str(tmp_path / "hf"))
        assert done.code == 0, done.err
        assert done.metrics["commit"] == commit
        assert done.metrics["model"] == "tiny/llama"
    error = evaluate("--mode", "hf", "--revision", "v9", model="tiny/llama", HF_HOME=str(tmp_path / "hf")).error
    assert "tiny/llama at revision v9 could not be fetched" in error


def test_a_reference_too_big_for_the_memory_is_an_error(python, repo, tiny):
    code = (
        "import sys; sys.path.insert(0, 'scripts')\n"
        "from harness import hf_model, snapshot, errors\n"
        "hf_model._free_memory = lambda: 2**29 + 1000\n"
        "try:\n"
        "    hf_model._dtype(snapshot.find(sys.argv[1], None), None)\n"
        "except errors.EvalError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [python, "-c", code, str(tiny)], cwd=repo, env=clean(), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("reference too big: ")
    assert "GiB of memory are free" in done.stdout


def test_entries_are_json_and_npz(evaluate, tmp_path):
    cache = tmp_path / "references"
    evaluate("--mode", "hf", *SHORT, "--reference-cache", cache)
    (entry,) = entries(cache)
    head, _, payload = entry.read_bytes().partition(b"\n")
    assert json.loads(head)["key"] == entry.stem
    assert payload.startswith(b"PK")
