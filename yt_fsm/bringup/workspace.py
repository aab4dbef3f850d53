"""The workspace of a bringup (§8.1): two clones, the tree that is judged, and homes for unreviewed code."""

from dataclasses import dataclass
from pathlib import Path

from yt_fsm.engine import workspace


@dataclass(frozen=True)
class Workspace(workspace.Workspace):
    """The folders of one run's temp folder."""

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
    def device(self) -> Path:
        """The task of the process that runs the model, in one command of a check; only `task` in it is its to see."""
        return self.folder / "device"

    @property
    def secret(self) -> Path:
        """References of secret seeds: never in sight of codex or of the process that runs the model."""
        return self.folder / "secret"

    @property
    def weights(self) -> Path:
        """HF_HOME of the download, where the environment names none."""
        return self.folder / "huggingface"

    def make(self) -> None:
        """Create it with codex's room in it. Raises SetupError when somebody else was faster."""
        super().make()
        self.codex.make()
        self.kernels.mkdir(exist_ok=True)


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
