"""The heartbeat: it keeps the claim alive, and stops the run when it cannot."""

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from yt_fsm.engine.clock import Clock
from yt_fsm.engine.errors import Lost, Unconfirmed, YtfsmError
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.run import Run
from yt_fsm.engine.shell import Shell
from yt_fsm.engine.stop import StopFlag
from yt_fsm.github.client import Comment, Written
from yt_fsm.github.errors import GitHubError
from yt_fsm.github.heartbeat import Deadline, Heartbeat
from yt_fsm.github.lease import text


def posted(number: int, run: str, edited: float) -> Comment:
    body = text("other", "n300", run, "now", 3600)
    return Comment(f"C{number}", number, body, "bot", "MEMBER", 100.0, edited)


BID, TAKEN = posted(2, "r-1", 100.0), posted(3, "r-2", 160.0)


class Lease:
    """As much of a lease as a heartbeat needs, with a clock of its own."""

    def __init__(self) -> None:
        self.beats: list[tuple[float, str]] = []
        self.fault: Exception | None = None
        self.word: Exception | None = None
        self.shows = Written(0.0, status="ready", labels=("n300",))
        self.clock = Clock(StopFlag())
        self.last = self.clock.now()
        self.ttl = 1
        self.comment = "C1"

    def silence(self) -> float:
        return self.clock.now() - self.last

    def heed(self, forge: Any) -> None:
        if self.word:
            raise self.word

    def beat(self, body: str, forge: Any) -> Written:
        if self.fault:
            raise self.fault
        self.last = self.clock.now()
        self.beats.append((self.last, body))
        return self.shows


@pytest.fixture
def lease() -> Lease:
    return Lease()


