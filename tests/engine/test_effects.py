"""Effects: once each, with an intent before and a done after, and never repeated blindly."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.journals import begin
from yt_fsm.engine.effects import Effects
from yt_fsm.engine.errors import StopRequested
from yt_fsm.engine.journal import Journal, read
from yt_fsm.github.errors import GitHubError


class Clock:
    """Waits by moving on, unless a stop was asked for."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.waits: list[float] = []
        self.stop: Exception | None = None
        self.then: Callable[[], None] = lambda: None  # what happens while it waits

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.ahead

    def wait(self, seconds: float) -> None:
        if self.stop:
            raise self.stop
        self.waits.append(seconds)
        self.ahead += seconds
        self.then()


UNKNOWN = GitHubError("502", "5xx", landed=None)


class Outside:
    """The outside: what is there, and what was done to it."""

    def __init__(self, *answers: Any) -> None:
        self.there: dict[str, Any] | None = None
        self.applied: list[int] = []
        self.looked = 0
        self.answers = list(answers)  # an exception to raise, or True when it lands all the same

    def apply(self, intent: dict[str, Any]) -> dict[str, Any]:
        self.applied.append(intent["seq"])
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, tuple):  # lands, and the answer is lost
            self.there = {"id": 1}
            raise answer[0]
        if isinstance(answer, Exception):
            raise answer
        self.there = {"id": 1}
        return {"id": 1}

    def observe(self, _: dict[str, Any]) -> dict[str, Any] | None:
        self.looked += 1
        return self.there


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = begin(tmp_path / "run")
    yield made
    made.close()


@pytest.fixture
def once(journal: Journal) -> Callable[[Outside], dict[str, Any]]:
    effects = Effects(journal, Clock(), settle=0.0)
    return lambda world: effects.once("comment", "failed", world.apply, world.observe)


def keep_time(journal: Journal, clock: Clock) -> None:
    """From now on records are written at the clock's time."""
    append = journal.append

    def at_the_clocks_time(kind: str, **fields: Any) -> dict[str, Any]:
        record = append(kind, **fields)
        record["mono"] = clock.now()
        return record

    journal.append = at_the_clocks_time  # type: ignore[method-assign]


def kinds(journal: Journal) -> list[str]:
    return [r["kind"] for r in journal.records[1:]]


def test_an_effect_is_an_intent_then_the_deed_then_done(journal: Journal, once: Callable[..., Any]) -> None:
    world = Outside()
    assert once(world) == {"id": 1}
    assert kinds(journal) == ["effect.intent", "effect.done"]
    assert world.applied == [1], "apply sees the intent that is on disk already"
    assert journal.records[2]["result"] == {"id": 1}


def test_what_is_done_is_not_done_again(journal: Journal, once: Callable[..., Any]) -> None:
    world = Outside()
    once(world)
    assert once(world) == {"id": 1}
    assert len(world.applied) == 1
    assert kinds(journal) == ["effect.intent", "effect.done"]


def test_what_is_done_is_known_after_a_restart(journal: Journal, once: Callable[..., Any]) -> None:
    once(Outside())
    journal.close()
    again = Journal.open(journal.path)
    world = Outside()
    assert Effects(again, Clock(), settle=0.0).once("comment", "failed", world.apply, world.observe) == {"id": 1}
    assert world.applied == []
    again.close()


def test_an_intent_without_done_is_looked_for_before_anything_else(journal: Journal, once: Callable[..., Any]) -> None:
    journal.append("effect.intent", effect="comment", key="failed")
    world = Outside()
    world.there = {"id": 9}
    assert once(world) == {"id": 9}
    assert world.applied == []
    assert kinds(journal) == ["effect.intent", "effect.done"]


def test_an_intent_that_never_landed_is_applied_again(journal: Journal, once: Callable[..., Any]) -> None:
    journal.append("effect.intent", effect="comment", key="failed")
    world = Outside()
    assert once(world) == {"id": 1}
    assert world.looked == 1
    assert kinds(journal) == ["effect.intent", "effect.intent", "effect.done"]


