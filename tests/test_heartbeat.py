"""The heartbeat: it keeps the claim alive, and stops the run when it cannot."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.errors import GitHubError, Lost
from yt_fsm.run import Run


class Lease:
    """As much of a lease as a heartbeat needs, with a clock of its own."""

    def __init__(self) -> None:
        self.beats: list[tuple[float, str]] = []
        self.fault: Exception | None = None
        self.last = time.monotonic()

    def silence(self) -> float:
        return time.monotonic() - self.last

    def beat(self, body: str, forge: Any) -> None:
        if self.fault:
            raise self.fault
        self.last = time.monotonic()
        self.beats.append((self.last, body))


@pytest.fixture
def lease() -> Lease:
    return Lease()


@pytest.fixture
def beating(new_run: Callable[..., Run], lease: Lease, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose claim lives one second, as it may in a lab only."""
    monkeypatch.setenv("YTFSM_LAB", "lab.sock")
    run = new_run(claim_ttl_secs=1)
    run.lease = lease  # type: ignore[assignment]
    run.heartbeat.start()
    return run


def stopped(run: Run, seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while not run.stop and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(run.stop)


def test_the_claim_is_edited_every_third_of_its_life(beating: Run, lease: Lease) -> None:
    time.sleep(1.2)
    beating.heartbeat.stop()
    assert 2 <= len(lease.beats) <= 4
    body = lease.beats[0][1]
    assert body.startswith("[yt-claim]\n")
    assert f"run_id: {beating.run_id}\n" in body
    assert "\nheartbeat: 20" in body
    assert (beating.folder / "heartbeat").exists()
    assert not beating.stop


def test_a_heartbeat_writes_no_journal(beating: Run) -> None:
    before = beating.journal.path.read_bytes()
    time.sleep(0.5)
    assert beating.journal.path.read_bytes() == before


def test_a_lost_claim_stops_the_run_at_once(beating: Run, lease: Lease) -> None:
    lease.fault = Lost("our claim comment was deleted")
    assert stopped(beating)
    with pytest.raises(Lost, match="deleted"):
        beating.stop.check()


def test_half_a_life_without_an_edit_stops_the_run(beating: Run, lease: Lease) -> None:
    lease.fault = GitHubError("502", "5xx")
    assert stopped(beating)
    assert 0.4 < lease.silence() < 1.0
    with pytest.raises(Lost, match="no heartbeat for"):
        beating.stop.check()


def test_a_short_trouble_does_not(beating: Run, lease: Lease) -> None:
    lease.fault = GitHubError("502", "5xx")
    time.sleep(0.4)
    lease.fault = None
    time.sleep(0.4)
    assert lease.beats
    assert not beating.stop


def test_a_disk_that_takes_no_file_does_not_silence_it(
    beating: Run, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    time.sleep(0.9)
    beating.heartbeat.stop()
    assert len(lease.beats) >= 2
    assert not beating.stop


def test_nothing_beats_after_the_end(beating: Run, lease: Lease) -> None:
    beating.heartbeat.stop()
    count = len(lease.beats)
    time.sleep(0.5)
    assert len(lease.beats) == count


def test_a_heartbeat_that_never_began_can_be_stopped(new_run: Callable[..., Run]) -> None:
    new_run().heartbeat.stop()