@pytest.fixture
def beating(new_run: Callable[..., Run], lease: Lease, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose claim lives one second, as it may in a lab only."""
    monkeypatch.setenv("YTFSM_LAB", "lab.sock")
    run = new_run(claim_ttl_secs=1)
    run.subject.lease = lease  # type: ignore[assignment]
    run.subject.begin()
    return run


def stopped(run: Run, seconds: float = 3) -> bool:
    deadline = time.monotonic() + seconds
    while not run.stop and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(run.stop)


def test_the_claim_is_edited_every_third_of_its_life(beating: Run, lease: Lease) -> None:
    time.sleep(1.2)
    beating.subject.heartbeat.stop()
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
        beating.stop.obey()


def test_a_whole_life_without_an_edit_is_unconfirmed_and_no_loss(beating: Run, lease: Lease) -> None:
    """Faults W6: half a life lost the issue, and all that codex had done."""
    lease.fault = GitHubError("502", "5xx")
    before = lease.last
    assert stopped(beating)
    assert lease.silence() >= 1
    with pytest.raises(
        Unconfirmed, match=r"has confirmed no edit of our claim for 1 s, and it lives for 1: 502"
    ) as caught:
        beating.stop.obey()
    assert caught.value.since == pytest.approx(before, abs=0.01)


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
    beating.subject.heartbeat.stop()
    assert len(lease.beats) >= 2
    assert not beating.stop


def test_nothing_beats_after_the_end(beating: Run, lease: Lease) -> None:
    beating.subject.heartbeat.stop()
    count = len(lease.beats)
    time.sleep(0.5)
    assert len(lease.beats) == count


def test_a_heartbeat_that_never_began_can_be_stopped(new_run: Callable[..., Run]) -> None:
    new_run().subject.leave()


def test_a_persons_release_stops_the_run_and_is_not_written_over(beating: Run, lease: Lease) -> None:
    lease.word = Lost("anna released our claim")
    count = len(lease.beats)
    assert stopped(beating)
    assert len(lease.beats) == count
    with pytest.raises(Lost, match="anna"):
        beating.stop.obey()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"open": False}, "somebody closed the issue"),
        ({"open": False, "closed_by": "anna"}, "anna closed the issue"),
        ({"comments": (BID, TAKEN)}, "worker other took the issue over .run r-2"),
        ({"status": "done"}, "somebody moved the issue to 'done'"),
        ({"status": None}, "somebody took the issue off the board"),
        ({"labels": ()}, "took the label 'n300' off"),
        ({"labels": ("bug", "t3000")}, "took the label 'n300' off"),
    ],
)
def test_an_issue_that_a_person_took_away_stops_the_run(
    beating: Run, lease: Lease, given: dict[str, Any], words: str
) -> None:
    """Faults W3: it falls out of the edit's own answer."""
    lease.shows = dataclasses.replace(lease.shows, **given)
    assert stopped(beating)
    with pytest.raises(Lost, match=words):
        beating.stop.obey()


@pytest.mark.parametrize(
    "given", [{"status": "in progress"}, {"labels": ("N300", "bug")}, {"comments": (BID,)}, {"closed_by": "anna"}]
)
def test_what_belongs_to_the_run_stops_nothing(beating: Run, lease: Lease, given: dict[str, Any]) -> None:
    lease.shows = dataclasses.replace(lease.shows, **given)
    time.sleep(0.5)
    assert lease.beats
    assert not beating.stop


def test_what_the_run_itself_did_is_expected(beating: Run, lease: Lease) -> None:
    """From the intent of a last status on, that status and a closed issue are nobody else's doing."""
    beating.journal.append("effect.intent", effect="status", key="done by 7")
    lease.shows = dataclasses.replace(lease.shows, open=False, status="done")
    time.sleep(0.5)
    assert lease.beats
    assert not beating.stop


def test_a_death_of_the_heartbeat_is_heard(beating: Run, lease: Lease) -> None:
    """Faults T2."""
    lease.fault = KeyError("updateIssueComment")
    assert stopped(beating)
    with pytest.raises(YtfsmError, match="the heartbeat died: KeyError"):
        beating.stop.obey()


def test_a_rate_limit_is_not_slept_through_past_the_claims_life(beating: Run, lease: Lease) -> None:
    """Faults T2: GitHub asks for an hour, the claim lives for a second."""
    with pytest.raises(GitHubError, match="3600 s of patience"):
        Deadline(lease, threading.Event()).wait(3600)


def test_what_a_beat_asks_is_cut_off_when_its_time_is_over(lease: Lease) -> None:
    """Faults T2: the time of one beat, and the claim's whole life."""
    deadline = Deadline(lease, threading.Event())
    assert not deadline
    with pytest.raises(GitHubError, match="within the time that a heartbeat has") as caught:
        Shell("beat", Redactor(), stop=deadline).run(["sleep", "20"], timeout=30)
    assert caught.value.landed is None
    deadline.begin()
    assert not deadline
    lease.last -= 1
    assert deadline


def test_a_beat_that_wakes_after_a_suspend_does_not_sleep_on(
    lease: Lease, beating: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults T5: what counts is a clock that goes on meanwhile."""
    times = iter([0.0, 0.0, 4000.0])
    asked: list[float] = []
    beating.subject.heartbeat.stop()
    monkeypatch.setattr(lease.clock, "now", lambda: next(times))
    over = SimpleNamespace(wait=lambda seconds: asked.append(seconds), is_set=lambda: False)
    assert Heartbeat._rest(SimpleNamespace(_lease=lease, _over=over), 1200) is False  # type: ignore[arg-type]
    assert asked == [30.0]


def test_the_last_edit_has_landed_when_a_heartbeat_has_stopped(beating: Run, lease: Lease) -> None:
    """Faults T3."""
    sent, landed = threading.Event(), threading.Event()

    def slow(body: str, forge: Any) -> Written:
        sent.set()
        landed.wait(0.3)
        landed.set()
        return lease.shows

    lease.beat = slow  # type: ignore[method-assign]
    assert sent.wait(3)
    beating.subject.heartbeat.stop()
    assert landed.is_set()
