"""The base's own tests: where they fail by themselves no model is blamed, and none is tried (faults W9)."""

from collections.abc import Callable
from typing import Any

import pytest

from yt_fsm.bringup import base
from yt_fsm.bringup.errors import BaseBroken
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import evaluation_of
from yt_fsm.engine.errors import CommandFailed

SHA, OTHER = "1b" * 20, "2c" * 20


class Python:
    """The evaluation's Python: what it has installed, and how its pytest ends."""

    def __init__(self) -> None:
        self.installed, self.ends = "torch-2.13.dist-info", (0, "3 passed")
        self.tested = 0

    def answer(self, argv: str, options: dict[str, Any]) -> tuple[int, str]:
        if argv.startswith("python -c"):
            return 0, self.installed
        assert argv == "python -m pytest -q"
        assert options["cwd"].name == "check"
        self.tested += 1
        return self.ends


@pytest.fixture
def python() -> Python:
    return Python()


@pytest.fixture
def begin(python: Python, new_run: Callable[..., Any]) -> Callable[..., BringupRun]:
    def make(sha: str = SHA) -> BringupRun:
        run: BringupRun = new_run(python.answer, python="python")
        run.empty_workspace()
        run.facts.base, run.facts.into = sha, "main"
        return run

    return make


def require(run: BringupRun) -> None:
    base.require(run, evaluation_of(run))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (
            (1, "1 failed, 2 passed"),
            f"the models repo's own tests fail on main at {SHA}, before anybody .*\n.* exited 1",
        ),
        ((2, "1 error during collection"), f"own tests fail on main at {SHA}"),
        (
            (5, "no tests ran in 0.01s"),
            f"the models repo has no tests on main at {SHA}, and every check begins with them",
        ),
    ],
)
def test_a_base_that_fails_by_itself_is_the_worlds_fault(
    begin: Callable[..., BringupRun], python: Python, ends: tuple[int, str], words: str
) -> None:
    python.ends = ends
    with pytest.raises(BaseBroken, match=words) as caught:
        require(begin())
    assert caught.value.fault == "machine", "the breaker counts it"
    assert ends[1] in str(caught.value)


def test_every_run_that_meets_it_meets_one_cause(begin: Callable[..., BringupRun], python: Python) -> None:
    python.ends = (1, "1 failed")
    causes = set()
    for sha in (SHA, OTHER):
        with pytest.raises(BaseBroken) as caught:
            require(begin(sha))
        causes.add(caught.value.cause)
    assert len(causes) == 1


def test_a_base_that_passed_is_not_tested_again_for_the_next_run(
    begin: Callable[..., BringupRun], python: Python
) -> None:
    require(begin())
    require(begin())
    assert python.tested == 1
    require(begin(OTHER))
    assert python.tested == 2, "another commit"
    python.installed = "torch-2.14.dist-info"
    require(begin())
    assert python.tested == 3, "another evaluation environment"


def test_a_failure_is_not_kept(begin: Callable[..., BringupRun], python: Python) -> None:
    """It may pass: a full disk was mended, say."""
    python.ends = (1, "No space left on device")
    with pytest.raises(BaseBroken):
        require(begin())
    python.ends = (0, "3 passed")
    require(begin())
    assert python.tested == 2


def test_a_kill_from_outside_says_nothing_about_the_tests(begin: Callable[..., BringupRun], python: Python) -> None:
    python.ends = (-9, "")
    with pytest.raises(CommandFailed, match="was killed by signal 9") as caught:
        require(begin())
    assert not isinstance(caught.value, BaseBroken)
    assert python.tested == 2


def test_old_verdicts_are_forgotten(
    begin: Callable[..., BringupRun], python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "KEPT", 2)
    for sha in "cdef":
        require(begin(sha * 40))
    run = begin()
    assert len(list((run.settings.home / "gates").iterdir())) == 2
