"""The requests one of the lab's servers has seen: in memory, and in a file so that a restart remembers."""

import json
import time
from pathlib import Path
from typing import Any


def now() -> str:
    """The time as GitHub and the Hub write it, to the second, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class RequestLog:
    """Entries in the order of their answers, one JSON line each in `path`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.entries: list[dict[str, Any]] = read(path)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def add(self, entry: dict[str, Any]) -> None:
        """Keep one; after `close`, which a request that hangs may outlive, in memory only."""
        self.entries.append(entry)
        if not self._file.closed:
            self._file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The entries in a log's file; a last line that a kill cut short is left out."""
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
