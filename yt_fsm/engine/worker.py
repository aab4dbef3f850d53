"""The worker: poll, claim, walk, repeat (§9.1 A); nothing here knows what a machine's states do."""

import logging
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from yt_fsm.bringup import preflight
from yt_fsm.github.client import GitHub, Issue
from yt_fsm.github.heartbeat import systems_of
from yt_fsm.github.lease import claims, eligible

from . import recovery
from . import run as runs
from . import walk as engine
from .errors import GitHubError, NotFound, SetupError, StopRequested, Usage, YtfsmError
from .machine import Definition
from .run import Run, boot_secs
from .settings import Settings
from .shell import Shell, StopFlag

log = logging.getLogger("ytfsm")

IDLE_FACTOR = 3  # idle polling backs off from 20 s to 60 s
SWEEP_SECS = 300.0  # how often issues without a system's label are looked through
SWEEP_READS = 20  # how many of them are read in one look; the others' turn comes at the next
BREAKER = 3  # equal setup errors in a row after which the worker stops claiming
OUTBOX_SECS = (5.0, 300.0)
ALONE_SECS = (60.0, 1800.0)  # how long an issue is left alone after a bid for it failed; doubles each time
RECOVER_SECS = 60.0  # between two tries to go on with a run while GitHub does not confirm its claim


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
    """How a run ended; `unpublished` and every bad end is exit code 1."""
    moves = [r for r in run.journal.records if r["kind"] == "transition"]
    status = moves[-1]["status"] if moves and run.final else None
    pull = run.effects.done("pull request", run.facts.get("branch", ""))
    good = run.state in ("review", "released") and run.refused is None
    return Outcome(
        run_id=run.run_id,
        issue=run.issue.number,
        state=run.state,
        status=status if run.refused is None else "unpublished",
        url=pull["url"] if pull else run.issue.url,
        code=0 if good else 1,
    )


def github_of(settings: Settings, shell: Shell) -> GitHub:
    """The models repo and its board, as the settings name them."""
    number, title = settings.project_number, settings.project_title
    return GitHub(shell, settings.owner, settings.repo_models, number, title, settings.write_gap_secs)


