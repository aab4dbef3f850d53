"""Facts: declared, typed, written down before they are known, and never more than was declared."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest

from yt_fsm.engine.facts import Facts
from yt_fsm.engine.journal import Journal


class Learned(Facts):
    name: str = ""
    count: int = 0
    share: float = 0.0
    whole: bool = False
    tip: str | None = None
    found: Mapping[str, Any] = MappingProxyType({})


@pytest.fixture
def journal(journals: Callable[..., Journal]) -> Journal:
    return journals()


def test_what_was_not_learned_is_as_declared(journal: Journal) -> None:
    facts = Learned(journal)
    assert (facts.name, facts.count, facts.tip, "name" in facts) == ("", 0, None, False)


def test_a_fact_is_written_before_it_is_known_and_once(journal: Journal) -> None:
    facts = Learned(journal)
    facts.name = "a"
    facts.name = "a"
    facts.tip = None
    assert [(r["name"], r["value"]) for r in journal.all("fact")] == [("name", "a"), ("tip", None)]
    assert "tip" in facts


def test_another_process_knows_the_last(journal: Journal) -> None:
    Learned(journal).name = "a"
    Learned(journal).name = "b"
    assert Learned(journal).name == "b"


def test_a_misspelt_fact_is_refused(journal: Journal) -> None:
    with pytest.raises(AttributeError, match="Learned declares no fact `nmae`"):
        Learned(journal).nmae = "a"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["_journal", "__class__", "__dict__", "declared", "amiss", "unheard_of"])
def test_a_journal_cannot_bring_what_is_not_declared(journal: Journal, name: str) -> None:
    journal.append("fact", name=name, value="x")
    facts = Learned(journal)
    facts.count = 1
    assert Learned(journal).count == 1
    assert type(facts) is Learned
    assert Learned.amiss(journal.records) is None


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("name", "a", True), ("name", 1, False), ("name", None, False), ("count", 1, True), ("count", True, False),
        ("count", 1.5, False), ("share", 0.5, True), ("share", 1, True), ("share", "1", False), ("whole", True, True),
        ("whole", 1, False), ("tip", None, True), ("tip", "a", True), ("tip", [], False), ("found", {"a": 1}, True),
        ("found", [], False),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_damage(journal: Journal, name: str, value: Any, right: bool) -> None:
    seq = journal.append("fact", name=name, value=value)["seq"]
    amiss = Learned.amiss(journal.records)
    assert (amiss is None) == right
    if amiss:
        assert amiss[0] == seq
        assert f"its `{name}` is {value!a}" in amiss[1]
