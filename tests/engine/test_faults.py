"""The table of faults: every error has its row, and what follows from it is asked nowhere else."""

import ast
from pathlib import Path

import pytest

import yt_fsm
from yt_fsm.bringup.errors import BadReference, BranchExists, BringupError, MalformedIssue
from yt_fsm.engine import errors, faults
from yt_fsm.engine.errors import CommandFailed, Leaked, Lost, Refused, SetupError, StopRequested, Unconfirmed, Wait
from yt_fsm.engine.faults import CRASH, END, PARK, REFUSE, STOP, WAIT, rule_of
from yt_fsm.engine.machine import LOSE
from yt_fsm.github.errors import ClaimsIgnored, GitHubError, NoWay
from yt_fsm.tools.errors import CodexAway, CodexLimited, CodexLoggedOut, CodexUnfinished
from yt_fsm.tools.hub import NotOnTheHub, WeightsDamaged

AWAY = CommandFailed(["git", "fetch"], 128, "Could not resolve host", None)
AWAY.fault = "service"


@pytest.mark.parametrize(
    ("error", "working", "publishing", "counts"),
    [
        (StopRequested("SIGTERM"), STOP, STOP, False),
        (Wait("x"), WAIT, WAIT, False),
        (CodexLimited("x"), WAIT, WAIT, False),
        (CodexAway("x"), WAIT, WAIT, False),
        (CodexLoggedOut("x"), WAIT, WAIT, False),
        (GitHubError("x", "502"), WAIT, WAIT, False),
        (GitHubError("x", "UNAUTHORIZED"), WAIT, WAIT, False),
        (AWAY, WAIT, WAIT, False),
        (Unconfirmed("x", 0.0), PARK, WAIT, False),
        (Lost("x"), LOSE, REFUSE, False),
        (GitHubError("x", "FORBIDDEN"), END, REFUSE, True),
        (ClaimsIgnored("NONE", "x/y"), END, WAIT, True),
        (NoWay("x"), END, WAIT, True),
        (CodexUnfinished("x"), END, REFUSE, True),
        (SetupError("x"), END, WAIT, True),
        (WeightsDamaged("x"), END, WAIT, True),
        (CommandFailed(["git", "add"], 1, "", None), END, WAIT, True),
        (MalformedIssue("x"), END, WAIT, False),
        (NotOnTheHub("x"), END, WAIT, False),
        (BranchExists("x"), END, WAIT, False),
        (BadReference("x"), END, WAIT, False),
        (BringupError("x"), END, WAIT, False),
        (Refused("x"), CRASH, REFUSE, False),
        (Leaked("x"), CRASH, REFUSE, False),
        (ZeroDivisionError(), CRASH, CRASH, False),
        (errors.YtfsmError("the heartbeat died"), CRASH, CRASH, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_error_says_what_follows_from_it(error: BaseException, working: str, publishing: str, counts: bool) -> None:
    rule = rule_of(error)
    assert (rule.working, rule.publishing, rule.counts) == (working, publishing, counts)


def test_a_refused_bid_counts_by_what_refused_it() -> None:
    """Faults Q3: some twenty runs and comments on one issue in 30 s."""
    lost = Lost("the claim could not be made")
    assert faults.counts(lost) is None
    lost.__cause__ = ClaimsIgnored("NONE", "x/y")
    assert faults.counts(lost) == lost.__cause__.cause
    lost.__cause__ = GitHubError("x", "502")
    assert faults.counts(lost) is None
    assert faults.counts(None) is None


def test_every_error_of_ours_has_a_row_of_its_own_kind() -> None:
    """Only what no run can meet is a bug by the table: usage, and a run that somebody else has."""
    before_a_run = {"YtfsmError", "Usage", "NotFound", "Exists", "Owned", "JournalDamaged", "JournalBroken", "Verdict"}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.YtfsmError)]
    bugs = {kind.__name__ for kind in kinds if rule_of(kind.__new__(kind)).name == "anything else"}
    assert bugs == before_a_run


def test_nobody_else_in_the_engine_sorts_errors_into_events() -> None:
    """`event` and `fault` are read in the table and where an error decides, nowhere else."""
    engine = Path(yt_fsm.__file__).parent / "engine"
    asks: dict[str, set[str]] = {}
    for file in engine.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("fault", "final") and _of_an_error(node):
                asks.setdefault(file.name, set()).add(node.attr)
    assert asks == {"faults.py": {"fault", "final"}}


def _of_an_error(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("e", "error", "problem", "verdict")
