"""A seeded sample of the fault matrix, and that its table and tests/README.md tell of today's lab and states."""

import os
import random
from collections import Counter

import pytest

from yt_fsm.lab.misbehaviour import KINDS

from . import table, told
from .matrix import Faults, Wrong
from .points import GOES_ON, LOST, ONCE, Fault, Point
from .table import POINTS

SEED = os.environ.get("FAULT_SEED", "1")  # another sample: FAULT_SEED=2 scripts/test tests/faults
SAMPLE = 4
CHOSEN = random.Random(SEED).sample(POINTS, SAMPLE)
# What is no trouble of the world's: scripts of codex's model, what only makes an evaluation lie, and what the kill
# matrix does (a full disk); `partial` is of the poll, before any run; `beside` and `idle` are met with others.
ELSEWHERE = {
    "github": {"partial", "not-landed", "act"},
    "evaluation": {"hang", "slow", "nan", "metrics", "twice", "open"},
    "tt-smi": {"lost"},
    "board": {"beside"},
    "disk": {"full"},
}


@pytest.mark.parametrize("point", CHOSEN, ids=lambda point: point.name)
def test_a_fault_ends_as_the_pages_say(trials: Faults, point: Point) -> None:
    trials.strike(point)


def test_an_end_that_is_not_the_right_one_is_seen(trials: Faults) -> None:
    fault = Fault("edits the issue", lambda lasts: [], {ONCE: {"setup_error": GOES_ON}}, "")
    trials.strike(Point(fault, "setup_error", ONCE))
    wrong = Fault("edits the issue", lambda lasts: [], {ONCE: {"setup_error": LOST}}, "")
    with pytest.raises(Wrong, match=r"it ended as .*setup_error"):
        trials.strike(Point(wrong, "setup_error", ONCE))


def test_every_fault_of_the_labs_is_in_the_table() -> None:
    asked = [(path, body) for point in POINTS for _, path, body in point.fault.do(point.lasts)]
    struck = {(path.rpartition("/")[2], body["kind"]) for path, body in asked if path.startswith("/faults/")}
    for target, kinds in KINDS.items():
        left = {kind for kind in kinds if (target, kind) not in struck} - ELSEWHERE.get(target, set())
        assert left - codex_scripts(target) == set(), f"{target} has faults that no trial meets"


def codex_scripts(target: str) -> set[str]:
    """The faults that are a whole script of codex's."""
    from yt_fsm.lab.codex import TURN_KINDS

    return set(TURN_KINDS) if target == "codex" else set()


def test_the_table_is_wide_enough() -> None:
    """Issue 11: at least 40 faults in 8 states, each in the states where it can strike."""
    states = Counter(state for fault in table.FAULTS for state in {state for _, state in fault.points()})
    assert sum(count >= 40 for count in states.values()) >= 8
    assert len({point.name for point in POINTS}) == len(POINTS)


def test_the_readme_tells_of_todays_matrix() -> None:
    text, again = told.written(), "run `scripts/fault-matrix`"
    for fault in table.FAULTS:
        assert f"\n{told.places(fault)} " in text, f"tests/README.md knows {fault.name!r} otherwise: {again}"
    assert text == told.table([], [], text), f"the sum is not that of the lines: {again}"
    assert text.endswith(f"{len(POINTS)} trials of {len(POINTS)} run, 0 wrong."), f"not all of them ended well: {again}"
