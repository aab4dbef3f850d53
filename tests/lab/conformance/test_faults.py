"""Every fault that the real services show is there, at the start and later, and is chosen the same way everywhere."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conformance import table
from yt_fsm.bringup import preflight
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.shell import Shell
from yt_fsm.github.client import GitHub
from yt_fsm.lab import machine
from yt_fsm.lab.codex import TURN_KINDS
from yt_fsm.lab.errors import LabError
from yt_fsm.lab.misbehaviour import KINDS
from yt_fsm.lab.serving import Running, running_lab

LAB = [sys.executable, "-m", "yt_fsm.lab.cli"]

# What the real services have been seen to do, and the fault that does it.
SEEN = [
    ("401", "github", "unauthorized"),
    ("403 + retry-after", "github", "forbidden"),
    ("429", "github", "too-many-requests"),
    ("200 with RATE_LIMITED", "github", "rate-limited"),
    ("secondary limit", "github", "secondary-limit"),
    ("200 with data null and an untyped error", "github", "went-wrong"),
    ("SERVICE_UNAVAILABLE", "github", "unavailable"),
    ("INTERNAL", "github", "internal"),
    ("was submitted too quickly", "github", "too-quickly"),
    ("a null node beside its error", "github", "partial"),
    ("502 HTML", "github", "bad-gateway"),
    ("502 HTML after the write landed", "github", "bad-gateway-after"),
    ("hang", "github", "hang"),
    ("hang after the write landed", "github", "hang-after"),
    ("connection reset before", "github", "reset-before"),
    ("connection reset after the write landed", "github", "reset-after"),
    ("truncated body", "github", "truncated"),
    ("read lag", "github", "lag"),
    ("accepted but not landed", "github", "not-landed"),
    ("accepted, lands later", "github", "lands-late"),
    ("board workflow that moves the Status back", "github", "workflow"),
    ("an option id that went stale", "github", "stale-option"),
    ("a person who acts mid-run", "github", "act"),
    ("401 gated", "hub", "gated"),
    ("404 revision", "hub", "revision"),
    ("reset mid-file", "hub", "reset"),
    ("connection refused", "hub", "away"),
    ("a repository that is gone", "hub", "vanished"),
    ("bytes that their sha256 does not fit", "hub", "corrupt"),
    ("disk full", "disk", "full"),
    ("exit codes", "codex", "exit"),
    ("killed", "codex", "killed"),
    ("silence", "codex", "mute"),
    ("silence of the model", "codex", "silent"),
    ("endless output", "codex", "endless"),
    ("login expired", "codex", "login"),
    ("MAKE IT STOP", "codex", "welfare"),
    ("edits outside the repo", "codex", "outside"),
    ("edits to the harness", "codex", "harness"),
    ("its own commits", "codex", "commits"),
    ("forking background processes", "codex", "forks"),
    ("a usage limit", "codex", "usage-limit"),
    ("a rate limit", "codex", "rate-limit"),
    ("no money left", "codex", "quota"),
    ("overload", "codex", "overloaded"),
    ("odd events of the model's stream", "codex", "odd"),
    ("odd events of codex", "codex", "babbles"),
    ("a turn without a message", "codex", "no-message"),
    ("no answer of the model", "codex", "no-answer"),
    ("codex stays after its turn", "codex", "lingers"),
    ("codex exits 1 after its turn", "codex", "exit-after"),
    ("tt-smi hangs", "tt-smi", "hang"),
    ("tt-smi exits 0 but the board is absent", "tt-smi", "vanishes"),
    ("tt-smi fails twice, then works", "tt-smi", "fails"),
    ("a reset that mends nothing", "tt-smi", "idle"),
    ("chips that are lost", "board", "lost"),
    ("a mesh that does not open", "board", "open"),
    ("a host with boards of two types", "board", "beside"),
    ("the evaluation hangs", "evaluation", "hang"),
    ("the evaluation is OOM-killed", "evaluation", "killed"),
    ("NaN metrics", "evaluation", "nan"),
]
NEEDS = {("github", "act"): {"act": {"do": "close_issue"}}}
AT_ONCE = ("hub", "away")  # for everybody: no operation, no count
STATES = ("disk", "board")  # hold at once, until they are taken back
CHOSEN = {"count": 3, "after": 2, "probability": 0.5, "seed": 9}
OPERATION = {"github": "addComment", "tt-smi": "reset", "evaluation": "hf"}


def operation(target: str, kind: str) -> str:
    """One that can meet this fault."""
    if target == "codex":
        return "exec" if kind in machine.FAULTS["codex"].kinds else "turn" if kind in TURN_KINDS else "responses"
    if target == "hub":
        return {"huge": "info", "reset": "content", "corrupt": "content"}.get(kind, "resolve")
    return "snapshot" if kind == "warns" else OPERATION[target]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab(tmp_path_factory.mktemp("lab") / "lab", model="tiny", script="right") as running:
        yield running


@pytest.fixture
def well(lab: Running) -> Iterator[Running]:
    """The lab, which behaves before and after the test."""
    yield lab
    lab.clear()


@pytest.mark.parametrize(("words", "target", "kind"), SEEN, ids=[words for words, _, _ in SEEN])
def test_what_services_do_is_there(words: str, target: str, kind: str) -> None:
    assert kind in KINDS[target]


def everything(target: str) -> list[dict[str, Any]]:
    """Each of a target's faults, chosen in every way that there is."""
    return [
        {"kind": kind, **CHOSEN, "operation": operation(target, kind), **NEEDS.get((target, kind), {})}
        if (target, kind) != AT_ONCE
        else {"kind": kind, "lasts": 600}
        for kind in KINDS[target]
    ]


