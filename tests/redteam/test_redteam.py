"""The evaluation tells wrong models from right ones: a seeded sample of what `scripts/redteam` judges."""

import os
import random
from pathlib import Path

import pytest

from . import team

SAMPLE = 16
SEED = os.environ.get("REDTEAM_SEED", "12")


@pytest.fixture(scope="module")
def sample() -> list[str]:
    """Some of the models."""
    return random.Random(SEED).sample(team.NAMES, SAMPLE)


def test_wrong_models_fail_or_are_suspect_and_right_ones_pass_without_a_word(tmp_path: Path, sample: list[str]) -> None:
    known = team.MARKS.written()
    found = team.judge(tmp_path, sample)
    assert [one.model for one in found] == sample
    amiss = [one for one in found if one.amiss and f"`{one.model.split('/', 1)[1]}`" not in known]
    assert amiss == []


def test_the_readme_tells_of_todays_red_team() -> None:
    told = team.MARKS.written()
    rows = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1] for line in told.splitlines() if " | " in line
    }
    for kind, found in team.WRONG.items():
        assert rows[f"wrong: {kind}"] == str(len(found)), "run `scripts/redteam`"
    assert rows["right variants"] == str(len(team.RIGHT)), "run `scripts/redteam`"


def test_few_wrong_models_pass_and_no_right_one_is_refused() -> None:
    """What the whole run found, as README.md has it."""
    told = team.MARKS.written()
    wrong = sum(len(found) for found in team.WRONG.values())
    assert wrong >= 60
    words = f"{wrong} wrong models at 128/32 x 2: "
    assert words in told
    left = int(told.split(words)[1].split(" pass")[0])
    assert left <= 0.05 * wrong
    assert f"{len(team.RIGHT)} right variants: 0 refused or suspect" in told
