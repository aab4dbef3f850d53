"""The process that runs a model's code, in the worker's walls: what it sees and writes, and what is kept from it.

The template's own harness, a tiny model, and a TTNN model that tries everything at once and says what worked.
"""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from yt_fsm import lab
from yt_fsm.bringup import isolation, template
from yt_fsm.bringup.brief import Brief
from yt_fsm.bringup.device import DeviceProcess
from yt_fsm.bringup.errors import BringupError
from yt_fsm.bringup.evaluation import TT0, TT1, Case, Evaluation, Report
from yt_fsm.bringup.settings import Settings
from yt_fsm.bringup.workspace import Workspace
from yt_fsm.engine.errors import StopRequested
from yt_fsm.engine.sandbox import Sandbox, roots_of
from yt_fsm.engine.shell import Shell
from yt_fsm.lab import environment, models
from yt_fsm.tools.git import Repository

REVISION = "a" * 40
BRIEF = Brief.model_validate({"hf_model_id": "tiny/llama", "prefill_len": 8, "decode_len": 4})
FOLDER = "models/tiny/llama/n150"
MODEL = f"{FOLDER}/functional/model.py"
STANDIN = Path(lab.__file__).parent / "standin"
EXAMPLE = (template.SOURCE / "models" / "example" / "llama" / "functional" / "model.py").read_text()

# Compiled code and `try`: neither a hook of Python's nor an error is in the way. What is seen or works is printed.
PROBES = """
    import os
    import socket
    import torch

    def write(path):
        torch.from_file(path, shared=True, size=4096, dtype=torch.uint8)[:1] = 35

    def read(path):
        return bytes(torch.from_file(path, shared=False, size=8, dtype=torch.uint8).numpy())

    def probe(name, action, *given):
        try:
            found = action(*given)
        except BaseException as problem:
            print("REFUSED", name, type(problem).__name__)
        else:
            print("WORKS" if found is not False else "REFUSED", name)

    root = os.path.dirname(__file__).partition("/models/")[0]
    work = os.path.dirname(root)
    for place in ("secret", "evaluation", "clean", "agent", "pristine.bundle", "check/corpus",
                  "check/scripts/run_eval.py", "check/tests", "check/models/example"):
        probe("sees " + place, os.path.exists, os.path.join(work, place))
    for place in {hidden}:
        probe("sees " + place, lambda: os.path.isdir(place) and bool(os.listdir(place)))
        probe("writes " + place, write, place + "/x")
    probe("another process", lambda: len([one for one in os.listdir("/proc") if one.isdecimal()]) > 3)
    probe("environment", lambda: "YT_METRICS_NONCE" in os.environ)
    probe("memory", read, f"/proc/{os.getppid()}/mem")
    probe("network", lambda: [name for _, name in socket.if_nameindex()] != ["lo"])
    probe("scoring", write, root + "/scripts/harness/scoring.py")
    probe("module", write, root + "/scripts/harness/sitecustomize.py")
    probe("pyc", write, root + "/scripts/harness/scoring.pyc")
    probe("conftest", write, root + "/conftest.py")
    probe("itself", write, __file__)
    probe("pth", write, os.path.dirname(os.path.dirname(torch.__file__)) + "/planted.pth")
    probe("TASK", write, os.environ["TMPDIR"] + "/mine")
    probe("HOME", write, os.environ["HOME"] + "/mine")
    probe("HARNESS", read, root + "/scripts/harness/scoring.py")
    os.system("(sleep 60; echo later) &")
"""


@pytest.fixture(scope="module")
def python() -> str:
    """The Python with torch and transformers."""
    return str(environment.evaluation_python())


@pytest.fixture(scope="module")
def tiny() -> Path:
    """The tiny model."""
    return models.model_folder("tiny")


class Bench:
    """The template's repo with a model in it, as it lies in a workspace, and the worker's evaluation of it."""

    def __init__(self, shell: Shell, settings: Settings, folder: Path, tiny: Path) -> None:
        self.hub = folder / "hub"
        shutil.copytree(tiny, self.hub / "models--tiny--llama" / "snapshots" / REVISION)
        self.shell, self.settings, self.cache = shell, settings, folder / "hub" / "references"
        self.workspace = Workspace(folder / "work")
        self.workspace.make()
        self.seed = folder / "seed"
        template.write(self.seed)

    def evaluation(self, text: str, *cases: Case, seeds: bool = True) -> Evaluation:
        """An evaluation of these cases; the tree that it judges has this model."""
        file = self.seed / MODEL
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
            who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
            self.shell.run(["git", *who, *argv], cwd=self.seed, timeout=20)
        repository = Repository(self.shell, self.workspace.clean)
        base = repository.clone(str(self.seed))
        repository.copy_for_agent(self.workspace.agent)
        (self.workspace.agent / FOLDER / "note.md").write_text("new\n")
        room = self.workspace.evaluation
        more = {"PYTHONPATH": str(STANDIN), "HF_HUB_CACHE": str(self.hub), "OMP_NUM_THREADS": "1"}
        more["TT_METAL_CACHE"] = str(self.workspace.kernels)
        found = Evaluation(
            self.shell,
            self.settings,
            BRIEF,
            REVISION,
            self.workspace,
            {**isolation.environment(self.settings, self.workspace, room), **more},
            self.cache,
            self.workspace.folder.parent / "artifacts",
            sandbox=isolation.sandbox_of(self.settings, (self.hub, STANDIN)),
            seeds=seeds,
        )
        found.cases = cases  # type: ignore[assignment]
        found._collect(repository, base, Report(), "01")
        return found

    def log(self, name: str) -> str:
        (file,) = self.shell.logs.glob(f"*-{name}.log")  # type: ignore[union-attr]
        return file.read_text()


