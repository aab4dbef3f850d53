"""Queues: where the next subject comes from."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import store
from .errors import JournalDamaged, NotFound, Usage
from .journal import Record
from .subject import Plain, Subject


class Queue:
    """Where a machine's subjects come from. This one is a list, of which each has one run, whatever became of it.

    `runs` is the folder of all runs: a subject that one of them is about was taken, by this process or an earlier one.
    """

    def __init__(self, subjects: Iterable[Subject] = (), runs: Path | None = None) -> None:
        self._subjects, self._runs = list(subjects), runs

    def next(self) -> Subject | None:
        """The next subject that may be taken, or None. Raises SetupError when nobody knows."""
        return next(iter(self._left()), None)

    def asked_for(self, name: str) -> Subject:
        """The subject that a person named. Raises NotFound or Usage saying why it cannot be taken."""
        names = [subject.name for subject in self._subjects]
        if name not in names:
            raise Usage(f"{name!r} is none of {', '.join(names)}")
        for subject in self._left():
            if subject.name == name:
                return subject
        raise NotFound(f"{name!r} has a run already: see `ytfsm runs`")

    def of(self, header: Record) -> Subject:
        """The subject of a run that goes on. Raises Usage when it cannot go on here, JournalDamaged without a name."""
        subject = header.get("subject") or {}
        if "name" not in subject:
            raise JournalDamaged(f"the journal of {header['run_id']} is damaged at line 1: its subject has no `name`")
        return Plain.again(subject)

    def owns(self, header: Record) -> bool:
        """Whether a run that nobody walks is this queue's to go on with."""
        return True

    def walked(self, run: Any) -> None:
        """A walk over a subject that it gave out is over."""

    def _left(self) -> list[Subject]:
        taken = []
        for folder in store.everyone(self._runs) if self._runs else []:
            records = store.reading_of(folder).records
            taken += [records[0].get("subject")] if records else []
        return [one for one in self._subjects if {"kind": one.kind, "words": one.words, **one.data()} not in taken]
