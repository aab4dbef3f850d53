"""Unfinished work is kept on every ending, whatever codex left in its clone, and can be gone on from (faults W7)."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from states.bringup import released, setup_error
from yt_fsm.bringup import archive, judged, report, unfinished, work
from yt_fsm.bringup.run import BringupRun as Run
from yt_fsm.engine import janitor
from yt_fsm.engine.errors import StopRequested
from yt_fsm.engine.run import boot_id
from yt_fsm.tools.git import Repository

from .conftest import MODEL, git
from .test_archive import PATHS, THINGS, fill

FOLDER = "models/org/name/n300"


@pytest.fixture
def run(run: Run) -> Run:
    """A run whose codex has begun."""
    run.facts.model = "org/name"
    run.workspace.seal(boot_id())
    for event, source, dest in (
        ("claim", "ready", "claimed"), ("prepare", "claimed", "setup"), ("fetch", "setup", "download"),
        ("clear", "download", "reset"), ("begin", "reset", "bringup"),
    ):  # fmt: skip
        run.journal.append("transition", event=event, source=source, dest=dest, status=None)
    run.state = "bringup"
    return run


def repository_within(agent: Path, commits: bool = False) -> None:
    (agent / "vendor/lib").mkdir(parents=True)
    git("init", "--quiet", "vendor/lib", cwd=agent)
    (agent / "vendor/lib/x.py").write_text("x")
    if commits:
        git("add", "-A", cwd=agent / "vendor/lib")
        git("commit", "--quiet", "-m", "x", cwd=agent / "vendor/lib")


def submodule(agent: Path) -> None:
    repository_within(agent, commits=True)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./vendor/lib", FOLDER + "/sub", cwd=agent)


def listening(agent: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(agent / FOLDER / "s"))


def odd_modes(agent: Path) -> None:
    (agent / FOLDER / "secret").mkdir()
    (agent / FOLDER / "secret/x").write_text("x")
    for name, mode in {"functional/model.py": 0o000, "secret/x": 0o4111, "secret": 0o000}.items():
        (agent / FOLDER / name).chmod(mode)


def names(*odd: bytes) -> Callable[[Path], None]:
    def make(agent: Path) -> None:
        for name in odd:
            with open(os.path.join(os.fsencode(agent / FOLDER), name), "w") as file:
                file.write("odd")

    return make


def loops(agent: Path) -> None:
    (agent / FOLDER / "a").symlink_to("b")
    (agent / FOLDER / "b").symlink_to("a")
    (agent / FOLDER / "self").symlink_to(".")
    (agent / "up").symlink_to("/")


def many(agent: Path) -> None:
    (agent / "many").mkdir()
    for number in range(60):
        (agent / "many" / f"{number}").touch()


def huge(agent: Path) -> None:
    with (agent / FOLDER / "big.bin").open("w") as file:
        file.truncate(3 << 30)


def deep(agent: Path) -> None:
    here = os.open(agent, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("dd", dir_fd=here)
        below = os.open("dd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def broken_git(agent: Path) -> None:
    shutil.rmtree(agent / ".git")
    (agent / ".git").write_text("gitdir: /nowhere\n")


MESSES = {
    "nothing odd": (lambda agent: None, "wip.bundle", ""),
    "a repository within": (repository_within, "wip.tar.gz", "repositories within: 1 (vendor/lib/.git)"),
    "one with a commit": (lambda agent: repository_within(agent, True), "wip.tar.gz", "repositories within"),
    "a submodule": (submodule, "wip.tar.gz", f"{FOLDER}/sub/.git"),
    "a pipe": (lambda agent: os.mkfifo(agent / FOLDER / "pipe"), "wip.bundle", ""),
    "a socket": (listening, "wip.bundle", ""),
    "odd modes": (odd_modes, "", ""),  # root reads them all, and then git takes them
    "no UTF-8": (names(b"\xff\xfe.py", b"new\nline", b" ", b"-rf"), "wip.bundle", ""),
    "what git refuses": (names(b"git~1", b".git "), "wip.tar.gz", ""),
    "loops": (loops, "wip.bundle", ""),
    "many files": (many, "wip.tar.gz", "files beyond the first 10"),
    "a huge file": (huge, "wip.tar.gz", f"{FOLDER}/big.bin"),
    "too deep": (deep, "wip.tar.gz", "folders that cannot be read"),
    "no repository": (broken_git, "wip.bundle", ""),
}


@pytest.mark.parametrize("mess", MESSES)
def test_any_tree_is_kept_and_gone_on_from(run: Run, mess: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, name, left = MESSES[mess]
    monkeypatch.setattr(judged, "FILES", 40)
    monkeypatch.setattr(archive, "FILES", 10)
    make(run.workspace.agent)
    before = os.listdir(run.workspace.agent)
    work.keep_unfinished(run)
    kept = unfinished.Kept(run.artifacts)
    assert kept.file
    assert kept.file.name == name or not name
    assert kept.file.stat().st_mode & 0o077 == 0
    assert left in run.facts.kept.get("left_out", "")
    assert bool(left) == bool(run.facts.kept)
    run.workspace.delete()
    work.rebuild(run)
    assert (run.workspace.agent / MODEL).read_text() == "RIGHT = 1\n"
    assert (run.workspace.agent / "scripts/run_eval.py").exists()
    assert not list(run.workspace.agent.glob("vendor/**/.git"))
    assert set(os.listdir(run.workspace.agent)) <= {*before, ".git"}
    assert work.preserve(run, "Unfinished"), "and committed"
    clean = Repository(run.shell, run.workspace.clean)
    assert git("show", f"{run.facts.commit}:{MODEL}", cwd=clean.folder) == "RIGHT = 1"
    changed = git("diff", "--name-only", run.facts.base, run.facts.commit, cwd=clean.folder).split("\n")
    assert all(path.strip('"').startswith(FOLDER) for path in changed)


def test_what_was_kept_last_counts(run: Run) -> None:
    work.keep_unfinished(run)
    repository_within(run.workspace.agent)
    (run.workspace.agent / MODEL).write_text("SECOND = 2\n")
    work.keep_unfinished(run)
    assert sorted(path.name for path in run.artifacts.iterdir()) == ["wip.tar.gz"]
    shutil.rmtree(run.workspace.agent / "vendor")
    (run.workspace.agent / MODEL).write_text("THIRD = 3\n")
    work.keep_unfinished(run)
    assert sorted(path.name for path in run.artifacts.iterdir()) == ["wip.bundle"]
    assert run.facts.kept == {"file": "wip.bundle", "left_out": ""}
    run.workspace.delete()
    work.rebuild(run)
    assert (run.workspace.agent / MODEL).read_text() == "THIRD = 3\n"


def test_two_that_a_kill_left_are_told_apart_by_their_time(run: Run) -> None:
    work.keep_unfinished(run)
    kept = unfinished.Kept(run.artifacts)
    archive.pack(run.workspace.agent, kept.archive, [FOLDER])
    assert kept.file == kept.archive
    os.utime(kept.archive, (1, 1))
    assert kept.file == kept.bundle


def test_codex_gets_its_removals_back_too(run: Run) -> None:
    (run.workspace.agent / "scripts/run_eval.py").unlink()
    work.keep_unfinished(run)
    run.workspace.delete()
    work.rebuild(run)
    assert not (run.workspace.agent / "scripts/run_eval.py").exists()


def test_a_run_whose_codex_never_began_has_nothing_to_keep(run: Run) -> None:
    run.journal.records = [r for r in run.journal.records if r.get("dest") != "bringup"]
    run.state = "setup_error"
    work.keep_unfinished(run)
    assert not run.artifacts.exists()


def test_what_a_power_cut_left_is_not_kept_in_the_place_of_what_was(run: Run) -> None:
    work.keep_unfinished(run)
    run.workspace.seal("another boot")
    (run.workspace.agent / MODEL).write_text("")
    work.keep_unfinished(run)
    run.workspace.delete()
    work.rebuild(run)
    assert (run.workspace.agent / MODEL).read_text() == "RIGHT = 1\n"


def test_work_that_cannot_be_kept_is_said_and_nobodys_verdict(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.artifacts.parent.mkdir(exist_ok=True)
    run.artifacts.write_text("in the way")
    work.keep_unfinished(run)
    assert f"cannot be kept in {run.artifacts}" in caplog.text
    assert not work.preserve(run, "Unfinished")


def test_a_stop_is_still_heard_while_work_is_kept(run: Run) -> None:
    run.shell.stop.set(StopRequested("stopped by SIGINT"))
    with pytest.raises(StopRequested):
        work.keep_unfinished(run)


@pytest.fixture
def told(run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is said on the issue."""
    said: dict[str, str] = {}
    monkeypatch.setattr("yt_fsm.github.publishing.set_status", lambda *_: None)
    monkeypatch.setattr("yt_fsm.github.publishing.comment", lambda run, status, text: said.update({status: text}))
    monkeypatch.setattr(run.subject, "let_go", lambda work="": said.update(released=work))
    return said


