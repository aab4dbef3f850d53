"""bringup: codex writes the model's TTNN code (§9.1 E), in `codexapi.Task`'s retry loop."""

from yt_fsm.bringup import prompt, world
from yt_fsm.bringup.errors import AskedToStop, BringupError
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import codex_of, limit_told
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.walk import fire


def enter(run: BringupRun) -> str | None:
    """On entry the board is fresh, or a check has failed and attempts are left.

    The first entry of a process builds the task, which fires `submit` and `retry` itself and stays here until it is
    done; a later one belongs to the living task and does nothing. Leaves what `checking` left. Raises BringupError
    (`give_up`) when codex asked to stop on a whole board or a budget is spent, SetupError (`abort`) when codex itself
    or the board does not work, Wait while another run has the board.
    """
    if run.task is not None:
        return None
    world.have_board(run)
    first = first_prompt(run)
    for last in (False, True):
        try:
            go_on(run, first)
            break
        except AskedToStop as stop:
            if not world.mended(run):
                raise
            if last:
                raise SetupError(f"the board was not whole, twice, when {stop}") from stop
            first = prompt.mended(first_prompt(run))
    return run.next_event


def go_on(run: BringupRun, first: str) -> None:
    """codex works and is judged until it passes or the attempts are spent. Raises as `enter` says."""
    from yt_fsm.bringup.task import FunctionalBringupTask

    left = run.settings.max_attempts - len(run.attempts())
    if left < 1:
        raise BringupError(f"all {run.settings.max_attempts} attempts are spent")
    run.task = FunctionalBringupTask(first, left, codex_of(run), lambda: submit(run), lambda e: again(run, e))
    try:
        with limit_told(run):
            run.task.run()
    finally:
        run.task = None


def first_prompt(run: BringupRun) -> str:
    """The bringup prompt, with what an earlier run tried; in a run that goes on, what the last check said."""
    whole = prompt.bringup(run.brief, run.settings, run.facts.revision, run.facts.earlier)
    attempts = run.attempts()
    last = attempts[-1]["error"] if attempts else None
    if run.facts.thread and last:
        return prompt.fix(last)
    if attempts or run.facts.thread:
        return prompt.resumed(whole, last)
    return whole


def submit(run: BringupRun) -> str | None:
    """Hand the work in; returns what the check found wrong, None when it passed."""
    fire(run, "submit")
    assert run.report
    return run.report.error


def again(run: BringupRun, error: str) -> str:
    """Go back to work; returns codex's next prompt. Raises BringupError when the token budget is spent."""
    limit = run.settings.max_tokens
    if limit is not None and run.tokens() >= limit:
        raise BringupError(f"codex used {run.tokens()} tokens and may use {limit} (YT_MAX_TOKENS)")
    fire(run, "retry")
    return prompt.fix(error)
