"""The workspace: one temp folder a run, where all its work happens (§8.1); deleted no matter what."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.removal import ours, remove, remove_file

if TYPE_CHECKING:
    from yt_fsm.engine.processes import Mark

_TAIL = re.compile(r"[a-z0-9_]{8}", re.ASCII)  # what makes a temp folder's name nobody else's
_NAME = re.compile(r"ytfsm-([A-Za-z0-9][\w.-]{0,127})-([0-9a-f]{12})-[a-z0-9_]{8}", re.ASCII)


@dataclass(frozen=True)
class Workspace:
    """The folders of one run's temp folder."""

    folder: Path

    @property
    def clean(self) -> Path:
        """The worker's own clone: commits and pushes come from here."""
        return self.folder / "clean"

    @property
    def pristine(self) -> Path:
        """The remote's history as a bundle, from before unreviewed code ran; its sha256 is in the journal."""
        return self.folder / "pristine.bundle"

    @property
    def agent(self) -> Path:
        """codex's clone; git never runs with its configuration."""
        return self.folder / "agent"

    @property
    def check(self) -> Path:
        """The tree that is evaluated: the base's files, the model's folder and codex's tests, no `.git`."""
        return self.folder / "check"

    @property
    def codex(self) -> "Room":
        """codex's HOME and TMPDIR."""
        return Room(self.folder)

    @property
    def evaluation(self) -> "Room":
        """HOME and TMPDIR of one command of a check, made anew for each: what codex left must not meet it there."""
        return Room(self.folder / "evaluation")

    @property
    def kernels(self) -> Path:
        """What the checks of this run compiled for the board."""
        return self.folder / "kernels"

    @property
    def weights(self) -> Path:
        """HF_HOME of the download, where the environment names none."""
        return self.folder / "huggingface"

    def make(self) -> None:
        """Create it, readable by this user only. Raises SetupError when somebody else was faster."""
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not ours(self.folder):
            raise SetupError(f"{self.folder} belongs to somebody else, or is a link")
        self.codex.make()
        self.kernels.mkdir(exist_ok=True)

    def seal(self, boot: str) -> None:
        """Say that the clones in it are whole: nothing is half made, and nothing half deleted."""
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
    def of(cls, named: str, root: Path, mark: "Mark") -> "Workspace":
        """The folder that a run's journal names. Raises SetupError unless it can be this run's own (faults S2)."""
        path, start = Path(named), prefix(mark)
        tail = path.name.removeprefix(start)
        try:
            there = os.path.realpath(path.parent) == os.path.realpath(root)
        except ValueError:  # no name of a file at all
            there = False
        if not there or path.name != start + tail or not _TAIL.fullmatch(tail):
            raise SetupError(f"{named!r} is no workspace of {mark.run_id}, whose are called {root}/{start}…")
        return cls(path)


@dataclass(frozen=True)
class Room:
    """A HOME and a TMPDIR for code that nobody reviewed."""

    folder: Path

    @property
    def home(self) -> Path:
        """Empty at first."""
        return self.folder / "home"

    @property
    def tmp(self) -> Path:
        """Its temp folder."""
        return self.folder / "tmp"

    def make(self) -> None:
        """Create both."""
        for folder in (self.home, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)


def prefix(mark: "Mark") -> str:
    """How the names of a run's temp folders begin: other homes that use the same place have other ones."""
    return f"ytfsm-{mark.run_id}-{mark.hash[:12]}-"


def run_of(name: str) -> tuple[str, str] | None:
    """The run id and the hash in a temp folder's name; None for any other name."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2]) if found else None
