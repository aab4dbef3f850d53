"""reset: the board is this run's and fresh (§9.1 D)."""

from yt_fsm.bringup import world
from yt_fsm.bringup.run import BringupRun


def enter(run: BringupRun) -> str:
    """On entry the weights are there and the reference is good. The board is held from here to the end of `checking`.

    Leaves `begin`. Raises Wait while another run holds it, SetupError (`abort`) when it stays away or no mesh opens on
    it: codex is never paid for work on half a board.
    """
    world.have_board(run)
    return "begin"
