"""The workspace: one temp folder a run, where all its work happens (§8.1); deleted no matter what."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .errors import SetupError
from .processes import Mark
from .removal import ours, remove, remove_file

# Compiled when a run is begun or looked for: a drawing has none.
_TAIL = r"[a-z0-9_]{8}"  # what makes a temp folder's name nobody else's
_NAME = rf"ytfsm-([A-Za-z0-9][\w.-]{{0,127}})-([0-9a-f]{{12}})-{_TAIL}"

W = TypeVar("W", bound="Workspace")


@dataclass(frozen=True)
class Workspace:
    """A run's temp folder; a machine's own kind names what lies in it."""

    folder: Path

    def make(self) -> None:
        """Create it, readable by this user only. Raises SetupError when somebody else was faster."""
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not ours(self.folder):
            raise SetupError(f"{self.folder} belongs to somebody else, or is a link")

    def seal(self, boot: str) -> None:
        """Say that what is in it is whole: nothing is half made, and nothing half deleted."""
        (self.folder / "whole").write_text(boot)

    def whole(self, boot: str) -> bool:
        """Whether it was sealed since this boot; what a power cut leaves of files is not to be believed."""
        try:
            return (self.folder / "whole").read_text() == boot
        except OSError:
            return False

    def delete(self) -> None:
        """Remove it whole. Raises SetupError naming what is left."""
        with contextlib.suppress(SetupError):
            remove_file(self.folder / "whole")  # first: a kill may leave the rest half deleted
        remove(self.folder)

    @classmethod
    def of(cls: type[W], named: str, root: Path, mark: Mark) -> W:
        """The folder that a run's journal names. Raises SetupError unless it can be this run's own (faults S2)."""
        path, start = Path(named), prefix(mark)
        tail = path.name.removeprefix(start)
        try:
            there = os.path.realpath(path.parent) == os.path.realpath(root)
        except ValueError:  # no name of a file at all
            there = False
        if not there or path.name != start + tail or not re.fullmatch(_TAIL, tail, re.ASCII):
            raise SetupError(f"{named!r} is no workspace of {mark.run_id}, whose are called {root}/{start}…")
        return cls(path)


def prefix(mark: Mark) -> str:
    """How the names of a run's temp folders begin: other homes that use the same place have other ones."""
    return f"ytfsm-{mark.run_id}-{mark.hash[:12]}-"


def run_of(name: str) -> tuple[str, str] | None:
    """The run id and the hash in a temp folder's name; None for any other name."""
    found = re.fullmatch(_NAME, name, re.ASCII)
    return (found[1], found[2]) if found else None
