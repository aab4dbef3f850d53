"""ready: an issue that looked eligible; the worker bids for it (§6, §9.1 A)."""

from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.errors import Lost, StopRequested, YtfsmError


def enter(run: BringupRun) -> str:
    """On entry the issue was ready and had no live claim; nothing was posted.

    Leaves `claim` when the bid has won. Every error is Lost (`lose`), and `released` withdraws the bid.
    """
    try:
        run.subject.take()
    except (Lost, StopRequested):
        raise
    except YtfsmError as problem:
        raise Lost(f"the claim could not be made: {problem}") from problem
    return "claim"
