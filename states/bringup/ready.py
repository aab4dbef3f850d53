"""ready: an issue that looked eligible; the worker bids for it (§6, §9.1 A)."""

from typing import Any

from yt_fsm.engine.errors import Lost, StopRequested, YtfsmError
from yt_fsm.engine.journal import Record
from yt_fsm.engine.run import Run
from yt_fsm.github.lease import CLAIM


def enter(run: Run) -> str:
    """On entry the issue was ready and had no live claim; nothing was posted.

    Leaves `claim` when the bid has won. Every error is Lost (`lose`), and `released` withdraws the bid.
    """
    try:
        bid(run)
        run.lease.verify(run.definition.base, run.definition.mark, run.header["issue"]["status"])
    except (Lost, StopRequested):
        raise
    except YtfsmError as problem:
        raise Lost(f"the claim could not be made: {problem}") from problem
    return "claim"


def bid(run: Run) -> None:
    """BID: post the claim comment, once; its id is kept, or looked for when the answer was lost."""

    def apply(_: Record) -> dict[str, Any]:
        return {"comment": run.lease.bid(run.claim_text())}

    run.lease.comment = str(run.effects.once("claim", CLAIM, apply, run.found_bid)["comment"])
