"""The walk: the one place that triggers events, turns errors into events, and lets go of what a run holds."""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TypeVar

from . import faults, record
from .clock import boot_secs
from .errors import JournalBroken, Lost, SetupError, StopRequested, Verdict, Wait, YtfsmError, in_a_line
from .machine import LOSE
from .processes import end_survivors
from .removal import remove_file
from .run import Hold, Pause, Run, owner

log = logging.getLogger("ytfsm")

T = TypeVar("T")

PROBE_MOST = 1800.0  # seconds from one probe to the next
LONGEST_WAIT = 8 * 86_400.0  # seconds: no limit is longer than a week
TICK_SECS = 30.0  # a wall clock that is set meanwhile is seen by then


class Crashed(YtfsmError):
    """A bug of ours, or of a program's: the run's status is untouched and it can be resumed."""


def walk(run: Run, take_up: Callable[[], None] | None = None) -> None:
    """Walk a run until it is over, stopped, or only its outbox is left; always cleans up (§9.1 I).

    `take_up` prepares a run that goes on; in a final state what is left is its outbox.
    Raises StopRequested when a signal asked, Crashed for an error that nothing here describes, JournalBroken when
    the journal's disk failed. In each case the run can be resumed, and its Status was not touched.
    """
    walked = False
    try:
        if take_up:
            take_up()
            if run.final and not run.waiting:
                step(run)
        while not run.final:
            step(run)
        walked = True
    except StopRequested as stop:
        run.stop.clear()
        _keep_unfinished(run)
        run.journal.append("stopped", state=run.state, why=str(stop))
        raise
    except JournalBroken:
        raise
    except Exception as error:
        import traceback

        told = traceback.format_exc()
        run.stop.clear()
        _keep_unfinished(run)
        run.journal.append("crashed", state=run.state, error=repr(error), traceback=told)
        raise Crashed(
            f"run {run.run_id} ({run.subject.words}) crashed in `{run.state}`: {error!r}. Its record is in "
            f"{run.folder}; `ytfsm replay {run.run_id}` shows it and `ytfsm resume {run.run_id}` goes on"
        ) from error
    finally:
        tear_down(run, walked)


def step(run: Run) -> None:
    """Fire the event that the state left behind; an error decides what is next, by its rule."""
    try:
        with full_disk_in_words(run):
            if run.final:
                publish(run)
            elif run.pause:
                wake(run, run.pause)
            elif run.next_event is None:
                run.work()  # transitions calls no on_enter for an initial or a restored state
            else:
                fire(run, run.next_event)
            if run.next_event is None and not run.final:
                raise RuntimeError(f"the work of `{run.state}` returned no event, and only a final state's may")
    except Exception as problem:
        settle(run, problem)


def settle(run: Run, problem: Exception) -> None:
    """Do what the table of faults says of an error. Raises it again where it stops or crashes the run."""
    rule = faults.rule_of(problem)
    action = rule.publishing if run.final else rule.working
    if action in (faults.STOP, faults.CRASH):
        raise problem
    if run.final:
        unpublished(run, problem, refused=action == faults.REFUSE)
    elif action in (faults.WAIT, faults.PARK) and run.at_start:
        lost = Lost(str(problem))
        lost.__cause__ = problem
        decide(run, lost)
    elif action == faults.WAIT:
        rest(run, problem if isinstance(problem, Wait) else Wait(str(problem)))
    elif action == faults.PARK:
        run.pause = None
        run.stop.clear()
        raise StopRequested(str(problem), 1) from problem  # no loss (faults W6): its subject is taken up again first
    else:
        run.pause = None
        assert isinstance(problem, Verdict)
        decide(run, problem)


