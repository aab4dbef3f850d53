"""GitHub's rate limits: points and requests an hour for each user, and the secondary limit on writes.

The hourly limits always hold; the secondary ones (80 content-creating requests a minute, 500 an hour) only when
switched on, because a test that is quick on purpose would run into them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

HOUR = 3600
SETTINGS = ("points", "requests", "searches", "writes_a_minute", "writes_an_hour")


@dataclass
class Window:
    """What one user has used of one resource since the window began."""

    limit: int
    reset: int
    used: int = 0

    @property
    def remaining(self) -> int:
        """What is left until the reset."""
        return max(0, self.limit - self.used)


@dataclass
class Limits:
    """All windows, by user and resource (graphql, core, search)."""

    clock: Callable[[], float]
    points: int = 5000
    requests: int = 5000
    searches: int = 30
    writes_a_minute: int | None = None
    writes_an_hour: int | None = None
    _windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    _writes: dict[str, deque[float]] = field(default_factory=dict)

    def set(self) -> dict[str, Any]:
        """How high they are, as JSON."""
        return {name: getattr(self, name) for name in SETTINGS}

    def recall(self, requests: list[dict[str, Any]]) -> None:
        """Counts the requests of a record again, so that a server which starts anew grants no second hour."""
        now = 0.0
        past = replace(self, clock=lambda: now, _windows={}, _writes={})
        for one in requests:
            if not one["login"] or one["status"] is None or (one["faults"] and one["status"] >= 400):
                continue
            now = datetime.fromisoformat(one["at"].replace("Z", "+00:00")).timestamp()
            past.write(one["login"], one["writes"])
            if one["kind"] != "rest":
                past.spend(one["login"], "graphql", one["cost"])
            elif one["status"] != 304:
                past.spend(one["login"], "search" if one["operation"].startswith("GET /search/") else "core")
        self._windows, self._writes = past._windows, past._writes

    def window(self, login: str, resource: str) -> Window:
        """The running window of a user's resource."""
        now = int(self.clock())
        found = self._windows.get((login, resource))
        if found is None or now >= found.reset:
            limit = {"graphql": self.points, "core": self.requests, "search": self.searches}[resource]
            found = Window(limit, now + (60 if resource == "search" else HOUR))
            self._windows[login, resource] = found
        return found

    def spend(self, login: str, resource: str, cost: int = 1) -> bool:
        """Takes the cost, and says whether it was there to take."""
        window = self.window(login, resource)
        if window.remaining < cost:
            window.used = max(window.used, window.limit)
            return False
        window.used += cost
        return True

    def write(self, login: str, count: int) -> bool:
        """Notes content-creating requests, and says whether the secondary limit lets them pass."""
        now = self.clock()
        made = self._writes.setdefault(login, deque())
        while made and made[0] < now - HOUR:
            made.popleft()
        minute = sum(1 for at in made if at >= now - 60)
        if self.writes_a_minute is not None and minute + count > self.writes_a_minute:
            return False
        if self.writes_an_hour is not None and len(made) + count > self.writes_an_hour:
            return False
        made.extend([now] * count)
        return True

    def shown(self, login: str, resource: str, cost: int = 1, nodes: int = 0) -> dict[str, Any]:
        """The window as GraphQL's rateLimit shows it."""
        window = self.window(login, resource)
        reset = datetime.fromtimestamp(window.reset, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"__typename": "RateLimit", "limit": window.limit, "remaining": window.remaining, "used": window.used,
                "cost": cost, "nodeCount": nodes, "resetAt": reset}  # fmt: skip

    def headers(self, login: str, resource: str) -> dict[str, str]:
        """The window as X-RateLimit headers."""
        window = self.window(login, resource)
        return {
            "X-RateLimit-Limit": str(window.limit), "X-RateLimit-Remaining": str(window.remaining),
            "X-RateLimit-Used": str(window.used), "X-RateLimit-Reset": str(window.reset),
            "X-RateLimit-Resource": resource,
        }  # fmt: skip
