"""The heartbeat: one daemon thread a run that keeps its claim alive and never writes the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import Lost, YtfsmError
from yt_fsm.engine.run import Run
from yt_fsm.engine.stop import StopFlag

from .errors import GitHubError
from .lease import Lease

if TYPE_CHECKING:
    from .client import GitHub, Written


class Heartbeat:
    """Reads and edits the run's claim comment every TTL/3 and touches the run's `heartbeat` file.

    When the claim is gone or released, a person took the issue away (faults W3: `look_at` raises Lost), or no edit
    succeeded for TTL/2, it sets the run's stop flag to Lost: the shell then kills the child and the walk fires
    `lose`. When it dies of anything else, the run hears that too. `text` writes the claim anew. It begins at once.
    """

    def __init__(
        self,
        run: Run,
        lease: Lease,
        github: GitHub,
        text: Callable[[], str],
        look_at: Callable[[Written], None],
    ) -> None:
        self._lease, self._text, self._look_at = lease, text, look_at
        self._file, self._stop = run.folder / "heartbeat", run.stop
        self._over = threading.Event()
        # Its own gh, which writes neither the journal nor the run's logs.
        quiet = github.shell.quiet(run.mark.as_role("heartbeat"), Deadline(lease, self._over))
        self._github = github.through(quiet)
        self._thread = threading.Thread(target=self._live, name=f"heartbeat {run.run_id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; its last request is answered, or given up, on return."""
        self._over.set()
        self._thread.join()  # its gh has a timeout, and nothing else there waits

    def _live(self) -> None:
        try:
            self._beat_on()
        except Lost as lost:
            self._stop.set(lost)
        except Exception as bug:
            self._stop.set(YtfsmError(f"the heartbeat died: {bug!r}"))

    def _beat_on(self) -> None:
        lease, github, ttl = self._lease, self._github, self._lease.ttl
        pause = ttl / 3 - lease.silence()  # the claim was posted a while ago when the bid had to wait
        while not self._over.wait(max(0.0, pause)):
            try:
                lease.heed(github)
                if self._over.is_set():
                    return
                self._look_at(lease.beat(self._text(), github))
                self._file.touch()
                pause = ttl / 3
            except Lost:
                raise
            except (YtfsmError, OSError) as problem:
                if lease.silence() > ttl / 2:
                    raise Lost(f"no heartbeat for {lease.silence():.0f} s: {problem}") from None
                pause = ttl / 30


class Deadline(StopFlag):
    """For the heartbeat's gh: what waits out a rate limit wakes at the heartbeat's end, or at TTL/2 (faults T2)."""

    def __init__(self, lease: Lease, over: threading.Event) -> None:
        super().__init__()
        self._lease, self._over = lease, over

    def wait(self, seconds: float) -> None:
        """Sleep; raises GitHubError when that is longer than there is time for."""
        left = self._lease.ttl / 2 - self._lease.silence()
        if self._over.wait(max(0.0, min(seconds, left))) or seconds > left:
            raise GitHubError(f"GitHub wants {seconds:.0f} s of patience, and the claim has not that long", "SECONDARY")
