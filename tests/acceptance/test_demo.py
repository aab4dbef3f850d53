"""The newcomer's first command: a lab, a bringup, its replay, and where the time went."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.parts.command import YTFSM
from yt_fsm.lab.demo import phases


def test_the_demo_shows_a_whole_bringup(tmp_path: Path, warm: Path) -> None:
    done = subprocess.run(
        [YTFSM, "demo", "--dir", str(tmp_path / "demo"), "--model", "tiny", "--json"],
        env={**os.environ, "YT_PYTHON": str(warm)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "review"
    assert "checking → review" in done.stderr
    assert re.search(r"demo: where the time went: \d+ s: .*\btt1 \d+\.\d s", done.stderr)
    assert list((tmp_path / "demo").rglob("journal.jsonl"))


def test_the_time_goes_where_the_journal_says() -> None:
    def command(seconds: float, *argv: str) -> dict[str, object]:
        return {"kind": "command", "argv": ["python", *argv], "seconds": seconds}

    evaluation = ("scripts/run_eval.py", "--mode")
    records = [
        command(8.0, *evaluation, "tt", "--trace", "1"),
        command(7.0, *evaluation, "tt", "--trace", "0"),
        command(8.0, *evaluation, "tt", "--trace", "0"),
        command(3.0, *evaluation, "hf"),
        command(2.5, "-m", "pytest", "-q"),
        command(0.5, "push"),
        {"kind": "fact"},
    ]
    told = phases(records, 30.0)
    assert told == "30 s: tt0 15.0 s, tt1 8.0 s, hf 3.0 s, pytest 2.5 s, the rest 1.5 s"


@pytest.mark.parametrize("records", [[], [{"kind": "fact"}]])
def test_a_run_without_commands_took_its_time_all_the_same(records: list[dict[str, object]]) -> None:
    assert phases(records, 2.0) == "2 s: the rest 2.0 s"
