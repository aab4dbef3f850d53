"""A run with real git below it, and a model in codex's clone."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from yt_fsm.bringup.clean import keep_pristine
from yt_fsm.bringup.run import BringupRun as Run
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.git import Repository

BRANCH = "bringup/issue-12-org-name"
MODEL = "models/org/name/n300/functional/model.py"


def git(*argv: str, cwd: Path) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    return subprocess.run(["git", *who, *argv], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def remote(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models repo, where `git@github.com:` leads."""
    folder = tmp_path / "forge" / "yieldthought" / "ttnn_models.git"
    work = tmp_path / "seed"
    (work / "scripts").mkdir(parents=True)
    (work / "scripts" / "run_eval.py").write_text("print('eval')\n")
    git("init", "--quiet", "-b", "main", ".", cwd=work)
    git("add", "-A", cwd=work)
    git("commit", "--quiet", "-m", "first", cwd=work)
    git("clone", "--quiet", "--bare", str(work), str(folder), cwd=tmp_path)
    for name, value in {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{tmp_path}/forge/.insteadOf",
        "GIT_CONFIG_VALUE_0": "git@github.com:",
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def run(remote: Path, new_run: Callable[..., Run], shell: Shell, tmp_path: Path) -> Run:
    """A run whose codex has written a model; its git is real."""
    made = new_run()
    made.shell = shell
    made.new_workspace()
    made.workspace.make()
    repository = Repository(shell, made.workspace.clean)
    made.facts.base = repository.clone(made.settings.remote)
    made.facts.branch = BRANCH
    keep_pristine(made, repository)
    repository.copy_for_agent(made.workspace.agent)
    file = made.workspace.agent / MODEL
    file.parent.mkdir(parents=True)
    file.write_text("RIGHT = 1\n")
    return made
