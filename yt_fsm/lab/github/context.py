"""What a resolver may know: the store, the snapshot that this request sees, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yt_fsm.lab.github.nodes import Owner
from yt_fsm.lab.github.store import Store


@dataclass
class Context:
    """One request's view. A query sees `snapshot` (the store, or the store as it was); a mutation the store itself."""

    store: Store
    viewer: Owner
    scopes: tuple[str, ...]
    snapshot: Mapping[str, Any] | None = None
    rate_limit: dict[str, Any] = field(default_factory=dict)

    @property
    def nodes(self) -> Mapping[str, Any]:
        """The objects by global id, as this request sees them."""
        return self.store.nodes if self.snapshot is None else self.snapshot

    def load(self, ids: Any) -> list[Any]:
        """The objects of these ids, less those that this request does not see (yet, or any more)."""
        nodes = self.nodes
        return [nodes[key] for key in ids if key in nodes]
