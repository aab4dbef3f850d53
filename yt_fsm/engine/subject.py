"""Subjects: what a run is about, and the right to act on it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Subject:
    """What a run is about. A subject that others may act on too overrides how it is taken, kept and let go of.

    `tag` stands in the run's id (letters, digits, `.`, `_`, `-`), `words` in logs and errors, `name` is how a person
    asks for it. `header` is what else of it stands in the journal's header.
    """

    kind = "plain"
    tag: str
    words: str
    name: str

    def data(self) -> dict[str, Any]:
        """The header's `subject`, beside its `kind` and `words`: enough to make the same subject again."""
        return {}

    def header(self) -> dict[str, Any]:
        """Other fields of the header."""
        return {}

    def join(self, run: Any) -> None:
        """Be the subject of `run`, before anything of it happens."""

    def take_up(self) -> None:
        """After a crash or a stop: make sure that it is still this run's. Raises Lost, or StopRequested to wait."""

    def fence(self) -> None:
        """Before a step that others see: raises Lost unless it is still this run's."""

    def let_go(self) -> None:
        """Others may take it from now on."""

    def leave(self) -> None:
        """This process goes on with it no more; what keeps it alive stops, and the next start takes it up."""

    def unpublished(self, why: str) -> None:
        """What came of it could not be published, for good: say so where people see it, each thing once."""

    def lost(self) -> None:
        """It is no longer this run's, which is on record already. Raises nothing that would hide that."""


class Plain(Subject):
    """A name and its inputs, files by their sha256; nobody else can take it: the journal's lock owns it."""

    def __init__(self, name: str, **inputs: Any) -> None:
        self.name = self.words = name
        self.tag = re.sub(r"[^a-z0-9._-]+", "-", name.lower())[:60]
        self.inputs = {key: _sealed(value) for key, value in inputs.items()}

    def data(self) -> dict[str, Any]:
        """Its name and inputs."""
        return {"name": self.name, "inputs": self.inputs}

    @classmethod
    def again(cls, data: Mapping[str, Any]) -> "Plain":
        """The subject that a header has; its inputs are as they were."""
        made = cls(data["name"])
        made.inputs = dict(data.get("inputs", {}))
        return made


def _sealed(value: Any) -> Any:
    if not isinstance(value, Path):
        return value
    import hashlib  # loads OpenSSL, which a drawing needs none of

    return {"path": str(value), "sha256": hashlib.sha256(value.read_bytes()).hexdigest()}


def subject_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header's subject: kind, words and what names it; the header of an earlier ytfsm has an issue only."""
    if "subject" in header:
        return dict(header["subject"])
    issue = header.get("issue")
    if not issue:
        return {}
    named = {name: issue[name] for name in ("number", "title", "url") if name in issue}
    return {"kind": "issue", "words": f"issue {issue['number']}", **named}