def test_absence_counts_only_after_reads_have_settled(journal: Journal) -> None:
    journal.append("effect.intent", effect="comment", key="failed")
    world, clock = Outside(), Clock()

    def shows_at_last() -> None:
        if sum(clock.waits) > 30:
            world.there = {"id": 5}

    clock.then = shows_at_last
    assert Effects(journal, clock, settle=60.0).once("comment", "failed", world.apply, world.observe) == {"id": 5}
    assert world.applied == []
    assert world.looked > 5


def test_settling_counts_from_the_answer_that_was_lost_and_not_from_the_intent(journal: Journal) -> None:
    """Faults W16: a rate limit of ten minutes, then a 502, and the comment shows a little later."""
    world, clock = Outside(UNKNOWN), Clock()
    apply = world.apply

    def slow(intent: dict[str, Any]) -> dict[str, Any]:
        clock.ahead += 600
        return apply(intent)

    def shows_at_last() -> None:
        if sum(clock.waits) > 30:
            world.there = {"id": 5}

    clock.then = shows_at_last
    keep_time(journal, clock)
    assert Effects(journal, clock, settle=60.0).once("comment", "failed", slow, world.observe) == {"id": 5}
    assert len(world.applied) == 1, "the comment is not posted twice"


def test_every_lost_answer_is_looked_for_until_it_settles(journal: Journal) -> None:
    """And one after another is told, as a wait: `released` asked a GitHub that was away for ever, without a word."""
    world, clock = Outside(UNKNOWN, UNKNOWN, UNKNOWN), Clock()
    keep_time(journal, clock)
    effects = Effects(journal, clock, settle=60.0)
    with pytest.raises(GitHubError, match="502"):
        effects.once("comment", "failed", world.apply, world.observe)
    assert len(world.applied) == 2
    assert effects.once("comment", "failed", world.apply, world.observe) == {"id": 1}
    assert len(world.applied) == 4
    assert sum(clock.waits) >= 3 * 60
    assert kinds(journal) == ["effect.intent", "effect.unknown"] * 3 + ["effect.intent", "effect.done"]


def test_what_a_dead_process_may_have_sent_counts_from_the_resume(journal: Journal) -> None:
    """Its intent may be old, and of another boot: the request may have left a moment before it died."""
    intent = journal.append("effect.intent", effect="comment", key="failed")
    intent["mono"] += 10**6  # of a boot that lasted longer
    journal.append("resumed", state="failed")
    world, clock = Outside(), Clock()
    keep_time(journal, clock)
    effects = Effects(journal, clock, settle=60.0)
    assert effects.once("comment", "failed", world.apply, world.observe) == {"id": 1}
    assert 60 <= sum(clock.waits) < 70
    clock.ahead = 100
    assert effects.look("comment", "failed", world.observe) == {"id": 1}


def test_what_may_have_been_so_before_is_waited_for_until_the_request_cannot_land_any_more(journal: Journal) -> None:
    """Faults W16: the card was in progress already, and our own move there lands after the end, and reopens it."""
    world, clock = Outside(UNKNOWN), Clock()
    keep_time(journal, clock)
    world.there = {"id": 0}
    effects = Effects(journal, clock, settle=60.0)
    assert effects.once("status", "in progress", world.apply, world.observe, proof=False) == {"id": 0}
    assert len(world.applied) == 1
    assert sum(clock.waits) >= 60


def test_a_move_waits_while_an_earlier_move_may_still_land(journal: Journal) -> None:
    effects = Effects(journal, clock := Clock(), settle=60.0)
    journal.append("effect.intent", effect="status", key="in progress")
    journal.append("effect.intent", effect="comment", key="failed")
    world = Outside()
    effects.once("status", "ready", world.apply, world.observe)
    assert 59 < sum(clock.waits) < 61, "the late one would undo this one"
    clock.waits.clear()
    effects.once("push", "branch", world.apply, world.observe)
    assert clock.waits == []


