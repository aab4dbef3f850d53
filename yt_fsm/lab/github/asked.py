"""What a client asks for, and which of it was answered: an argument is honoured or refused, never dropped.

Resolvers and routes read arguments as they need them; what a client gave and nobody read is refused by its name.
"""

from __future__ import annotations

from typing import Any


class Asked(dict[str, Any]):
    """Arguments that remember which of them were read, those of nested objects too. Looking with `in` is no reading."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__({name: _within(value) for name, value in given.items()})
        self._read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The argument, or `default` when it was not given."""
        self._read.add(name)
        return super().get(name, default)

    def means_nothing(self, *names: str) -> None:
        """Says of these (of all, without names) that whatever they ask comes to the same here."""
        self._read.update(names or self)

    def unread(self) -> list[str]:
        """The names of what was given and not read; `orderBy.field` for a part of an object."""
        found = []
        for name, value in self.items():
            if value is None or value == [] or value == {}:
                continue
            if name not in self._read:
                found.append(name)
                continue
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Asked):
                    found += [f"{name}.{inner}" for inner in part.unread()]
        return found


def _within(value: Any) -> Any:
    if isinstance(value, list):
        return [_within(one) for one in value]
    return Asked(value) if isinstance(value, dict) else value
