"""The lab's evaluation Python while it misbehaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.machine import Machine
from yt_fsm.tools import systems

PROGRAM = Path(__file__).parents[2] / "yt_fsm" / "lab" / "bin" / "faulty-python"
STANDIN = Path(__file__).parents[2] / "yt_fsm" / "lab" / "standin" / "ttnn"

# Prints metrics and seals them, as the harness does.
EVALUATION = """
import json, os, sys
metrics = {"top1": 1.0, "mode": sys.argv[sys.argv.index("--mode") + 1]}
with open(os.environ["YT_METRICS_FILE"], "w") as file:
    json.dump({"nonce": os.environ["YT_METRICS_NONCE"], "metrics": metrics}, file)
print("working")
print("YT_METRICS=" + json.dumps(metrics))
"""


class Evaluation:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = folder / "faults.json"
        self.private = folder / "private.json"
        (folder / "run_eval.py").write_text(EVALUATION)
        self.set()

    def set(self, *faults: dict[str, Any]) -> None:
        self.faults.write_text(json.dumps(faults))

    def __call__(self, *argv: str, timeout: float = 20) -> "subprocess.CompletedProcess[str]":
        argv = argv or ("run_eval.py", "--mode", "hf")
        environment = {"PATH": os.environ["PATH"], "YT_METRICS_FILE": str(self.private), "YT_METRICS_NONCE": "n"}
        command = [sys.executable, str(PROGRAM), str(self.faults), sys.executable, *argv]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    return Evaluation(tmp_path)


def test_without_a_fault_it_is_the_python_itself(evaluation: Evaluation) -> None:
    done = evaluation()
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "working")
    assert evaluation("-c", "raise SystemExit(7)").returncode == 7


def test_a_fault_meets_only_its_own_command(evaluation: Evaluation) -> None:
    evaluation.set({"kind": "exit", "command": "tt1", "code": 3, "text": "TT_FATAL"})
    assert evaluation().returncode == 0
    assert evaluation("run_eval.py", "--mode", "tt", "--trace", "0").returncode == 0
    done = evaluation("run_eval.py", "--mode", "tt", "--trace", "1")
    assert (done.returncode, done.stderr) == (3, "TT_FATAL\n")


def test_a_fault_comes_as_often_as_it_was_set(evaluation: Evaluation) -> None:
    evaluation.set({"kind": "exit", "command": "pytest", "count": 2})
    assert [evaluation("-c", "0", "-m", "pytest").returncode for _ in range(3)] == [1, 1, 0]


@pytest.mark.parametrize("kind", ["nan", "metrics"])
def test_bent_metrics_are_bent_in_both_places(evaluation: Evaluation, kind: str) -> None:
    evaluation.set({"kind": kind, "command": "eval", "set": {"top1": 95.0}})
    printed = json.loads(evaluation().stdout.splitlines()[-1].partition("=")[2])
    sealed = json.loads(evaluation.private.read_text())
    assert sealed["nonce"] == "n"
    assert repr(sealed["metrics"]["top1"]) == repr(printed["top1"]) == ("nan" if kind == "nan" else "95.0")


def test_metrics_can_come_twice_or_not_at_all(evaluation: Evaluation) -> None:
    evaluation.set({"kind": "twice"})
    lines = [line for line in evaluation().stdout.splitlines() if line.startswith("YT_METRICS=")]
    assert [json.loads(line.partition("=")[2])["top1"] for line in lines] == [0.0, 1.0]
    evaluation.set({"kind": "silent"})
    assert evaluation().stdout == "working\n"


def test_it_can_be_killed_as_when_memory_runs_out(evaluation: Evaluation) -> None:
    evaluation.set({"kind": "killed"})
    assert evaluation().returncode == -9


def test_it_can_hang(evaluation: Evaluation) -> None:
    evaluation.set({"kind": "hang"})
    with pytest.raises(subprocess.TimeoutExpired):
        evaluation(timeout=1)


OPENS = "import ttnn; print(ttnn.open_mesh_device(ttnn.MeshShape(1, 1)))"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine whose evaluation Python has no torch: `ttnn` is the stand-in's device alone."""
    made = Machine(tmp_path / "machine")
    made.make(systems.known().find("n300"), Path(sys.executable), "")
    (tmp_path / "ttnn").mkdir()
    for name in ("board", "device", "errors"):
        (tmp_path / "ttnn" / f"{name}.py").write_text((STANDIN / f"{name}.py").read_text())
    memory = "GRID = CoreCoord = CoreGrid = type('Grid', (), {'x': 8, 'y': 8, '__init__': lambda *a, **k: None})\n"
    (tmp_path / "ttnn" / "memory.py").write_text(memory)
    (tmp_path / "ttnn" / "__init__.py").write_text("from .device import *\n")
    return made


def opened(machine: Machine, mesh: str = "1x1") -> "subprocess.CompletedProcess[str]":
    """Open a mesh in the machine's evaluation."""
    python = machine.folder / "bin" / "evaluation-python"
    code = OPENS.replace("1, 1", mesh.replace("x", ", "))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(machine.folder.parent), "YT_MESH": "1x2"}
    return subprocess.run([str(python), "-c", code], env=env, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("timeout", "Device 0 init: failed to initialize FW! Try resetting the board."),
        ("no-chips", "No chips detected in the cluster"),
        ("busy", "which is currently held by thread TID"),
        ("full", "No space left on device"),
        ("killed", ""),
    ],
)
def test_opening_a_mesh_fails_in_the_drivers_words_until_a_reset(machine: Machine, what: str, words: str) -> None:
    assert opened(machine).returncode == 0
    machine.add_fault("board", {"kind": "open", "what": what})
    done = opened(machine)
    assert done.returncode == (-9 if what == "killed" else 1)
    assert words in done.stderr
    subprocess.run([str(machine.folder / "bin" / "tt-smi"), "-r"], check=True, capture_output=True)
    assert opened(machine).returncode == 0


def test_an_evaluation_can_be_when_chips_are_lost(machine: Machine) -> None:
    machine.add_fault("evaluation", {"kind": "lost", "chips": 1, "operation": "import"})
    assert "larger than the system's mesh of 1 device(s)" in opened(machine, "1x2").stderr
    assert opened(machine, "1x1").returncode == 0, "an n300 whose remote chip is gone opens as an n150 (tt-umd#855)"
    machine.add_fault("board", {"kind": "lost", "chips": "all"})
    assert "No chips detected in the cluster" in opened(machine, "1x1").stderr