class Worker:
    """One worker process on one machine."""

    def __init__(self, definition: Definition, settings: Settings, shell: Shell) -> None:
        self.definition, self.settings, self.shell = definition, settings, shell
        self.stop = shell.stop
        self.github = github_of(settings, shell)
        self.outbox: list[Run] = []
        self.last: Outcome | None = None
        self._current: Run | None = None
        self._give_back = ""  # why, when a second signal asked for it
        self._versions: dict[str, str] = {}
        self._setup_errors: list[str] = []
        self._alone: dict[int, tuple[float, float]] = {}  # issues whose bid failed: until when, after how long a pause
        self._swept = float("-inf")
        self._read: set[int] = set()  # issues without a system's label whose text was read since all of them were
        self._recover_at = float("inf")  # when to try again to go on with runs whose claim was not confirmed

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
            log.warning("%s: stopping; the run can be resumed. Once more gives its issue back", name)
            self._current.stop.set(error)

    # --- the loop

    def work(self, once: bool = False, issue: int | None = None) -> Outcome:
        """Poll, claim, walk, repeat, until a stop; with `once` one run or none. Returns the last outcome.

        Raises PreflightFailed before anything is claimed, StopRequested when a signal asked.
        """
        try:
            return self._work(once, issue)
        finally:
            for run in self.outbox:  # the next start delivers them
                try:
                    run.heartbeat.stop()
                    run.journal.append("stopped", state=run.state, why=f"not published yet: {run.waiting}")
                except YtfsmError as problem:
                    log.error("run_id=%s %s", run.run_id, problem)
                finally:
                    run.journal.close()

    def _work(self, once: bool, issue: int | None) -> Outcome:
        self._versions = preflight.versions(preflight.run(self.shell, self.github, self.settings))
        self._recover()
        idle = 0
        while True:
            self.stop.check()
            if time.monotonic() >= self._recover_at:
                self._recover()
            try:
                candidate = self._asked_for(issue) if issue is not None else self._choose()
            except SetupError as problem:
                if once or issue is not None:
                    raise
                log.error("the poll failed, which is not the same as no work: %s", problem)
                candidate = None
            if candidate is None:
                if once:
                    return Outcome(None, reason="no work")
                idle += 1
                pause = min(self.settings.sleep_secs * (1 + idle / 10), self.settings.sleep_secs * IDLE_FACTOR)
                self._pause(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that workers do not poll in step
                continue
            idle = 0
            run = self._start(candidate)
            self._walk(run)
            if once or issue is not None:
                self._empty_outbox()
                if run.arrived_by == "lose" and not self._was_claimed(run) and issue is None:
                    continue  # another worker was faster; the next candidate is a new chance
                return outcome_of(run)
            self._deliver()

    @staticmethod
    def _was_claimed(run: Run) -> bool:
        return any(r["kind"] == "transition" and r["event"] == "claim" for r in run.journal.records)

    def _recover(self) -> None:
        """Go on with this machine's own unfinished runs, and clear away what the finished ones left.

        A run whose claim GitHub did not confirm waits for a later try, while others are taken.
        """
        self._recover_at = float("inf")
        for folder in recovery.unfinished(self.settings, self.definition):
            try:
                run = recovery.open_run(folder, self.definition, self.settings, self.github, StopFlag())
            except YtfsmError as problem:
                log.warning("%s is left alone: %s", folder.name, problem)
                continue
            log.info("run_id=%s issue=%s goes on in `%s`", run.run_id, run.issue.number, run.state)
            try:
                self._walk(run, recovery.resume)
            except StopRequested as problem:
                if self.stop:
                    raise
                log.error("%s", problem)
                self._recover_at = time.monotonic() + RECOVER_SECS
        for done in recovery.clean(self.settings, [self.definition]):
            log.info("cleared away: %s", done)

    def _pause(self, seconds: float) -> None:
        self._deliver()
        self.stop.wait(seconds)

    def _walk(self, run: Run, walk: Callable[[Run], None] = engine.walk) -> None:
        self._current = run
        try:
            self.stop.check()
            walk(run)
        except StopRequested:
            if not self._give_back:
                raise
            run = recovery.open_run(run.folder, self.definition, self.settings, self.github, StopFlag(), ending=True)
            recovery.abandon(run, self._give_back, "release")
        finally:
            self._current = None
        self.last = outcome_of(run)
        self._bid_ended(run)
        if run.waiting:
            log.warning("run_id=%s is not wholly published yet: %s", run.run_id, run.waiting)
            self.outbox.append(run)
        self._breaker(run)

    def _breaker(self, run: Run) -> None:
        """Stop claiming after equal setup errors in a row, instead of failing the whole queue."""
        if run.state != "setup_error" or not isinstance(run.problem, SetupError):
            if run.state in run.definition.final and run.state != "released":
                self._setup_errors.clear()
            return
        if type(run.problem).__name__ == "BranchExists":
            return  # one issue's trouble, not the machine's
        self._setup_errors.append(f"{type(run.problem).__name__}: {str(run.problem).splitlines()[0]}")
        last = self._setup_errors[-BREAKER:]
        if len(last) == BREAKER and len(set(last)) == 1:
            self._empty_outbox()
            raise SetupError(
                f"{BREAKER} runs in a row ended in the same setup error, so this worker stops claiming: {last[0]}\n"
                "Mend the machine (`ytfsm doctor` tells what is missing) and start the worker again"
            )

    # --- the outbox

    def _deliver(self) -> None:
        for run in list(self.outbox):
            engine.deliver(run)
            if not run.waiting:
                self.outbox.remove(run)
                self.last = outcome_of(run)

    def _empty_outbox(self) -> None:
        pause = OUTBOX_SECS[0]
        while self.outbox:
            self.stop.wait(pause)
            self._deliver()
            pause = min(pause * 2, OUTBOX_SECS[1])

    # --- choosing

    def _choose(self) -> Issue | None:
        """The oldest eligible issue, or None when there is none. Raises GitHubError when the poll failed."""
        found = self._oldest(self.settings.system)
        if found is None and time.monotonic() - self._swept > SWEEP_SECS:
            # An issue form cannot set a label by its dropdown: the system may stand in a field only.
            found = self._oldest(None)
            self._swept = time.monotonic()
        return found

    def _oldest(self, label: str | None) -> Issue | None:
        reads = 0
        for issues in self.github.candidates(label):
            for issue in issues:
                named = self._systems(issue)
                if (
                    (named and self.settings.system not in named)
                    or not self._eligible(issue)
                    or self._left_alone(issue)
                ):
                    continue
                if not named:
                    if issue.number in self._read or reads == SWEEP_READS:
                        continue
                    self._read.add(issue.number)
                    reads += 1
                if whole := self._whole(issue.number):
                    return whole
        if label is None and reads < SWEEP_READS:
            self._read.clear()
        return None

    def _whole(self, number: int) -> Issue | None:
        """The issue that a poll showed as ours to take, with its text, if it still is when asked for by its number."""
        try:
            issue = self.github.issue(number)
        except NotFound:
            return None
        except GitHubError as problem:
            if problem.kind not in ("MALFORMED", "TOO_LARGE"):
                raise
            log.warning("issue %s of %s is passed over: %s", number, self.github.repo, problem)
            return None
        return issue if issue.open and self._mine(issue) and self._eligible(issue) else None

    def _systems(self, issue: Issue) -> set[str]:
        """The systems that the issue's labels name."""
        return systems_of(issue.labels, self.settings.systems_named)

    def _mine(self, issue: Issue) -> bool:
        """Whether the issue, read by its number, is for this system: by label, else by its text's field."""
        labelled = self._systems(issue)
        if labelled:
            return self.settings.system in labelled
        from yt_fsm.bringup.brief import fields

        named = fields(issue.body).get("system", "")
        return self.settings.system in systems_of([named], self.settings.systems_named)

    def _left_alone(self, issue: Issue) -> bool:
        """Whether a bid for it failed a short while ago: whoever was faster, or forbids it, is not asked every poll."""
        return issue.number in self._alone and boot_secs() < self._alone[issue.number][0]

    def _bid_ended(self, run: Run) -> None:
        """Leave an issue alone whose bid failed: for a minute, then two, four … thirty."""
        if run.arrived_by != "lose" or self._was_claimed(run):
            self._alone.pop(run.issue.number, None)
            return
        _, before = self._alone.get(run.issue.number, (0.0, 0.0))
        pause = min(max(2 * before, ALONE_SECS[0]), ALONE_SECS[1])
        self._alone[run.issue.number] = (boot_secs() + pause, pause)

    def _eligible(self, issue: Issue) -> bool:
        """LOOK (claim protocol); a window that shows no claim of a marked issue is paged back."""
        base, mark, ttl = self.definition.base, self.definition.mark, self.settings.claim_ttl_secs
        if issue.item is None or issue.status not in (base, mark):
            return False
        comments = issue.comments
        if issue.comments_total > len(comments) and not claims(comments, ttl):
            comments = self._all_comments(issue.id)
        return eligible(issue.status, comments, issue.seen, base, mark, ttl)

    def _all_comments(self, issue: str) -> tuple[Any, ...]:
        snapshot = self.github.snapshot(issue)
        comments = snapshot.comments
        while snapshot.more and not claims(comments, self.settings.claim_ttl_secs):
            snapshot = self.github.snapshot(issue, snapshot.more)
            comments = snapshot.comments + comments
        return comments

    def _asked_for(self, number: int) -> Issue:
        issue = self.github.issue(number)
        where = f"{self.github.repo}#{number}"
        if not issue.open:
            raise NotFound(f"{where} is closed")
        if issue.item is None:
            raise NotFound(f"{where} is not on the board {self.github.board.url}: add it there and set it to ready")
        if not self._mine(issue):
            raise Usage(f"{where} is not for {self.settings.system}: it needs the label {self.settings.system!r}")
        if not self._eligible(issue):
            live = [c.worker for c in claims(issue.comments, self.settings.claim_ttl_secs) if not c.dead(issue.seen)]
            why = f"worker {live[0]} holds it" if live else f"its status is {issue.status!r}"
            raise NotFound(f"{where} cannot be claimed: {why}; it must be {self.definition.base!r} and unclaimed")
        return issue

    def take_over(self, folder: Path, walk: Callable[[Run], None], ending: bool = False) -> Outcome:
        """Go on with, or end, one run of this machine (`ytfsm resume`, `ytfsm abandon`)."""
        run = recovery.open_run(folder, self.definition, self.settings, self.github, StopFlag(), ending)
        self._walk(run, walk)
        self._empty_outbox()
        return outcome_of(run)

    def _start(self, issue: Issue) -> Run:
        stop = StopFlag()
        run = runs.create(self.definition, self.settings, issue, self.github, stop, self._versions)
        log.info(
            "run_id=%s issue=%s worker=%s title=%r",
            run.run_id,
            issue.number,
            self.settings.worker_name,
            issue.title,
        )
        return run
