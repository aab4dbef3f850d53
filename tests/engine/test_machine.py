"""The machine: its table is total, and a setup failure cannot become a model failure."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transitions
from hypothesis import given
from hypothesis import strategies as st

from machines import MACHINES
from machines.bringup import MACHINE, WORKING
from yt_fsm.bringup.surroundings import BASE, MARK
from yt_fsm.engine import machine
from yt_fsm.engine.diagram import Route, dot, duration, mermaid
from yt_fsm.engine.errors import Usage
from yt_fsm.engine.machine import reachable, table_hash
from yt_fsm.engine.run import build
from yt_fsm.engine.worker import Worker
from yt_fsm.github.client import STATUSES

EVENTS = sorted({edge.event for edge in MACHINE.edges})
PAIRS = [(state, event) for state in MACHINE.states for event in EVENTS]


class Walker:
    """The least that a machine can move: remembers what transitions called, in order."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.called: list[tuple[str, str, str]] = []

    def persist(self, event: Any) -> None:
        self.called.append(("persist", self.state, event.transition.dest))

    def on_enter(self, event: Any) -> None:
        self.called.append(("on_enter", self.state, event.transition.dest))


def walker(state: str) -> Any:
    made = Walker(state)
    build(MACHINE, made)
    return made


# --- the table of design §3


def test_the_bringup_machine_is_the_one_that_was_designed() -> None:
    """Design §3's table, word for word: event, from, to, Project Status."""
    working = ("claimed", "setup", "download", "reset", "bringup", "checking")
    table = {
        ("claim", ("ready",), "claimed", "in progress"),
        ("prepare", ("claimed",), "setup", None),
        ("fetch", ("setup",), "download", None),
        ("clear", ("download",), "reset", None),
        ("begin", ("reset",), "bringup", None),
        ("submit", ("bringup",), "checking", None),
        ("retry", ("checking",), "bringup", None),
        ("accept", ("checking",), "review", "in review"),
        ("give_up", ("bringup", "checking"), "failed", "failed"),
        ("abort", working, "setup_error", "setup error"),
        ("reject", ("download",), "reference_error", "reference error"),
        ("release", working, "released", "ready"),
        ("lose", ("ready", *working), "released", None),
    }
    expected = {(event, source, dest, status) for event, sources, dest, status in table for source in sources}
    assert {tuple(edge) for edge in MACHINE.edges} == expected
    assert len(MACHINE.edges) == len(expected)
    assert MACHINE.final == {"review", "failed", "setup_error", "reference_error", "released"}
    assert (MACHINE.initial, BASE, MARK) == ("ready", "ready", "in progress")


@pytest.mark.parametrize("source", ["ready", "claimed", "setup", "download", "reset"])
def test_no_setup_failure_can_be_taken_for_the_models(source: str) -> None:
    """Before codex ran there is no edge to `failed`, nor by which a BringupError could leave."""
    assert "failed" not in {edge.dest for edge in MACHINE.edges if edge.source == source}
    assert not MACHINE.allows("give_up", source)


def test_from_every_state_the_run_can_end() -> None:
    for state in MACHINE.states:
        ends = {edge[2] for edge in reachable(MACHINE.table(), state)} & MACHINE.final
        assert ends or state in MACHINE.final, state


def test_a_machine_as_a_journal_has_it_keeps_todays_work_where_the_state_is_still_there() -> None:
    table = MACHINE.table()
    table["states"] = [*table["states"], "paused"]
    table["edges"] = [*table["edges"], ["pause", "setup", "paused", None]]
    found = MACHINE.as_in(table)
    assert found.table() == table
    assert found.states["setup"] is MACHINE.states["setup"]
    assert found.states["paused"](None) is None  # type: ignore[arg-type]
    assert MACHINE.as_in(MACHINE.table()).hash == MACHINE.hash


def test_every_state_is_reachable() -> None:
    assert {edge[2] for edge in reachable(MACHINE.table(), "ready")} | {"ready"} == set(MACHINE.states)


def test_an_event_leads_from_a_state_to_one_place_only() -> None:
    keys = [(edge.event, edge.source) for edge in MACHINE.edges]
    assert len(keys) == len(set(keys))


def test_each_status_is_one_of_the_boards() -> None:
    assert {edge.status for edge in MACHINE.edges if edge.status} <= set(STATUSES)


def test_a_machines_states_and_its_table_agree() -> None:
    for definition in MACHINES.values():
        named = {edge.source for edge in definition.edges} | {edge.dest for edge in definition.edges}
        assert named == set(definition.states)
        assert definition.final == named - {edge.source for edge in definition.edges}
        assert WORKING[0] in named


# --- what transitions makes of it


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_state_and_event_has_an_edge_or_is_refused(state: str, event: str) -> None:
    moved = walker(state)
    if MACHINE.allows(event, state):
        edge = next(e for e in MACHINE.edges if (e.event, e.source) == (event, state))
        assert moved.trigger(event) is True
        assert moved.state == edge.dest
        assert moved.called == [("persist", state, edge.dest), ("on_enter", edge.dest, edge.dest)]
    else:
        with pytest.raises(transitions.MachineError):
            moved.trigger(event)
        assert moved.state == state
        assert moved.called == []


def test_there_is_no_way_round_the_table() -> None:
    moved = walker("ready")
    with pytest.raises(AttributeError):
        moved.trigger("to_review")
    assert not hasattr(moved, "to_review")


def test_a_transition_that_cannot_be_written_down_does_not_happen() -> None:
    def broken(_: Any) -> None:
        raise OSError("no disk")

    moved: Any = Walker("ready")
    moved.persist = broken
    build(MACHINE, moved)
    with pytest.raises(OSError, match="no disk"):
        moved.trigger("claim")
    assert moved.state == "ready"
    assert moved.called == []


