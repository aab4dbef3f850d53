"""The lease holds in everything that can happen, and a lease that does not would be found."""

import pytest

from yt_fsm.github import lease as leases

from .__main__ import README, row
from .configurations import LARGE, QUICK
from .histories import tell_many
from .search import Found, explore
from .variants import Literal, LiteralById, conditions, without
from .worker import Program
from .world import Configuration


def named(name: str) -> Configuration:
    """The quick configuration of that name."""
    (found,) = [c for c in QUICK if c.name == name]
    return found


@pytest.mark.parametrize("configuration", QUICK, ids=lambda c: c.name)
def test_one_owner_somebody_wins_and_the_readme_has_the_counts(configuration: Configuration) -> None:
    found = explore(configuration)
    assert not found.broken, "\n".join([found.broken, *found.way])
    assert row(found) in README.read_text().splitlines(), "run scripts/explore"


def test_the_readme_has_every_configuration_once() -> None:
    lines = [line for line in README.read_text().splitlines() if line.startswith(("| 2 ", "| 3 ", "| 4 "))]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [c.name for c in QUICK + LARGE]


def broken(configurations: list[Configuration], program: type[Program] = Program) -> Found | None:
    """The first search that finds something broken."""
    return next((found for c in configurations if (found := explore(c, program)).broken), None)


def test_the_specs_rule_taken_literally_has_two_owners() -> None:
    found = explore(named("2 workers: separate logins"), Literal)
    assert found.broken == "two owners at a time"
    assert [step.rpartition("-> ")[2] for step in found.way].count("mark") == 2


def test_a_look_at_the_status_and_a_deletion_by_id_do_not_mend_the_literal_rule() -> None:
    found = explore(named("2 workers: no faults"), LiteralById)
    assert found.broken == "two owners at a time"


def test_delete_last_takes_the_claim_of_a_worker_with_the_same_login() -> None:
    found = explore(named("2 workers: no faults"), Literal)
    assert found.broken == "a worker deleted another's claim"
    assert "delete last" in found.way[-1]


# Each line of the lease that the properties rest on. VERIFY's are all there are.
MATTERS = [
    *((leases, "verdict_of", condition) for condition in conditions(leases.verdict_of)),
    *((leases, "eligible", condition) for condition in conditions(leases.eligible)),
    (leases.Lease, "look_at_bid", "waited > self.ttl / 2"),
    (leases.Lease, "look_at_claim", "self.silence() > self.ttl / 2"),
    (leases.Lease, "look_at_claim", "(pause := self._unless_taken(snapshot, mine, since))"),
    (leases.Lease, "look_at_claim", "allowed is not None and snapshot.status not in (known := set(allowed))"),
    (leases.Lease, "look_for_others", "(pause := self._unless_taken(snapshot, mine, since))"),
    (leases.Lease, "look_for_others", "snapshot.status not in statuses"),
    (leases.Lease, "_unless_taken", "not snapshot.open"),
    (leases.Lease, "_unless_taken", "not claim.dead(snapshot.now)"),
    (leases.Lease, "_obey", "'released' in fields_of(body)"),
    (leases.Lease, "_awake", "self.silence() > self.ttl"),
]


# The configuration in which the lack of a line shows; those that are not here show where a person acts, or soon after.
ACTS, SLEEP = "2 workers: a person acts", "2 workers: 1 × sleep"
SHOWS = {
    ("verdict_of", "_short(snapshot)"): "2 workers: lists with holes",
    ("verdict_of", "mine is None"): "2 workers: 1 × lagging replica",
    ("look_at_bid", "waited > self.ttl / 2"): SLEEP,
    ("look_at_claim", "self.silence() > self.ttl / 2"): SLEEP,
    ("look_for_others", "(pause := self._unless_taken(snapshot, mine, since))"): "2 workers: 1 × crash, two TTLs",
    ("look_for_others", "snapshot.status not in statuses"): "2 workers: 1 × crash, a person acts",
    ("_unless_taken", "not claim.dead(snapshot.now)"): "2 workers: a person deletes a claim",
    ("_obey", "'released' in fields_of(body)"): "2 workers: a person releases a claim",
    ("_awake", "self.silence() > self.ttl"): SLEEP,
}


@pytest.mark.parametrize(
    ("where", "name", "condition"), MATTERS, ids=lambda given: str(getattr(given, "__name__", given))
)
def test_a_lease_that_lacks_one_condition_is_found_out(where: object, name: str, condition: str) -> None:
    with without(where, name, condition):
        assert broken([named(SHOWS.get((name, condition), ACTS)), *QUICK]), (
            f"nothing goes wrong without `{condition}` in {name}"
        )


# --- random histories


def test_histories_come_to_their_end_and_break_nothing() -> None:
    """A part of `scripts/explore --random`; the seeds are those of no table."""
    for told in tell_many(900_000, 25):
        assert not told.broken, "\n".join([f"seed {told.seed}: {told.broken}", *told.story])


def test_a_seed_tells_its_history_again() -> None:
    (first,), (again,) = (list(tell_many(482, 1)) for _ in range(2))
    assert first == again
    assert len(first.story) > 20


def test_a_history_finds_a_lease_that_lacks_a_condition() -> None:
    with without(leases, "verdict_of", "any((not claim.dead(now) for claim in found[:place]))"):
        assert any("wins while" in told.broken for told in tell_many(0, 60))
