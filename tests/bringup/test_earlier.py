"""A run begins from what the last run of its issue left, here or on the issue's branch, and is told what was tried."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from states.bringup.bringup import first_prompt
from states.bringup.setup import restore
from tests.conftest import ISSUE
from yt_fsm.bringup import earlier, unfinished, work
from yt_fsm.bringup.clean import keep_pristine
from yt_fsm.bringup.run import BringupRun as Run
from yt_fsm.engine import run as engine_run
from yt_fsm.engine import store
from yt_fsm.engine.run import boot_id
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.git import Repository

from .conftest import BRANCH, MODEL, git

FOLDER = "models/org/name/n300"
TEST = f"tests/{FOLDER}/test_mine.py"


class Machine:
    """One machine on which runs of issues follow each other, each a second after the one before."""

    def __init__(self, new_run: Callable[..., Run], shell: Shell, remote: Path) -> None:
        self.new_run, self.shell, self.remote = new_run, shell, remote
        self.made = 0

    def begin(self, author: str | None = None, body: str = "hf_model_id: org/name\n", **issue: Any) -> Run:
        """A run that stands where `setup` is done; `author` has pushed the branch."""
        self.made += 1
        found = dataclasses.replace(ISSUE, body=body, **issue)
        run = self.new_run(issue=found)
        run.shell = self.shell
        move(run, "claim", "prepare")
        run.new_workspace()
        run.workspace.make()
        run.facts.model = run.brief.hf_model_id
        repository = Repository(self.shell, run.workspace.clean)
        run.facts.base = repository.clone(run.settings.remote)
        keep_pristine(run, repository)
        run.facts.branch = BRANCH
        if author:
            run.facts.tip = repository.remote_head(BRANCH)
        repository.copy_for_agent(run.workspace.agent)
        earlier.begin_from(run, repository, author)
        run.workspace.seal(boot_id())
        return run

    def end(
        self, run: Run, text: str | None = "ONE = 1\n", state: str = "setup_error", error: str = "top1 is 0.3"
    ) -> Run:
        """codex worked in it, a check failed, and it ended; with `text` None it ended before codex began."""
        if text is not None:
            move(run, "fetch", "clear", "begin")
            write(run, MODEL, text)
            attempt(run, error)
        move(run, *(["submit", "accept"] if state == "review" else ["abort"]))
        work.keep_unfinished(run)
        run.workspace.delete()
        run.journal.append("end", state=state, published=True)
        run.journal.close()
        return run

    def push(self, text: str, cwd: Path, *paths: str, to: str = "main", force: bool = False) -> None:
        """Somebody pushes a commit to the remote."""
        if not cwd.exists():
            git("clone", "--quiet", str(self.remote), str(cwd), cwd=self.remote.parent)
        for path in paths or ("other.py",):
            (cwd / path).parent.mkdir(parents=True, exist_ok=True)
            (cwd / path).write_text(text)
        git("add", "-A", cwd=cwd)
        git("commit", "--quiet", "-m", text, cwd=cwd)
        git("push", "--quiet", *(["--force"] if force else []), "origin", f"HEAD:refs/heads/{to}", cwd=cwd)


def move(run: Run, *events: str) -> None:
    """Go through the table, without any state's work."""
    for event in events:
        edge = next(e for e in run.definition.edges if (e.event, e.source) == (event, run.state))
        run.journal.append("transition", event=event, source=run.state, dest=edge.dest, status=edge.status)
        run.state = edge.dest


def write(run: Run, path: str, text: str) -> None:
    file = run.workspace.agent / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def attempt(run: Run, error: str | None, **more: Any) -> None:
    number = len(run.attempts()) + 1
    given = {"failing": "x", "metrics": {}, "tokens": 0, "seconds": 1.0, "passed": error is None, **more}
    run.journal.append("attempt", n=number, error=error, **given)


def model(run: Run) -> str | None:
    file = run.workspace.agent / MODEL
    return file.read_text() if file.exists() else None


