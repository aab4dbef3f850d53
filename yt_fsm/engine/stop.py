"""The stop flag: how a signal, or a heartbeat, asks the thread that walks a run to stop where it is safe."""

import threading
import time

from .errors import StopRequested

_NAP_SECS = 30.0  # a machine that was suspended is seen to have been by then


class StopFlag:
    """Asks the run's own thread to stop; set by signals and by the heartbeat, read where it is safe to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.error: Exception = StopRequested("stopped")

    def set(self, error: Exception) -> None:
        """Ask for a stop; the first asker's `error` is what the run sees."""
        if not self._event.is_set():
            self.error = error
            self._event.set()

    def clear(self) -> None:
        """The request was taken; go on with what it leads to."""
        self._event.clear()

    def obey(self) -> None:
        """Raise the asker's error if a stop was asked for."""
        if self._event.is_set():
            raise self.error

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a request to stop; the seconds go on in suspend (faults T5)."""
        end = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
        while (left := end - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0 and not self._event.wait(
            min(left, _NAP_SECS)
        ):
            pass
        self.obey()

    def __bool__(self) -> bool:
        return self._event.is_set()
