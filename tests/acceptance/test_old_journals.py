"""Runs that an earlier ytfsm began are read, gone on with and ended by this one."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parts.workplace import Workplace, workplace

_spec = importlib.util.spec_from_file_location("transplant", Path(__file__).parents[1] / "old_journals/transplant.py")
assert _spec
assert _spec.loader
transplant: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(transplant)

RUNS = {run.split("-")[2]: run for run in transplant.runs()}
STATES = {
    "i2": "review", "i4": "failed", "i5": "setup_error", "i6": "claimed", "i7": "setup", "i8": "download",
    "i9": "bringup", "i10": "checking", "i11": "ready", "i12": "review", "i13": "failed",
}  # fmt: skip
ENDED = {"i2", "i4", "i5", "i13"}


@pytest.fixture
def old(tmp_path: Path, warm: Path) -> Iterator[Workplace]:
    """A lab whose GitHub and home are those that the runs left."""
    lab = tmp_path / "lab"
    transplant.github(lab)
    with workplace(lab, warm, script="right") as world:
        for run in RUNS.values():
            transplant.put(run, lab, world.lab.state()["hub"]["models"]["lab/tiny-llama"]["main"])
        yield world


@pytest.fixture
def home(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only the runs."""
    monkeypatch.setenv("YTFSM_HOME", str(tmp_path / "lab" / "ytfsm"))
    for run in RUNS.values():
        transplant.put(run, tmp_path / "lab")
    return tmp_path / "lab"


@pytest.fixture
def ask(home: Path) -> Callable[..., Any]:
    """The command line's JSON answer."""
    import contextlib
    import io
    import json

    from machines import MACHINES
    from yt_fsm.cli.main import app

    def run(*argv: str) -> Any:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            app(list(argv), obj=MACHINES, prog_name="ytfsm")
        return json.loads(out.getvalue())

    return run


@pytest.mark.parametrize("issue", sorted(RUNS))
def test_an_old_run_replays(ask: Callable[..., Any], issue: str) -> None:
    told = ask("replay", RUNS[issue], "--json")
    assert told["integrity"]["verdict"] == "ok"
    assert (told["state"], told["complete"]) == (STATES[issue], issue in ENDED)
    assert (told["issue"], told["machine"], told["system"]) == (int(issue[1:]), "bringup", "n300")
    assert told["model"] == (None if issue in ("i6", "i11") else "lab/tiny-llama")
    assert not told["definition"]["drift"]


def test_old_runs_are_listed(ask: Callable[..., Any]) -> None:
    rows = {f"i{row['issue']}": row for row in ask("runs", "--json")}
    assert {issue: row["state"] for issue, row in rows.items()} == STATES
    assert {issue for issue, row in rows.items() if row["complete"]} == ENDED


def test_old_runs_go_on_and_end(old: Workplace) -> None:
    """Those that hold a board's state, an outbox or a bid; a person may abandon the others or let them go on."""
    for issue, state in {"i10": "review", "i12": "review", "i11": "released"}.items():
        done = old.ytfsm("resume", RUNS[issue], "--json")
        assert done.json["state"] == state, done.err
    assert old.issue(10)["status"] == old.issue(12)["status"] == "in review"
    assert old.issue(11)["status"] == "ready"
    done = old.ytfsm("abandon", RUNS["i9"], "--reason", "an old one", "--json")
    assert (done.json["state"], old.issue(9)["status"]) == ("failed", "failed")
    done = old.ytfsm("abandon", RUNS["i6"], "--reason", "an old one", "--json")
    assert (done.json["state"], old.issue(6)["status"]) == ("released", "ready")
    # The worker itself takes up those that it finds.
    done = old.work("--issue", "6")
    assert done.json["state"] == "review", done.err
    assert {old.issue(number)["status"] for number in (7, 8)} == {"in review"}
    assert old.workspaces() == []
