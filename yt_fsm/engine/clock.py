"""The boot's clock: seconds that go on in suspend and that nobody sets, and a sleep that a stop ends."""

import time

from .stop import StopFlag


def boot_secs() -> float:
    """CLOCK_BOOTTIME: seconds that go on in suspend, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """What a run needs of time."""

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop

    def now(self) -> float:
        """CLOCK_BOOTTIME."""
        return boot_secs()

    def wait(self, seconds: float) -> None:
        """Sleep; raises what the stop flag carries."""
        self._stop.wait(seconds)