def said(listed: dict[str, Any]) -> dict[str, Any]:
    """A listed fault in the common words."""
    words = {"fault": "kind", "match": "operation", "skip": "after"}
    return {words.get(name, name): value for name, value in listed.items()}


@pytest.mark.parametrize("target", [target for target in KINDS if target not in STATES])
def test_every_fault_can_be_chosen_by_operation_count_and_chance_while_the_lab_runs(well: Running, target: str) -> None:
    for fault in everything(target):
        well.fault(target, **fault)
    listed = [said(one) for one in well.ask("GET", f"/faults/{target}")]
    found = [{name: one[name] for name in fault} for fault in everything(target) for one in listed
             if one["kind"] == fault["kind"]]  # fmt: skip
    assert found == everything(target)
    well.clear(target)
    assert well.ask("GET", f"/faults/{target}") == []


def test_every_fault_can_be_set_at_the_start_and_outlives_a_kill(tmp_path: Path) -> None:
    asked = [{"target": target, **fault} for target in KINDS if target not in STATES for fault in everything(target)]
    with running_lab(tmp_path / "lab", faults=asked) as lab:
        at_start = lab.ask("GET", "/faults")
        assert sum(len(faults) for faults in at_start.values()) == len(asked)
        lab.stop(signal.SIGKILL)
    with running_lab(tmp_path / "lab") as lab:
        assert lab.ask("GET", "/faults") == at_start


