"""The heartbeat: one daemon thread a run that keeps its claim alive and never writes the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import Lost, Unconfirmed, YtfsmError
from yt_fsm.engine.run import Run
from yt_fsm.engine.stop import StopFlag

from .errors import GitHubError
from .lease import Lease

if TYPE_CHECKING:
    from .client import GitHub, Written


_NAP_SECS = 30.0  # a machine that was suspended is seen to have been by then


class Heartbeat:
    """Reads and edits the run's claim comment every TTL/3 and touches the run's `heartbeat` file.

    It sets the run's stop flag, so that the shell kills the child: to Lost when the claim is gone, released or
    overtaken, or a person took the issue away (faults W3: `look_at` raises it); to Unconfirmed when GitHub confirmed no
    edit for TTL, which proves no loss (W6). When it dies of anything else, the run hears that too (T2). `text` writes
    the claim anew. It begins at once.
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
        self._deadline = Deadline(lease, self._over)
        quiet = github.shell.quiet(run.mark.as_role("heartbeat"), self._deadline)
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
        except (Lost, Unconfirmed) as known:
            self._stop.set(known)
        except Exception as bug:
            self._stop.set(YtfsmError(f"the heartbeat died: {bug!r}"))

    def _beat_on(self) -> None:
        lease, github, ttl = self._lease, self._github, self._lease.ttl
        pause = ttl / 3 - lease.silence()  # the claim was posted a while ago when the bid had to wait
        while not self._rest(pause):
            self._deadline.begin()
            try:
                lease.heed(github)
                if self._over.is_set():
                    return
                self._look_at(lease.beat(self._text(), github))
                self._file.touch()
                pause = ttl / 3
            except (Lost, Unconfirmed):
                raise
            except (YtfsmError, OSError) as problem:
                silent = lease.silence()
                if silent >= ttl:
                    words = f"GitHub has confirmed no edit of our claim for {silent:.0f} s, and it lives for {ttl}"
                    raise Unconfirmed(f"{words}: {problem}", lease.clock.now() - silent) from None
                pause = min(ttl / 30, ttl - silent)

    def _rest(self, seconds: float) -> bool:
        """Sleep, by a clock that goes on in suspend; whether the heartbeat is over."""
        end = self._lease.clock.now() + seconds
        while (left := end - self._lease.clock.now()) > 0 and not self._over.wait(min(left, _NAP_SECS)):
            pass
        return self._over.is_set()


class Deadline(StopFlag):
    """For the heartbeat's gh: one beat has TTL/3, and none goes on beyond the claim's life (faults T2).

    What gh does then is cut off; what waits out a rate limit wakes then, or at the heartbeat's end.
    """

    def __init__(self, lease: Lease, over: threading.Event) -> None:
        super().__init__()
        self._lease, self._over = lease, over
        self.begin()

    def begin(self) -> None:
        """A beat begins."""
        self._until = self._lease.clock.now() + self._lease.ttl / 3

    def _left(self) -> float:
        return min(self._until - self._lease.clock.now(), self._lease.ttl - self._lease.silence())

    def __bool__(self) -> bool:
        return self._left() <= 0

    def obey(self) -> None:
        """Raise GitHubError when the time is over; what was sent by then may have landed."""
        if self:
            raise GitHubError("GitHub did not answer within the time that a heartbeat has", "NETWORK", landed=None)

    def wait(self, seconds: float) -> None:
        """Sleep; raises GitHubError when that is longer than there is time for."""
        left = self._left()
        if self._over.wait(max(0.0, min(seconds, left))) or seconds > left:
            raise GitHubError(f"GitHub wants {seconds:.0f} s of patience, and the claim has not that long", "SECONDARY")
