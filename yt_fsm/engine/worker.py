"""The worker: ask for a subject, walk it, repeat (§9.1 A); nothing here knows what a machine's states do."""

import logging
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from . import janitor, needs, recovery, walk
from .errors import SetupError, StopRequested, YtfsmError, in_a_line
from .machine import LOSE, Definition
from .queue import Queue
from .run import Run, create
from .settings import Settings
from .shell import Shell
from .subject import Subject

log = logging.getLogger("ytfsm")

BACK = "release"  # the event of a run whose subject goes back to where it came from
IDLE_FACTOR = 3  # idle polling backs off from 20 s to 60 s
BREAKER = 3  # equal setup errors in a row after which the worker stops claiming
OUTBOX_SECS = (5.0, 300.0)
RECOVER_SECS = 60.0  # between two tries to go on with a run while nobody confirms that its subject is still its own


@dataclass
class Outcome:
    """What `ytfsm run` says at its end (cli.md)."""

    run_id: str | None
    issue: int | None = None
    state: str | None = None
    status: str | None = None
    url: str | None = None
    reason: str | None = None
    code: int = 0
    words: str = ""  # what it is about

    def as_json(self) -> dict[str, Any]:
        """The last line of `ytfsm run --json`."""
        if self.run_id is None:
            return {"run_id": None, "reason": self.reason}
        return {
            "run_id": self.run_id,
            "issue": self.issue,
            "state": self.state,
            "status": self.status,
            "url": self.url,
        }


def outcome_of(run: Run) -> Outcome:
    """How a run ended; `unpublished` and every end that is not one of the machine's good ones is exit code 1."""
    move = run.journal.last("transition")
    status = move["status"] if move and run.final else None
    good = run.state in run.definition.good and run.refused is None
    return Outcome(
        run_id=run.run_id,
        issue=run.subject.data().get("number"),
        words=run.subject.words,
        state=run.state,
        status=status if run.refused is None else "unpublished",
        url=run.url,
        code=0 if good else 1,
    )