@pytest.fixture
def machine(new_run: Callable[..., Run], shell: Shell, remote: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(new_run, shell, remote)
    monkeypatch.setattr(engine_run, "new_id", lambda tag: f"20261126T0200{made.made:02d}Z-{tag}-7f3c")
    return made


def test_the_next_run_begins_from_the_work_and_is_told_what_was_tried(machine: Machine, tmp_path: Path) -> None:
    run = machine.begin()
    assert run.facts.earlier == {}
    write(run, TEST, "def test_it(): ...\n")
    write(run, "README.md", "changed\n")
    first = machine.end(run, error="failing command: pytest\nE  assert 1 == 2")
    machine.push("moved on\n", tmp_path / "person")
    second = machine.begin()
    assert second.facts.base != first.facts.base
    assert model(second) == "ONE = 1\n"
    assert (second.workspace.agent / TEST).exists()
    assert (second.workspace.agent / "other.py").read_text() == "moved on\n"
    assert not (second.workspace.agent / "README.md").exists()
    assert second.facts.earlier["run_id"] == first.run_id
    assert second.attempts() == []
    told = first_prompt(second)
    assert f"An earlier run of this issue ({first.run_id}) began this work" in told
    assert "failing command: pytest\nE  assert 1 == 2" in told
    assert "What it had changed outside of them is left out: README.md." in told
    assert "An earlier run" not in first_prompt(first)


def test_history_that_was_rewritten_meanwhile_is_no_hindrance(machine: Machine, tmp_path: Path) -> None:
    machine.end(machine.begin())
    person = tmp_path / "person"
    (person / "scripts").mkdir(parents=True)
    git("init", "--quiet", "-b", "main", ".", cwd=person)
    git("remote", "add", "origin", str(machine.remote), cwd=person)
    machine.push("all new\n", person, "scripts/run_eval.py", force=True)
    git("gc", "--quiet", "--prune=now", cwd=machine.remote)
    again = machine.begin()
    assert model(again) == "ONE = 1\n"
    assert (again.workspace.agent / "scripts/run_eval.py").read_text() == "all new\n"


def test_work_that_git_did_not_take_is_gone_on_from(machine: Machine) -> None:
    run = machine.begin()
    git("init", "--quiet", "vendor", cwd=run.workspace.agent)
    machine.end(run)
    again = machine.begin()
    assert model(again) == "ONE = 1\n"
    assert sorted(path.name for path in again.workspace.agent.iterdir()) == [".git", "models", "scripts"]


def test_what_was_tried_is_known_over_several_runs(machine: Machine) -> None:
    machine.end(machine.begin(), "ONE = 1\n", error="the first error")
    machine.end(machine.begin(), "TWO = 2\n", error="the second error")
    machine.end(machine.begin(), text=None)  # ended before codex began
    last = machine.begin()
    assert model(last) == "TWO = 2\n"
    told = first_prompt(last)
    assert told.index("the first error") < told.index("the second error")
    assert "20261126T020002Z" in last.facts.earlier["run_id"]


def test_long_errors_and_many_attempts_are_told_in_short(machine: Machine) -> None:
    run = machine.begin()
    for number in range(30):
        attempt(run, f"error {number:02d}\n" + "x" * 50_000)
    machine.end(run, error="the last")
    told = first_prompt(machine.begin())
    assert "error 20\n" not in told
    assert "error 21\n" in told
    assert "the last" in told
    assert len(told) < 30_000


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"id": "ANOTHER"}, {}),  # issue 12 of another repo
        ({"number": 13, "id": "ISSUE13"}, {}),
        ({"body": "hf_model_id: org/other\n"}, {}),
        ({}, {"body": f"hf_model_id: org/name\nhf_revision: {'a' * 40}\n"}),
    ],
)
def test_the_work_of_another_issue_model_or_revision_is_not_used(
    machine: Machine, before: dict[str, Any], after: dict[str, Any]
) -> None:
    run = machine.begin(**before)
    run.facts.revision = "b" * 40
    machine.end(run)
    again = machine.begin(**after)
    assert (model(again), again.facts.earlier) == (None, {})


def test_few_journals_are_read_to_find_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (12, 12, 13, 14):
        machine.end(machine.begin(number=number, id=f"ISSUE{number}"))
    machine.end(machine.begin(), text=None)
    read: list[str] = []
    real = store.reading_of

    def reading_of(folder: Path, *more: Any) -> Any:
        read.append(folder.name)
        return real(folder, *more)

    monkeypatch.setattr(store, "reading_of", reading_of)
    found = machine.begin()
    assert found.facts.earlier["run_id"] == "20261126T020002Z-n300-i12-7f3c"
    assert read == ["20261126T020002Z-n300-i12-7f3c"]


def test_nothing_is_taken_from_before_what_was_published(machine: Machine) -> None:
    machine.end(machine.begin())
    run = machine.begin()
    run.artifacts.mkdir()
    run.bundle.write_text("")
    machine.end(run, state="review")
    assert machine.begin().facts.earlier == {}


