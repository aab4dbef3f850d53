"""The systems: what is known of each type of machine, one TOML file a system.

Ours lie beside this module. A team's own lie in the folder that YT_SYSTEMS_DIR names and are read in the same way: such
a file adds a system, or stands in for the one of ours that has its name. Only what is optional may be left out:

    name               of the system and of its file, lower-case letters and digits; it is also the label of its issues
    aliases            other names for it (optional)
    mesh               rows and columns of the mesh that its chips make
    dram_gb            gigabytes of DRAM of all its chips
    [[boards]]         `type` of board (as the listing has it, in lower case), their `count`, and the `chips` on each
    [listing]          `command` that prints what `tt-smi -s` does, its `timeout_secs`, and the last word of an entry
                       that is a board's `second_chip` ("" where there are none); the preflight and every reset look so
    [[resets]]         ways to reset, in order, the next when one has failed: a `command` with its `timeout_secs`, tried
                       once and again after each of the `pauses_secs`; the boards are listed `settle_secs` after each
    [label]            `colour` (six hexadecimal digits) and `description`
    [environment]      what programs on its boards get (optional)
    [[troubles]]       `texts` in a program's output that mean trouble of the machine, without case; what `kind` of
                       trouble, and its `fix` (optional)

In a reset's command and in the environment `{device}` stands for YT_DEVICE; without one, words and variables that have
it are left out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from yt_fsm.engine.errors import Usage
from yt_fsm.engine.outside import Malformed, read, shown

HERE = Path(__file__).parent
LARGEST = 65_536  # bytes of a file; ours have some 2,000
DEVICE = "{device}"
DAY = 86_400.0

T = TypeVar("T")


@dataclass(frozen=True)
class BoardType:
    """The boards of one type in a system."""

    type: str
    count: int
    chips: int


@dataclass(frozen=True)
class Listing:
    """The command that lists a system's chips."""

    command: tuple[str, ...]
    timeout_secs: float
    second_chip: str

    @property
    def program(self) -> str:
        """What it is called when a person is told of it."""
        return Path(self.command[0]).name


@dataclass(frozen=True)
class Reset:
    """One way to reset the boards."""

    command: tuple[str, ...]
    timeout_secs: float
    pauses_secs: tuple[float, ...]
    settle_secs: float

    def argv(self, device: int | None) -> list[str]:
        """The command for one board, or for all of them."""
        return _filled(self.command, device)


@dataclass(frozen=True)
class Label:
    """How the label of a system's issues looks."""

    colour: str
    description: str


@dataclass(frozen=True)
class Trouble:
    """A trouble of the machine, the words that give it away, and how to mend it."""

    kind: str
    texts: tuple[str, ...]
    fix: str


@dataclass(frozen=True)
class System:
    """One type of machine, as its file has it."""

    name: str
    aliases: tuple[str, ...]
    mesh: tuple[int, int]
    dram_gb: int
    boards: tuple[BoardType, ...]
    listing: Listing
    resets: tuple[Reset, ...]
    label: Label
    environment: dict[str, str]
    troubles: tuple[Trouble, ...]

    @property
    def types(self) -> list[str]:
        """The type of every board, one entry each."""
        return [board.type for board in self.boards for _ in range(board.count)]

    @property
    def chips(self) -> int:
        """How many chips all its boards have."""
        return sum(board.count * board.chips for board in self.boards)

    def variables(self, device: int | None) -> dict[str, str]:
        """The environment of a program on one board, or on all of them."""
        return {name: value for name, words in self.environment.items() for value in _filled([words], device)}

    def trouble_in(self, output: str) -> Trouble | None:
        """The first trouble that `output` tells of. It is a reason to look at the machine, never a verdict."""
        said = output.lower()
        return next((one for one in self.troubles if any(text.lower() in said for text in one.texts)), None)


def _filled(words: Iterable[str], device: int | None) -> list[str]:
    return [word.replace(DEVICE, str(device)) for word in words if device is not None or DEVICE not in word]


class Systems:
    """All systems that there are, small ones first. Raises Usage where two want the same name."""

    def __init__(self, systems: Iterable[System]) -> None:
        self._systems = sorted(systems, key=lambda system: (system.chips, system.name))
        self.named = {system.name: system.name for system in self._systems}
        """Every name and alias, in lower case, with the name of its system."""
        for system in self._systems:
            for alias in system.aliases:
                if self.named.setdefault(alias, system.name) != system.name:
                    raise Usage(
                        f"system {system.name}: `aliases` = {alias!r}: {self.named[alias]} has that name already"
                    )

    def __iter__(self) -> Iterator[System]:
        return iter(self._systems)

    def find(self, word: str) -> System:
        """The system of that name or alias, in any case. Raises ValueError that says which there are."""
        name = self.named.get(word.lower())
        for system in self._systems:
            if system.name == name:
                return system
        raise ValueError(f"must be one of {', '.join(system.name for system in self._systems)}")


@functools.cache
def known(folder: Path | None = None) -> Systems:
    """Our systems and those of `folder`, read once a process. Raises Usage naming a bad file's field and value."""
    files = {path.stem: path for path in HERE.glob("*.toml")}
    if folder is not None:
        if not folder.is_dir():
            raise Usage(f"YT_SYSTEMS_DIR = {shown(folder)}: there is no such folder")
        files |= {path.stem: path for path in folder.glob("*.toml")}
    return Systems(read_system(path) for path in files.values())


