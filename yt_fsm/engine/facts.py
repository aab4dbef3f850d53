"""Facts: what a run's states learned and no crash may forget, declared and typed in one place a machine."""

import functools
import types
import typing
from collections.abc import Iterable
from typing import Any, NoReturn

from .journal import Journal, Record


class Facts:
    """A run's facts as attributes: setting one writes it to the journal, unless it is known; reading gives the last.

    A machine declares its own in a subclass, each with its type and what it is until it is learned. Setting what is
    not declared raises AttributeError: a misspelt fact would be lost. What a journal has beside is passed over.
    """

    workspace: str = ""  # the run's temp folder

    def __init__(self, journal: Journal) -> None:
        self.__dict__["_journal"] = journal
        declared = self.declared()
        for record in journal.all("fact"):
            if record["name"] in declared:
                self.__dict__[record["name"]] = record["value"]

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.declared():
            raise AttributeError(f"{type(self).__name__} declares no fact `{name}`")
        if name not in self or self.__dict__[name] != value:
            self.__dict__["_journal"].append("fact", name=name, value=value)
            self.__dict__[name] = value

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
                kinds, value = declared[record["name"]], record["value"]
                if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                    return record["seq"], f"its `{record['name']}` is {value!a:.60}"
        return None
