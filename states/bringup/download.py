"""download: the weights on this disk (§9.1 C), and the HF reference known to be good."""

from yt_fsm.bringup import work
from yt_fsm.bringup.run import BringupRun
from yt_fsm.tools.git import Repository


def enter(run: BringupRun) -> str:
    """On entry the clones are there. The exact commit of the model is pinned for the rest of the run.

    Leaves `clear`. Raises SetupError (`abort`) when the download fails, BadReference (`reject`) when the model does
    not pass its own HF-only evaluation: codex is never paid to mend what only the reference got wrong.
    """
    work.download(run)
    repository = Repository(run.shell, run.workspace.clean)
    repository.export(run.facts.base, run.workspace.check)
    run.facts.reference = work.evaluation_of(run).reference(run.workspace.check)
    return "clear"
