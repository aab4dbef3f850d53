"""The runs of this machine: finding one by a fragment of its id, and listing them."""

import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import NotFound, Usage
from .index import Entry, Index, Told
from .journal import Reading, Record, digest, read
from .machine import Definition
from .outside import shown
from .replay import instant, refusal_of, replay

NONE: Mapping[str, Definition] = MappingProxyType({})


def find(folder: Path, fragment: str) -> Path:
    """The run folder whose name has `fragment` in it. Raises NotFound, or Usage when several have."""
    if not fragment:
        raise Usage("RUN is empty: give a part of a run's id; `ytfsm runs --all` lists them")
    found = everyone(folder, fragment)
    exact = [path for path in found if path.name == fragment]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"no run matches {shown(repr(fragment), 100)} in {folder}: `ytfsm runs --all` lists them")
    names = ", ".join(path.name for path in found[:5])
    more = " …" if len(found) > 5 else ""
    raise Usage(f"{shown(repr(fragment), 100)} matches {len(found)} runs ({names}{more}): give more of it")


def everyone(folder: Path, fragment: str = "") -> list[Path]:
    """Every run's folder whose name has `fragment` in it, newest first: whatever has a journal in it.

    Raises Usage when they cannot be listed.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise Usage(f"the runs in {folder} cannot be listed: {problem.strerror}") from None
    named = sorted((name for name in names if fragment in name), reverse=True)
    return [folder / name for name in named if os.path.lexists(f"{folder}/{name}/journal.jsonl")]


def reading_of(run: Path, machines: Mapping[str, Definition] = NONE) -> Reading:
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


def row(run: Path, machines: Mapping[str, Definition] = NONE) -> dict[str, Any]:
    """A run's line in `ytfsm runs --json` (cli.md), from its journal."""
    return told(run, machines).line


def told(run: Path, machines: Mapping[str, Definition]) -> Told:
    """What the index remembers of a run's journal."""
    reading = reading_of(run, machines)
    story = replay(reading)
    records, verdict = reading.records, story["integrity"]["verdict"]
    line = {
        "run_id": story["run_id"] or run.name,
        "machine": story["machine"],
        "issue": story["issue"],
        "model": story["model"],
        "state": story["state"] if verdict != "corrupt" else "damaged",
        "complete": story["complete"],
        "started": records[0]["at"] if records else None,
        "ended": records[-1]["at"] if story["complete"] else None,
        "seconds": round(instant(records[-1]) - instant(records[0]), 3) if records else None,
        "attempts": len(story["attempts"]),
    }
    about = {"run_id": run.name, "words": story["subject"].get("words"), "state": story["state"]}
    waits = {**about, **story["waiting"]} if story["waiting"] else None
    # A run that ended as refused may be published anew, and is its only way to have a record after `end`.
    again = (refusal_of(records) or {}).get("again")
    settled = verdict == "ok" and bool(records) and records[-1]["kind"] == "end" and not again
    return Told(line, waits, _reader(story["machine"], machines), settled)


def _reader(machine: str | None, machines: Mapping[str, Definition]) -> str:
    """How a run of a machine is read today: by what its Definition says of ids and facts. "" when nobody knows whose
    run it is.
    """
    if machine is None:
        return ""
    known = machines.get(machine)
    how = digest(repr((known.run_id, sorted(known.facts.declared().items()))).encode()) if known else "unknown"
    return f"{how} {machine!a}"


def index(runs: Path, machines: Mapping[str, Definition]) -> Index:
    """The index of the runs in a folder. What another process read of a machine that is not known here is believed."""
    readers = {ascii(name): _reader(name, machines) for name in machines}

    @functools.cache
    def fits(reader: str) -> bool:
        return reader != "" and reader == readers.get(reader.partition(" ")[2], reader)

    return Index(runs, lambda run: told(run, machines), fits)


def note(run: Path, machines: Mapping[str, Definition]) -> None:
    """Have the index know a run as it is now: one that has just ended is not read at the next start."""
    with index(run.parent, machines) as known:
        known.note(run.name)


def rows(
    runs: Path, machines: Mapping[str, Definition], state: str | None = None, issue: int | None = None
) -> Iterator[str]:
    """The lines of `ytfsm runs` as JSON, newest first: of the runs in a state and of an issue, where one is named.

    Raises Usage when the runs cannot be listed.
    """
    asked = {key: value for key, value in (("state", state), ("issue", issue)) if value is not None}
    words = [json.dumps({key: value})[1:-1] for key, value in asked.items()]

    def wanted(entry: Entry) -> bool:
        if not all(word in entry.line for word in words):  # most are passed over without being taken apart
            return False
        return not asked or asked.items() <= json.loads(entry.line).items()

    with index(runs, machines) as known:
        for entry in known.newest(wanted):
            yield entry.line


def unfinished(runs: Path, machines: Mapping[str, Definition]) -> list[Path]:
    """The folders of runs that may not be over, newest first; what their journals say is for the caller to read.

    Raises Usage when the runs cannot be listed.
    """
    with index(runs, machines) as known:
        lines = {entry.name: json.loads(entry.line) for entry in known.unsettled()}
    return [runs / name for name, line in lines.items() if not line["complete"] or line["state"] == "damaged"]


def waiting(runs: Path, machines: Mapping[str, Definition]) -> Iterator[dict[str, Any]]:
    """The runs that wait for something now, newest first. Raises Usage when the runs cannot be listed."""
    with index(runs, machines) as known:
        found = [json.loads(entry.waits) for entry in known.unsettled()]
    yield from filter(None, found)


def stamp(moment: float) -> str:
    """A time, seconds since 1970, as people read it here."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
