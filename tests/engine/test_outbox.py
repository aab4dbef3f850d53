"""The outbox: what is not published yet is tried again while the worker does something else."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from machines.bringup import MACHINE
from yt_fsm.engine import outbox as module
from yt_fsm.engine.errors import Lost, ServiceError, StopRequested
from yt_fsm.engine.outbox import Outbox
from yt_fsm.engine.run import Run
from yt_fsm.engine.stop import StopFlag

NewRun = Callable[..., Run]
AWAY = ServiceError("502", "5xx", landed=None)


class Publishing:
    """A final state's work: each of its errors once, then it is done."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.threads = list(errors), []  # type: ignore[var-annotated]

    def __call__(self, run: Run) -> None:
        self.threads.append(threading.current_thread().name)
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def waiting(new_run: NewRun) -> Callable[..., Run]:
    """A run in `review`, whose publishing meets these errors."""

    def make(*errors: Exception) -> Run:
        work: dict[str, Any] = dict.fromkeys(MACHINE.states, lambda run: None)
        run = new_run(work={**work, "review": Publishing(*errors)})
        for event in ("claim", "prepare", "fetch", "clear", "begin", "submit", "accept"):
            try:
                run.trigger(event)
            except ServiceError as problem:
                run.waiting = str(problem)
        return run

    return make


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr(module, "FIRST_SECS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECS", 0.02)
    box = Outbox()
    yield box
    box.close(StopRequested("the test is over"))


def kinds(run: Run) -> list[str]:
    return [record["kind"] for record in run.journal.records]


def test_a_run_is_published_while_the_worker_walks_another(outbox: Outbox, waiting: Callable[..., Run]) -> None:
    """Faults T6: it was not, for as long as that took."""
    run = waiting(AWAY, AWAY, AWAY)
    outbox.add(run)
    end = time.monotonic() + 20
    while len(outbox) and time.monotonic() < end:
        time.sleep(0.01)
    assert (len(outbox), run.waiting, run.over) == (0, None, True)
    assert kinds(run)[-1] == "end"
    assert set(run.definition.states["review"].threads[1:]) == {"outbox"}  # type: ignore[attr-defined]


def test_who_asked_for_one_run_waits_until_all_is_published(outbox: Outbox, waiting: Callable[..., Run]) -> None:
    runs = [waiting(AWAY, AWAY), waiting(AWAY)]
    for run in runs:
        outbox.add(run)
    outbox.empty(StopFlag())
    assert [run.over for run in runs] == [True, True]


def test_a_stop_is_heard_at_once_and_what_is_left_is_said(outbox: Outbox, waiting: Callable[..., Run]) -> None:
    """Faults T1: a signal was not heard for 60 s, while the outbox waited out a rate limit."""
    run = waiting(AWAY, AWAY)
    asleep = threading.Event()

    def patient(run: Run) -> None:
        asleep.set()
        run.stop.wait(3574)

    object.__setattr__(run.definition, "states", {**run.definition.states, "review": patient})
    outbox.add(run)
    assert asleep.wait(20)
    began = time.monotonic()
    outbox.close(StopRequested("stopped by SIGTERM", 0))
    assert time.monotonic() - began < 10
    assert kinds(run)[-1] == "stopped"
    assert "not published yet: 502" in run.journal.records[-1]["why"]
    assert len(outbox) == 0


def test_a_bug_in_one_run_keeps_no_other_from_being_published(
    outbox: Outbox, waiting: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    buggy, sound = waiting(AWAY, *[ZeroDivisionError()] * 3), waiting(AWAY)
    outbox.add(buggy)
    outbox.add(sound)
    outbox.empty(StopFlag())
    assert buggy.over
    assert sound.over
    assert "ZeroDivisionError" in caplog.text
    assert caplog.records[0].levelno >= logging.WARNING


def test_a_loss_ends_it_unpublished(outbox: Outbox, waiting: Callable[..., Run]) -> None:
    run = waiting(AWAY, Lost("somebody closed the issue"))
    outbox.add(run)
    outbox.empty(StopFlag())
    assert (run.over, run.refused) == (True, "somebody closed the issue")
