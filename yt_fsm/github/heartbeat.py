"""The heartbeat: one daemon thread a run that keeps its claim alive and never writes the journal."""

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import GitHubError, Lost, YtfsmError
from yt_fsm.engine.shell import StopFlag

from .lease import stamp

if TYPE_CHECKING:
    from yt_fsm.engine.run import Run

    from .client import Written


class Heartbeat:
    """Reads and edits the run's claim comment every TTL/3 and touches the run's `heartbeat` file.

    When the claim is gone or released, a person took the issue away (faults W3), or no edit succeeded for TTL/2, it
    sets the run's stop flag to Lost: the shell then kills the child and the engine fires `lose`. When it dies of
    anything else, the run hears that too.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        # Its own gh, which writes neither the journal nor the run's logs.
        quiet = run.github.shell.quiet(run.mark.as_role("heartbeat"), Deadline(run, self._over))
        self._forge = run.github.through(quiet)

    def start(self) -> None:
        """Begin; the bid has won, or the run was resumed."""
        if self._thread or self._run.shell.dry:
            return
        self._thread = threading.Thread(target=self._live, name=f"heartbeat {self._run.run_id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; its last request is answered, or given up, on return. Harmless when it never began."""
        self._over.set()
        if self._thread:
            self._thread.join()  # its gh has a timeout, and nothing else there waits

    def _live(self) -> None:
        try:
            self._beat_on()
        except Lost as lost:
            self._run.stop.set(lost)
        except Exception as bug:
            self._run.stop.set(YtfsmError(f"the heartbeat died: {bug!r}"))

    def _beat_on(self) -> None:
        run, lease, ttl = self._run, self._run.lease, self._run.settings.claim_ttl_secs
        pause = ttl / 3 - lease.silence()  # the claim was posted a while ago when the bid had to wait
        while not self._over.wait(max(0.0, pause)):
            try:
                lease.heed(self._forge)
                if self._over.is_set():
                    return
                self._look_at(lease.beat(run.claim_text(heartbeat=stamp()), self._forge))
                (run.folder / "heartbeat").touch()
                pause = ttl / 3
            except Lost:
                raise
            except (YtfsmError, OSError) as problem:
                if lease.silence() > ttl / 2:
                    raise Lost(f"no heartbeat for {lease.silence():.0f} s: {problem}") from None
                pause = ttl / 30

    def _look_at(self, now: "Written") -> None:
        """Raise Lost when the issue was taken away: closed, moved, relabelled; what the run did itself is expected."""
        run = self._run
        asked = [r for r in list(run.journal.records) if r["kind"] == "effect.intent"]
        moves = {r["key"] for r in asked if r["effect"] == "status"}
        began = {run.definition.base, run.definition.mark}
        if not now.open and moves <= began:
            raise Lost("somebody closed the issue")
        if now.status not in moves | began:
            where = f"to {now.status!r}" if now.status else "off the board"
            raise Lost(f"somebody moved the issue {where}")
        named = run.settings.systems_named
        before, after = systems_of(run.issue.labels, named), systems_of(now.labels, named)
        if run.settings.system not in after and (after or run.settings.system in before):
            raise Lost(f"somebody took the label {run.settings.system!r} off the issue")


def systems_of(labels: Iterable[str], named: Mapping[str, str]) -> set[str]:
    """The systems that labels name, in any case, as GitHub compares them; `named` has the words in lower case."""
    return {named[label.lower()] for label in labels if label.lower() in named}


class Deadline(StopFlag):
    """For the heartbeat's gh: what waits out a rate limit wakes at the heartbeat's end, or at TTL/2 (faults T2)."""

    def __init__(self, run: "Run", over: threading.Event) -> None:
        super().__init__()
        self._run, self._over = run, over

    def wait(self, seconds: float) -> None:
        """Sleep; raises GitHubError when that is longer than there is time for."""
        left = self._run.settings.claim_ttl_secs / 2 - self._run.lease.silence()
        if self._over.wait(max(0.0, min(seconds, left))) or seconds > left:
            raise GitHubError(f"GitHub wants {seconds:.0f} s of patience, and the claim has not that long", "SECONDARY")