def test_a_restored_state_is_not_entered_by_itself() -> None:
    assert walker("checking").called == []


@given(events=st.lists(st.sampled_from(EVENTS), max_size=12))
def test_any_sequence_of_events_follows_the_table(events: list[str]) -> None:
    moved, state = walker("ready"), "ready"
    for event in events:
        if MACHINE.allows(event, state):
            moved.trigger(event)
            state = next(e.dest for e in MACHINE.edges if (e.event, e.source) == (event, state))
        else:
            with pytest.raises(transitions.MachineError):
                moved.trigger(event)
        assert moved.state == state


# --- drawings


def test_the_hash_names_the_table_as_a_journal_carries_it() -> None:
    embedded = json.loads(json.dumps(MACHINE.table()))
    assert table_hash(embedded) == MACHINE.hash
    changed = {**embedded, "edges": embedded["edges"][1:]}
    assert table_hash(changed) != MACHINE.hash


def test_the_mermaid_diagram_has_every_edge_and_every_end() -> None:
    drawn = mermaid(MACHINE.table())
    assert drawn.startswith("stateDiagram-v2\n    [*] --> ready\n")
    for event, source, dest, status in MACHINE.edges:
        assert f"    {source} --> {dest}: {event}{f' / {status}' if status else ''}\n" in drawn
    for state in MACHINE.final:
        assert f"    {state} --> [*]\n" in drawn
    assert drawn.count("-->") == len(MACHINE.edges) + len(MACHINE.final) + 1


def test_the_dot_diagram_has_every_state_and_edge() -> None:
    drawn = dot(MACHINE.table())
    for state in MACHINE.states:
        assert f'"{state}" [id="{state}"' in drawn
    assert drawn.count(" -> ") == len(MACHINE.edges)
    assert drawn.count("peripheries=2") == len(MACHINE.final)


def test_a_path_is_drawn_with_its_times_and_its_loops() -> None:
    taken = {("claim", "ready", "claimed"): 1, ("retry", "checking", "bringup"): 2}
    path = Route(taken, {"ready": 0.4, "claimed": 75.0}, "claimed")
    drawn = mermaid(MACHINE.table(), path)
    assert "    claimed: claimed (1m15s)\n" in drawn
    assert "    checking --> bringup: retry ×2\n" in drawn
    assert "    class ready visited\n" in drawn
    assert "    class claimed here\n" in drawn
    drawn = dot(MACHINE.table(), path)
    assert 'label="claimed\\n1m15s"' in drawn
    assert drawn.count("penwidth=2.5") == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0.04, "0.0s"), (9.94, "9.9s"), (12.4, "12s"), (59.6, "1m00s"), (185, "3m05s"), (7440, "2h04m")],
)
def test_a_duration_reads_as_people_say_it(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_rows_with_one_source_and_with_many_are_spelled_out() -> None:
    work: Callable[[Any], None] = lambda run: None  # noqa: E731
    small = replace(
        MACHINE,
        name="small",
        initial="a",
        states={"a": work, "b": work, "c": work},
        final=frozenset({"c"}),
        rows=(("go", "a", "b", "in progress"), ("end", ("a", "b"), "c", None)),
    )
    assert small.edges == (
        machine.Edge("go", "a", "b", "in progress"),
        machine.Edge("end", "a", "c"),
        machine.Edge("end", "b", "c"),
    )
    assert small.status_of("go", "a") == "in progress"
    assert small.status_of("end", "b") is None
    assert not small.allows(None, "a")


def test_the_work_of_every_state_is_there() -> None:
    """States are loaded when they are entered, so nothing else would notice a missing one."""
    import importlib

    for state in MACHINE.states:
        assert callable(importlib.import_module(f"states.bringup.{state}").enter)
    files = {file.stem for file in (Path(__file__).parents[2] / "states" / "bringup").glob("*.py")}
    assert files - {"__init__"} == set(MACHINE.states)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"initial": "redy"}, "initial names `redy`"),
        ({"final": frozenset({"done", "gone"})}, "final names `gone`"),
        ({"rows": (("go", "ready", "don", None),)}, "the row `go` names `don`"),
        ({"rows": (("go", ("ready", "reday"), "done", None),)}, "the row `go` names `reday`"),
        ({"rows": (("back", "done", "ready", None),)}, "the row `back` leads out of `done`, a final state"),
    ],
)
def test_a_table_with_a_slip_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    given = {
        "name": "m", "initial": "ready", "states": {"ready": lambda run: "go", "done": lambda run: None},
        "final": frozenset({"done"}), "rows": (("go", "ready", "done", None),),
    }  # fmt: skip
    machine.Definition(**given)
    with pytest.raises(ValueError, match=re.escape(words)):
        machine.Definition(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"good": frozenset({"reveiw"})}, "`good` names `reveiw`, which is none of its final states"),
        ({"good": frozenset({"ready"})}, "`good` names `ready`, which is none of its final states"),
        ({"ends": ("stop",)}, "`ends` names `stop`, and none of its rows has that event"),
        ({"rows": MACHINE.rows[:-1]}, "no row `abort` leads out of `ready`, and every state needs one"),
        ({"rows": MACHINE.rows[:9] + MACHINE.rows[10:]}, "no row `abort` leads out of `checking`"),
    ],
)
def test_a_worker_takes_no_machine_whose_runs_it_could_not_end(change: dict[str, Any], words: str) -> None:
    """A full disk is an `abort` in any state; where it has no row the run would crash again and again."""
    with pytest.raises(Usage, match=re.escape(words)):
        Worker(replace(MACHINE, **change), None, None)  # type: ignore[arg-type]
    MACHINE.require_sound()
