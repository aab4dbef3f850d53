"""claimed: the issue is this run's; the board says so, and its text is read."""

from yt_fsm.bringup.run import BringupRun
from yt_fsm.github import publishing


def enter(run: BringupRun) -> str:
    """On entry the bid has won. The card is moved to the machine's mark and the heartbeat begins.

    Leaves `prepare`. Raises SetupError (`abort`) naming the field when the issue's text is malformed.
    """
    run.subject.begin()  # before the move, which takes long when its answer is lost
    if run.subject.mark:
        publishing.set_status(run, run.subject.mark, run.subject.base, read_back=False)
    run.facts.model = run.brief.hf_model_id
    return "prepare"
