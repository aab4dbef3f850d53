"""released: the issue is no longer this run's: the claim was lost, a person acted, or an operator gave it back."""

import logging
from typing import Any

from yt_fsm.bringup.work import preserve
from yt_fsm.engine.errors import Leaked
from yt_fsm.engine.journal import Record
from yt_fsm.engine.run import Run
from yt_fsm.github import publishing
from yt_fsm.github.lease import CLAIM

log = logging.getLogger("ytfsm")


def enter(run: Run) -> None:
    """On entry by `release` the issue goes back to the queue, its work pushed for whoever goes on with it; by `lose`
    it is left as it stands. Final.

    A bid that never marked the issue is withdrawn; the claim of a run that did is edited and never deleted, because
    an issue in progress without a claim would be stuck for ever.
    """
    if run.arrived_by == "release":
        if preserve(run, f"Unfinished bringup of {run.facts.get('model')} ({run.settings.system})"):
            try:
                publishing.push(run, run.definition.mark, run.definition.base)
            except Leaked as problem:  # the work stays in the bundle; whoever goes on starts anew
                run.fact("withheld", str(problem))
                log.warning("run_id=%s %s", run.run_id, problem)
        publishing.set_status(run, run.definition.base, run.definition.mark, run.definition.base)
    if not bid_was_made(run):
        return
    if marked(run):
        run.let_go()
    else:
        withdraw(run)


def bid_was_made(run: Run) -> bool:
    """Whether a claim comment may exist."""
    return any(r["kind"] == "effect.intent" and r["effect"] == "claim" for r in run.journal.records)


def marked(run: Run) -> bool:
    """Whether the run may have moved the card."""
    return any(r["kind"] == "transition" and r["event"] == "claim" for r in run.journal.records)


def withdraw(run: Run) -> None:
    """WITHDRAW: delete the own bid by its id."""

    def apply(_: Record) -> dict[str, Any]:
        if run.effects.look("claim", CLAIM, run.found_bid):
            run.lease.withdraw()
        return {}

    run.effects.once("withdraw", CLAIM, apply, lambda _: None)
