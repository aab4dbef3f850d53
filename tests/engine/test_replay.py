"""Replay: a pure fold over the records, checked against the table that the journal itself carries."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.bringup import MACHINE
from yt_fsm.engine import store
from yt_fsm.engine.errors import NotFound, Usage
from yt_fsm.engine.journal import GENESIS, Journal, Reading
from yt_fsm.engine.replay import between, path_of, replay, state_of, transitions_of

EVENTS = sorted({edge.event for edge in MACHINE.edges})


def header(**more: Any) -> dict[str, Any]:
    return {
        "run_id": "20261122T034107Z-n300-i12-7f3c",
        "machine": "bringup",
        "machine_table": json.loads(json.dumps(MACHINE.table())),
        "machine_hash": MACHINE.hash,
        "system": "n300",
        "issue": {"number": 12},
        **more,
    }


def told_by(*records: dict[str, Any], start: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Records as a journal reads them: numbered, a second apart, not hashed."""
    whole = [{"kind": "header", **header(), **(start or {})}, *records]
    return [
        {"seq": n, "at": f"2026-11-22T03:{n // 60:02d}:{n % 60:02d}.000000Z", "mono": 100.0 + n, "hash": GENESIS, **r}
        for n, r in enumerate(whole)
    ]


def moves(*events: str) -> list[dict[str, Any]]:
    """Transition records that follow the table from its start."""
    state, found = MACHINE.initial, []
    for event in events:
        edge = next(e for e in MACHINE.edges if (e.event, e.source) == (event, state))
        found.append({"kind": "transition", **edge._asdict()})
        state = edge.dest
    return found


def reading(records: list[dict[str, Any]]) -> Reading:
    return Reading(records=records)


# --- the fold


@given(events=st.lists(st.sampled_from(EVENTS), max_size=14), noise=st.integers(0, 3))
def test_the_state_is_the_last_transitions(events: list[str], noise: int) -> None:
    state, records = MACHINE.initial, []
    for event in events:
        if MACHINE.allows(event, state):
            edge = next(e for e in MACHINE.edges if (e.event, e.source) == (event, state))
            records.append({"kind": "transition", **edge._asdict()})
            records += [{"kind": "fact", "name": "model", "value": n} for n in range(noise)]
            state = edge.dest
    told = replay(reading(told_by(*records)), MACHINE)
    assert told["state"] == state
    assert told["integrity"]["verdict"] == "ok"
    assert [t["event"] for t in told["transitions"]] == [r["event"] for r in records if r["kind"] == "transition"]
    assert told["complete"] is False


def test_replay_asks_neither_the_clock_nor_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("replay must not")

    records = told_by(*moves("claim", "prepare"), {"kind": "fact", "name": "model", "value": "a/b"})
    monkeypatch.setattr(time, "time", never)
    monkeypatch.setattr(time, "monotonic", never)
    monkeypatch.setattr(time, "clock_gettime", never)
    monkeypatch.setattr(socket, "socket", never)
    before = json.dumps(records)
    assert replay(reading(records), MACHINE) == replay(reading(records), MACHINE)
    assert json.dumps(records) == before


