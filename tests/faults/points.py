"""What the fault matrix's table is made of: states, durations, ends, and how the lab is asked for a fault."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TAKING = ("ready",)
SETTING_UP = ("claimed", "setup", "download", "reset")
WORKING = ("bringup", "checking")
FINAL = ("review", "failed", "setup_error", "reference_error", "released")
HELD = (*SETTING_UP, *WORKING)  # the issue is the run's
STATES = (*TAKING, *HELD, *FINAL)
TOLD = ("review", "failed", "setup_error", "reference_error")  # finals that say something to the issue
PUSHED = ("review", "failed")

ONCE, LASTING, FOR_GOOD = "once", "lasting", "for good"

# How a run ends; what each means stands in matrix.py.
GOES_ON = "goes on"  # as if nothing had happened
WAITS = "waits"  # the same, and it said that it waits
NOTHING = "nothing"  # nothing was taken
UNTAKEN = "goes on or nothing"
WORLD = "goes on or setup error"
SETUP_ERROR = "setup error"
REFERENCE = "reference error"
LOST = "lost"  # a person has the issue, and it stays as that person left it
UNPUBLISHED = "unpublished"  # refused for good, and the issue is told where the work is
UNTOLD = "unpublished, untold"  # refused for good, and GitHub takes no comment either
TAKEN_AWAY = "unpublished, taken away"  # a person has the issue: nothing is published, and its Status is theirs

Request = tuple[str, str, Any]
When = dict[str, str]  # state to end


@dataclass(frozen=True, eq=False)
class Fault:
    """One fault. `do` makes the lab's requests for a duration; `undo` takes back what a trial must not leave."""

    name: str
    do: Callable[[str], list[Request]]
    ends: dict[str, When]  # duration to state to end
    said: str  # a pattern of what must be said where it is felt for long, of whose fault it is
    undo: tuple[Request, ...] = ()
    heard: bool = False  # by the heartbeat, in every state that has one

    def points(self) -> list[tuple[str, str]]:
        """Its durations and states."""
        return [(lasts, state) for lasts, when in self.ends.items() for state in when]


@dataclass(frozen=True, eq=False)
class Point:
    """One trial."""

    fault: Fault
    state: str
    lasts: str

    @property
    def name(self) -> str:
        """`FAULT/STATE/DURATION`."""
        return f"{self.fault.name}/{self.state}/{self.lasts}".replace(" ", "-")

    @property
    def end(self) -> str:
        """How it must end."""
        return self.fault.ends[self.lasts][self.state]


def at(end: str, *states: str, **others: str) -> When:
    """The same end in all these states, but for `others`."""
    return {**dict.fromkeys(states, end), **others}


def github(kind: str, match: str = "*", **more: Any) -> Callable[[str], list[Request]]:
    """A fault of GitHub's."""

    def do(lasts: str) -> list[Request]:
        count = 1 if lasts == ONCE else None
        return [("POST", "/faults/github", {"kind": kind, "operation": match, "count": count, **more})]

    return do


def act(*deeds: dict[str, Any]) -> Callable[[str], list[Request]]:
    """What a person does."""
    return lambda lasts: [("POST", "/act", deed) for deed in deeds]


def counted(deed: str, lasting: int) -> Callable[[str], list[Request]]:
    """A person's deed that counts what it does."""
    return lambda lasts: [("POST", "/act", {"do": deed, "count": 1 if lasts == ONCE else lasting})]


def person(name: str, ends: When, *deeds: dict[str, Any], said: str = "", undo: tuple[Request, ...] = ()) -> Fault:
    """Somebody does something, once."""
    deeds = tuple({"issue": "$issue", **deed} for deed in deeds)
    return Fault(name, act(*deeds), {ONCE: ends}, said, undo, heard=True)


def part(target: str, kind: str, **more: Any) -> Callable[[str], list[Request]]:
    """A fault of another part; those of programs are the trial's machine's."""

    def do(lasts: str) -> list[Request]:
        endless = target == "board" or kind == "away"
        often = {} if endless else {"count": 1 if lasts == ONCE else None}
        return [("POST", f"/faults/{target}", {"kind": kind, **often, **more})]

    return do


def codex(name: str, kind: str, ends: dict[str, str], said: str = "codex", **more: Any) -> Fault:
    """A fault of codex's model."""
    when = {lasts: at(end, "bringup") for lasts, end in ends.items()}
    return Fault(name, part("codex", kind, **more), when, said, (("DELETE", "/faults/codex", None),))


def machine(target: str, name: str, kind: str, ends: dict[str, When], said: str, **more: Any) -> Fault:
    """A fault of a program on the machine."""
    do = part(target, kind, machine="$machine", **more)
    return Fault(name, do, ends, said, (("DELETE", f"/faults/{target}", None),))


def hub(name: str, kind: str, ends: dict[str, str], said: str = "Hub", **more: Any) -> Fault:
    """A fault of the Hub's."""
    when = {lasts: at(end, "download") for lasts, end in ends.items()}
    return Fault(name, part("hub", kind, **more), when, said, (("DELETE", "/faults/hub", None),))
