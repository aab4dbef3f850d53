"""Connections as GitHub pages them: first/after, last/before, opaque cursors, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from yt_fsm.lab.github import ids
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.errors import GitHubError, not_implemented

Key = Callable[[Any], Any]


def ordered(found: Sequence[Any], order: Any, keys: Mapping[str, Key], default: str = "ASC") -> list[Any]:
    """Sorted as `orderBy` (or nothing) says by one of `keys`, of which the first is the default.

    What has the same key stays in the order in which it is, which `DESC` turns round as a whole.
    """
    field = order["field"] if order else next(iter(keys))
    direction = order["direction"] if order else default
    if field not in keys:
        raise not_implemented(f"an order by {field}")
    arranged = sorted(found, key=keys[field])
    return arranged[::-1] if direction == "DESC" else arranged


def nothing(_: Any, arguments: Asked, context: Any) -> Connection:
    """Answers fields of which the lab has nothing, whatever is asked of it."""
    arguments.means_nothing()
    return Connection([], arguments)


class Edge:
    """One entry of a connection with its cursor, and what the kind of edge adds."""

    def __init__(self, node: Any, cursor: str) -> None:
        self.node = node
        self.cursor = cursor


class Connection:
    """One page of a list; which page is decided by the arguments of the field that returns it."""

    def __init__(self, whole: Sequence[Any], arguments: dict[str, Any]) -> None:
        self.whole = whole
        self.total_count = self.filtered_count = self.page_count = self.issue_count = len(whole)
        start, end = 0, len(whole)
        if after := arguments.get("after"):
            start = _place(whole, after) + 1
        if before := arguments.get("before"):
            end = min(end, _place(whole, before))
        first, last = arguments.get("first"), arguments.get("last")
        if first is not None:
            end = min(end, start + first)
        if last is not None:
            start = max(start, end - last)
        self.start, self.end = start, max(start, end)
        self.nodes = whole[self.start : self.end]

    @property
    def edges(self) -> list[Edge]:
        """The page's entries with their cursors."""
        return [Edge(node, self._cursor(i)) for i, node in enumerate(self.nodes, self.start)]

    @property
    def page_info(self) -> dict[str, Any]:
        """Where this page lies in the whole."""
        return {
            "hasNextPage": self.end < len(self.whole),
            "hasPreviousPage": self.start > 0,
            "startCursor": self._cursor(self.start) if self.nodes else None,
            "endCursor": self._cursor(self.end - 1) if self.nodes else None,
        }

    def _cursor(self, position: int) -> str:
        return ids.cursor(position, getattr(self.whole[position], "database_id", 0))


def _place(whole: Sequence[Any], cursor: str) -> int:
    """Where the cursor's entry is now; when it has gone, where it was."""
    found = ids.read_cursor(cursor)
    if found is None:
        raise GitHubError(f"`{cursor}` does not appear to be a valid cursor.", "INVALID_CURSOR_ARGUMENTS")
    position, number = found
    if position < len(whole) and getattr(whole[position], "database_id", 0) == number:
        return position
    for index, node in enumerate(whole):
        if number and getattr(node, "database_id", 0) == number:
            return index
    # The entry was deleted: what followed it has moved up by one.
    return min(position, len(whole)) - 1