def read_system(path: Path) -> System:
    """The system in a file. Raises Usage naming the file, the field and the value that is wrong."""
    from yt_fsm.engine import configuration

    try:
        top = _Table(path, configuration.parse(path, read(path, LARGEST, follow=True)))
    except (Malformed, OSError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise Usage(f"{shown(path)}: it cannot be read: {why}") from None
    listing, label = top.table("listing"), top.table("label")
    system = System(
        name=top.take("name", _name_of(path)),
        aliases=top.take("aliases", _list_of(_name), ()),
        mesh=top.take("mesh", _mesh),
        dram_gb=top.take("dram_gb", _count),
        boards=tuple(
            BoardType(one.take("type", _type), one.take("count", _count), one.take("chips", _count))
            for one in top.tables("boards")
        ),
        listing=Listing(
            listing.take("command", _command),
            listing.take("timeout_secs", _seconds),
            listing.take("second_chip", _maybe_text),
        ),
        resets=tuple(
            Reset(
                one.take("command", _command),
                one.take("timeout_secs", _seconds),
                one.take("pauses_secs", _list_of(_maybe_seconds)),
                one.take("settle_secs", _maybe_seconds),
            )
            for one in top.tables("resets")
        ),
        label=Label(label.take("colour", _colour), label.take("description", _text)),
        environment=top.take("environment", _environment, {}),
        troubles=tuple(
            Trouble(one.take("kind", _text), one.take("texts", _some_of(_text)), one.take("fix", _text))
            for one in top.tables("troubles", optional=True)
        ),
    )
    top.done()
    return system


class _Table:
    """A table of a file, whose fields are taken one by one; what nobody took is unknown."""

    def __init__(self, path: Path, data: dict[str, Any], place: str = "") -> None:
        self._path, self._data, self._place = path, data, place
        self._asked: list[str] = []
        self._within: list[_Table] = []

    def take(self, field: str, sound: Callable[[Any], T], *default: T) -> T:
        """The field's value as `sound` has it. Raises Usage when it is missing, or when `sound` raises ValueError."""
        self._asked.append(field)
        if field not in self._data:
            if default:
                return default[0]
            raise Usage(f"{shown(self._path)}: `{self._place}{field}` is missing")
        value = self._data[field]
        try:
            return sound(value)
        except ValueError as problem:
            raise self._bad(field, value, str(problem)) from None

    def table(self, field: str) -> _Table:
        """The table within. Raises Usage when there is none."""
        return self._inner(self.take(field, _table), field)

    def tables(self, field: str, optional: bool = False) -> list[_Table]:
        """The tables of an array, which is not empty unless it is optional. Raises Usage."""
        nothing: tuple[dict[str, Any], ...] = ()
        found = self.take(field, _list_of(_table), nothing) if optional else self.take(field, _some_of(_table))
        return [self._inner(one, f"{field}[{place}]") for place, one in enumerate(found)]

    def done(self) -> None:
        """Raise Usage for a field that nobody knows, here or within."""
        for field, value in self._data.items():
            if field not in self._asked:
                raise self._bad(field, value, f"there is no such field, but {', '.join(self._asked)}")
        for table in self._within:
            table.done()

    def _inner(self, data: dict[str, Any], place: str) -> _Table:
        self._within.append(_Table(self._path, data, f"{self._place}{place}."))
        return self._within[-1]

    def _bad(self, field: str, value: Any, why: str) -> Usage:
        where = f"{self._place}{shown(field, 60)}"
        return Usage(f"{shown(self._path)}: `{where}` = {shown(repr(value), 100)}: {why}")


# What a field may hold: each returns the value, or raises ValueError saying what it must be.


def _maybe_text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("must be text, on one line")
    return value


def _text(value: Any) -> str:
    if not _maybe_text(value).strip():
        raise ValueError("is empty")
    return str(value)


def _command(value: Any) -> tuple[str, ...]:
    words = _some_of(_text)(value)
    if DEVICE in words[0]:
        raise ValueError(f"must begin with a program, and {DEVICE} may be left out")
    return words


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z0-9][a-z0-9_]{0,29}", value):
        raise ValueError("must be lower-case letters, digits and _, at most thirty")
    return value


def _type(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z0-9][a-z0-9_.-]*", value):
        raise ValueError("must be the first word of an entry of the listing, in lower case")
    return value


def _name_of(path: Path) -> Callable[[Any], str]:
    def sound(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch("[a-z0-9]{1,30}", value):
            raise ValueError("must be lower-case letters and digits, at most thirty")  # run ids have it between dashes
        if value != path.stem:
            raise ValueError(f"must be the file's own name, {shown(path.stem, 60)!r}")
        return path.stem

    return sound


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 65_536:
        raise ValueError("must be a whole number, 1 or more")
    return value


def _maybe_seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= DAY:
        raise ValueError("must be seconds, from 0 to a day's")
    return float(value)


def _seconds(value: Any) -> float:
    if not _maybe_seconds(value):
        raise ValueError("must be more than 0 seconds")
    return float(value)


def _mesh(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("must be two whole numbers, rows and columns")
    return _count(value[0]), _count(value[1])


def _colour(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{6}", value):
        raise ValueError("must be six hexadecimal digits, as 1d76db")
    return value


def _environment(value: Any) -> dict[str, str]:
    for name, held in _table(value).items():
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"{shown(name, 60)!r} is no variable's name")
        _maybe_text(held)
    return dict(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be a table")
    return value


def _list_of(sound: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def all_sound(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError("must be a list")
        return tuple(sound(one) for one in value)

    return all_sound


def _some_of(sound: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def all_sound(value: Any) -> tuple[T, ...]:
        if not (found := _list_of(sound)(value)):
            raise ValueError("is empty")
        return found

    return all_sound