def test_the_answer_has_the_keys_of_the_contract() -> None:
    """cli.md, word for word."""
    metrics = {"hf": {"top1": 1.0}}
    records = told_by(
        *moves("claim", "prepare", "fetch", "clear", "begin", "submit"),
        {"kind": "fact", "name": "model", "value": "org/name"},
        {
            "kind": "attempt", "n": 1, "passed": False, "failing": "pytest", "metrics": metrics, "tokens": 9,
            "seconds": 1.5, "error": "E", "killed": False, "tampered": [],
        },
        {"kind": "effect.intent", "effect": "status", "key": "failed"},
        {"kind": "effect.unknown", "effect": "status", "key": "failed", "error": "502"},
        {"kind": "effect.done", "effect": "status", "key": "failed", "result": {}},
        {"kind": "end", "state": "checking", "published": True},
    )  # fmt: skip
    told = replay(reading(records), MACHINE)
    assert list(told) == [
        "run_id", "machine", "issue", "model", "system", "state", "complete", "integrity", "definition", "subject",
            "waiting",
        "transitions", "effects", "units", "attempts",
    ]  # fmt: skip
    assert told["run_id"] == "20261122T034107Z-n300-i12-7f3c"
    assert (told["machine"], told["issue"], told["model"], told["system"]) == ("bringup", 12, "org/name", "n300")
    assert told["integrity"] == {
        "verdict": "ok", "records": len(records), "last": f"{len(records) - 1}:{GENESIS}", "at_line": None,
        "detail": None,
    }  # fmt: skip
    assert told["definition"] == {"hash": MACHINE.hash, "drift": False}
    assert told["transitions"][0] == {
        "seq": 1, "at": records[1]["at"], "event": "claim", "source": "ready", "dest": "claimed",
        "status": "in progress", "seconds": 1.0,
    }  # fmt: skip
    assert told["effects"] == [
        {"seq": 9, "effect": "status", "phase": "intent", "key": "failed"},
        {"seq": 10, "effect": "status", "phase": "unknown", "key": "failed"},
        {"seq": 11, "effect": "status", "phase": "done", "key": "failed"},
    ]
    assert told["attempts"] == [
        {"n": 1, "passed": False, "failing": "pytest", "metrics": metrics, "tokens": 9, "seconds": 1.5}
    ]
    assert told["complete"] is True
    json.dumps(told, allow_nan=False)


def test_an_empty_reading_is_told_too() -> None:
    told = replay(Reading("corrupt", at_line=1, detail="line 1: not a journal record"), MACHINE)
    assert (told["run_id"], told["state"], told["complete"]) == (None, None, False)
    assert told["integrity"]["records"] == 0
    assert told["definition"] == {"hash": None, "drift": False}


# --- against the embedded table


@pytest.mark.parametrize(
    ("records", "line", "words"),
    [
        ([*moves("claim"), {"kind": "transition", "event": "give_up", "source": "claimed", "dest": "failed"}], 3,
         "claimed --give_up--> failed"),
        ([{"kind": "transition", "event": "prepare", "source": "claimed", "dest": "setup"}], 2,
         "claimed --prepare--> setup"),
        ([*moves("claim"), *moves("claim")], 3, "ready --claim--> claimed"),
        ([{"kind": "transition", "event": "claim", "source": "ready", "dest": "review"}], 2,
         "ready --claim--> review"),
    ],
    ids=["no such edge", "not from here", "twice", "another end"],
)  # fmt: skip
def test_a_transition_that_the_table_does_not_have_is_damage(
    records: list[dict[str, Any]], line: int, words: str
) -> None:
    integrity = replay(reading(told_by(*[{"status": None, **r} for r in records])), MACHINE)["integrity"]
    assert (integrity["verdict"], integrity["at_line"]) == ("corrupt", line)
    assert words in integrity["detail"]


def test_the_table_that_counts_is_the_journals_own() -> None:
    """Today's machine may have other edges: that is drift, and no damage."""
    records = told_by(*moves("claim", "prepare"))
    today = replace(MACHINE, rows=tuple(row for row in MACHINE.rows if row[0] != "prepare"))
    told = replay(reading(records), today)
    assert told["integrity"]["verdict"] == "ok"
    assert told["definition"] == {"hash": MACHINE.hash, "drift": True}


def test_without_todays_machine_there_is_no_drift_to_see() -> None:
    assert replay(reading(told_by()), None)["definition"]["drift"] is False


# --- parts


def test_a_run_that_is_still_there_has_no_seconds_for_its_state() -> None:
    assert [t["seconds"] for t in transitions_of(told_by(*moves("claim", "prepare")))] == [1.0, None]


def test_an_ended_run_has_seconds_for_its_last_state_too() -> None:
    records = told_by(*moves("claim", "abort"), {"kind": "cleanup"}, {"kind": "end"})
    assert [t["seconds"] for t in transitions_of(records)] == [1.0, 2.0]


def test_a_clock_that_was_set_back_counts_no_time_twice() -> None:
    earlier = {"at": "2026-11-22T03:41:07.000000Z", "mono": 50.0}
    assert between(earlier, {"at": "2026-11-22T02:00:00.000000Z", "mono": 57.5}) == 7.5


