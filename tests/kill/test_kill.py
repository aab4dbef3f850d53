"""A seeded sample of the kill matrix, and that tests/README.md tells of today's."""

import os
import random
import re

import pytest

from . import told
from .matrix import FAMILIES, World

SEED = os.environ.get("KILL_SEED", "1")  # another sample: KILL_SEED=2 scripts/test tests/kill
SAMPLE = {
    "record": 3, "effect": 2, "stop": 1,
    "torn": 1, "command": 1, "file": 1, "twice": 1, "full": 1, "disk": 1, "child": 1,
    "lab": 1,
}  # fmt: skip
CHOSEN = [(family, nth) for family, count in SAMPLE.items() for nth in range(count)]


@pytest.mark.parametrize(("family", "nth"), CHOSEN)
def test_a_run_ends_as_if_nothing_had_happened(world: World, family: str, nth: int) -> None:
    points = world.trace().points(family)
    world.disturb(family, random.Random(f"{SEED} {family}").sample(points, SAMPLE[family])[nth])


def test_an_accident_that_is_not_repaired_is_seen(world: World) -> None:
    case = world.case()
    world.start(case, "effect:3:after")  # the pull request is there, and nothing more
    with pytest.raises(AssertionError, match=r"status is 'in progress', not 'in review'"):
        world.check(case, world.trace().result)
    with pytest.raises(AssertionError, match="0 terminal comments"):
        world.check_issue(case)
    with pytest.raises(AssertionError, match="is not complete: it stands in review"):
        world.check_journals(case)
    with pytest.raises(AssertionError, match="temp folders are left"):
        world.check_machine(case)
    world.go_on(case)
    world.check(case, world.trace().result)


def test_what_a_dead_worker_left_hanging_is_ended_before_the_run_goes_on(world: World) -> None:
    slow = world.folder / "warm" / "slow"
    slow.touch()
    try:
        case = world.case()
        commands = world.trace().of("command")
        world.start(case, f"command:{commands.index('eval_tt0')}:started")
        assert len(world.alive(case)) > 0
    finally:
        slow.unlink()
    world.go_on(case)
    world.check(case, world.trace().result)


def test_the_readme_tells_of_todays_matrix(world: World) -> None:
    trace = world.trace()
    text = told.written()
    again = "run `scripts/kill-matrix`, or `scripts/kill-matrix --list` when a person has to wait"
    assert told.records(trace) in text, f"the run has other records than tests/README.md says: {again}"
    rows = re.findall(r"^\| (.+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == list(FAMILIES.values()), f"other families than the matrix has: {again}"
    assert [name for name, points, run, wrong in rows if run != points or int(wrong)] == [], f"not all well: {again}"
