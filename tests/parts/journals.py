"""A run's journal on disk, as a worker begins it."""

from pathlib import Path
from typing import Any

from machines.bringup import MACHINE
from yt_fsm.engine.journal import Journal

RUN = "20261122T034107Z-n300-i12-7f3c"


def begin(folder: Path, **header: Any) -> Journal:
    """The journal of a new run in `folder`, which has its id for a name: bringup's for issue 12 unless told."""
    given = {"run_id": folder.name, "machine": "bringup", "machine_table": MACHINE.table(), "system": "n300"}
    return Journal.create(folder / "journal.jsonl", **{**given, "issue": {"number": 12}, **header})