def test_a_lost_answer_is_looked_for_and_not_repeated(journal: Journal, once: Callable[..., Any]) -> None:
    world = Outside((UNKNOWN,))
    assert once(world) == {"id": 1}
    assert len(world.applied) == 1
    assert kinds(journal) == ["effect.intent", "effect.unknown", "effect.done"]
    assert "502" in journal.records[2]["error"]


def test_a_lost_write_is_written_again_when_it_is_surely_not_there(journal: Journal, once: Callable[..., Any]) -> None:
    world = Outside(UNKNOWN)
    assert once(world) == {"id": 1}
    assert len(world.applied) == 2
    assert world.looked >= 1


def test_a_refusal_is_no_riddle(journal: Journal, once: Callable[..., Any]) -> None:
    world = Outside(GitHubError("no", "FORBIDDEN"))
    with pytest.raises(GitHubError, match="no"):
        once(world)
    assert world.looked == 0
    assert kinds(journal) == ["effect.intent"]


def test_two_keys_are_two_effects(journal: Journal) -> None:
    effects = Effects(journal, Clock(), settle=0.0)
    world = Outside()
    effects.once("status", "in progress", world.apply, world.observe)
    world.there = None
    effects.once("status", "failed", world.apply, world.observe)
    assert len(world.applied) == 2
    assert effects.done("status", "failed") == {"id": 1}
    assert effects.done("status", "ready") is None


def test_what_was_begun_and_not_finished_is_pending(journal: Journal, once: Callable[..., Any]) -> None:
    effects = Effects(journal, Clock(), settle=0.0)
    once(Outside())
    journal.append("effect.intent", effect="push", key="branch")
    assert [(r["effect"], r["key"]) for r in effects.pending()] == [("push", "branch")]


def test_an_effect_can_be_looked_for_without_being_done(journal: Journal) -> None:
    effects = Effects(journal, Clock(), settle=0.0)
    world = Outside()
    world.there = {"id": 9}
    assert effects.look("claim", "x", world.observe) is None, "it was never meant"
    journal.append("effect.intent", effect="claim", key="x")
    assert effects.look("claim", "x", world.observe) == {"id": 9}
    assert world.applied == []
    assert kinds(journal) == ["effect.intent"]


def test_a_stop_ends_the_waiting(journal: Journal) -> None:
    clock = Clock()
    clock.stop = StopRequested("stopped by SIGTERM", 0)
    journal.append("effect.intent", effect="comment", key="failed")
    world = Outside()
    with pytest.raises(StopRequested):
        Effects(journal, clock, settle=60.0).once("comment", "failed", world.apply, world.observe)
    assert world.applied == []


def test_an_effect_of_which_nothing_is_to_be_remembered_is_no_damage(journal: Journal) -> None:
    """Found by a newcomer's machine, whose `apply` returned nothing: the journal was damaged by that."""
    effects = Effects(journal, Clock(), settle=0.0)
    assert effects.once("copy", "x", lambda _: None, lambda _: None) == {}
    assert read(journal.path).verdict == "ok"


@pytest.mark.parametrize("answer", [False, True, "id", 0, ["id"]])
def test_an_observe_that_answers_neither_what_it_saw_nor_none_is_a_bug_by_name(journal: Journal, answer: Any) -> None:
    """False would otherwise pass for "done", and nothing would be done."""
    world = Outside(UNKNOWN)
    effects = Effects(journal, Clock(), settle=0.0)
    with pytest.raises(TypeError, match=r"`observe` of the effect `comment` returned .*: it returns a dict"):
        effects.once("comment", "failed", world.apply, lambda record: answer)
    assert effects.done("comment", "failed") is None


def test_an_apply_that_returns_something_else_is_a_bug_by_name_and_not_done(journal: Journal) -> None:
    effects = Effects(journal, Clock(), settle=0.0)
    with pytest.raises(TypeError, match="`apply` of the effect `comment` returned 'id': it returns a dict"):
        effects.once("comment", "failed", lambda intent: "id", lambda record: None)  # type: ignore[arg-type, return-value]
    assert effects.done("comment", "failed") is None
