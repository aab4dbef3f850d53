"""download: the weights on this disk (§9.1 C), and the base and the HF reference known to be good."""

from yt_fsm.bringup import base, work
from yt_fsm.bringup.run import BringupRun
from yt_fsm.tools.git import Repository


def enter(run: BringupRun) -> str:
    """On entry the clones are there. The exact commit of the model is pinned for the rest of the run.

    Leaves `clear`. Raises SetupError (`abort`) when the models repo's own tests fail, the download does, or this
    machine cannot evaluate the reference, BadReference (`reject`) when the model does not pass its own HF-only
    evaluation: codex is never paid to mend what only the base or the reference got wrong.
    """
    Repository(run.shell, run.workspace.clean).export(run.facts.base, run.workspace.check)
    base.require(run, work.evaluation_of(run))  # first: it costs seconds, and a download hours
    work.download(run)
    run.facts.reference = work.evaluation_of(run).reference(run.workspace.check)
    return "clear"
