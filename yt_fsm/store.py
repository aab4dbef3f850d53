"""The runs of this machine: finding one by a fragment of its id, and listing them."""

from pathlib import Path
from typing import Any

from .errors import NotFound, Usage
from .journal import Reading, read
from .outside import shown
from .replay import instant, replay


def find(folder: Path, fragment: str) -> Path:
    """The run folder whose name has `fragment` in it. Raises NotFound, or Usage when several have."""
    if not fragment:
        raise Usage("RUN is empty: give a part of a run's id; `ytfsm runs --all` lists them")
    found = [path for path in everyone(folder) if fragment in path.name]
    exact = [path for path in found if path.name == fragment]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"no run matches {shown(repr(fragment), 100)} in {folder}: `ytfsm runs --all` lists them")
    names = ", ".join(path.name for path in found[:5])
    more = " …" if len(found) > 5 else ""
    raise Usage(f"{shown(repr(fragment), 100)} matches {len(found)} runs ({names}{more}): give more of it")


def everyone(folder: Path) -> list[Path]:
    """Every run's folder, newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if (p / "journal.jsonl").exists()), reverse=True)


def reading_of(run: Path) -> Reading:
    """A run's journal, verified."""
    return read(run / "journal.jsonl")


def row(run: Path) -> dict[str, Any]:
    """A run's line in `ytfsm runs --json` (cli.md)."""
    reading = reading_of(run)
    told = replay(reading)
    records = reading.records
    ended = records[-1]["at"] if told["complete"] else None
    seconds = round(instant(records[-1]) - instant(records[0]), 3) if records else None
    return {
        "run_id": told["run_id"] or run.name,
        "machine": told["machine"],
        "issue": told["issue"],
        "model": told["model"],
        "state": told["state"] if told["integrity"]["verdict"] != "corrupt" else "damaged",
        "complete": told["complete"],
        "started": records[0]["at"] if records else None,
        "ended": ended,
        "seconds": seconds,
        "attempts": len(told["attempts"]),
    }
