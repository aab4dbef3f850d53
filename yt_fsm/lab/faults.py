"""Faults of a lab's parts: what can go wrong, at which operations, how often, by which die.

A fault is a JSON object: `kind`, `operation` (one of the part's, or `any`), `count` (how often; null: for ever),
`after` (so many fitting operations go free first), `probability` and `seed` (the same seed, the same falls), and what
its kind needs. Where a part knows `lasts`, it ends a fault after so many seconds, and its count is then null. The
parts' own kinds: HubServer, CodexServer, yt_fsm.lab.machine; GitHub's: yt_fsm.lab.github.faults.
"""

import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTINGS = ("kind", "operation", "count", "after", "probability", "seed")


@dataclass(frozen=True)
class Vocabulary:
    """What can be asked of one part: kinds with their meaning, operations, and the settings that are its kinds' own.

    `only` says which operations can meet a kind at all, where those are not all.
    """

    kinds: Mapping[str, str]
    operations: tuple[str, ...]
    details: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def check(self, fault: Mapping[str, Any]) -> None:
        """Raises ValueError, with what there is, for a fault that this part cannot have."""
        kind, operation = fault.get("kind"), fault.get("operation", "any")
        if kind not in self.kinds:
            raise ValueError(f"there is no fault {kind!r} here; there is: {', '.join(self.kinds)}")
        operations = ("any", *self.only.get(str(kind), self.operations))
        if operation not in operations:
            raise ValueError(f"no operation {operation!r} meets {kind!r}; there is: {', '.join(operations)}")
        if unknown := set(fault) - {*SETTINGS, *self.details}:
            every = ", ".join((*SETTINGS, *self.details))
            raise ValueError(f"a fault here has no {', '.join(sorted(unknown))}; it has: {every}")
        check_numbers(fault)


def check_numbers(fault: Mapping[str, Any]) -> None:
    """Raises ValueError for a count, a seed or a probability that is none."""
    count, probability = fault.get("count", 1), fault.get("probability", 1.0)
    if count is not None and not (_whole(count) and count >= 1):
        raise ValueError(f"`count` is {count!r}: it is 1 or more, or null for ever")
    if not isinstance(probability, int | float) or not 0 < probability <= 1:
        raise ValueError(f"`probability` is {probability!r}: it is more than 0, and at most 1")
    lasts = fault.get("lasts", 1)
    if not isinstance(lasts, int | float) or lasts <= 0:
        raise ValueError(f"`lasts` is {lasts!r}: it is a number of seconds")
    for name in ("after", "seed"):
        if not _whole(fault.get(name, 0)):
            raise ValueError(f"`{name}` is {fault[name]!r}: it is a whole number")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def ends_at(seconds: float) -> float:
    """The host's time, in epoch seconds, at which a fault that lasts so long is over."""
    return time.time() + seconds


def chance(seed: int, throw: int) -> random.Random:
    """The die of a fault at its n-th throw: a number of the seed alone, so that a restart goes on with the next."""
    return random.Random(f"{seed}/{throw}")  # noqa: S311 - a repeatable die, nothing secret


@dataclass
class Fault:
    """One misbehaviour that waits; `throws` says how often its die has fallen."""

    kind: str
    operation: str = "any"
    count: int | None = 1
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    throws: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether its time has passed."""
        return time.time() >= float(self.detail.get("until", "inf"))

    def listing(self) -> dict[str, Any]:
        """As JSON."""
        settings = ("kind", "operation", "count", "after", "probability", "seed", "throws")
        return {name: getattr(self, name) for name in settings} | self.detail

    def falls(self) -> bool:
        """Throw the die."""
        if self.probability >= 1:
            return True
        self.throws += 1
        return chance(self.seed, self.throws).random() < self.probability


class Faults:
    """The faults of one part, in order; the first that fits and is due is used up by one. Kept in `file`."""

    def __init__(self, vocabulary: Vocabulary, file: Path | None = None) -> None:
        self.vocabulary = vocabulary
        self._file = file
        self._faults: list[Fault] = []
        if file is not None and file.exists():
            self._faults = [_made(fault) for fault in json.loads(file.read_text())]

    def add(self, fault: dict[str, Any]) -> Fault:
        """Set one. Raises ValueError for one that cannot be."""
        self.vocabulary.check(fault)
        if "lasts" in fault:
            fault = {"count": None, **fault, "until": ends_at(fault["lasts"])}
        made = _made(fault)
        self._faults.append(made)
        self._keep()
        return made

    def clear(self, kind: str | None = None) -> None:
        """Behave again, as far as this kind goes if one is given."""
        self._faults = [fault for fault in self._faults if kind not in (None, fault.kind)]
        self._keep()

    def listing(self) -> list[dict[str, Any]]:
        """What is set, as JSON."""
        return [fault.listing() for fault in self._faults]

    def due(
        self,
        operation: str,
        path: str = "",
        never: Collection[str] = (),
        fits: Callable[[Fault], bool] = lambda fault: True,
    ) -> Fault | None:
        """The fault that this operation meets, if any, of a kind that is not among `never`, and that `fits`."""
        for fault in self._faults:
            if fault.over or fault.kind in never or fault.operation not in ("any", operation):
                continue
            if str(fault.detail.get("path", "")) not in path or not fits(fault):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif fault.falls():
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                self._keep()
                return fault
            self._keep()
        return None

    def _keep(self) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._file.with_suffix(".new")
            scratch.write_text(json.dumps(self.listing(), indent=1) + "\n")
            scratch.replace(self._file)


def _made(fault: dict[str, Any]) -> Fault:
    settings = {name: fault[name] for name in (*SETTINGS, "throws") if name in fault}
    return Fault(**settings, detail={name: value for name, value in fault.items() if name not in settings})
