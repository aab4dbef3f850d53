"""The stop flag: what waits on it wakes for a stop, and when its time is over by a clock that suspend does not stop."""

from types import SimpleNamespace

import pytest

from yt_fsm.engine import stop
from yt_fsm.engine.errors import Lost
from yt_fsm.engine.stop import StopFlag


def test_a_wait_is_over_when_a_machine_slept_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults T5: threading's clock stands still in suspend."""
    times, asked = iter([0.0, 0.0, 7200.0]), []
    flag = StopFlag()
    monkeypatch.setattr(stop, "time", SimpleNamespace(clock_gettime=lambda _: next(times), CLOCK_BOOTTIME=7))
    monkeypatch.setattr(flag._event, "wait", lambda seconds: asked.append(seconds))
    flag.wait(3600)
    assert asked == [30.0]


def test_a_stop_ends_a_wait_with_the_askers_error() -> None:
    flag = StopFlag()
    flag.set(Lost("anna closed the issue"))
    with pytest.raises(Lost, match="anna"):
        flag.wait(3600)
