"""What is wrong with a lab's board until a reset mends it: for the programs here, standard library only.

It stands in a JSON file: `lost`, how many of its chips are gone (a number, `half` or `all`), `open`, what happens when
a mesh is opened, and `beside`, the boards of another type in the host, which no reset takes away.
"""

from __future__ import annotations

import json
import os
from typing import Any

NAMED = "YTFSM_LAB_BOARD"  # the variable that leads the evaluation's ttnn to the file


def read(path: str) -> dict[str, Any]:
    """The wounds in the file; none where there is no file."""
    try:
        with open(path) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def add(path: str, fault: dict[str, Any]) -> None:
    """Wound the board as a fault of the kind `lost` or `open` says."""
    found = {"lost": fault.get("chips", 1)} if fault["kind"] == "lost" else {"open": fault.get("what", "timeout")}
    write(path, read(path) | found)


def heal(path: str) -> None:
    """A reset that works."""
    write(path, {name: value for name, value in read(path).items() if name == "beside"})


def write(path: str, wounds: dict[str, Any]) -> None:
    """Keep the wounds, whole or not at all."""
    if not wounds:
        if os.path.exists(path):
            os.unlink(path)
        return
    with open(path + ".new", "w") as file:
        json.dump(wounds, file)
    os.replace(path + ".new", path)


def gone(wounds: dict[str, Any], chips: int) -> int:
    """How many of a board's chips are gone."""
    lost = wounds.get("lost", 0)
    return int(min(chips, {"half": (chips + 1) // 2, "all": chips}.get(lost, lost)))
