"""What is explored: the quick ones by the tests, all by `scripts/explore`."""

from itertools import combinations

from .issue import TICK, TTL
from .world import CLOSE, DELETE_A_CLAIM, END_A_BID, END_A_CLAIM, PARK, RELEASE_A_CLAIM, Configuration, Left

FAULTS = {
    "crashes": "crash",
    "sleeps": "sleep",
    "hangs": "hung write",
    "lags": "lagging replica",
    "requeues": "re-queue",
}
# A worker whose clock is an hour ahead bids where a live claim is, again and again: harmless, but a nuisance that with
# bad luck goes on for ever. LOOK is the only step that asks the local clock.
PERSONS = (CLOSE, PARK, END_A_BID, END_A_CLAIM)


def _with(workers: int, left: Left, name: str = "", **more: object) -> Configuration:
    """A configuration, named after its faults."""
    faults = [f"{count} × {FAULTS[fault]}" for fault, count in left._asdict().items() if count and fault in FAULTS]
    words = ", ".join([*faults, *([name] if name else [])]) or "no faults"
    return Configuration(f"{workers} workers: {words}", workers, left, **more)  # type: ignore[arg-type]


def _one_of_each(workers: int) -> list[Configuration]:
    """Every single fault, on a fresh issue and on one that a dead worker left in progress."""
    found = []
    for fault in FAULTS:
        left = Left(**{fault: 1})
        found += [_with(workers, left), _with(workers, left, "abandoned issue", abandoned=True)]
    return found


QUICK = [
    _with(2, Left()),
    _with(2, Left(), "separate logins", shared_login=False),
    _with(2, Left(), "lists with holes", holes=True),
    _with(2, Left(), "one clock ahead", skews=(5, 0), lively=False),
    _with(2, Left(persons=1), "a person acts", deeds=PERSONS),
    _with(2, Left(persons=1), "a person deletes a claim", deeds=(DELETE_A_CLAIM,)),
    _with(2, Left(persons=1), "a person releases a claim", deeds=(RELEASE_A_CLAIM,)),
    _with(2, Left(), "two TTLs", ttls=(TTL, TTL + TICK)),
    _with(2, Left(crashes=1), "two TTLs", ttls=(TTL, TTL + TICK)),
    *_one_of_each(2),
    _with(2, Left(crashes=1, persons=1), "a person acts", deeds=PERSONS),
    _with(2, Left(crashes=1, requeues=1)),
    _with(3, Left()),
    _with(3, Left(), "separate logins", shared_login=False),
    _with(3, Left(crashes=1)),
    _with(3, Left(hangs=1)),
    _with(3, Left(lags=1)),
    _with(4, Left()),
    _with(4, Left(), "abandoned issue", abandoned=True),
    _with(4, Left(hangs=1)),
    _with(4, Left(requeues=1)),
]

LARGE = [
    _with(2, Left(crashes=1, persons=1), "a person releases a claim", deeds=(RELEASE_A_CLAIM,)),
    _with(2, Left(hangs=1, persons=1), "a person releases a claim", deeds=(RELEASE_A_CLAIM,)),
    _with(2, Left(sleeps=1), "two TTLs", ttls=(TTL, TTL + TICK)),
    _with(2, Left(hangs=1), "two TTLs", ttls=(TTL, TTL + TICK)),
    *(_with(2, Left(**{a: 1, b: 1})) for a, b in combinations(FAULTS, 2) if (a, b) != ("crashes", "requeues")),
    *(_with(2, Left(**{fault: 2})) for fault in FAULTS),
    _with(2, Left(crashes=1, sleeps=1), "abandoned issue", abandoned=True),
    _with(2, Left(crashes=1), "separate logins", shared_login=False),
    _with(2, Left(sleeps=1), "one clock ahead", skews=(5, 0), lively=False),
    *(c for c in _one_of_each(3) if c.name not in {quick.name for quick in QUICK}),
    _with(3, Left(crashes=1, hangs=1)),
    _with(3, Left(crashes=1, requeues=1)),
    _with(3, Left(crashes=2)),
    _with(3, Left(crashes=1), "separate logins", shared_login=False),
    *(c for c in _one_of_each(4) if c.name not in {quick.name for quick in QUICK}),
]