SAID = "the next run of this issue there starts from it."


def ended(run: Run, event: str, state: str) -> None:
    run.journal.append("transition", event=event, source="bringup", dest=state, status=None)
    run.state = state


def test_a_setup_error_keeps_the_work_and_says_where(run: Run, told: dict[str, str]) -> None:
    run.journal.append("verdict", state="bringup", event="abort", error="CodexTrouble", text="codex broke")
    ended(run, "abort", "setup_error")
    setup_error.enter(run)
    kept = unfinished.Kept(run.artifacts).file
    assert f"The work so far is kept on the worker in `{kept}`; {SAID}" in told["setup error"]
    assert run.facts.kept == {"file": "wip.bundle", "left_out": ""}
    records = len(run.journal.records)
    run.workspace.delete()
    setup_error.enter(run)
    assert len(run.journal.records) == records, "the outbox enters it again, after the comment has named a record"


def test_a_lost_run_keeps_the_work_and_its_claim_says_where(run: Run, told: dict[str, str]) -> None:
    repository_within(run.workspace.agent)
    run.journal.append("effect.intent", effect="claim", key="[yt-claim]")
    ended(run, "lose", "released")
    released.enter(run)
    kept = unfinished.Kept(run.artifacts).file
    most = f", but for what `ytfsm replay {run.run_id}` names"
    assert told["released"] == f"The work so far is kept on the worker in `{kept}`{most}; {SAID}"
    assert "vendor/lib" in run.facts.kept["left_out"]


