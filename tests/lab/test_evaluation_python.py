"""The lab's evaluation Python while it misbehaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "yt_fsm" / "lab" / "bin" / "faulty-python"

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
