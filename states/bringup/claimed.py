"""claimed: the issue is this run's; the board says so, and its text is read."""

from yt_fsm.engine.run import Run
from yt_fsm.github import publishing


def enter(run: Run) -> str:
    """On entry the bid has won. The card is moved to the machine's mark and the heartbeat begins.

    Leaves `prepare`. Raises SetupError (`abort`) naming the field when the issue's text is malformed.
    """
    run.heartbeat.start()  # before the move, which takes long when its answer is lost
    if run.definition.mark:
        publishing.set_status(run, run.definition.mark, run.definition.base, read_back=False)
    run.fact("model", run.brief.hf_model_id)
    return "prepare"