def test_a_fault_at_the_start_of_a_command_is_met_by_it(tmp_path: Path) -> None:
    faults = ["--fault", "github server-error operation='GET /user'", "--fault", "tt-smi fails operation=reset count=2"]
    resets = "gh api user >/dev/null; echo $?; for n in 1 2 3; do tt-smi -r >/dev/null; echo $?; done"
    argv = [*LAB, "run", "--dir", str(tmp_path / "lab"), *faults, "--", "sh", "-c", resets]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["1", "1", "1", "0"], done.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("hub rain", "there is no fault 'rain' of hub; there is: status, gated"),
        ("codex rain", "there is: status, usage-limit, rate-limit, quota"),
        ("moon rain", "no target 'moon'; there are github, hub"),
        ("hub gated operation=push", "no operation 'push' meets 'gated'; there is: any, info"),
        ("hub reset operation=info", "there is: any, resolve, content"),
        ("codex status operation=turn", "there is: any, responses"),
        ("tt-smi hang bytes=3", "has no bytes"),
        ("hub gated count=0", "`count` is 0"),
        ("github hang probability=2", "`probability` is 2"),
        ("evaluation nan seed=x", "`seed` is 'x'"),
        ("tt-smi hang machine=third", "no machine 'third'"),
        ("board lost chips=none", "`chips` is 'none': it is 1 or more, half or all"),
        ("board open what=rain", "`what` is 'rain': it is one of timeout, no-chips"),
        ("tt-smi idle operation=list", "no operation 'list' meets 'idle'"),
        ("codex quota lasts=long", "`lasts` is 'long'"),
        ("disk full folder=etc", "`folder` is 'etc'"),
        ('github act act={"do":"dance"}', "nobody knows how to 'dance'"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_words(well: Running, fault: str, words: str) -> None:
    done = well.run(*LAB, "faults", *fault.split(" "))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(well.ask("GET", "/faults").values())


def test_a_wrong_fault_at_the_start_is_refused_and_no_lab_is_left(tmp_path: Path) -> None:
    with (
        pytest.raises(LabError, match="there is no fault 'rain'"),
        running_lab(tmp_path / "lab", faults=[{"target": "hub", "kind": "rain"}]),
    ):
        pass
    with running_lab(tmp_path / "lab") as lab:
        assert not any(lab.ask("GET", "/faults").values())


def test_what_can_go_wrong_is_listed_without_a_lab() -> None:
    env = {name: value for name, value in os.environ.items() if name != "YTFSM_LAB"}
    done = subprocess.run([*LAB, "faults", "--kinds", "--json"], env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {target: dict(kinds) for target, kinds in KINDS.items()}
    done = subprocess.run([*LAB, "faults", "tt-smi", "--kinds"], env=env, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(KINDS["tt-smi"])


def test_the_readme_lists_what_can_go_wrong() -> None:
    assert table.faults_in_readme() == table.faults_written()


def test_one_kind_of_fault_can_be_taken_back(well: Running) -> None:
    well.fault("github", "went-wrong", operation="addComment", lasts=60)
    well.fault("github", "slow", operation="addComment", count=None)
    assert well.run(*LAB, "faults", "github", "slow", "--clear").returncode == 0
    assert [said(one)["kind"] for one in well.ask("GET", "/faults/github")] == ["went-wrong"]
    well.fault("codex", "overloaded")
    well.fault("codex", "killed")
    well.clear("codex", "overloaded")
    assert [said(one)["kind"] for one in well.ask("GET", "/faults/codex")] == ["killed"]
    well.fault("board", "lost", chips="all")
    well.fault("board", "open", what="busy")
    well.clear("board", "lost")
    assert [said(one)["kind"] for one in well.ask("GET", "/faults/board")] == ["open"]
    with pytest.raises(LabError, match="taken back as a whole only"):
        well.clear("disk", "full")


def test_a_programs_fault_is_over_when_its_time_is(well: Running) -> None:
    well.fault("tt-smi", "fails", lasts=2)
    assert [well.run("tt-smi", "-s").returncode for _ in range(2)] == [1, 1]
    time.sleep(2)
    assert well.run("tt-smi", "-s").returncode == 0


# -- the same chance everywhere -------------------------------------------------------------------


def resets(lab: Running, seed: int) -> list[int]:
    lab.clear("tt-smi")
    lab.fault("tt-smi", "fails", operation="reset", count=None, probability=0.5, seed=seed)
    return [lab.run("tt-smi", "-r").returncode for _ in range(12)]


def models(lab: Running, seed: int) -> list[int]:
    lab.clear("hub")
    lab.fault("hub", "status", operation="info", count=None, probability=0.5, seed=seed, status=503)
    codes = []
    for _ in range(12):
        try:
            urllib.request.urlopen(f"{lab.env['HF_ENDPOINT']}/api/models/{lab.model}").close()
            codes.append(0)
        except urllib.error.HTTPError as refused:
            refused.close()
            codes.append(int(refused.code == 503))
    return codes


def imports(lab: Running, seed: int) -> list[int]:
    lab.clear("evaluation")
    lab.fault("evaluation", "exit", operation="import", count=None, probability=0.5, seed=seed)
    return [lab.run(lab.env["YT_PYTHON"], "-c", "import sys").returncode for _ in range(12)]


def test_the_same_seed_is_the_same_chance_in_every_part(well: Running) -> None:
    once = resets(well, 4)
    assert 0 < sum(once) < 12
    assert resets(well, 4) == once
    assert imports(well, 4) == once
    assert models(well, 4) == once
    assert resets(well, 5) != once


def test_the_real_gh_is_read_whatever_its_operator_wants_to_see(well: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults E1: coloured JSON was no JSON, and doctor blamed the network, or was content with a login `None`."""
    shown = {
        "CLICOLOR_FORCE": "1",
        "GH_FORCE_TTY": "100%",
        "GH_DEBUG": "api",
        "GH_HOST": "x.example",
        "LC_ALL": "de_DE",
    }
    for name, value in {**well.env, **shown}.items():
        monkeypatch.setenv(name, value)
    shell = Shell("test", Redactor({}))
    assert preflight._login(shell).startswith("yt-bot (")
    github = GitHub(shell, "yieldthought", "ttnn_models", 1, None, 0.0)
    assert github.project.options["ready"]


# -- what the parts' own tests do not show ---------------------------------------------------------


def codex(lab: Running, folder: Path, patience: float = 60) -> tuple[int, str, str]:
    """One turn of codex in a new folder: exit code, stdout, stderr."""
    prompt = f"hf_model_id: {lab.model}\nsystem: n300\nmodel file: model.py\n"
    argv = [lab.env["CODEX_BIN"], "exec", "--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", "-"]
    folder.mkdir()
    for name in ("scripts", "tests", "models/example"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "example" / "model.py").write_text("x = 1\n")
    for name in ("README.md", "scripts/run_eval.py", "tests/test_eval_smoke.py"):
        (folder / name).write_text("original\n")
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            argv, cwd=folder, env=lab.env, stdin=subprocess.PIPE, stdout=out, stderr=err, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(prompt, patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, (folder / "out").read_text(), (folder / "err").read_text()


@pytest.mark.parametrize(("kind", "code"), [("babbles", 0), ("lingers", 0), ("exit-after", 3)])
def test_codex_does_its_work_and_is_odd_around_it(well: Running, tmp_path: Path, kind: str, code: int) -> None:
    well.fault("codex", kind, operation="exec", code=3, seconds=0.1)
    exited, out, _ = codex(well, tmp_path / "a")
    lines = out.splitlines()
    assert (exited, "turn.completed" in lines[-1]) == (code, True)
    assert (lines[0] == "not JSON") == (kind == "babbles")


def test_codex_itself_exits_as_it_is_told_and_then_works(well: Running, tmp_path: Path) -> None:
    well.fault("codex", "exit", operation="exec", code=7, text="Error: no space left on device")
    assert well.run(well.env["CODEX_BIN"], "--version").returncode == 0
    assert codex(well, tmp_path / "a") == (7, "", "Error: no space left on device\n")
    code, out, _ = codex(well, tmp_path / "b")
    assert code == 0
    assert "turn.completed" in out


def test_codex_itself_is_killed_or_says_nothing_at_all(well: Running, tmp_path: Path) -> None:
    well.fault("codex", "killed", operation="exec")
    assert codex(well, tmp_path / "a") == (-signal.SIGKILL, "", "")
    well.fault("codex", "mute", operation="exec")
    assert codex(well, tmp_path / "b", patience=1) == (-signal.SIGKILL, "", "")


def test_a_script_can_be_one_turns_only(well: Running, tmp_path: Path) -> None:
    well.fault("codex", "harness", operation="turn", after=1)
    edited = []
    for n in range(3):
        assert codex(well, tmp_path / str(n))[0] == 0
        edited.append((tmp_path / str(n) / "scripts" / "run_eval.py").read_text() != "original\n")
    assert edited == [False, True, False]


def test_the_hub_s_file_can_be_chosen_and_no_fault_is_lost_on_what_cannot_meet_it(
    well: Running, tmp_path: Path
) -> None:
    # Set for any operation, it waits for the one that sends a file's content.
    well.fault("hub", "reset", path="tokenizer", bytes=10)
    folder = Path(well.line["folder"]) / "models" / "conformance" / "words"
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}" + " " * 100)
    done = well.run("hf", "download", "conformance/words", "--local-dir", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr  # the client tried again
    assert well.ask("GET", "/faults/hub") == []
    asked = [one for one in well.state()["hub"]["requests"] if one["path"].endswith("/tokenizer.json")]
    assert len([one for one in asked if one["method"] == "GET"]) == 2


def test_a_disk_can_be_full_at_the_start_and_filled_and_emptied_meanwhile(tmp_path: Path) -> None:
    roomy = {"target": "disk", "kind": "full", "folder": "tmp", "free": 1 << 30}
    try:
        with running_lab(tmp_path / "lab", faults=[roomy]) as lab:
            tmp = Path(lab.env["YT_TMP_ROOT"])

            def download(name: str) -> "subprocess.CompletedProcess[str]":
                return lab.run("hf", "download", lab.model, "--local-dir", str(tmp / name))

            assert download("first").returncode == 0
            lab.fault("disk", "full", folder="tmp", free=64 * 1024)
            assert lab.ask("GET", "/faults/disk") == [{"kind": "full", "folder": "tmp", "free": 64 * 1024}]
            full = download("second")
            assert full.returncode != 0
            assert "No space left on device" in full.stderr + full.stdout
            lab.clear("disk")
            assert lab.ask("GET", "/faults/disk") == []
            assert download("second").returncode == 0
            (Path(lab.env["YTFSM_HOME"]) / "runs").mkdir()
            with pytest.raises(LabError, match="is in use on the machine's own disk"):
                lab.fault("disk", "full", folder="ytfsm")
    except LabError as problem:
        pytest.skip(f"not run: {problem}")
    assert not os.path.ismount(tmp)
    assert (tmp / "second" / "config.json").exists(), "what was on the disk stays in the folder"


def test_a_person_who_cannot_do_it_breaks_nothing(well: Running) -> None:
    number = well.seed()
    act = {"do": "delete_comment", "issue": number, "containing": "nobody said this"}
    well.fault("github", "act", operation="addComment", act=act)
    done = well.run("gh", "issue", "comment", str(number), "-R", "yieldthought/ttnn_models", "--body", "said")
    assert done.returncode == 0, done.stderr


def test_a_die_goes_on_where_it_was_after_a_kill(tmp_path: Path) -> None:
    def falls(folder: Path, killed: bool) -> list[int]:
        codes = []
        fault = {"operation": "GET /user", "count": None, "probability": 0.5, "seed": 3}
        lab = running_lab(folder, faults=[{"target": "github", "kind": "server-error", **fault}])
        with lab as first:
            codes += [first.run("gh", "api", "user").returncode for _ in range(6)]
            if killed:
                first.stop(signal.SIGKILL)
            else:
                codes += [first.run("gh", "api", "user").returncode for _ in range(6)]
        if killed:
            with running_lab(folder) as again:
                codes += [again.run("gh", "api", "user").returncode for _ in range(6)]
        return codes

    assert falls(tmp_path / "a", killed=True) == falls(tmp_path / "b", killed=False)
