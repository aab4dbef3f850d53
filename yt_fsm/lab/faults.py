"""Faults of a lab's server: which one is due at a request, by operation, count, probability and seed."""

import random
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """One misbehaviour. `count` None is for ever; `after` lets that many fitting requests pass first."""

    kind: str
    operation: str = "any"
    path: str = ""
    count: int | None = 1
    after: int = 0
    probability: float = 1.0
    detail: dict[str, Any] = field(default_factory=dict)

    def listing(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.kind,
            "operation": self.operation,
            "path": self.path,
            "count": self.count,
            "after": self.after,
            "probability": self.probability,
            **self.detail,
        }


class Faults:
    """The faults set on one server, in order; the first that fits and is due is used up by one."""

    def __init__(self, seed: int = 0) -> None:
        self._faults: list[Fault] = []
        self._chance = random.Random(seed)  # noqa: S311 - a repeatable die, nothing secret

    def add(self, fault: dict[str, Any]) -> Fault:
        """Set one, given as JSON: a Fault's fields, the rest is its detail. ValueError without a kind."""
        if not fault.get("kind"):
            raise ValueError("a fault needs a kind")
        known = {
            key: fault[key] for key in ("kind", "operation", "path", "count", "after", "probability") if key in fault
        }
        made = Fault(**known, detail={key: value for key, value in fault.items() if key not in known and key != "seed"})
        if "seed" in fault:
            self._chance.seed(fault["seed"])
        self._faults.append(made)
        return made

    def clear(self) -> None:
        """Behave again."""
        self._faults.clear()

    def listing(self) -> list[dict[str, Any]]:
        """What is set, as JSON."""
        return [fault.listing() for fault in self._faults]

    def due(self, operation: str, path: str = "", never: tuple[str, ...] = ()) -> Fault | None:
        """The fault this request meets, if any, of a kind that is not among `never`."""
        for fault in self._faults:
            if fault.kind in never or fault.operation not in ("any", operation) or fault.path not in path:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.probability < 1 and self._chance.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self._faults.remove(fault)
            return fault
        return None