@pytest.fixture
def bench(
    walls: None,
    python: str,
    tiny: Path,
    bare: Path,
    shell: Shell,
    settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    monkeypatch.setenv("YTFSM_LAB", "test")
    given = settings(system="n150", python=python, isolation="bwrap", top1_min=0, top5_min=0, max_memory_gb=4)
    return Bench(shell, given, tmp_path, tiny)


@pytest.fixture
def tree(walls: None, tmp_path: Path) -> Path:
    """A tree with a device process and a model in it."""
    program = tmp_path / "tree" / "scripts" / "harness" / "device_main.py"
    program.parent.mkdir(parents=True)
    program.write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "tree" / FOLDER).mkdir(parents=True)
    return tmp_path / "tree"


def hostile(*hidden: Path) -> str:
    """The example with the probes at its end of imports."""
    code = textwrap.dedent(PROBES).replace("{hidden}", json.dumps([str(one) for one in hidden]))
    return EXAMPLE.replace("def rope_frequencies(config):", code + "\n\ndef rope_frequencies(config):", 1)


def test_a_hostile_model_sees_no_reference_and_writes_nothing_but_its_task(bench: Bench) -> None:
    bench.cache.mkdir()  # below what it may read, as an operator may have it
    (bench.cache / "x.ytref").write_text("a reference of another seed")
    evaluation = bench.evaluation(hostile(bench.cache, bench.workspace.secret), TT0)
    report = Report()
    with pytest.raises(BringupError, match=r"model\.py does os\.system"):  # the first that the fence refuses decides
        evaluation.measure(report, "01", (TT0,))
    said = bench.log("device-tt0")
    # Below /tmp the folders that lead to its own are memory of its own, which goes with it.
    assert set(re.findall("WORKS (.*)", said)) - {"conftest"} == {"TASK", "HOME", "HARNESS"}
    assert not (bench.workspace.check / "conftest.py").exists()
    assert len(re.findall("^(WORKS|REFUSED)", said, re.MULTILINE)) == 26
    assert report.failing
    assert re.search(r" --seed [1-9]\d+$", report.failing), "with the verdict its seed is told"
    assert not bench.workspace.device.exists()


def test_a_right_model_passes_and_the_seed_was_on_no_command_line_and_in_no_record(bench: Bench) -> None:
    report = Report()
    bench.evaluation(EXAMPLE, TT0, TT1).measure(report, "final", (TT0, TT1))
    assert list(report.metrics) == ["tt0", "tt1"]
    seed = report.metrics["tt0"]["seed"]
    assert seed > 0
    assert report.metrics["tt1"]["seed"] == seed
    assert report.metrics["tt1"]["reference_cached"] is True
    assert report.metrics["tt0"]["walls"] == "worker"
    noted = json.dumps(bench.shell.noted)  # type: ignore[attr-defined]
    assert "--seed -" in " ".join(noted.replace('"', "").replace(",", "").split())
    assert str(seed) not in noted
    assert not list(bench.cache.glob("*")), "its reference is in no shared place"


def started(shell: Shell, tree: Path, seconds: float = 30) -> DeviceProcess:
    """A device process that was run on the tree."""
    found = DeviceProcess(shell, sys.executable, tree.parent / "device", seconds)
    walls = Sandbox(True, tuple(roots_of(sys.executable)))
    found.run("device", tree, FOLDER, {"PATH": os.environ["PATH"]}, walls)
    return found


def test_one_that_never_ends_is_ended_and_run_eval_is_told(shell: Shell, tree: Path) -> None:
    process = started(shell, tree, 0)
    assert process.overrun()
    assert process.result
    assert "was killed after its 1 s were over" in str(process.result.failed())
    assert json.loads((process.folder / "ended.json").read_text()) == {"code": None, "said": ""}


def test_its_last_words_are_told_for_the_error_s_text(shell: Shell, tree: Path) -> None:
    (tree / "scripts" / "harness" / "device_main.py").write_text("raise SystemExit('no such layer')")
    process = started(shell, tree)
    assert not process.overrun()
    assert json.loads((process.folder / "ended.json").read_text()) == {"code": 1, "said": "no such layer"}


def test_it_is_started_once_however_often_it_is_asked_for(shell: Shell, tree: Path) -> None:
    (tree / "scripts" / "harness" / "device_main.py").write_text("")
    process = started(shell, tree)
    process.run("again", tree, FOLDER, {}, Sandbox(True))
    assert len(shell.noted) == 1  # type: ignore[attr-defined]


def test_a_stop_ends_it(shell: Shell, tree: Path) -> None:
    shell.stop.set(StopRequested("stopped by SIGTERM", 0))
    with pytest.raises(StopRequested):
        started(shell, tree)
