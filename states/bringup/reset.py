"""reset: the board is this run's and fresh (§9.1 D)."""

from yt_fsm.bringup.run import BringupRun


def enter(run: BringupRun) -> str:
    """On entry the weights are there and the reference is good. The board is held from here to the end of `checking`.

    Leaves `begin`. Raises SetupError (`abort`) when the board stays away or somebody else holds it.
    """
    run.board.acquire()
    run.board.reset()
    return "begin"
