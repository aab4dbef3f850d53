"""No command harms anybody, whatever it finds: a seeded sample of what `scripts/harmless` tries at length."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yt_fsm.engine.journal import RECORD_BYTES, Journal, parse, read

from .bystanders import DAMAGED, HEADER, RUN, SOUND, fact, journal

WALLS = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]
HERE = Path(__file__).parent


def test_no_command_harms_a_bystander(tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*WALLS, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make PID and mount namespaces, and nothing of this is tried outside")
    done = subprocess.run(
        [*WALLS, sys.executable, str(HERE / "bystanders.py"), str(tmp_path / "all"), "70", "1"], capture_output=True,
        text=True, check=False, cwd=HERE.parents[1], env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damage_is_damage_with_its_line(name: str, tmp_path: Path) -> None:
    from machines import MACHINES
    from yt_fsm.engine.store import reading_of

    folder = tmp_path / RUN
    folder.mkdir()
    (folder / "journal.jsonl").write_bytes(DAMAGED[name])
    reading = reading_of(folder, MACHINES)
    assert (reading.verdict, reading.at_line in (1, 2)) == ("corrupt", True)
    assert "line " in (reading.detail or "")


@pytest.mark.parametrize("name", SOUND)
def test_what_is_only_odd_is_read(name: str) -> None:
    assert parse(SOUND[name]).verdict in ("ok", "torn")


def test_what_stood_before_the_damage_is_believed() -> None:
    reading = parse(journal(HEADER, fact("model", "a/b"), {"kind": "fact"}))
    assert (reading.verdict, reading.at_line, len(reading.records)) == ("corrupt", 3, 2)


def test_a_record_too_large_to_be_read_is_written_shorter(tmp_path: Path) -> None:
    given = {name: value for name, value in HEADER.items() if name != "kind"}
    book = Journal.create(tmp_path / RUN / "journal.jsonl", **given)
    record = book.append("refused", error="x" * (2 * RECORD_BYTES))
    book.close()
    assert record["shortened"] is True
    assert "characters left out" in record["error"]
    assert read(book.path).verdict == "ok"
