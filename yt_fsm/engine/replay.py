"""Replay: what a journal says happened, as a pure fold over its records. No network, no clock."""

from collections import Counter
from datetime import datetime
from typing import Any

from .diagram import Route
from .journal import Reading, Record
from .machine import Definition, table_hash
from .records import Way
from .subject import subject_of

_EVERY = {"v", "seq", "at", "mono", "kind", "prev", "hash", "unit"}  # what a unit has as a record


def replay(reading: Reading, today: Definition | None = None) -> dict[str, Any]:
    """The run as `ytfsm replay --json` prints it (cli.md), verified against the machine in its own header.

    An edge that the embedded table does not have makes the verdict `corrupt`, with its line. `today`'s table decides
    only `drift`.
    """
    records = reading.records
    header = records[0] if records else {}
    table = header.get("machine_table", {})
    subject = subject_of(header)
    model = next((r["value"] for r in reversed(records) if r["kind"] == "fact" and r["name"] == "model"), None)
    verdict, at_line, detail = reading.verdict, reading.at_line, reading.detail
    stray = _stray(records, table)
    if stray and verdict != "corrupt":
        verdict, at_line = "corrupt", stray["seq"] + 1
        detail = f"line {at_line}: {stray['source']} --{stray['event']}--> {stray['dest']} is no edge of its machine"
    embedded = table_hash(table) if table else None
    return {
        "run_id": header.get("run_id"),
        "machine": header.get("machine"),
        "issue": subject.get("number") if subject.get("kind") == "issue" else None,
        "model": model if isinstance(model, str) else None,
        "system": header.get("system"),
        "state": state_of(records),
        "complete": bool(records) and records[-1]["kind"] == "end",
        "integrity": {
            "verdict": verdict,
            "records": len(records),
            "last": reading.last,
            "at_line": at_line,
            "detail": detail,
        },
        "definition": {"hash": embedded, "drift": bool(today and embedded and today.hash != embedded)},
        "subject": subject,
        "waiting": _waiting(records),
        "transitions": transitions_of(records),
        "effects": [
            {
                "seq": r["seq"],
                "effect": r["effect"],
                "phase": r["kind"].removeprefix("effect."),
                "key": r["key"],
            }
            for r in records
            if r["kind"].startswith("effect.")
        ],
        "units": [
            {key: value for key, value in r.items() if key not in _EVERY} | {"kind": r["unit"]}
            for r in records
            if r["kind"] == "unit"
        ],
        "attempts": [
            {key: r.get(key) for key in ("n", "passed", "failing", "metrics", "tokens", "seconds")}
            for r in records
            if r["kind"] == "attempt"
        ],
    }


def _waiting(records: list[Record]) -> dict[str, Any] | None:
    """What a run's state waits for, unless it has gone on or was stopped since."""
    ends = ("transition", "resumed", "stopped", "crashed", "verdict", "end")
    last = next((r for r in reversed(records) if r["kind"] in ("waiting", *ends)), None)
    return {"until": last["until"], "why": last["why"]} if last and last["kind"] == "waiting" else None


def _stray(records: list[Record], table: dict[str, Any]) -> Record | None:
    """The first transition that the table does not have or that does not start where the run stood."""
    way = Way(table)
    return next((record for record in records if way.strays(record)), None)


def state_of(records: list[Record]) -> str | None:
    """The current state: the last transition's, or the machine's initial one; None without a header."""
    for record in reversed(records):
        if record["kind"] == "transition":
            return str(record["dest"])
    return records[0]["machine_table"]["initial"] if records else None


def refusal_of(records: list[Record]) -> Record | None:
    """The record of what keeps a run from being published for good, unless it is being tried anew since."""
    for record in reversed(records):
        if record["kind"] == "refused" or record.get("anew"):
            return record if record["kind"] == "refused" else None
    return None


def transitions_of(records: list[Record]) -> list[dict[str, Any]]:
    """The transitions, each with the seconds that the run then spent in `dest` (None where it still is)."""
    moves = [r for r in records if r["kind"] == "transition"]
    found = []
    for number, move in enumerate(moves):
        following = moves[number + 1] if number + 1 < len(moves) else None
        if following is None and records[-1]["kind"] == "end":
            following = records[-1]
        found.append(
            {
                "seq": move["seq"],
                "at": move["at"],
                "event": move["event"],
                "source": move["source"],
                "dest": move["dest"],
                "status": move["status"],
                "seconds": round(between(move, following), 3) if following else None,
            }
        )
    return found


def path_of(records: list[Record]) -> Route:
    """The way a run took, for drawing it."""
    taken: Counter[tuple[str, str, str]] = Counter()
    seconds: dict[str, float] = {}
    moves = transitions_of(records)
    initial = records[0]["machine_table"]["initial"]
    first = next((r for r in records if r["kind"] == "transition"), None)
    seconds[initial] = between(records[0], first) if first else 0.0
    for move in moves:
        taken[move["event"], move["source"], move["dest"]] += 1
        seconds[move["dest"]] = seconds.get(move["dest"], 0.0) + (move["seconds"] or 0.0)
    return Route(dict(taken), seconds, state_of(records) or initial)


def between(earlier: Record, later: Record) -> float:
    """Seconds from one record to another: by the boot's clock unless a reboot lies between, then by the wall's."""
    if later["mono"] >= earlier["mono"]:
        return float(later["mono"] - earlier["mono"])
    return max(0.0, instant(later) - instant(earlier))


def instant(record: Record) -> float:
    """When a record was written, in seconds since the epoch."""
    return datetime.fromisoformat(record["at"].replace("Z", "+00:00")).timestamp()
