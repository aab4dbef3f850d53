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

from . import faults, janitor, needs, recovery, store, walk
from .breaker import Breaker
from .clock import boot_secs
from .errors import PreflightFailed, SetupError, StopRequested, Wait, YtfsmError, in_a_line
from .machine import LOSE, Definition
from .outbox import Outbox
from .queue import Queue
from .run import Run, create
from .settings import Settings
from .shell import Shell
from .subject import Subject

log = logging.getLogger("ytfsm")

BACK = "release"  # the event of a run whose subject goes back to where it came from
IDLE_FACTOR = 3  # idle polling backs off from 20 s to 60 s
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
    waiting: dict[str, Any] | None = None  # until when, and why, where nobody waits for it

    def as_json(self) -> dict[str, Any]:
        """The last line of `ytfsm run --json`."""
        if self.run_id is None:
            return {"run_id": None, "reason": self.reason}
        told = {
            "run_id": self.run_id,
            "issue": self.issue,
            "state": self.state,
            "status": self.status,
            "url": self.url,
        }
        return told | ({"waiting": self.waiting} if self.waiting else {})


def outcome_of(run: Run) -> Outcome:
    """How a run ended; `unpublished` and every end that is not one of the machine's good ones is exit code 1."""
    move = run.journal.last("transition")
    status = move["status"] if move and run.final else None
    good = run.state in run.definition.good and run.refused is None
    waits = run.journal.last("waiting") if run.pause else None
    return Outcome(
        run_id=run.run_id,
        issue=run.subject.data().get("number"),
        words=run.subject.words,
        state=run.state,
        status=status if run.refused is None else "unpublished",
        url=run.url,
        code=0 if good or waits else 1,
        waiting={"until": waits["until"], "why": waits["why"]} if waits else None,
    )


