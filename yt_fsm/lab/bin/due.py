"""Which of a program's faults is due: for the programs here, which run isolated, with the standard library only.

A fault is a dictionary: `kind`, `operation` (`command` says the same), `count` (null: for ever), `after`,
`probability`, `seed`, `throws`, which is how often its die fell already, and `until`, the time at which it is over.
"""

from __future__ import annotations

import fcntl
import json
import time
from typing import Any


def due_in(path: str, operations: set[str]) -> dict[str, Any] | None:
    """As `due`, of the faults in a file; none when they were all taken back meanwhile."""
    try:
        file = open(path, "r+")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        faults = json.load(file)
        fault = due(faults, operations)
        file.seek(0)
        file.truncate()
        json.dump(faults, file)
    return fault


def due(faults: list[dict[str, Any]], operations: set[str], never: str = "") -> dict[str, Any] | None:
    """The first fault of one of these operations that falls, but of the kind `never`; a spent one leaves the list."""
    for fault in faults:
        if fault["kind"] == never or fault.get("operation", fault.get("command", "any")) not in operations:
            continue
        if time.time() >= fault.get("until", float("inf")):
            continue
        if fault.get("after", 0) > 0:
            fault["after"] -= 1
            continue
        if not _falls(fault):
            continue
        if fault.get("count", 1) is not None:
            fault["count"] = fault.get("count", 1) - 1
            if fault["count"] <= 0:
                faults.remove(fault)
        return fault
    return None


def _falls(fault: dict[str, Any]) -> bool:
    if fault.get("probability", 1) >= 1:
        return True
    import random  # takes longer than all the rest

    fault["throws"] = fault.get("throws", 0) + 1
    # The same die as yt_fsm.lab.faults has.
    die = random.Random(f"{fault.get('seed', 0)}/{fault['throws']}")  # noqa: S311 - repeatable, nothing secret
    return bool(die.random() < fault["probability"])
