"""How a lab misbehaves: one way to set, show and take back the faults of all its parts, at its start and later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from yt_fsm.lab import codex, disk, hub, troubles
from yt_fsm.lab import machine as machines
from yt_fsm.lab.faults import Vocabulary
from yt_fsm.lab.github.faults import KINDS as ON_GITHUB
from yt_fsm.lab.machine import DISKS

if TYPE_CHECKING:
    from yt_fsm.lab.lab import Lab
    from yt_fsm.lab.machine import Machine

DISK = Vocabulary(
    kinds={"full": "the machine's `folder` (tmp, or ytfsm, home) has `free` (0) bytes left"},
    operations=(),
    details=("folder", "free"),
)
# What goes wrong where: target to kind to meaning.
KINDS: dict[str, Mapping[str, str]] = {
    "github": ON_GITHUB,
    "hub": hub.FAULTS.kinds,
    "codex": {**codex.FAULTS.kinds, **machines.FAULTS["codex"].kinds},
    "tt-smi": machines.FAULTS["tt-smi"].kinds,
    "board": machines.FAULTS["board"].kinds,
    "evaluation": machines.FAULTS["evaluation"].kinds,
    "disk": DISK.kinds,
}
# The words that all targets share, and what they are on GitHub and in older commands.
_ON_GITHUB = {"kind": "fault", "operation": "match", "after": "skip"}
_ELSEWHERE = {"command": "operation"}


class Misbehaviour:
    """The faults of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def set(self, target: str, fault: Mapping[str, Any]) -> None:
        """Make `target` (one of KINDS) misbehave from now on; `machine` names another machine than the lab's own.

        Raises ValueError or LabError, in words, for a fault that it cannot have.
        """
        kinds = _known(target)
        asked = dict(fault)
        machine = self.lab.machine_named(asked.pop("machine", None))
        if asked.get("kind") not in kinds:
            raise ValueError(f"there is no fault {asked.get('kind')!r} of {target}; there is: {', '.join(kinds)}")
        words = _ON_GITHUB if target == "github" else _ELSEWHERE
        asked = {words.get(name, name): value for name, value in asked.items()}
        if target == "github":
            self.lab.github.conditions.misbehave(asked.pop("fault"), **asked)
        elif target == "disk":
            _fill(machine, asked)
        elif target == "hub":
            self.lab.hub.misbehave(asked)
        elif target == "codex" and asked["kind"] in codex.FAULTS.kinds:
            self.lab.codex.faults.add(troubles.lasting(asked))
        else:
            machine.add_fault(target, asked)

    def listing(self, target: str) -> list[dict[str, Any]]:
        """What is set for `target`, on every machine."""
        _known(target)
        if target == "github":
            return self.lab.github.conditions.faults.json()
        if target == "hub":
            return self.lab.hub.faults.listing()
        found = self.lab.codex.faults.listing() if target == "codex" else []
        for name, machine in [("", self.lab.machine), *self.lab.machines().items()]:
            where = {"machine": name} if name else {}
            found += [fault | where for fault in (_full(machine) if target == "disk" else machine.faults(target))]
        return found

    def clear(self, target: str, kind: str | None = None) -> None:
        """Let `target` behave again; with `kind`, as far as that goes. Raises ValueError where only all can be."""
        if kind is not None and kind not in _known(target):
            raise ValueError(f"there is no fault {kind!r} of {target}; there is: {', '.join(_known(target))}")
        if kind is not None and target == "disk":
            raise ValueError("a full disk can be taken back as a whole only")
        _known(target)
        if target == "github":
            self.lab.github.conditions.behave(kind=kind)
        elif target == "hub":
            self.lab.hub.faults.clear(kind)
        elif target == "codex":
            self.lab.codex.faults.clear(kind)
        for machine in (self.lab.machine, *self.lab.machines().values()):
            if target == "disk":
                for name in DISKS:
                    disk.empty(machine.folder / name)
            elif target in machines.FAULTS:
                machine.clear_faults(target, kind)


def _known(target: str) -> Mapping[str, str]:
    if target not in KINDS:
        raise ValueError(f"no target {target!r}; there are {', '.join(KINDS)}")
    return KINDS[target]


def _fill(machine: Machine, fault: Mapping[str, Any]) -> None:
    DISK.check(fault)
    name, free = fault.get("folder", "tmp"), fault.get("free", 0)
    if name not in DISKS:
        raise ValueError(f"`folder` is {name!r}: it is one of {', '.join(DISKS)}")
    if not isinstance(free, int) or free < 0:
        raise ValueError(f"`free` is {free!r}: it is a number of bytes")
    disk.fill(machine.folder / name, free)


def _full(machine: Machine) -> list[dict[str, Any]]:
    found = {name: disk.free_bytes(machine.folder / name) for name in DISKS}
    return [{"kind": "full", "folder": name, "free": free} for name, free in found.items() if free is not None]
