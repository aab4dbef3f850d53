"""released: the issue is no longer this run's: the claim was lost, a person acted, or an operator gave it back."""

import logging

from yt_fsm.bringup import commits, report
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import keep_unfinished, preserve
from yt_fsm.engine.errors import Leaked
from yt_fsm.github import publishing

log = logging.getLogger("ytfsm")


def enter(run: BringupRun) -> None:
    """On entry by `release` the issue goes back to the queue, its work pushed for whoever goes on with it; by `lose`
    it is left as it stands, and the work is kept. Final.

    A bid that never marked the issue is withdrawn; the claim of a run that did is edited and never deleted, because
    an issue in progress without a claim would be stuck for ever.
    """
    if run.arrived_by == "release":
        give_back(run)
    else:
        keep_unfinished(run)
    if not any(record["effect"] == "claim" for record in run.journal.all("effect.intent")):
        return  # there can be no claim comment
    if run.taken:
        run.subject.let_go(report.unfinished(run))
    else:
        run.subject.withdraw()


def give_back(run: BringupRun) -> None:
    """Push the work, and move the card back to where the issue was taken from."""
    if preserve(run, f"Unfinished bringup of {run.facts.model} ({run.settings.system})"):
        try:
            commits.push(run, run.subject.mark, run.subject.base)
        except Leaked as problem:  # the work stays on this machine; whoever goes on elsewhere starts anew
            run.facts.withheld = str(problem)
            log.warning("run_id=%s %s", run.run_id, problem)
    publishing.set_status(run, run.subject.base, run.subject.mark, run.subject.base)