def rest(run: Run, wait: Wait) -> None:
    """Put a run aside that cannot go on for now: no event, no attempt, and nothing held but its subject.

    Its files stay while the end is near, or nobody knows it; else they are kept as `restore` finds them, and go. A wait
    of which nobody knows the end is a SetupError after YT_WAIT_SECS. Raises StopRequested where nobody will wait.
    """
    now, boot = time.time(), boot_secs()
    until = None if wait.until is None or wait.until <= now else min(wait.until, now + LONGEST_WAIT)
    run.waits_since = run.waits_since or boot
    if until is None and boot - run.waits_since > run.settings.wait_secs:
        run.pause = None
        decide(run, SetupError(f"after {boot - run.waits_since:.0f} s of waiting (YT_WAIT_SECS) still: {wait}"))
        return
    pause = min(run.settings.probe_secs * 2.0**run.probes, PROBE_MOST) if until is None else 0.0
    run.probes = min(run.probes + (until is None), 30)
    run.next_event = None
    at = datetime.fromtimestamp(until or now + pause, timezone.utc)
    run.journal.append("waiting", state=run.state, why=str(wait), until=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    run.pause = Pause(until, boot + pause, run.pause.back if run.pause else [])
    if not run.shell.dry:
        end_survivors(run.mark)
        kept = _keep_unfinished(run)
        for hold in reversed(run.holds):
            if hold.back and hold not in run.pause.back and hold.let_go():
                run.pause.back.append(hold)
        if kept and until and until - now > run.settings.wait_keep_secs and run.leave_workspace():
            back = Hold("surroundings", run.leave_workspace, False, lambda: run.definition.restore(run, True))
            run.pause = run.pause._replace(back=[back])  # which has all the others again
        record.write(run)
    words = f"until {at:%Y-%m-%d %H:%M:%S} UTC" if until else f"and asks again in {pause:.0f} s"
    log.warning("run_id=%s %s waits in `%s` %s: %s", run.run_id, run.subject.words, run.state, words, in_a_line(wait))
    if not run.patient:
        raise StopRequested(f"{run.run_id} waits {words}: {wait}", 0)


def wake(run: Run, pause: Pause) -> None:
    """Wait to the end of a pause, have again what was let go of, and enter the state's work again. Raises as that does,
    and what the stop flag carries.
    """
    while (left := (pause.until - time.time() if pause.until else pause.probe_at - boot_secs())) > 0:
        run.stop.wait(min(left, TICK_SECS))
    while pause.back:
        if again := pause.back[-1].back:
            again()
        pause.back.pop()
    run.pause = None
    run.journal.append("resumed", state=run.state, **owner())
    run.work()


@contextlib.contextmanager
def full_disk_in_words(run: Run) -> Iterator[None]:
    """A file that found no room is the world's fault, not a crash. Raises SetupError for it."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = problem.filename or f"{run.folder} or {run.settings.tmp_root}"  # a write knows no file's name
        raise SetupError(f"the disk that holds {where} is full") from problem


def fire(run: Run, event: str) -> None:
    """Trigger `event`: the transition is on disk before the new state's work begins.

    Raises SetupError when the disk ran full, so that the run ends while there is room for its end.
    """
    run.stop.obey()
    if not run.definition.allows(event, run.state):
        raise RuntimeError(f"the work of `{run.state}` left {event!r:.80}, and no row leads out of that state by it")
    if run.journal.full and run.problem is None:
        raise SetupError(f"the disk that holds {run.folder} is full")
    run.probes, run.waits_since = 0, None
    run.trigger(event)
    record.write(run)


def decide(run: Run, verdict: Verdict) -> None:
    """Journal whose fault an error is and let it decide the next event."""
    event = verdict.event
    if run.at_start:
        event = LOSE  # nothing was taken yet, so there is nothing to end
    if not run.definition.allows(event, run.state):
        raise RuntimeError(f"no edge `{event}` leads out of `{run.state}`") from verdict
    if isinstance(verdict, Lost) or verdict is run.stop.error:
        run.stop.clear()
    run.problem = verdict
    run.journal.append("verdict", state=run.state, event=event, error=type(verdict).__name__, text=str(verdict))
    log.warning("run_id=%s %s %s: %s", run.run_id, run.subject.words, event, in_a_line(verdict))
    run.next_event = event


def publish(run: Run) -> None:
    """A final state's work; once that was refused for good, saying so where people see it (faults W14)."""
    if run.refused is None:
        run.work()
    elif run.untold:
        run.subject.unpublished(run.refused)
        run.untold = False


def unpublished(run: Run, problem: Exception, refused: bool) -> None:
    """Publishing failed: for now (the outbox tries again) or for good. The run's verdict stays."""
    if isinstance(problem, Lost) or problem is run.stop.error:
        run.stop.clear()
    lost = isinstance(problem, Lost)
    log.warning("run_id=%s %s publishing: %s", run.run_id, run.subject.words, in_a_line(problem))
    if not refused:
        run.waiting = str(problem)
    elif run.refused is not None:  # nor can it be told: GitHub refuses that too, or the subject is another's
        run.untold = False
    else:
        run.refused, run.untold = str(problem), not lost
        run.journal.append("refused", error=run.refused, again=not lost)
        if run.untold:
            step(run)
    if lost:
        run.subject.lost()


def _keep_unfinished(run: Run) -> bool:
    """Save the work of a run that will go on; a failure to do so must not keep the workspace alive."""
    if run.shell.dry:
        return False
    try:
        run.definition.keep(run)
    except Exception as problem:
        log.error("run_id=%s its unfinished work could not be kept: %s", run.run_id, problem)
        return False
    return True


def deliver(run: Run) -> None:
    """Try the outbox of a run in a final state again: its state's work, in which every effect happens once."""
    before, run.waiting = run.waiting, None
    try:
        step(run)
    except BaseException:
        run.waiting = before  # a stop, or a bug of ours: what was not delivered still waits
        raise
    finally:
        tear_down(run)


def tear_down(run: Run, walked: bool = True) -> None:
    """Let go of all that the run holds, the last taken first, each whatever became of the others (faults S3).

    Its processes are ended, then what states and subject hold goes; `end` is written when the outbox is empty too. What
    could not be let go of is said and journalled; a workspace is then the janitor's. A walk that was stopped or
    crashed (not `walked`) did not end the run, whatever its state: publishing goes on later.
    """
    waits = walked and run.final and run.waiting is not None
    run.over = walked and run.final and not waits
    failed: list[str] = []

    def let_go(what: str, release: Callable[[], T]) -> T | None:
        try:
            return release()
        except Exception as problem:
            log.error("run_id=%s its %s could not be let go of: %s", run.run_id, what, problem)
            failed.append(f"{what}: {problem}")
            return None

    try:
        left = [] if run.shell.dry else let_go("processes", lambda: end_survivors(run.mark)) or []
        held = [hold for hold in reversed(run.holds) if not (hold.waits and waits)]
        gone = [hold.what for hold in held if let_go(hold.what, hold.let_go)]
        if gone or left or failed:
            more = {"failed": failed} if failed else {}
            run.journal.append("cleanup", let_go=gone, killed=left, **more)
        if run.over:
            run.journal.append("end", state=run.state, published=run.refused is None)
        record.write(run)
        remove_file(run.folder / "ballast")
    except (JournalBroken, SetupError) as problem:  # the next start ends what this one could not write down
        log.error("%s", problem)
    finally:
        if not waits:
            run.journal.close()
