"""The store as it was: for reads that lag. Objects are frozen, so a version is one reference."""

from __future__ import annotations

import time
from typing import Any

KEPT_SECONDS = 120.0  # no fault lags further back than this


class History:
    """Versions of the store's objects, kept only while some fault makes reads lag."""

    def __init__(self) -> None:
        self._versions: list[tuple[float, dict[str, Any]]] = []

    def begin(self, nodes: dict[str, Any]) -> None:
        """Starts keeping versions; whoever looks further back than now sees these."""
        if not self._versions:
            self._versions = [(float("-inf"), nodes)]

    def end(self) -> None:
        """Forgets all versions."""
        self._versions = []

    def note(self, nodes: dict[str, Any]) -> None:
        """Keeps the version that a request left behind, when versions are kept."""
        if not self._versions or self._versions[-1][1] is nodes:
            return
        now = time.monotonic()
        self._versions.append((now, nodes))
        while len(self._versions) > 1 and self._versions[1][0] < now - KEPT_SECONDS:
            self._versions.pop(0)

    def at(self, seconds_ago: float, nodes: dict[str, Any]) -> dict[str, Any]:
        """The objects as they were then; as they are when no versions are kept."""
        then = time.monotonic() - seconds_ago
        found = nodes
        for made, version in reversed(self._versions):
            found = version
            if made <= then:
                break
        return found
