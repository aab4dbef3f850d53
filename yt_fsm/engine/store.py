"""The runs of this machine: finding one by a fragment of its id, and listing them."""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import NotFound, Usage
from .journal import Reading, Record, read
from .machine import Definition
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
    """Every run's folder, newest first: whatever has a journal in it. Raises Usage when they cannot be listed."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise Usage(f"the runs in {folder} cannot be listed: {problem.strerror}") from None
    return [folder / name for name in sorted(names, reverse=True) if os.path.lexists(folder / name / "journal.jsonl")]


def reading_of(run: Path, machines: Mapping[str, Definition] = MappingProxyType({})) -> Reading:
    """A run's journal, verified, and that it is this folder's: a run's id is its folder's name (faults S1).

    `machines` are those whose ids' shape is known. Never raises: a journal that cannot be had is damage too.
    """
    if run.is_symlink():
        return Reading("corrupt", at_line=1, detail=f"{run} is a link, and a run's folder is none")
    try:
        reading = read(run / "journal.jsonl")
    except NotFound as gone:
        return Reading("corrupt", at_line=1, detail=str(gone))
    if not reading.records:
        return reading
    definition = machines.get(reading.records[0]["machine"])
    problem = stranger(reading.records[0], run, definition)
    if problem:
        return Reading("corrupt", at_line=1, detail=f"line 1: {problem}")
    amiss = definition.facts.amiss(reading.records) if definition else None
    if amiss:
        return damaged_by_fact(reading, *amiss)
    return reading


def damaged_by_fact(reading: Reading, seq: int, problem: str) -> Reading:
    """A reading up to the fact that is not what its machine declares."""
    detail = f"line {seq + 1}: a record `fact` of odd shape: {problem}"
    return Reading("corrupt", reading.records[:seq], at_line=seq + 1, detail=detail)


def stranger(header: Record, run: Path, definition: Definition | None) -> str:
    """Why a journal is none of the run that its folder is named after; "" when it is."""
    run_id = header["run_id"]
    if definition and not re.fullmatch(definition.run_id, run_id, re.ASCII):
        return f"{run_id!r} is no run id of the machine {definition.name!r}"
    return "" if run_id == run.name else f"its run is {run_id!r}, and its folder is {run.name!r}"


def row(run: Path, machines: Mapping[str, Definition] = MappingProxyType({})) -> dict[str, Any]:
    """A run's line in `ytfsm runs --json` (cli.md)."""
    reading = reading_of(run, machines)
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


_TAIL_BYTES = 4096  # of a journal: its last record, where that is `end`


def waiting(folder: Path, machines: Mapping[str, Definition]) -> Iterator[dict[str, Any]]:
    """The runs that wait for something now, newest first; of one that is over only the last record is looked at."""
    for run in everyone(folder):
        if _ended(run):
            continue
        told = replay(reading_of(run, machines))
        if told["waiting"]:
            yield {"run_id": run.name, "words": told["subject"]["words"], "state": told["state"], **told["waiting"]}


def _ended(run: Path) -> bool:
    try:
        with open(run / "journal.jsonl", "rb") as journal:
            journal.seek(max(0, journal.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return b'"kind":"end"' in journal.read().rstrip().rpartition(b"\n")[2]
    except OSError:
        return False


def stamp(moment: float) -> str:
    """A time, seconds since 1970, as people read it here."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