def test_nothing_is_said_of_work_that_is_not_there(run: Run) -> None:
    assert report.unfinished(run) == ""


def test_the_janitor_leaves_what_was_kept(run: Run) -> None:
    ended(run, "abort", "setup_error")
    work.keep_unfinished(run)
    run.journal.append("end", state="setup_error", published=True)
    run.journal.close()
    done = janitor.clean(run.settings, [run.definition])
    assert [one.split(" ")[0] for one in done] == ["workspace", "ballast"]
    assert unfinished.Kept(run.artifacts).file


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(things=st.lists(st.tuples(PATHS, THINGS), max_size=8))
def test_whatever_lies_about_the_model_is_kept(run: Run, things: list[tuple[bytes, Callable[[bytes], None]]]) -> None:
    shutil.rmtree(run.artifacts, ignore_errors=True)
    work.rebuild(run)
    (run.workspace.agent / MODEL).parent.mkdir(parents=True, exist_ok=True)
    (run.workspace.agent / MODEL).write_text("RIGHT = 1\n")
    fill(run.workspace.agent, things)
    work.keep_unfinished(run)
    assert unfinished.Kept(run.artifacts).file
    run.workspace.delete()
    work.rebuild(run)
    assert (run.workspace.agent / MODEL).read_text() == "RIGHT = 1\n"
