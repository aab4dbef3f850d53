"""Facts: what a run's states learned and no crash may forget, declared and typed in one place a machine."""

import functools
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from . import records
from .journal import Journal, Record

_KINDS = (str, int, float, bool, tuple, Mapping, type(None))
_ALLOWED = "a fact is a str, an int, a float, a bool, a tuple or a Mapping, or one of these `| None`"
LONGEST = 1 << 20  # characters of a fact in the journal


class Facts:
    """A run's facts as attributes: setting one writes it to the journal, unless it is known; reading gives the last.

    A machine declares its own in a subclass, each with its type (str, int, float, bool, tuple or Mapping, with or
    without None) and what it is until it is learned; what else is declared raises TypeError. Tuples and Mappings are
    of such values too, are read-only, and are set whole. Setting a value of another type raises TypeError, and a name
    that is not declared AttributeError: it would be lost. What a journal has beside is passed over.
    """

    workspace: str = ""  # the run's temp folder

    def __init_subclass__(cls) -> None:
        for name, kinds in cls.declared().items():
            if not set(kinds) <= set(_KINDS):
                raise TypeError(f"{cls.__name__} declares its fact `{name}` as {_words(kinds)}: {_ALLOWED}")
            if not hasattr(cls, name):
                raise TypeError(f"{cls.__name__} declares its fact `{name}` without the value that it has until then")

    def __init__(self, journal: Journal) -> None:
        self.__dict__["_journal"] = journal
        declared = self.declared()
        for record in journal.all("fact"):
            if record["name"] in declared:
                self.__dict__[record["name"]] = frozen(record["value"])

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.declared():
            raise _undeclared(self, name)
        value = frozen(value)
        if name not in self or self.__dict__[name] != value:
            _require(name, value, self.declared()[name])
            self.__dict__["_journal"].append("fact", name=name, value=thawed(value))
            self.__dict__[name] = value

    def __getattr__(self, name: str) -> NoReturn:
        raise _undeclared(self, name)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("what a journal says is not unlearned")

    def __contains__(self, name: str) -> bool:
        """Whether it was learned."""
        return name in self.__dict__

    @classmethod
    @functools.cache
    def declared(cls) -> dict[str, tuple[type, ...]]:
        """The facts and the types of their values; a whole number will do for a float."""
        found = {}
        for name, hint in typing.get_type_hints(cls).items():
            kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
            found[name] = tuple(typing.get_origin(kind) or kind for kind in kinds)
            found[name] += (int,) if float in found[name] else ()
        return found

    @classmethod
    def amiss(cls, records: Iterable[Record]) -> tuple[int, str] | None:
        """The first fact that is not of its declared type: its record's seq, and what is wrong. None when all are."""
        declared = cls.declared()
        for record in records:
            if record["kind"] == "fact" and record["name"] in declared:
                name, kinds = record["name"], declared[record["name"]]
                if not _fits(frozen(record["value"]), kinds):
                    words = f"its `{name}` is {record['value']!a:.60}, and the machine declares {_words(kinds)}"
                    return record["seq"], words
        return None


def frozen(value: Any) -> Any:
    """A value in which nothing can be changed in place: lists are tuples, and mappings are read-only."""
    if isinstance(value, list | tuple):
        return tuple(frozen(item) for item in value)
    if isinstance(value, Mapping):
        return types.MappingProxyType({key: frozen(item) for key, item in value.items()})
    return value


def thawed(value: Any) -> Any:
    """A frozen value as JSON has it."""
    if isinstance(value, tuple):
        return [thawed(item) for item in value]
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return value


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


def _require(name: str, value: Any, kinds: tuple[type, ...]) -> None:
    """Raise TypeError unless a journal can hold the value and its next reader will find what was declared."""
    if not _fits(value, kinds):
        raise TypeError(f"the fact `{name}` is declared {_words(kinds)}, and {value!a:.80} is no such value")
    plain = thawed(value)
    try:
        text = json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise TypeError(f"the fact `{name}` cannot be written down: {problem}") from None
    if json.loads(text) != plain or records.too_much(plain):
        raise TypeError(f"the fact `{name}` would be another one when it is read again: {value!a:.80}")
    if len(text) > LONGEST:
        raise TypeError(f"the fact `{name}` is {len(text):,} characters long: put it into a file in run.artifacts")


def _words(kinds: tuple[type, ...]) -> str:
    return " | ".join("None" if kind is type(None) else kind.__name__ for kind in dict.fromkeys(kinds))


def _undeclared(facts: Facts, name: str) -> AttributeError:
    return AttributeError(f"{type(facts).__name__} declares no fact `{name}`")