def test_over_a_reboot_the_wall_clock_counts() -> None:
    earlier = {"at": "2026-11-22T03:41:07.000000Z", "mono": 5000.0}
    assert between(earlier, {"at": "2026-11-22T03:42:07.500000Z", "mono": 20.0}) == 60.5
    assert between(earlier, {"at": "2026-11-22T03:00:00.000000Z", "mono": 20.0}) == 0.0


def test_the_path_counts_loops_and_adds_up_times() -> None:
    records = told_by(*moves("claim", "prepare", "fetch", "clear", "begin", "submit", "retry", "submit"))
    path = path_of(records)
    assert path.taken["submit", "bringup", "checking"] == 2
    assert path.taken["retry", "checking", "bringup"] == 1
    assert path.seconds["bringup"] == 2.0
    assert path.seconds["ready"] == 1.0
    assert path.state == "checking"


def test_a_run_that_never_moved_stands_in_the_initial_state() -> None:
    assert state_of(told_by()) == "ready"
    assert path_of(told_by()).seconds == {"ready": 0.0}
    assert state_of([]) is None


# --- the runs of a machine


def test_a_run_is_found_by_any_unique_fragment(journals: Callable[..., Journal], tmp_path: Path) -> None:
    runs = tmp_path / "state" / "runs"
    journals("20261122T034107Z-n300-i12-7f3c")
    journals("20261122T034108Z-n300-i13-7f3d")
    assert store.find(runs, "7f3c").name == "20261122T034107Z-n300-i12-7f3c"
    assert store.find(runs, "-i13-").name == "20261122T034108Z-n300-i13-7f3d"
    with pytest.raises(Usage, match="matches 2 runs"):
        store.find(runs, "7f3")
    with pytest.raises(NotFound, match="no run matches 'nope'"):
        store.find(runs, "nope")


def test_a_whole_id_is_found_even_inside_another(journals: Callable[..., Journal], tmp_path: Path) -> None:
    journals("20261122T034107Z-n300-i1-7f3c")
    journals("20261122T034107Z-n300-i1-7f3cc")
    found = store.find(tmp_path / "state" / "runs", "20261122T034107Z-n300-i1-7f3c")
    assert found.name.endswith("7f3c")


def test_runs_are_listed_newest_first_with_the_keys_of_the_contract(
    journals: Callable[..., Journal], tmp_path: Path
) -> None:
    journals("20261122T034107Z-n300-i12-7f3c", **header())
    ended = journals("20261122T050000Z-n300-i13-aaaa", **header(run_id="20261122T050000Z-n300-i13-aaaa"))
    ended.append("transition", event="lose", source="ready", dest="released", status=None)
    ended.append("end", state="released", published=True)
    rows = [store.row(folder) for folder in store.everyone(tmp_path / "state" / "runs")]
    assert [row["run_id"][-4:] for row in rows] == ["aaaa", "7f3c"]
    assert list(rows[0]) == [
        "run_id", "machine", "issue", "model", "state", "complete", "started", "ended", "seconds", "attempts",
    ]  # fmt: skip
    assert (rows[0]["state"], rows[0]["complete"], rows[0]["ended"]) == ("released", True, ended.records[-1]["at"])
    assert (rows[1]["state"], rows[1]["complete"], rows[1]["ended"]) == ("ready", False, None)


def test_a_damaged_run_is_listed_as_damaged(journals: Callable[..., Journal], tmp_path: Path) -> None:
    journal = journals(**header())
    with journal.path.open("ab") as file:
        file.write(b"{}\n")
    assert store.row(journal.path.parent)["state"] == "damaged"


def test_a_run_whose_header_is_not_readable_is_listed_by_its_folder(
    journals: Callable[..., Journal], tmp_path: Path
) -> None:
    journal = journals(**header())
    journal.path.write_bytes(b"rubbish\n")
    row = store.row(journal.path.parent)
    assert (row["run_id"], row["state"], row["started"]) == ("20261122T034107Z-n300-i12-7f3c", "damaged", None)


def test_no_folder_of_runs_means_no_runs(tmp_path: Path) -> None:
    assert store.everyone(tmp_path / "nothing") == []
