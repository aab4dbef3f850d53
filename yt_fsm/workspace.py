"""The workspace: one temp folder a run, where all its work happens (§8.1); deleted no matter what."""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """The folders of one run's temp folder."""

    folder: Path

    @property
    def clean(self) -> Path:
        """The worker's own clone: commits and pushes come from here."""
        return self.folder / "clean"

    @property
    def agent(self) -> Path:
        """codex's clone; git never runs with its configuration."""
        return self.folder / "agent"

    @property
    def check(self) -> Path:
        """The tree that is evaluated: the base's files and the model's folder, no `.git`."""
        return self.folder / "check"

    @property
    def home(self) -> Path:
        """An empty HOME for code that nobody reviewed."""
        return self.folder / "home"

    @property
    def tmp(self) -> Path:
        """TMPDIR of everything the run starts."""
        return self.folder / "tmp"

    @property
    def weights(self) -> Path:
        """HF_HOME, where the environment names none."""
        return self.folder / "huggingface"

    def make(self) -> None:
        """Create it, readable by this user only."""
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        for folder in (self.home, self.tmp):
            folder.mkdir(exist_ok=True)

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
        """Remove it whole."""
        with contextlib.suppress(OSError):
            (self.folder / "whole").unlink()  # first: a kill may leave the rest half deleted
        remove(self.folder)


def remove(folder: Path) -> None:
    """Delete a folder with all that unreviewed code left in it; what it closed is opened first. Raises OSError."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        folder.chmod(0o700)
        for place, inner, _ in os.walk(folder):
            for name in inner:
                if not Path(place, name).is_symlink():
                    Path(place, name).chmod(0o700)  # before the walk comes to it
        shutil.rmtree(folder)
