"""checking: a pass that is written down stands, whatever the world does next (faults W4)."""

from collections.abc import Callable
from typing import Any

import pytest

from states.bringup import checking
from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.errors import Lost, ServiceError
from yt_fsm.github.errors import GitHubError

PASSED = {"n": 1, "passed": True, "commit": "c0ffee", "error": None}


@pytest.fixture
def passed(new_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> BringupRun:
    monkeypatch.setattr(checking, "judged", lambda run: PASSED)
    run: BringupRun = new_run()
    return run


@pytest.mark.parametrize("problem", [GitHubError("502", "5xx"), GitHubError("gone", "NOT_FOUND"), ServiceError("away")])
def test_a_pass_is_accepted_though_nobody_says_whose_the_issue_is(
    passed: BringupRun, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def away() -> None:
        raise problem

    monkeypatch.setattr(passed, "fence", away)
    assert checking.enter(passed) == "accept"
    assert passed.facts.commit == "c0ffee"


def test_a_claim_that_is_lost_for_certain_loses_the_run(passed: BringupRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> None:
        raise Lost("worker other took the issue over")

    monkeypatch.setattr(passed, "fence", taken)
    with pytest.raises(Lost):
        checking.enter(passed)
    assert "commit" not in passed.facts
