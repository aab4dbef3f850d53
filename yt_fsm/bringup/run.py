"""A run of the bringup machine: what its states share beside what every run has."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.journal import Record
from yt_fsm.engine.removal import remove
from yt_fsm.github.issue import IssueRun
from yt_fsm.tools.board import board_of

from .facts import BringupFacts
from .workspace import Workspace

if TYPE_CHECKING:
    from .brief import Brief
    from .evaluation import Report
    from .settings import Settings
    from .task import FunctionalBringupTask

CODEX = "codex"  # the folder of codex's threads, in the run's


class BringupRun(IssueRun):
    """One issue's bringup."""

    facts: BringupFacts
    settings: "Settings"
    workspace_kind = Workspace
    foreign = (CODEX,)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.board = board_of(self.settings, self.shell)
        self.task: FunctionalBringupTask | None = None
        self.report: Report | None = None  # the last check's
        self.hold("board", lambda: self.board.release(), back=self._board_again)
        self.hold("codex's threads", self._forget_threads)

    @cached_property
    def brief(self) -> "Brief":
        """What the issue asks for. Raises SetupError naming a bad field."""
        from . import brief

        return brief.parse(self.issue.body, self.issue.labels, self.settings.systems_dir)

    @property
    def workspace(self) -> Workspace:
        """The run's temp folder, whether it exists or not. Raises SetupError when the journal names another place."""
        return Workspace.of(self.facts.workspace, self.settings.tmp_root, self.mark)

    @property
    def bundle(self) -> Path:
        """The commit that is, or was, to be pushed, as a file that outlives the workspace."""
        return self.artifacts / "work.bundle"

    def attempts(self) -> list[Record]:
        """The checks so far, over the run's whole life."""
        return self.journal.all("attempt")

    def tokens(self) -> int:
        """What codex used so far, over the run's whole life."""
        return sum(record["tokens"] for record in self.journal.all("tokens"))

    def _board_again(self) -> None:
        """After a wait: somebody else may have used it meanwhile."""
        self.board.acquire()
        self.board.reset()

    def _forget_threads(self) -> None:
        """They say all that codex saw, as codex wrote it; once nothing goes on with them, the redacted logs do."""
        if self.over:
            remove(self.folder / CODEX)

    def _pull_request(self) -> str | None:
        found = self.effects.done("pull request", self.facts.branch)
        return str(found["url"]) if found else None

    @property
    def url(self) -> str | None:
        """The pull request's page, else the issue's."""
        return self._pull_request() or super().url

    def summary(self) -> dict[str, Any]:
        """What its record has beside: the issue, the model's exact commit, metrics, and the pull request."""
        attempts = self.attempts()
        return {
            "issue": {"number": self.issue.number, "title": self.issue.title, "url": self.issue.url},
            "revision": self.facts.revision or None,
            "metrics": attempts[-1]["metrics"] if attempts else {},
            "attempts": len(attempts),
            "pull_request": self._pull_request(),
        }