def test_a_pass_that_a_person_gave_back_unpublished_is_begun_from(machine: Machine) -> None:
    from yt_fsm.bringup import commits
    from yt_fsm.bringup.clean import clean_clone

    run = machine.begin()
    move(run, "fetch", "clear", "begin")
    write(run, MODEL, "HALF = 1\n")
    work.keep_unfinished(run)
    write(run, MODEL, "PASSED = 1\n")
    attempt(run, None)
    clean = clean_clone(run)
    run.facts.commit = commits.commit(run, clean, clean.read(run.workspace.agent, run.facts.base), "Bringup")
    move(run, "submit", "accept")
    run.journal.append("refused", error="the branch is protected")
    run.journal.append("end", state="review", published=False)
    run.journal.close()
    again = machine.begin()
    assert model(again) == "PASSED = 1\n"
    told = first_prompt(again)
    assert "all checks passed" in told
    assert "All checks passed, but then: the branch is protected" in told


@pytest.mark.parametrize("newer", ["branch", "here"])
def test_the_newest_evidence_wins(machine: Machine, tmp_path: Path, newer: str) -> None:
    local = machine.end(machine.begin())
    author = local.run_id.replace("020001Z", "020000Z" if newer == "here" else "020009Z")
    machine.push("PUSHED = 1\n", tmp_path / "elsewhere", MODEL, to=BRANCH)
    run = machine.begin(author)
    assert run.facts.earlier["by"] == ("branch" if newer == "branch" else "kept")
    assert model(run) == ("PUSHED = 1\n" if newer == "branch" else "ONE = 1\n")
    assert run.facts.tip, "what the push replaces"


def test_the_branch_of_a_run_of_this_machine_is_told_with_its_attempts(machine: Machine, tmp_path: Path) -> None:
    run = machine.end(machine.begin(), error="what it said here")
    shutil.rmtree(run.artifacts)
    machine.push("PUSHED = 1\n", tmp_path / "elsewhere", MODEL, to=BRANCH)
    again = machine.begin(run.run_id)
    assert model(again) == "PUSHED = 1\n"
    assert "what it said here" in first_prompt(again)


def test_a_branch_of_an_unknown_run_is_begun_from_and_its_name_leads_nowhere(machine: Machine, tmp_path: Path) -> None:
    machine.push("PUSHED = 1\n", tmp_path / "elsewhere", MODEL, to=BRANCH)
    run = machine.begin("../../../etc")
    assert model(run) == "PUSHED = 1\n"
    assert run.facts.earlier["attempts"] == ()


@pytest.mark.parametrize("name", ["wip.bundle", "wip.tar.gz"])
def test_work_that_cannot_be_read_is_passed_over(machine: Machine, name: str, caplog: pytest.LogCaptureFixture) -> None:
    machine.end(machine.begin())
    run = machine.end(machine.begin(), "TWO = 2\n")
    kept = unfinished.Kept(run.artifacts)
    kept.bundle.unlink()
    (run.artifacts / name).write_bytes(b"no such thing")
    again = machine.begin()
    assert model(again) == "ONE = 1\n"
    assert f"the work of {run.run_id} cannot be used" in caplog.text


def test_half_of_an_archive_is_not_begun_from(machine: Machine) -> None:
    run = machine.begin()
    git("init", "--quiet", "vendor", cwd=run.workspace.agent)
    (run.workspace.agent / FOLDER).mkdir(parents=True)
    (run.workspace.agent / FOLDER / "data.bin").write_bytes(os.urandom(1 << 20))
    machine.end(run)
    kept = unfinished.Kept(run.artifacts).archive
    kept.write_bytes(kept.read_bytes()[: 1 << 19])
    again = machine.begin()
    assert not (again.workspace.agent / FOLDER).exists()
    assert again.facts.earlier == {}


def test_a_damaged_journal_and_a_folder_that_is_a_link_are_passed_over(machine: Machine, tmp_path: Path) -> None:
    machine.end(machine.begin())
    damaged = machine.end(machine.begin(), "TWO = 2\n")
    linked = machine.end(machine.begin(), "THREE = 3\n")
    damaged.journal.path.write_text("x\n" + damaged.journal.path.read_text())
    linked.folder.rename(tmp_path / "away")
    linked.folder.symlink_to(tmp_path / "away")
    assert model(machine.begin()) == "ONE = 1\n"


def test_a_run_that_is_resumed_before_codex_began_has_the_work_again(machine: Machine) -> None:
    machine.end(machine.begin())
    run = machine.begin()
    run.workspace.delete()
    move(run, "fetch")
    restore(run, False)
    assert model(run) == "ONE = 1\n"
