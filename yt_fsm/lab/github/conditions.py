"""How a lab's GitHub behaves just now (clock, limits, faults), in a file beside what it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yt_fsm.lab.github.faults import Fault, Faults
from yt_fsm.lab.github.history import History
from yt_fsm.lab.github.limits import Limits
from yt_fsm.lab.github.store import Store


class Conditions:
    """The clock, the limits and the faults of one GitHub, and the past that a fault shows.

    `keep` writes them down, and whoever starts with the same file goes on under the same conditions. What was used of
    this hour's limits is not in the file: `limits.recall` counts it from the record of requests.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self.store = store
        self.offset = 0.0  # seconds by which GitHub's clock is ahead: leases can expire in no time
        self.limits = Limits(store.clock)
        self.faults = Faults()
        self.history = History()
        self._saved = path.read_text() if path.exists() else ""
        self._recall(json.loads(self._saved or "{}"))

    def misbehave(self, fault: str, **more: Any) -> Fault:
        """Sets a fault (`yt_fsm.lab.github.faults`). Raises BadFault."""
        made = self.faults.add({"fault": fault, **more})
        if self.faults.lagging():
            self.history.begin(self.store.nodes)
        self.keep()
        return made

    def behave(self, number: int | None = None, kind: str | None = None) -> None:
        """Takes one fault away, those of a kind, or all of them."""
        self.faults.clear(number, kind)
        if not self.faults.lagging():
            self.history.end()
        self.keep()

    def keep(self) -> None:
        """Writes all of it in one atomic step, unless that is what the file says."""
        kept = {"offset": self.offset, "limits": self.limits.set(), "faults": self.faults.json()}
        text = json.dumps(kept, indent=1) + "\n"
        if text == self._saved:
            return
        scratch = self.path.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(self.path)
        self._saved = text

    def _recall(self, kept: dict[str, Any]) -> None:
        self.offset = kept.get("offset", 0.0)
        for name, value in kept.get("limits", {}).items():
            setattr(self.limits, name, value)
        self.faults.load(kept.get("faults", []))
        if self.faults.lagging():
            self.history.begin(self.store.nodes)
