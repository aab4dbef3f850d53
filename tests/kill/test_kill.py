"""A seeded sample of the kill matrix, and that tests/README.md tells of today's."""

import os
import random
import re

import pytest

from . import told
from .matrix import FAMILIES, Trials

SEED = os.environ.get("KILL_SEED", "1")  # another sample: KILL_SEED=2 scripts/test tests/kill
SAMPLE = {
    "record": 3, "effect": 2, "stop": 1,
    "torn": 1, "command": 1, "file": 1, "twice": 1, "full": 1, "disk": 1, "child": 1,
    "lab": 1,
}  # fmt: skip
CHOSEN = [(family, nth) for family, count in SAMPLE.items() for nth in range(count)]


@pytest.mark.parametrize(("family", "nth"), CHOSEN)
def test_a_run_ends_as_if_nothing_had_happened(trials: Trials, family: str, nth: int) -> None:
    points = trials.trace().points(family)
    trials.disturb(family, random.Random(f"{SEED} {family}").sample(points, SAMPLE[family])[nth])


def test_an_accident_that_is_not_repaired_is_seen(trials: Trials) -> None:
    case = trials.case()
    trials.start(case, "effect:3:after")  # the pull request is there, and nothing more
    with pytest.raises(AssertionError, match=r"status is 'in progress', not 'in review'"):
        trials.check(case, trials.trace().result)
    with pytest.raises(AssertionError, match="0 terminal comments"):
        trials.check_issue(case)
    with pytest.raises(AssertionError, match="is not complete: it stands in review"):
        trials.check_journals(case)
    with pytest.raises(AssertionError, match="temp folders are left"):
        trials.check_machine(case)
    trials.go_on(case)
    trials.check(case, trials.trace().result)


def test_what_a_dead_worker_left_hanging_is_ended_before_the_run_goes_on(trials: Trials) -> None:
    slow = trials.folder / "warm" / "slow"
    slow.touch()
    try:
        case = trials.case()
        commands = trials.trace().of("command")
        trials.start(case, f"command:{commands.index('eval_tt0')}:started")
        assert len(trials.alive(case)) > 0
    finally:
        slow.unlink()
    trials.go_on(case)
    trials.check(case, trials.trace().result)


def test_the_readme_tells_of_todays_matrix(trials: Trials) -> None:
    trace = trials.trace()
    text = told.written()
    again = "run `scripts/kill-matrix`, or `scripts/kill-matrix --list` when a person has to wait"
    assert told.records(trace) in text, f"the run has other records than tests/README.md says: {again}"
    rows = re.findall(r"^\| (.+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == list(FAMILIES.values()), f"other families than the matrix has: {again}"
    assert [name for name, points, run, wrong in rows if run != points or int(wrong)] == [], f"not all well: {again}"
