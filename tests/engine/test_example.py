"""The engine is useful alone: the README's machine is killed, goes on, is replayed and drawn."""

import json
import os
import runpy
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.engine.errors import Usage
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.settings import load
from yt_fsm.engine.shell import Shell
from yt_fsm.engine.worker import Worker

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, str(ROOT / "scripts" / "example_machine.py")]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YT", "GH_", "GITHUB_"))}
    return {**kept, "YTFSM_HOME": str(home), "HOME": str(home), "PYTHONPATH": str(ROOT)}


def say(home: Path, *argv: str) -> str:
    done = subprocess.run(
        [*SCRIPT, *argv], env=environment(home), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def killed(home: Path, words: str) -> None:
    """Start it, and kill it once its journal says `words`."""
    process = subprocess.Popen(SCRIPT, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(words in path.read_text() for path in home.glob("runs/*/journal.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()


def test_a_machine_of_its_own_is_killed_and_goes_on_where_it_was(tmp_path: Path) -> None:
    killed(tmp_path, '"value":3')
    killed(tmp_path, '"value":6')
    assert "'state': 'done'" in say(tmp_path)  # it went on by itself, and there is no other subject
    (journal,) = tmp_path.glob("runs/*/journal.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [r["value"] for r in records if r["kind"] == "fact"] == list(range(1, 11))
    assert [r["kind"] for r in records].count("resumed") == 2
    assert records[-1]["kind"] == "end"
    told = json.loads(say(tmp_path, "replay"))
    assert told["integrity"]["verdict"] == "ok"
    assert (told["state"], told["complete"], told["issue"], told["system"]) == ("done", True, None, None)
    assert told["subject"] == {"kind": "plain", "words": "to ten", "name": "to ten", "inputs": {"last": 10}}
    assert [(t["event"], t["dest"]) for t in told["transitions"]] == [("begin", "counting"), ("finish", "done")]
    assert "no work" in say(tmp_path)  # its subject had its run
    (line,) = (tmp_path / "told.txt").read_text().splitlines()
    assert line == f"{records[0]['run_id']} has counted"


def test_a_run_that_was_gone_on_with_and_fails_is_not_called_no_work(tmp_path: Path) -> None:
    killed(tmp_path, '"value":3')
    broken = {**environment(tmp_path), "PATH": str(tmp_path / "no-programs-here")}
    done = subprocess.run(SCRIPT, env=broken, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "'state': 'failed'" in done.stdout
    assert "ended in `failed`" in done.stderr


def test_it_is_drawn_without_a_run(tmp_path: Path) -> None:
    assert "ready --> counting: begin" in say(tmp_path, "graph")


def test_it_needs_nothing_but_the_engine(tmp_path: Path) -> None:
    code = (
        "import runpy, sys; script = sys.argv[1]; sys.argv = [script, 'graph'];"
        "runpy.run_path(script, run_name='__main__');"
        "print(sorted(m for m in sys.modules if m.startswith('yt_fsm.') and not m.startswith('yt_fsm.engine')))"
    )
    argv = [sys.executable, "-c", code, SCRIPT[1]]
    done = subprocess.run(argv, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_machine_with_settings_of_its_own_gets_its_inputs_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's second part, on the first."""
    text = (ROOT / "README.md").read_text()
    block = text.partition("<!-- settings of a machine -->\n```python\n")[2].partition("```")[0]
    told: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), told)
    example = runpy.run_path(SCRIPT[1])
    machine = replace(example["MACHINE"], **told["OF_COUNT"])
    monkeypatch.setenv("YTFSM_HOME", str(tmp_path))
    monkeypatch.setenv("YT_LAST", "2")
    settings = load(machine.settings())
    worker = Worker(machine, settings, Shell("count", Redactor()))
    outcome = worker.work(once=True)
    assert (outcome.state, outcome.words, outcome.code) == ("done", "to 2", 0)
    monkeypatch.setenv("YT_LAST", "none")
    with pytest.raises(Usage, match="YT_LAST = 'none'"):
        load(machine.settings())
