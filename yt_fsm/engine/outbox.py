"""The outbox: runs whose verdict stands and that are not wholly published yet, each tried again until it is.

It has a thread of its own, so that a run of many hours does not hold up what others are to see (faults T6). A run's
journal has one writer at a time: its walk is over when it comes here.
"""

import logging
import threading

from . import walk
from .errors import StopRequested, YtfsmError
from .run import Run
from .stop import StopFlag

log = logging.getLogger("ytfsm")

FIRST_SECS, LAST_SECS = 5.0, 300.0  # between two tries
LOOK_SECS = 0.5  # whether it is empty


class Outbox:
    """Runs that wait to be published; their claims are kept alive meanwhile."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._wake = threading.Event()
        self._over = False
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: Run) -> None:
        """Take a run that said what it is `waiting` for."""
        self._runs.append(run)
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="outbox", daemon=True)
            self._thread.start()
        self._wake.set()

    def empty(self, stop: StopFlag) -> None:
        """Return when everything is published, or refused for good; raises what the stop flag carries."""
        while self._runs:
            stop.wait(LOOK_SECS)

    def close(self, why: StopRequested) -> None:
        """End: what it is at is stopped, and what is left is said to be left; the next start delivers it."""
        self._over = True
        for run in self._runs:
            run.stop.set(why)
        self._wake.set()
        if self._thread:
            self._thread.join()
        for run in self._runs:
            run.stop.clear()
            try:
                run.subject.leave()
                run.journal.append("stopped", state=run.state, why=f"not published yet: {run.waiting}")
            except YtfsmError as problem:
                log.error("run_id=%s %s", run.run_id, problem)
            finally:
                run.journal.close()
        self._runs.clear()

    def _live(self) -> None:
        pause = FIRST_SECS
        while not self._over:
            if self._wake.wait(pause):  # another run came, or the end
                self._wake.clear()
                pause = FIRST_SECS
                continue
            pause = min(2 * pause, LAST_SECS)
            for run in list(self._runs):
                if self._over:
                    return
                self._deliver(run)

    def _deliver(self, run: Run) -> None:
        try:
            walk.deliver(run)
        except StopRequested:
            return
        except Exception:  # a bug of one run must not keep the others from being published
            log.exception("run_id=%s %s: publishing it failed, and is tried again", run.run_id, run.subject.words)
        if not run.waiting:
            self._runs.remove(run)