class Worker:
    """One worker process of one machine."""

    def __init__(self, definition: Definition, settings: Settings, shell: Shell) -> None:
        definition.require_sound()
        self.definition, self.settings, self.shell = definition, settings, shell
        self.stop = shell.stop
        self.queue: Queue = definition.queue(settings, shell)
        self.outbox: list[Run] = []
        self.last: Outcome | None = None  # of the last walk, over a run of its own or one that it went on with
        self._current: Run | None = None
        self._give_back = ""  # why, when a second signal asked for it
        self._versions: dict[str, str] = {}
        self._setup_errors: list[str] = []
        self._recover_at = float("inf")  # when to try again to go on with runs whose subject was not confirmed

    # --- signals

    def listen(self) -> None:
        """SIGINT and SIGTERM set flags that the loop and the shell read; a closed terminal is no reason to die."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        error = StopRequested(f"stopped by {name}", 130 if number == signal.SIGINT else 0)
        if self.stop:
            self._give_back = f"given back by a second {name}"
            return
        self.stop.set(error)
        if self._current:
            end = recovery.end_of(self._current, BACK)
            once_more = f". Once more ends it by `{end}`" if end else ""  # a final state's outbox only stops
            log.warning("%s: stopping; the run can be resumed%s", name, once_more)
            self._current.stop.set(error)

    # --- the loop

    def work(self, once: bool = False, name: str | None = None) -> Outcome:
        """Ask, walk, repeat, until a stop; with `once` one run or none, with `name` that subject. The last outcome.

        Raises PreflightFailed before anything is taken, StopRequested when a signal asked.
        """
        try:
            return self._work(once, name)
        finally:
            for run in self.outbox:  # the next start delivers them
                try:
                    run.subject.leave()
                    run.journal.append("stopped", state=run.state, why=f"not published yet: {run.waiting}")
                except YtfsmError as problem:
                    log.error("run_id=%s %s", run.run_id, problem)
                finally:
                    run.journal.close()

    def _work(self, once: bool, name: str | None) -> Outcome:
        found = self.definition.needs(self.queue) or []
        needs.require(found)
        self._versions = needs.versions(found)
        self._recover()
        idle = 0
        while True:
            self.stop.obey()
            if time.monotonic() >= self._recover_at:
                self._recover()
            try:
                subject = self.queue.asked_for(name) if name is not None else self.queue.next()
            except SetupError as problem:
                if once or name is not None:
                    raise
                log.error("the poll failed, which is not the same as no work: %s", problem)
                subject = None
            if subject is None:
                if once:
                    return Outcome(None, reason="no work")
                idle += 1
                pause = min(self.settings.sleep_secs * (1 + idle / 10), self.settings.sleep_secs * IDLE_FACTOR)
                self._pause(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that workers do not poll in step
                continue
            idle = 0
            run = self._start(subject)
            try:
                self._walk(run)
            except StopRequested as problem:
                if self.stop:
                    raise
                log.error("%s", problem)  # nobody confirms whose the subject is (faults W6): it is taken up again later
                self._recover_at = time.monotonic() + RECOVER_SECS
                if once or name is not None:
                    return self._come_back(run)
                continue
            self.queue.walked(run)
            if once or name is not None:
                self._empty_outbox()
                if run.arrived_by == LOSE and not run.taken and name is None:
                    continue  # another worker was faster; the next subject is a new chance
                return outcome_of(run)
            self._deliver()

    def _start(self, subject: Subject) -> Any:
        run = create(self.definition, self.settings, subject, self.shell, self._versions)
        log.info("run_id=%s %s worker=%s", run.run_id, subject.words, self.settings.worker_name)
        return run

    def _recover(self) -> None:
        """Go on with this machine's own unfinished runs, and clear away what the finished ones left.

        A run whose subject nobody confirmed waits for a later try, while others are taken.
        """
        self._recover_at = float("inf")
        for folder in recovery.unfinished(self.settings, self.definition, self.queue):
            try:
                run = self._open(folder)
            except YtfsmError as problem:
                log.warning("%s is left alone: %s", folder.name, problem)
                continue
            log.info("run_id=%s %s goes on in `%s`", run.run_id, run.subject.words, run.state)
            try:
                self._walk(run, recovery.resume)
                if self.last and self.last.code:
                    log.warning("run_id=%s %s ended in `%s`", run.run_id, run.subject.words, run.state)
            except StopRequested as problem:
                if self.stop:
                    raise
                log.error("%s", problem)
                self._recover_at = time.monotonic() + RECOVER_SECS
        for done in janitor.clean(self.settings, [self.definition]):
            log.info("cleared away: %s", done)

    def _come_back(self, run: Run) -> Outcome:
        """Take a run up again until it is confirmed; how it ended."""
        while self._recover_at != float("inf"):
            self._pause(RECOVER_SECS)
            self._recover()
        self._empty_outbox()
        return self.last or outcome_of(run)

    def take_over(self, folder: Path, how: Callable[[Run], None], ending: bool = False) -> Outcome:
        """Go on with, or end, one run of this machine (`ytfsm resume`, `ytfsm abandon`)."""
        run = self._open(folder, ending)
        self._walk(run, how)
        self._empty_outbox()
        return outcome_of(run)

    def _open(self, folder: Path, ending: bool = False) -> Any:
        return recovery.open_run(folder, self.definition, self.settings, self.queue, self.shell, ending)

    def _pause(self, seconds: float) -> None:
        self._deliver()
        self.stop.wait(seconds)

    def _walk(self, run: Run, how: Callable[[Run], None] = walk.walk) -> None:
        self._current = run
        try:
            self.stop.obey()
            how(run)
        except StopRequested:
            if not self._give_back:
                raise
            run = self._open(run.folder, ending=True)
            recovery.abandon(run, self._give_back, BACK)
        finally:
            self._current = None
        self.last = outcome_of(run)
        if run.waiting:
            log.warning("run_id=%s is not wholly published yet: %s", run.run_id, run.waiting)
            self.outbox.append(run)
        self._breaker(run)

    def _breaker(self, run: Run) -> None:
        """Stop claiming after equal setup errors in a row, instead of failing the whole queue."""
        if not isinstance(run.problem, SetupError):
            if run.final and run.taken and run.arrived_by not in (LOSE, "release"):
                self._setup_errors.clear()
            return
        if run.problem.fault == "issue":
            return  # one issue's trouble, not the machine's
        self._setup_errors.append(run.problem.cause)
        last = self._setup_errors[-BREAKER:]
        if len(last) == BREAKER and len(set(last)) == 1:
            self._empty_outbox()
            raise SetupError(
                f"{BREAKER} runs in a row ended in the same setup error, so this worker stops claiming: "
                f"{in_a_line(run.problem)}\n"
                "Mend the machine (`ytfsm doctor` tells what is missing) and start the worker again"
            )

    # --- the outbox

    def _deliver(self) -> None:
        for run in list(self.outbox):
            walk.deliver(run)
            if not run.waiting:
                self.outbox.remove(run)
                self.last = outcome_of(run)

    def _empty_outbox(self) -> None:
        pause = OUTBOX_SECS[0]
        while self.outbox:
            self.stop.wait(pause)
            self._deliver()
            pause = min(pause * 2, OUTBOX_SECS[1])
