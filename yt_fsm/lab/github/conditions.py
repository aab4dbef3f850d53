"""How a lab's GitHub behaves just now (clock, limits, faults), in a file beside what it knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Conditions:
    """One JSON object in one file, written when it changed, in one atomic step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved = ""

    def load(self) -> dict[str, Any]:
        """What the file says; nothing when there is none."""
        self._saved = self.path.read_text() if self.path.exists() else ""
        return dict(json.loads(self._saved or "{}"))

    def save(self, conditions: dict[str, Any]) -> None:
        """Writes it, unless that is what the file says."""
        text = json.dumps(conditions, indent=1) + "\n"
        if text == self._saved:
            return
        scratch = self.path.with_suffix(".new")
        scratch.write_text(text)
        scratch.replace(self.path)
        self._saved = text
