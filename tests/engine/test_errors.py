"""Errors: whose fault each is, and what it says."""

import inspect
import re
from pathlib import Path

import pytest

from machines.bringup import MACHINE, WORKING
from yt_fsm import bringup, github
from yt_fsm.bringup.errors import BadReference, BranchExists, BringupError
from yt_fsm.engine import errors
from yt_fsm.engine.errors import (
    AnswerTooLarge,
    CommandFailed,
    JournalBroken,
    Lost,
    ServiceError,
    SetupError,
    StopRequested,
    Unconfirmed,
    Verdict,
    YtfsmError,
)
from yt_fsm.github.errors import GitHubError

MODULES = (errors, github.errors, bringup.errors)
EVERY = [
    error for module in MODULES for _, error in inspect.getmembers(module, inspect.isclass)
    if issubclass(error, YtfsmError) and error.__module__ == module.__name__
]  # fmt: skip
BY_NAME = {error.__name__: error for error in EVERY}


@pytest.mark.parametrize(
    ("error", "event"),
    [(SetupError, "abort"), (BringupError, "give_up"), (BadReference, "reject"), (Lost, "lose")],
)
def test_each_fault_has_its_event(error: type[Verdict], event: str) -> None:
    assert error.event == event


def test_the_worlds_faults_are_setup_errors() -> None:
    """§9.1 H: what a program, GitHub or somebody's branch does wrong is never the model's failure."""
    for world in (CommandFailed, GitHubError, BranchExists):
        assert issubclass(world, SetupError)
        assert not issubclass(world, BringupError)
        assert world.event == "abort"


def test_every_verdict_leads_somewhere_it_can_be_raised() -> None:
    assert all(MACHINE.allows("abort", state) for state in WORKING)
    assert all(MACHINE.allows("lose", state) for state in ("ready", *WORKING))
    assert [state for state in MACHINE.states if MACHINE.allows("give_up", state)] == ["bringup", "checking"]
    assert [state for state in MACHINE.states if MACHINE.allows("reject", state)] == ["download"]


def test_faults_do_not_overlap() -> None:
    verdicts = (SetupError, BringupError, BadReference, Lost)
    for one in verdicts:
        assert [other for other in verdicts if issubclass(one, other)] == [one]
    assert not issubclass(StopRequested, Verdict)
    assert not issubclass(JournalBroken, Verdict)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    for module in MODULES:
        drawn = set(re.findall(r"^[│├└─ ]*([A-Z]\w+)(?:  |$)", module.__doc__ or "", re.MULTILINE))
        assert drawn >= {error.__name__ for error in EVERY if error.__module__ == module.__name__}
        assert drawn <= BY_NAME.keys()


@pytest.mark.parametrize("error", EVERY, ids=lambda e: e.__name__)
def test_every_error_says_in_its_docstring_what_it_is(error: type[YtfsmError]) -> None:
    assert error.__doc__
    assert error.exit_code in (1, 2, 3, 4, 5)


def test_exit_codes_are_those_of_the_contract() -> None:
    """cli.md."""
    codes = {
        "Usage": 2, "JournalDamaged": 3, "JournalBroken": 3, "NotFound": 4, "Exists": 4, "Owned": 4,
        "PreflightFailed": 5, "SetupError": 1, "BringupError": 1, "Refused": 1, "Lost": 1,
    }  # fmt: skip
    assert {name: BY_NAME[name].exit_code for name in codes} == codes
    assert StopRequested("stopped by SIGINT").exit_code == 130
    assert StopRequested("stopped by SIGTERM", 0).exit_code == 0


@pytest.mark.parametrize(
    ("code", "why", "words"),
    [
        (2, "", "`git push 'a b'` exited 2 (log: 003-git.log)\nlast line"),
        (-9, "", "`git push 'a b'` was killed by signal 9 (log: 003-git.log)\nlast line"),
        (None, "was stopped", "`git push 'a b'` was stopped (log: 003-git.log)\nlast line"),
    ],
)
def test_a_failed_command_words_itself(code: int | None, why: str, words: str) -> None:
    problem = CommandFailed(["git", "push", "a b"], code, "last line\n", Path("/runs/logs/003-git.log"), why)
    assert str(problem) == words
    assert (problem.argv, problem.code, problem.why) == (["git", "push", "a b"], code, why)


def test_a_failed_command_that_said_nothing_ends_with_its_first_line() -> None:
    assert str(CommandFailed(["x"], 1, "", None)) == "`x` exited 1"


# --- causes


def cloned(run: str, code: int | None = 128) -> CommandFailed:
    return CommandFailed(["/usr/bin/git", "clone", f"/tmp/{run}/clean"], code, f"fatal: {run}", Path(f"/runs/{run}/1"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (cloned("20261122T093704Z-n300-i1-90a6"), cloned("20261122T093705Z-n300-i2-beef")),
        (SetupError("the disk that holds /tmp/a is full\nx"), SetupError("the disk that holds /tmp/b is full\ny")),
        (SetupError("/tmp has 0.5 GB free"), SetupError("/tmp has 0.25 GB free")),
        (ServiceError("asked by run 7", "5xx"), ServiceError("asked by run 8", "5xx")),
        (AnswerTooLarge(["gh", "x"], 16, Path("a.log")), AnswerTooLarge(["gh", "y"], 16, None)),
    ],
)
def test_one_trouble_of_two_runs_is_one_cause(one: SetupError, other: SetupError) -> None:
    """Faults Q4: a git that could not clone spoiled the whole queue, as each text named its run's own paths."""
    assert str(one) != str(other)
    assert one.cause == other.cause
    assert one.cause.startswith(type(one).__name__)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (cloned("a"), cloned("a", 1)),
        (cloned("a"), cloned("a", None)),
        (cloned("a"), CommandFailed(["gh"], 128, "", None)),
        (SetupError("no board"), SetupError("no disk")),
        (ServiceError("x", "5xx"), ServiceError("x", "NETWORK")),
        (ServiceError("x", "5xx"), GitHubError("x", "5xx")),
    ],
)
def test_two_troubles_are_two_causes(one: SetupError, other: SetupError) -> None:
    assert one.cause != other.cause


def test_nobodys_word_for_a_claim_is_no_loss() -> None:
    """Faults W6."""
    problem = Unconfirmed("GitHub does not answer", 12.0)
    assert (problem.fault, problem.final, problem.since) == ("service", False, 12.0)
    assert not isinstance(problem, Lost)
