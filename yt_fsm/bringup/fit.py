"""Whether a model can fit a system at all: known from the Hub's figures, before anything is downloaded or paid.

The smallest that a bringup makes of a weight is BFP8, in which sixteen share an exponent: 17 bytes for 16 of them. What
does not fit the DRAM like that cannot be brought up there; what does may still turn out to be too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yt_fsm.tools import systems
from yt_fsm.tools.hub import TooLarge

from .errors import NotToEvaluate

if TYPE_CHECKING:
    from yt_fsm.bringup.settings import Settings
    from yt_fsm.tools.systems import System

BFP8 = 17 / 16  # bytes of a weight


def dram(system: System, device: int | None) -> int:
    """The bytes of DRAM of the board that is used, or of all."""
    chips = system.chips if device is None else system.boards[0].chips
    return system.dram_gb * chips * (1 << 30) // system.chips


def most_weights(settings: Settings) -> int | None:
    """How many weights fit this worker's boards; None where there is none to fit."""
    if settings.skip_tt:
        return None
    system = systems.known(settings.systems_dir).find(settings.system)
    return int(dram(system, settings.device) / BFP8)


def in_words(problem: TooLarge, settings: Settings) -> NotToEvaluate:
    """That it cannot fit, and which system it might."""
    known = list(systems.known(settings.systems_dir))
    needed = problem.weights * BFP8
    system = next(one for one in known if one.name == settings.system)
    larger = [one.name for one in known if dram(one, None) >= needed]
    ask = f"label the issue {' or '.join(larger)} instead" if larger else "no system that is known here holds it"
    return NotToEvaluate(
        f"{problem}, which are {needed / (1 << 30):.0f} GB in BFP8, and an {system.name} has "
        f"{dram(system, settings.device) >> 30} GB of DRAM: no bringup of it can fit this system; {ask}"
    )
