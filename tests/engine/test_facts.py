"""Facts: declared, typed, written down before they are known, and never more than was declared."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from yt_fsm.engine.facts import Facts, frozen
from yt_fsm.engine.journal import Journal


class Learned(Facts):
    name: str = ""
    count: int = 0
    share: float = 0.0
    whole: bool = False
    tip: str | None = None
    found: Mapping[str, Any] = MappingProxyType({})
    parts: tuple[str, ...] = ()


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
        ("found", [], False), ("parts", ["a"], True), ("parts", "a", False),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_damage(journal: Journal, name: str, value: Any, right: bool) -> None:
    seq = journal.append("fact", name=name, value=value)["seq"]
    amiss = Learned.amiss(journal.records)
    assert (amiss is None) == right
    if amiss:
        assert amiss[0] == seq
        assert f"its `{name}` is {value!a}, and the machine declares " in amiss[1]


@pytest.mark.parametrize("value", [b"a", Path("/x"), {1}, object(), 1.5, True, None, ["a"]])
def test_a_value_of_another_type_is_refused_before_it_is_written_down(journal: Journal, value: Any) -> None:
    """Else the next start would call the journal damaged."""
    with pytest.raises(TypeError, match=r"the fact `count` is declared int, and .* is no such value"):
        Learned(journal).count = value
    assert journal.all("fact") == []


@pytest.mark.parametrize("value", [{"a": Path("/x")}, {1: "a"}, {"a": [b"x"]}, {"a": float("nan")}, {"a": 10**50}])
def test_a_value_that_a_journal_cannot_hold_is_refused(journal: Journal, value: Any) -> None:
    with pytest.raises(TypeError, match="the fact `found`"):
        Learned(journal).found = value
    assert journal.all("fact") == []


def test_a_fact_is_no_place_for_a_file(journal: Journal) -> None:
    """A record has an end, beyond which it is shortened."""
    with pytest.raises(TypeError, match=r"`name` .* run\.artifacts"):
        Learned(journal).name = "x" * 2_000_000


@pytest.mark.parametrize("kind", [Path, bytes, list[str], dict[str, int], set[str], str | Path])
def test_a_fact_of_a_type_that_no_journal_holds_cannot_be_declared(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"Odd declares its fact `where` as .*: a fact is a str, "):
        type("Odd", (Facts,), {"__annotations__": {"where": kind}, "where": None, "__module__": __name__})


def test_a_fact_without_a_value_until_it_is_learned_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="Bare declares its fact `name` without the value that it has until"):
        type("Bare", (Facts,), {"__annotations__": {"name": str}, "__module__": __name__})


def test_a_fact_is_set_whole_and_cannot_be_changed_in_place(journal: Journal) -> None:
    facts = Learned(journal)
    facts.parts = ("a",)
    facts.found = {"a": {"b": [1]}}
    for known in (facts, Learned(journal)):
        assert known.parts == ("a",)
        with pytest.raises(AttributeError):
            known.parts.append("b")  # type: ignore[attr-defined]
        with pytest.raises(TypeError):
            known.found["a"]["b"] = 2
        assert known.found["a"]["b"] == (1,)
    facts.parts = (*facts.parts, "b")
    assert Learned(journal).parts == ("a", "b")


def test_a_fact_that_is_not_declared_is_not_read_either(journal: Journal) -> None:
    with pytest.raises(AttributeError, match="Learned declares no fact `nmae`"):
        _ = Learned(journal).nmae  # type: ignore[attr-defined]


def test_values_are_frozen_through_and_through() -> None:
    value = {"a": [1, {"b": [2]}]}
    assert frozen(value) == {"a": (1, {"b": (2,)})}
    assert frozen(frozen(value)) == frozen(value)
