"""The engine: what is on disk when, which error becomes which event, and what is cleaned up."""

import errno
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machines.bringup import WORKING
from yt_fsm.bringup.errors import BadReference, BranchExists, BringupError
from yt_fsm.engine import janitor, recovery, store
from yt_fsm.engine import run as run_module
from yt_fsm.engine import walk as engine
from yt_fsm.engine.errors import (
    CommandFailed,
    JournalBroken,
    Lost,
    Refused,
    ServiceError,
    SetupError,
    StopRequested,
    Unconfirmed,
    Wait,
    YtfsmError,
)
from yt_fsm.engine.journal import Journal, Reading, read
from yt_fsm.engine.queue import Queue
from yt_fsm.engine.replay import instant, replay
from yt_fsm.engine.run import Run
from yt_fsm.engine.settings import YEAR
from yt_fsm.engine.walk import Crashed
from yt_fsm.github.errors import GitHubError

NewRun = Callable[..., Run]
NEXT = {
    "ready": "claim", "claimed": "prepare", "setup": "fetch", "download": "clear", "reset": "begin",
    "bringup": "submit", "checking": "accept",
}  # fmt: skip
FINAL = ("review", "failed", "setup_error", "reference_error", "released")


def straight(**other: Callable[[Run], str | None]) -> dict[str, Callable[[Run], str | None]]:
    """States that do nothing but leave the next event of the good path; `other` replaces some."""

    def passing(event: str | None) -> Callable[[Run], str | None]:
        return lambda run: event

    work: dict[str, Callable[[Run], str | None]] = {state: passing(event) for state, event in NEXT.items()}
    return {**work, **{state: passing(None) for state in FINAL}, **other}


def raising(error: BaseException) -> Callable[[Run], str | None]:
    def work(run: Run) -> str | None:
        raise error

    return work


def on_disk(run: Run) -> list[dict[str, Any]]:
    reading = read(run.journal.path)
    assert reading.verdict == "ok"
    return reading.records


def path_taken(run: Run) -> list[str]:
    return [r["dest"] for r in on_disk(run) if r["kind"] == "transition"]


def kinds(run: Run) -> list[str]:
    return [r["kind"] for r in on_disk(run)]


# --- the good path


def test_the_transition_is_on_disk_before_the_new_states_work_begins(new_run: NewRun) -> None:
    seen: dict[str, Any] = {}

    def look(run: Run) -> str | None:
        last = on_disk(run)[-1]
        seen[run.state] = (last["kind"], last.get("dest"))
        return NEXT.get(run.state)

    run = new_run(work=dict.fromkeys([*NEXT, *FINAL], look))
    engine.walk(run)
    assert seen.pop("ready") == ("header", None)
    assert seen == {state: ("transition", state) for state in (*WORKING, "review")}


def test_a_run_walks_to_its_end_and_leaves_its_record(new_run: NewRun) -> None:
    run = new_run(work=straight())
    engine.walk(run)
    assert path_taken(run) == [*WORKING, "review"]
    assert kinds(run)[-1] == "end"
    assert on_disk(run)[-1]["published"] is True
    assert run.state == "review"
    record = json.loads((run.folder / "run_record.json").read_text())
    assert record["state"] == "review"
    assert record["complete"] is True
    assert [stage["state"] for stage in record["stages"]] == [*WORKING, "review"]
    assert record["journal"]["last"] == read(run.journal.path).last
    assert not (run.folder / "ballast").exists()
    Journal.open(run.journal.path).close()  # its lock is free


def test_each_transition_carries_the_status_that_it_sets(new_run: NewRun) -> None:
    run = new_run(work=straight())
    engine.walk(run)
    statuses = [r["status"] for r in on_disk(run) if r["kind"] == "transition"]
    assert statuses == ["in progress", None, None, None, None, None, "in review"]


