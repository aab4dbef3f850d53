"""The record of every request: one JSON line each in a file, and a list in memory for the lab's state."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from yt_fsm.lab.github.exchange import Answer, Request

LONGEST_ANSWER = 2000  # characters of an answer that the record keeps


class Record:
    """Requests so far, oldest first: at, client, login, kind, operation, variables, status, cost, writes, seconds,
    faults, not_implemented (what the lab could not do of it), answer (its beginning).

    A status of None: the client got none.
    """

    def __init__(self, path: Path) -> None:
        self.entries: list[dict[str, Any]] = []
        if path.exists():
            # A killed lab may leave half a line at the end.
            whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            self.entries = [json.loads(line) for line in whole]
            path.write_text("".join(whole))
        self._file = path.open("a", buffering=1)

    def note(self, at: float, request: Request, done: Answer | None, seconds: float, faults: list[str]) -> None:
        """Adds one request."""
        entry = {
            "at": datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "client": request.client, "login": request.login, "kind": request.kind, "operation": request.operation,
            "variables": request.variables, "status": done.status if done else None,
            "cost": done.cost if done else 0, "writes": request.writes, "seconds": round(seconds, 6),
            "faults": faults, "not_implemented": done.not_implemented if done else [],
            "answer": done.body()[:LONGEST_ANSWER].decode(errors="replace") if done else None,
        }  # fmt: skip
        self.entries.append(entry)
        self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Closes the file; the list stays readable."""
        self._file.close()