class Worker:
    """One worker process of one machine; not `patient`, it leaves a run that has to wait, and does not wait itself."""

    def __init__(self, definition: Definition, settings: Settings, shell: Shell, patient: bool = True) -> None:
        definition.require_sound()
        self.definition, self.settings, self.shell, self.patient = definition, settings, shell, patient
        self.stop = shell.stop
        self.queue: Queue = definition.queue(settings, shell)
        self.outbox = Outbox()
        self.breaker = Breaker(settings.home, definition.name, settings.worker_name)
        self._walked: Run | None = None  # the last one
        self._current: Run | None = None
        self._give_back = ""  # why, when a second signal asked for it
        self._versions: dict[str, str] = {}
        self._recover_at = float("inf")  # when to try again to go on with runs whose subject was not confirmed
        self._hindrance = ""  # what was said last of why nothing new is taken

    @property
    def last(self) -> Outcome | None:
        """How the last walk ended, over a run of its own or one that it went on with."""
        return outcome_of(self._walked) if self._walked else None

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
            self._leave()

    def _leave(self) -> None:
        left = StopRequested("the worker ends", 0)
        self.outbox.close(left)  # the next start delivers what is in it
        self.breaker.close()

    def _work(self, once: bool, name: str | None) -> Outcome:
        found = self.definition.needs(self.queue) or []
        needs.require(found)
        self._versions = needs.versions(found)
        self._recover()
        idle = 0
        only_one = once or name is not None
        while True:
            self.stop.obey()
            if boot_secs() >= self._recover_at:
                self._recover()
            if hindrance := self._hindered(only_one):
                if not self.patient:
                    return Outcome(None, reason=f"waiting: {hindrance}")
                self._rest(hindrance)
                continue
            try:
                subject = self.queue.asked_for(name) if name is not None else self.queue.next()
            except SetupError as problem:
                if only_one:
                    raise
                log.error("the poll failed, which is not the same as no work: %s", problem)
                subject = None
            if subject is None:
                if once:
                    return Outcome(None, reason="no work")
                idle += 1
                pause = min(self.settings.sleep_secs * (1 + idle / 10), self.settings.sleep_secs * IDLE_FACTOR)
                self.stop.wait(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that workers do not poll in step
                continue
            idle = 0
            run = self._start(subject)
            try:
                self._walk(run)
            except StopRequested as problem:
                if self.stop:
                    raise
                log.error("%s", problem)
                if run.pause:  # it waits, and we do not
                    return outcome_of(run)
                # Nobody confirms whose the subject is (faults W6): it is taken up again later.
                self._recover_at = boot_secs() + RECOVER_SECS
                if only_one:
                    return self._come_back(run)
                continue
            self.queue.walked(run)
            if only_one:
                self.outbox.empty(self.stop)
                if run.arrived_by == LOSE and not run.taken and name is None:
                    continue  # another worker was faster; the next subject is a new chance
                return outcome_of(run)

    def _hindered(self, only_one: bool) -> Wait | None:
        """Why nothing new is taken for now: a breaker that is open, or what the machine waits for.

        Raises SetupError when the breaker is open and only one run was asked for.
        """
        if self.breaker.why and only_one:
            raise SetupError(f"this worker stops claiming: {self.breaker.why}")
        if self.breaker.why and self.breaker.left() <= 0:
            try:
                needs.require(self.definition.needs(self.queue) or [])
            except PreflightFailed as problem:
                self.breaker.put_off(in_a_line(problem))
        if left := self.breaker.left():
            return Wait(f"the breaker is open: {self.breaker.why}", time.time() + left)
        return self.definition.hindered(self.queue)

    def _rest(self, wait: Wait) -> None:
        """Wait for what keeps new work from being taken, for so long as it takes, or a while; said once."""
        if str(wait) != self._hindrance:
            log.warning("nothing new is taken for now: %s", wait)
            self._hindrance = str(wait)
        left = wait.until - time.time() if wait.until else self.settings.probe_secs
        self.stop.wait(min(max(left, 0.05), RECOVER_SECS))

    def _start(self, subject: Subject) -> Any:
        run = create(self.definition, self.settings, subject, self.shell, self._versions)
        run.patient = self.patient
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
                self._recover_at = boot_secs() + RECOVER_SECS
        for done in janitor.clean(self.settings, [self.definition]):
            log.info("cleared away: %s", done)

    def _come_back(self, run: Run) -> Outcome:
        """Take a run up again until it is confirmed; how it ended."""
        while self._recover_at != float("inf"):
            self.stop.wait(RECOVER_SECS)
            self._recover()
        self.outbox.empty(self.stop)
        return self.last or outcome_of(run)

    def take_over(self, folder: Path, how: Callable[[Run], None], ending: bool = False) -> Outcome:
        """Go on with, or end, one run of this machine (`ytfsm resume`, `ytfsm abandon`).

        One that goes on is waited for, also when nobody confirms that its subject is still its own.
        """
        try:
            while True:
                run = self._open(folder, ending)
                try:
                    self._walk(run, how)
                except StopRequested as problem:
                    if self.stop or ending or not (self.patient or run.pause):
                        raise
                    if run.pause:
                        return outcome_of(run)
                    log.error("%s", problem)
                    self.stop.wait(self.settings.probe_secs)
                    continue
                self.outbox.empty(self.stop)
                return outcome_of(run)
        finally:
            self._leave()

    def _open(self, folder: Path, ending: bool = False) -> Any:
        run = recovery.open_run(folder, self.definition, self.settings, self.queue, self.shell, ending)
        run.patient = self.patient
        return run

    def _walk(self, run: Run, how: Callable[[Run], None] = walk.walk) -> None:
        self._current = self._walked = run
        try:
            self.stop.obey()
            how(run)
        except StopRequested:
            if not self._give_back:
                raise
            run = self._walked = self._open(run.folder, ending=True)
            recovery.abandon(run, self._give_back, BACK)
        finally:
            self._current = None
        if run.waiting:
            log.warning("run_id=%s is not wholly published yet: %s", run.run_id, run.waiting)
            self.outbox.add(run)
        store.note(run.folder, {self.definition.name: self.definition})
        self._judge(run)

    def _judge(self, run: Run) -> None:
        """Tell the breaker how a run ended."""
        cause = faults.counts(run.problem)
        if cause is not None and run.problem:
            self.breaker.count(cause, run.problem)
        elif run.final and run.taken and run.arrived_by not in (LOSE, BACK) and not faults.says_nothing(run.problem):
            self.breaker.close()