def test_the_artifact_index_names_every_file_of_the_run(new_run: NewRun) -> None:
    def write(run: Run) -> str:
        run.artifacts.mkdir()
        (run.artifacts / "metrics.json").write_text("{}")
        return "accept"

    run = new_run(work=straight(checking=write))
    engine.walk(run)
    index = json.loads((run.folder / "run_record.json").read_text())["artifact_index"]
    assert sorted(entry["path"] for entry in index) == ["artifacts/metrics.json", "config.json", "journal.jsonl"]
    entry = index[0]
    assert entry["bytes"] == 2
    assert entry["sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert entry["created_utc"].endswith("Z")


def test_the_configuration_is_kept_with_its_hash_and_without_its_secrets(new_run: NewRun) -> None:
    import hashlib

    run = new_run(work=straight(), hf_token="token-of-mine")
    text = (run.folder / "config.json").read_text()
    assert "token-of-mine" not in text
    config = json.loads(text)
    assert config["settings"]["system"] == "n300"
    whole = json.dumps(config["settings"], sort_keys=True)
    assert config["sha256"] == hashlib.sha256(whole.encode()).hexdigest()


def test_the_header_has_all_that_replay_and_resume_need(new_run: NewRun) -> None:
    run = new_run(work=straight())
    header = on_disk(run)[0]
    wanted = {
        "run_id", "machine", "machine_table", "machine_hash", "system", "worker", "issue", "settings", "versions",
        "host", "machine_id", "pid", "started", "boot",
    }  # fmt: skip
    assert wanted <= set(header)
    assert header["pid"] == os.getpid()
    assert header["issue"]["body"] == "hf_model_id: org/name\n"
    assert header["run_id"] == run.folder.name
    assert "-n300-i12-" in run.run_id


def test_a_machine_that_was_renamed_goes_on_with_its_own_runs_and_with_no_others(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(work=straight())
    run.journal.close()

    def found() -> list[str]:
        machine = replace(run.definition, states=dict(run.definition.states))
        return [folder.name for folder in recovery.unfinished(run.settings, machine, Queue())]

    assert found() == [run.run_id]
    monkeypatch.setattr("platform.node", lambda: "renamed")
    monkeypatch.setattr(run_module, "machine_id", lambda: run.header["machine_id"])
    assert found() == ([run.run_id] if run.header["machine_id"] else [])
    monkeypatch.setattr(run_module, "machine_id", lambda: "another")
    assert found() == []


# --- whose fault it is (§9.1 H)

COMMAND = CommandFailed(["tt-smi", "-r"], 1, "no board", None)
SETUP_FAULTS = [
    SetupError("no disk"),
    COMMAND,
    GitHubError("no", "FORBIDDEN"),
    BranchExists("it exists"),
]


@pytest.mark.parametrize("state", WORKING)
@pytest.mark.parametrize("error", SETUP_FAULTS, ids=lambda e: type(e).__name__)
def test_the_worlds_faults_end_in_setup_error_from_every_state(new_run: NewRun, state: str, error: YtfsmError) -> None:
    run = new_run(work=straight(**{state: raising(error)}))
    engine.walk(run)
    assert path_taken(run)[-1] == "setup_error"
    verdict = next(r for r in on_disk(run) if r["kind"] == "verdict")
    assert (verdict["state"], verdict["event"], verdict["error"]) == (state, "abort", type(error).__name__)
    assert verdict["text"] == str(error)
    last = [r for r in on_disk(run) if r["kind"] == "transition"][-1]
    assert last["status"] == "setup error"


@pytest.mark.parametrize("state", ["bringup", "checking"])
def test_the_models_faults_end_in_failed(new_run: NewRun, state: str) -> None:
    run = new_run(work=straight(**{state: raising(BringupError("top1 is low"))}))
    engine.walk(run)
    assert path_taken(run)[-1] == "failed"


@pytest.mark.parametrize("state", ["claimed", "setup", "download", "reset"])
def test_a_models_fault_before_codex_ran_is_our_bug_and_never_failed(new_run: NewRun, state: str) -> None:
    run = new_run(work=straight(**{state: raising(BringupError("how could it?"))}))
    with pytest.raises(Crashed, match=f"crashed in `{state}`"):
        engine.walk(run)
    assert path_taken(run)[-1] == state
    assert "failed" not in path_taken(run)
    assert "crashed" in kinds(run)


def test_a_bad_reference_ends_in_reference_error(new_run: NewRun) -> None:
    run = new_run(work=straight(download=raising(BadReference("it disagrees with itself"))))
    engine.walk(run)
    assert path_taken(run)[-1] == "reference_error"


@pytest.mark.parametrize("state", WORKING)
def test_a_lost_claim_is_released_and_sets_no_status(new_run: NewRun, state: str) -> None:
    run = new_run(work=straight(**{state: raising(Lost("somebody closed the issue"))}))
    engine.walk(run)
    last = [r for r in on_disk(run) if r["kind"] == "transition"][-1]
    assert (last["event"], last["dest"], last["status"]) == ("lose", "released", None)


@pytest.mark.parametrize(
    "error", [*SETUP_FAULTS, BringupError("x"), BadReference("x"), Lost("x")], ids=lambda e: type(e).__name__
)
def test_from_ready_every_error_withdraws(new_run: NewRun, error: YtfsmError) -> None:
    run = new_run(work=straight(ready=raising(error)))
    engine.walk(run)
    assert path_taken(run) == ["released"]


def test_an_error_in_the_work_of_a_later_state_is_that_states(new_run: NewRun) -> None:
    """on_enter runs inside the trigger of the event before; its error belongs to the new state all the same."""
    run = new_run(work=straight(reset=raising(COMMAND)))
    engine.walk(run)
    verdict = next(r for r in on_disk(run) if r["kind"] == "verdict")
    assert verdict["state"] == "reset"


# --- ends that are none


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), KeyError("x"), RuntimeError("x")])
def test_our_own_bug_moves_nothing_and_can_be_resumed(new_run: NewRun, error: Exception) -> None:
    run = new_run(work=straight(setup=raising(error)))
    with pytest.raises(Crashed) as caught:
        engine.walk(run)
    assert f"ytfsm resume {run.run_id}" in str(caught.value)
    assert caught.value.exit_code == 1
    assert path_taken(run)[-1] == "setup"
    crashed = next(r for r in on_disk(run) if r["kind"] == "crashed")
    assert type(error).__name__ in crashed["error"]
    assert "Traceback" in crashed["traceback"]
    assert "end" not in kinds(run)
    Journal.open(run.journal.path).close()


