"""Whether a model can fit a system: known before anything is downloaded, and never said of one that might."""

from collections.abc import Callable

import pytest

from yt_fsm.bringup import fit
from yt_fsm.bringup.settings import Settings
from yt_fsm.tools import systems
from yt_fsm.tools.hub import TooLarge

BILLION = 10**9


@pytest.mark.parametrize(
    ("system", "billions", "fits"),
    [
        ("n150", 8, True), ("n150", 13, False),
        ("n300", 13, True), ("n300", 22, True), ("n300", 32, False),
        ("lb", 70, True), ("lb", 90, True), ("lb", 123, False),
    ],
)  # fmt: skip
def test_what_fits_in_bfp8_may_be_tried(
    settings: Callable[..., Settings], system: str, billions: int, fits: bool
) -> None:
    most = fit.most_weights(settings(system=system))
    assert most
    assert (billions * BILLION <= most) is fits


def test_one_board_of_several_has_its_share(settings: Callable[..., Settings]) -> None:
    lb = systems.known().find("lb")
    assert (fit.dram(lb, None) >> 30, fit.dram(lb, 1) >> 30) == (96, 24)


def test_without_a_board_there_is_nothing_to_fit(settings: Callable[..., Settings]) -> None:
    assert fit.most_weights(settings(skip_tt=True)) is None


def test_what_cannot_fit_is_the_issues_fault_and_told_which_system_holds_it(settings: Callable[..., Settings]) -> None:
    problem = fit.in_words(TooLarge("meta/large", 70 * BILLION), settings())
    assert problem.fault == "issue"
    assert str(problem) == (
        "meta/large has 70.0 billion weights, which are 69 GB in BFP8, and an n300 has 24 GB of DRAM: no bringup of it "
        "can fit this system; label the issue lb instead"
    )
    assert "no system that is known here holds it" in str(fit.in_words(TooLarge("x/y", 700 * BILLION), settings()))
