"""The clean clone: whatever unreviewed code did, what is judged, committed and pushed is one tree (faults S5 b)."""

from pathlib import Path
from typing import Any

import pytest

from states.bringup import checking
from yt_fsm.bringup.clean import clean_clone, digest
from yt_fsm.bringup.commits import push
from yt_fsm.bringup.evaluation import Report
from yt_fsm.bringup.judged import judged_bundle
from yt_fsm.bringup.run import BringupRun as Run
from yt_fsm.engine.errors import Refused, SetupError
from yt_fsm.tools.git import Repository

from .conftest import BRANCH, MODEL, git


def judged(run: Run) -> Report:
    """A report whose tree is codex's model on the base, kept as a check keeps it."""
    repository, base = clean_clone(run), run.facts.base
    tree = repository.tree_of(repository.read(run.workspace.agent, base), base, ["models/org/name/n300"])
    run.artifacts.mkdir(parents=True, exist_ok=True)
    repository.take_aside(tree, base, judged_bundle(run.artifacts))
    measured: dict[str, Any] = {"top1": 1.0, "top5": 1.0, "trace": True}
    return Report(tree=tree, metrics={"hf": measured, "tt1": measured})


def spoil(run: Run) -> None:
    """What code with the worker's own rights could do to the clone before it is used again."""
    clean, ran = run.workspace.clean, run.folder / "ran"
    evil = f"touch {ran}; cat"
    for name in ("core.fsmonitor", "core.sshCommand", "filter.x.clean", "filter.x.smudge", "diff.external"):
        git("config", name, evil, cwd=clean)
    git("config", "remote.origin.url", "/nowhere", cwd=clean)
    git("config", "core.alternateRefsCommand", evil, cwd=clean)
    (clean / ".git" / "info" / "attributes").write_text("* filter=x\n")
    blob = git("rev-parse", f"{run.facts.base}:scripts/run_eval.py", cwd=clean)
    (clean / "fake").write_text("print('YT_METRICS={}')\n")
    git("replace", "-f", blob, git("hash-object", "-w", "fake", cwd=clean), cwd=clean)
    (clean / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in ("pre-push", "post-checkout", "reference-transaction"):
        (clean / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\n{evil}\n")
        (clean / ".git" / "hooks" / hook).chmod(0o755)
    ran.unlink(missing_ok=True)  # by the git commands of this function


def test_what_was_done_to_the_clone_is_gone_when_it_is_used_again(run: Run, tmp_path: Path) -> None:
    spoil(run)
    repository = clean_clone(run)
    repository.export(repository.head(), tmp_path / "check")
    assert (tmp_path / "check" / "scripts" / "run_eval.py").read_text() == "print('eval')\n"
    assert git("config", "--get", "remote.origin.url", cwd=repository.folder) == run.settings.remote
    assert not (run.folder / "ran").exists()


def test_the_bundle_is_believed_only_as_the_journal_knows_it(run: Run, remote: Path) -> None:
    before = run.facts.pristine
    with run.workspace.pristine.open("ab") as file:
        file.write(b"x")
    repository = clean_clone(run)
    assert repository.head() == run.facts.base
    assert run.facts.pristine == digest(run.workspace.pristine) != ""
    assert run.facts.pristine == before, "the same history makes the same bundle"


def test_no_network_is_needed_while_the_bundle_is_whole(run: Run, remote: Path) -> None:
    remote.rename(remote.with_name("away"))
    assert clean_clone(run).head() == run.facts.base


def test_the_commit_is_of_the_tree_that_was_judged(run: Run) -> None:
    report = judged(run)
    (run.workspace.agent / MODEL).write_text("WRONG = 1\n")
    spoil(run)
    sha = checking.commit_of(run, report)
    clean = Repository(run.shell, run.workspace.clean)
    assert clean.tree_in(sha) == report.tree
    assert git("show", f"{sha}:{MODEL}", cwd=clean.folder) == "RIGHT = 1"


def test_another_tree_in_the_place_of_the_judged_one_is_not_committed(run: Run) -> None:
    report = judged(run)
    (run.workspace.agent / MODEL).write_text("WRONG = 1\n")
    judged(run)
    with pytest.raises(SetupError, match=f"the tree that was judged is {report.tree}"):
        checking.commit_of(run, report)


def test_what_is_pushed_is_what_was_committed(run: Run, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "fence", lambda self, *statuses: None)
    run.facts.commit = checking.commit_of(run, judged(run))
    spoil(run)
    push(run, "in progress")
    assert git("rev-parse", BRANCH, cwd=remote) == run.facts.commit
    assert not (run.folder / "ran").exists()


def test_a_bundle_of_other_work_is_not_pushed(run: Run, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "fence", lambda self, *statuses: None)
    run.facts.commit = checking.commit_of(run, judged(run))
    mine = run.bundle.read_bytes()
    (run.workspace.agent / MODEL).write_text("WRONG = 1\n")
    checking.commit_of(run, judged(run))
    assert run.bundle.read_bytes() != mine
    with pytest.raises(Refused, match="does not hold the commit"):
        push(run, "in progress")
    assert "bringup" not in git("branch", "--list", cwd=remote)


def test_attributes_of_codexs_change_no_file(run: Run) -> None:
    folder = run.workspace.agent / "models/org/name/n300"
    (folder / ".gitattributes").write_text("*.txt text eol=crlf\n*.py ident working-tree-encoding=UTF-16\n")
    (folder / "notes.txt").write_bytes(b"one\r\ntwo\n")
    (folder / "functional" / "model.py").write_bytes(b"# $Id$\nRIGHT = 1\n")
    report = judged(run)
    repository = clean_clone(run)
    repository.fetch_aside(judged_bundle(run.artifacts))
    repository.export(report.tree, run.workspace.check)
    for name, data in {"notes.txt": b"one\r\ntwo\n", "functional/model.py": b"# $Id$\nRIGHT = 1\n"}.items():
        assert (run.workspace.check / "models/org/name/n300" / name).read_bytes() == data