def test_a_stop_between_two_states_fires_nothing(new_run: NewRun) -> None:
    def stopping(run: Run) -> str:
        run.stop.set(StopRequested("stopped by SIGTERM", 0))
        return "fetch"

    run = new_run(work=straight(setup=stopping))
    with pytest.raises(StopRequested) as caught:
        engine.walk(run)
    assert caught.value.exit_code == 0
    assert path_taken(run)[-1] == "setup"
    assert next(r for r in on_disk(run) if r["kind"] == "stopped")["why"] == "stopped by SIGTERM"
    assert "end" not in kinds(run)
    assert json.loads((run.folder / "run_record.json").read_text())["complete"] is False


def test_a_claim_lost_meanwhile_is_fired_as_lose(new_run: NewRun) -> None:
    def losing(run: Run) -> str:
        run.stop.set(Lost("no heartbeat for 1900 s"))
        return "fetch"

    run = new_run(work=straight(setup=losing))
    engine.walk(run)
    assert path_taken(run)[-1] == "released"
    assert not run.stop, "the request was taken; what follows may start programs"


# --- disks


@pytest.mark.parametrize("name", ["/logs/007-git.log", None])
def test_a_file_that_finds_no_room_ends_the_run_as_a_setup_error(new_run: NewRun, name: str | None) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", name)
    run = new_run(work=straight(setup=raising(full)))
    engine.walk(run)
    assert run.state == "setup_error"
    (verdict,) = [record for record in on_disk(run) if record["kind"] == "verdict"]
    where = name or f"{run.folder} or {run.settings.tmp_root}"
    assert verdict["text"] == f"the disk that holds {where} is full"


def test_publishing_on_a_full_disk_waits_for_room(new_run: NewRun) -> None:
    tries: list[int] = []

    def review(run: Run) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device", "/logs/007-git.log")

    run = new_run(work=straight(review=review))
    engine.walk(run)
    assert "is full" in str(run.waiting)
    engine.deliver(run)
    assert "is full" in str(run.waiting)
    engine.deliver(run)
    assert (run.state, run.waiting) == ("review", None)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_other_trouble_with_files_is_no_full_disk(new_run: NewRun, number: int) -> None:
    run = new_run(work=straight(setup=raising(OSError(number, "x"))))
    with pytest.raises(Crashed):
        engine.walk(run)


def test_a_full_disk_ends_the_run_as_a_setup_error(new_run: NewRun) -> None:
    def filling(run: Run) -> str:
        run.journal.full = True
        return "fetch"

    run = new_run(work=straight(setup=filling))
    engine.walk(run)
    assert path_taken(run)[-1] == "setup_error"
    assert "is full" in next(r for r in on_disk(run) if r["kind"] == "verdict")["text"]


def test_a_disk_that_fills_in_the_middle_of_the_retry_loop_ends_it(new_run: NewRun) -> None:
    """`submit` and `retry` are fired from inside `bringup`, not by the walk."""

    def bringing_up(run: Run) -> str | None:
        if run.arrived_by != "begin":
            return None
        for _ in range(9):
            engine.fire(run, "submit")
            run.journal.full = path_taken(run).count("checking") == 2
            engine.fire(run, "retry")
        raise AssertionError("it should have ended")

    run = new_run(work=straight(bringup=bringing_up, checking=lambda run: "retry"))
    engine.walk(run)
    assert path_taken(run)[-1] == "setup_error"
    assert path_taken(run).count("checking") == 2


def test_after_a_failed_sync_nothing_more_is_written_and_all_is_cleaned_up(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def break_disk(run: Run) -> str:
        run.empty_workspace()
        monkeypatch.setattr(os, "fdatasync", raising(OSError(5, "I/O error")))
        return "fetch"

    run = new_run(work=straight(setup=break_disk))
    with pytest.raises(JournalBroken):
        engine.walk(run)
    monkeypatch.undo()
    assert not (tmp_path / "work").exists()
    assert read(run.journal.path).verdict in ("ok", "torn")


# --- publishing


def test_what_fails_for_now_waits_and_is_delivered_later(new_run: NewRun) -> None:
    tries: list[str] = []

    def publish(run: Run) -> None:
        tries.append("x")
        if len(tries) < 3:
            raise GitHubError("502", "5xx", landed=None)

    run = new_run(work=straight(review=publish))
    engine.walk(run)
    assert run.waiting == "502"
    assert "end" not in kinds(run)
    engine.deliver(run)
    assert run.waiting == "502"
    engine.deliver(run)
    assert run.waiting is None
    assert kinds(run)[-1] == "end"
    assert path_taken(run)[-1] == "review", "a late failure never turns a success into a failure"


@pytest.mark.parametrize(
    "error",
    [Refused("a protected branch"), Lost("somebody closed the issue"), GitHubError("no", "FORBIDDEN")],
    ids=lambda e: type(e).__name__,
)
def test_what_is_refused_for_good_ends_unpublished(new_run: NewRun, error: YtfsmError) -> None:
    run = new_run(work=straight(review=raising(error)))
    run.subject.unpublished = Told()  # type: ignore[method-assign]
    engine.walk(run)
    assert run.refused == str(error)
    assert run.waiting is None
    assert kinds(run)[-2:] == ["refused", "end"]
    assert on_disk(run)[-1]["published"] is False
    assert run.state == "review"


# --- cleaning up (§9.1 I)


@pytest.mark.parametrize("error", [None, SetupError("x"), ZeroDivisionError(), StopRequested("x")])
def test_the_workspace_is_gone_no_matter_what(new_run: NewRun, tmp_path: Path, error: Exception | None) -> None:
    def work(run: Run) -> str:
        run.empty_workspace()
        locked = run.workspace.folder / "locked"
        locked.mkdir()
        (locked / "file").write_text("x")
        locked.chmod(0o500)
        if error:
            raise error
        return "fetch"

    run = new_run(work=straight(setup=work))
    try:
        engine.walk(run)
    except YtfsmError:
        assert error is not None
    assert not run.workspace.folder.exists()
    assert "cleanup" in kinds(run)


def test_what_the_run_left_running_is_ended(new_run: NewRun, tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def work(run: Run) -> str:
        run.empty_workspace()
        environment = {**os.environ, **run.mark.variables}
        children.append(subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True))
        return "fetch"

    run = new_run(work=straight(setup=work))
    engine.walk(run)
    assert children[0].wait(5) == -signal.SIGKILL
    cleanup = next(r for r in on_disk(run) if r["kind"] == "cleanup")
    assert cleanup["killed"] == [children[0].pid]


def stuck(*_: Any) -> None:
    raise SetupError("a file is immutable")


@pytest.mark.parametrize("error", [None, StopRequested("x"), ZeroDivisionError()])
def test_what_cannot_be_let_go_of_is_journalled_and_keeps_nothing_else(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    let_go: list[str] = []

    def work(run: Run) -> str:
        run.empty_workspace()
        monkeypatch.setattr("yt_fsm.engine.workspace.remove", stuck)
        monkeypatch.setattr("yt_fsm.engine.walk.end_survivors", stuck)
        monkeypatch.setattr(run.board, "release", lambda: let_go.append("board"))
        monkeypatch.setattr(run.subject, "leave", lambda: let_go.append("heartbeat"))
        if error:
            raise error
        return "fetch"

    run = new_run(work=straight(setup=work))
    try:
        engine.walk(run)
    except YtfsmError:
        assert error is not None
    assert let_go == ["board", "heartbeat"]
    cleanup = next(r for r in on_disk(run) if r["kind"] == "cleanup")
    assert cleanup["failed"] == ["processes: a file is immutable", "workspace: a file is immutable"]
    assert ("end" in kinds(run)) == (error is None)
    Journal.probe(run.journal.path)  # its lock is free: the worker goes on


def test_a_workspace_that_cannot_be_deleted_is_left_and_another_taken(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(work=straight())
    first = run.empty_workspace().folder
    monkeypatch.setattr("yt_fsm.engine.workspace.remove", stuck)
    second = run.empty_workspace().folder
    assert first != second
    assert first.is_dir()
    assert second.is_dir()


def test_the_janitor_says_what_it_cannot_delete_and_tries_again(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = new_run(work=straight())
    left = run.empty_workspace().folder
    with monkeypatch.context() as patch:
        patch.setattr("yt_fsm.engine.workspace.remove", stuck)
        engine.walk(run)
        for _ in range(2):
            assert janitor.clean(run.settings, [run.definition]) == []
    assert [r.message for r in caplog.records if "tried again" in r.message] == [
        "a file is immutable; it is tried again at each start"
    ]
    assert janitor.clean(run.settings, [run.definition]) == [f"workspace {left}"]
    assert not left.exists()


def test_the_board_is_let_go(new_run: NewRun) -> None:
    def acquire(run: Run) -> str:
        run.board.acquire()
        return "begin"

    run = new_run(work=straight(reset=acquire))
    engine.walk(run)
    again = new_run(work=straight(reset=acquire))
    engine.walk(again)
    assert again.state == "review"


# --- a run's own things


def test_a_fact_is_remembered_once_and_over_a_restart(new_run: NewRun) -> None:
    run = new_run(work=straight())
    run.facts.model = "org/name"
    run.facts.model = "org/name"
    run.facts.tip = None
    run.facts.tip = None
    run.facts.model = "org/other"
    told = [(r["name"], r["value"]) for r in on_disk(run) if r["kind"] == "fact"]
    assert told == [("model", "org/name"), ("tip", None), ("model", "org/other")]


def test_a_run_is_never_started_over_another(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(work=straight())
    monkeypatch.setattr("yt_fsm.engine.run.new_id", lambda tag: run.run_id)
    before = run.journal.path.read_bytes()
    with pytest.raises(FileExistsError):
        new_run(work=straight())
    assert run.journal.path.read_bytes() == before


def test_a_run_is_listed_with_the_others(new_run: NewRun) -> None:
    run = new_run(work=straight())
    engine.walk(run)
    (folder,) = store.everyone(run.settings.runs)
    row = store.row(folder)
    assert (row["run_id"], row["state"], row["complete"], row["issue"]) == (run.run_id, "review", True, 12)


@pytest.mark.parametrize("error", [StopRequested("stopped by SIGTERM"), RuntimeError("a bug"), OSError("disk")])
def test_a_walk_that_breaks_off_while_it_publishes_does_not_end_the_run(new_run: NewRun, error: Exception) -> None:
    run = new_run(work=straight(review=raising(error)))
    with pytest.raises((StopRequested, Crashed)):
        engine.walk(run)
    records = on_disk(run)
    assert records[-1]["kind"] in ("stopped", "crashed")
    assert run.state == "review"
    Journal.probe(run.journal.path)  # nobody holds it: the next start publishes


def test_a_stop_while_the_outbox_is_delivered_leaves_it_full(new_run: NewRun) -> None:
    answers: list[Exception] = [GitHubError("502", "5xx"), StopRequested("stopped by SIGTERM")]

    def review(run: Run) -> None:
        raise answers.pop(0)

    run = new_run(work=straight(review=review))
    engine.walk(run)
    assert run.waiting
    with pytest.raises(StopRequested):
        engine.deliver(run)
    assert run.waiting == "502"
    assert "end" not in [record["kind"] for record in on_disk(run)]


# --- a state's slips are named


def test_a_working_state_that_leaves_no_event_is_a_bug_by_name(new_run: NewRun) -> None:
    run = new_run(work=straight(setup=lambda run: None))
    with pytest.raises(Crashed, match="the work of `setup` returned no event, and only a final state's may"):
        engine.walk(run)
    assert "crashed" in kinds(run)


@pytest.mark.parametrize("event", ["fech", "accept", 7, True])
def test_an_event_that_leads_nowhere_is_a_bug_by_name(new_run: NewRun, event: Any) -> None:
    run = new_run(work=straight(setup=lambda run: event))
    with pytest.raises(Crashed, match=r"the work of `setup` left .*, and no row leads out of that state by it"):
        engine.walk(run)
    assert run.state == "setup"


# --- waiting is not failing (design §3)


class Limited:
    """A service that says "not now" so many times, and in which state the run was."""

    def __init__(self, times: int, until: float | None = None, leave: str = "submit") -> None:
        self.times, self.until, self.leave = times, until, leave
        self.asked = 0

    def __call__(self, run: Run) -> str:
        self.asked += 1
        if self.asked <= self.times:
            raise Wait("the limit is used up", None if self.until is None else time.time() + self.until)
        return self.leave


def test_a_run_that_must_wait_goes_on_where_it_was_and_no_event_is_fired_for_it(new_run: NewRun) -> None:
    limited = Limited(3)
    run = new_run(work=straight(bringup=limited), probe_secs=0.01)
    engine.walk(run)
    assert path_taken(run) == [*WORKING, "review"]
    assert limited.asked == 4
    told = [r for r in on_disk(run) if r["kind"] in ("waiting", "resumed", "verdict", "attempt")]
    assert [r["kind"] for r in told] == ["waiting", "resumed"] * 3
    assert {(r["state"], r["why"]) for r in told[::2]} == {("bringup", "the limit is used up")}


def test_probes_are_further_and_further_apart_until_one_succeeds(new_run: NewRun) -> None:
    limited = Limited(3)
    run = new_run(work=straight(bringup=limited, checking=Limited(1, leave="accept")), probe_secs=0.01)
    engine.walk(run)
    pauses = [
        round(instant({"at": r["until"]}) - instant(r), 2) for r in on_disk(run) if r["kind"] == "waiting"
    ]  # fmt: skip
    assert pauses == [0.01, 0.02, 0.04, 0.01]


def test_a_wait_with_a_time_ends_at_that_time(new_run: NewRun) -> None:
    run = new_run(work=straight(bringup=Limited(1, until=0.3)), probe_secs=1800)
    engine.walk(run)
    waiting, resumed = (next(r for r in on_disk(run) if r["kind"] == kind) for kind in ("waiting", "resumed"))
    assert instant(resumed) >= instant({"at": waiting["until"]})


def test_a_time_that_is_past_is_none(new_run: NewRun) -> None:
    run = new_run(work=straight(bringup=Limited(1, until=-5000)), probe_secs=0.01)
    engine.walk(run)
    assert run.state == "review"


def test_while_it_waits_a_run_holds_what_it_cannot_have_again_and_nothing_else(new_run: NewRun) -> None:
    happened: list[str] = []

    def work(run: Run) -> str:
        happened.append("work")
        if happened.count("work") == 1:
            run.hold("claim", lambda: happened.append("claim let go"), waits=True)
            run.hold("board", lambda: happened.append("board let go") or True, back=lambda: happened.append("back"))
            run.hold("nothing", lambda: False, back=lambda: happened.append("nothing back"))
            raise Wait("the limit is used up")
        return "submit"

    run = new_run(work=straight(bringup=work), probe_secs=0.01)
    engine.walk(run)
    assert happened == ["work", "board let go", "back", "work", "board let go", "claim let go"]


def test_what_cannot_be_had_again_yet_is_waited_for_too(new_run: NewRun) -> None:
    happened: list[str] = []

    def back() -> None:
        happened.append("back")
        if happened.count("back") < 3:
            raise Wait("another run has the board")

    def work(run: Run) -> str:
        happened.append("work")
        if happened.count("work") == 1:
            run.hold("board", lambda: True, back=back)
            raise Wait("the limit is used up")
        return "submit"

    run = new_run(work=straight(bringup=work), probe_secs=0.01)
    engine.walk(run)
    assert happened == ["work", "back", "back", "back", "work"]
    assert run.state == "review"


@pytest.mark.parametrize("error", [StopRequested("stopped by SIGTERM", 0), Lost("somebody closed the issue")])
def test_a_wait_ends_at_once_when_a_stop_or_a_loss_says_so(new_run: NewRun, error: Exception) -> None:
    run = new_run(work=straight(bringup=Limited(1, until=10 * YEAR)))
    threading.Timer(0.2, run.stop.set, [error]).start()
    if isinstance(error, Lost):
        engine.walk(run)
        assert run.state == "released"
    else:
        with pytest.raises(StopRequested):
            engine.walk(run)
        assert run.state == "bringup"
        assert "stopped" in kinds(run)
    waiting = next(r for r in on_disk(run) if r["kind"] == "waiting")
    assert instant({"at": waiting["until"]}) - instant(waiting) == pytest.approx(engine.LONGEST_WAIT, abs=5)


def test_a_wait_in_the_initial_state_takes_nothing_and_in_a_final_one_is_the_outboxes(new_run: NewRun) -> None:
    run = new_run(work=straight(ready=Limited(1)))
    engine.walk(run)
    assert run.state == "released"
    run = new_run(work=straight(review=Limited(1)))
    engine.walk(run)
    assert (run.state, run.waiting) == ("review", "the limit is used up")


def test_replay_says_what_a_run_waits_for_and_no_longer_than_it_does(new_run: NewRun) -> None:
    run = new_run(work=straight(bringup=Limited(1)), probe_secs=0.01)
    engine.walk(run)
    records = on_disk(run)
    at = next(r["seq"] for r in records if r["kind"] == "waiting")
    told = replay(Reading("ok", records[: at + 1]))
    assert told["waiting"] == {"until": records[at]["until"], "why": "the limit is used up"}
    assert replay(Reading("ok", records))["waiting"] is None


@pytest.mark.parametrize("state", WORKING)
def test_a_service_that_is_away_is_waited_for_in_every_state(new_run: NewRun, state: str) -> None:
    """Design §3: a hiccup of GitHub turned a passed model into `setup error`."""
    answers = [GitHubError("502", "5xx"), ServiceError("the Hub is away", "HUB")]

    def work(run: Run) -> str:
        if answers:
            raise answers.pop()
        return NEXT[state]

    run = new_run(work=straight(**{state: work}), probe_secs=0.01)
    engine.walk(run)
    assert path_taken(run) == [*WORKING, "review"]
    assert [r["why"] for r in on_disk(run) if r["kind"] == "waiting"] == ["the Hub is away", "502"]
    assert "verdict" not in kinds(run)


def test_a_service_that_stays_away_is_a_setup_error_in_the_end(new_run: NewRun) -> None:
    run = new_run(work=straight(setup=raising(GitHubError("502", "5xx"))), probe_secs=0.01, wait_secs=0.1)
    engine.walk(run)
    assert run.state == "setup_error"
    assert re.fullmatch(r"after \d+ s of waiting \(YT_WAIT_SECS\) still: 502.*", str(run.problem), re.DOTALL)


def test_who_will_not_wait_leaves_a_run_that_says_what_it_waits_for(new_run: NewRun) -> None:
    run = new_run(work=straight(bringup=Limited(1)))
    run.patient = False
    with pytest.raises(StopRequested, match="the limit is used up") as caught:
        engine.walk(run)
    assert caught.value.exit_code == 0
    assert [r["why"] for r in on_disk(run) if r["kind"] == "waiting"] == ["the limit is used up"]
    assert run.state == "bringup"


def test_who_waits_now_is_found_without_reading_the_runs_that_are_over(new_run: NewRun) -> None:
    over, waits = new_run(work=straight()), new_run(work=straight(bringup=Limited(1)))
    engine.walk(over)
    waits.journal.append("waiting", state="bringup", why="the limit is used up", until="2026-11-26T04:41:00.000000Z")
    found = list(store.waiting(waits.settings.runs, {}))
    assert [(one["run_id"], one["words"], one["why"]) for one in found] == [
        (waits.run_id, "issue 12", "the limit is used up")
    ]
    waits.journal.append("stopped", why="SIGTERM")
    assert list(store.waiting(waits.settings.runs, {})) == []


@pytest.mark.parametrize(("until", "kept"), [(5.0, True), (900.0, False), (None, True)])
def test_a_long_wait_keeps_the_work_and_not_its_workspace(new_run: NewRun, until: float | None, kept: bool) -> None:
    happened: list[str] = []

    def work(run: Run) -> str:
        happened.append("work")
        if happened.count("work") == 1:
            run.empty_workspace()
            run.hold("board", lambda: happened.append("let go") or True, back=lambda: happened.append("back"))
            raise Wait("the limit is used up", None if until is None else time.time() + until)
        return "submit"

    run = new_run(work=straight(bringup=work), wait_keep_secs=10)
    object.__setattr__(run.definition, "keep", lambda run: happened.append("kept"))
    object.__setattr__(run.definition, "restore", lambda run, going_on: happened.append("restored"))
    with pytest.MonkeyPatch.context() as patch:
        there: list[bool] = []

        def sleep(seconds: float) -> None:
            there.append(run.workspace.folder.exists())
            patch.setattr(time, "time", lambda: 1e11)
            patch.setattr(engine, "boot_secs", lambda: 1e11)

        patch.setattr(run.stop, "wait", sleep)
        engine.walk(run)
    assert there[:1] == [kept]
    assert happened == ["work", "kept", "let go", "back" if kept else "restored", "work", "let go"]


class Told:
    """Takes the place of a subject's `unpublished`."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers, self.heard = list(answers), []

    def __call__(self, why: str) -> None:
        self.heard.append(why)
        if self.answers and (error := self.answers.pop(0)):
            raise error


def test_what_was_refused_for_good_is_said_where_people_see_it(new_run: NewRun) -> None:
    """Faults W14: it was never said, and the issue was brought up again after its TTL, for ever."""
    run = new_run(work=straight(review=raising(Refused("a protected branch"))))
    run.subject.unpublished = told = Told(GitHubError("502", "5xx"))  # type: ignore[method-assign]
    engine.walk(run)
    assert (run.refused, run.waiting, run.over) == ("a protected branch", "502", False)
    engine.deliver(run)
    assert told.heard == ["a protected branch"] * 2
    assert (run.waiting, run.over) == (None, True)
    assert kinds(run).count("refused") == 1
    assert kinds(run)[-1] == "end"


def test_a_run_that_was_lost_tells_nobody(new_run: NewRun) -> None:
    run = new_run(work=straight(review=raising(Lost("somebody closed the issue"))))
    run.subject.unpublished = told = Told()  # type: ignore[method-assign]
    engine.walk(run)
    assert (run.refused, run.over, told.heard) == ("somebody closed the issue", True, [])


def test_a_refusal_that_cannot_be_told_is_over_all_the_same(new_run: NewRun) -> None:
    run = new_run(work=straight(review=raising(Refused("a protected branch"))))
    run.subject.unpublished = told = Told(GitHubError("no", "FORBIDDEN"))  # type: ignore[method-assign]
    engine.walk(run)
    assert (run.refused, run.over, told.heard) == ("a protected branch", True, ["a protected branch"])
    assert kinds(run).count("refused") == 1


def test_a_run_whose_subject_nobody_confirms_is_neither_lost_nor_failed(new_run: NewRun) -> None:
    """Faults W6: GitHub away for TTL during codex's turn lost the run and its work."""
    kept: list[str] = []
    run = new_run(work=straight(bringup=raising(Unconfirmed("GitHub confirmed no heartbeat for 3600 s", 0.0))))
    object.__setattr__(run.definition, "keep", lambda run: kept.append(run.state))
    with pytest.raises(StopRequested, match="GitHub confirmed no heartbeat") as caught:
        engine.walk(run)
    assert caught.value.exit_code == 1
    assert run.state == "bringup"
    assert kept == ["bringup"]
    assert "verdict" not in kinds(run)
    assert "stopped" in kinds(run)


@pytest.mark.parametrize(("state", "end"), [("ready", "released"), ("review", "review")])
def test_before_it_is_taken_and_after_its_end_it_is_no_stop(new_run: NewRun, state: str, end: str) -> None:
    run = new_run(work=straight(**{state: raising(Unconfirmed("GitHub is away", 0.0))}))
    engine.walk(run)
    assert run.state == end
