"""The base's own tests: run on the untouched base before codex is paid (faults W9).

They are the first of the checks that a model has to pass, so where they fail by themselves none could.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BaseBroken
from .evaluation import Evaluation, tests_folder
from .world import KILLED

if TYPE_CHECKING:
    from yt_fsm.engine.shell import Result

    from .run import BringupRun

NO_TESTS = 5  # pytest's exit code where it found none
KEPT = 100  # verdicts
LIST_SECS = 120.0
# What is installed, by the names of its metadata: quicker than to ask each package, and as telling.
_LIST = (
    "import os, sys\n"
    "print(sys.version)\n"
    "for folder in filter(os.path.isdir, sys.path):\n"
    "    print(folder, *sorted(n for n in os.listdir(folder) if n.endswith(('-info', '.pth'))))"
)


def require(run: BringupRun, evaluation: Evaluation) -> None:
    """Run the tests of the base that lies in the workspace to be checked, unless they passed here before.

    Raises BaseBroken when they fail or there are none: the models repo's fault or this machine's, and no model's;
    CommandFailed when they are killed from outside, twice.
    That they passed is kept for the commit and for what is installed in the evaluation's Python.
    """
    passed = _verdict(run, evaluation)
    if passed is not None and passed.exists():
        return
    result = evaluation.gate()
    if result.code in KILLED:
        result = evaluation.gate()  # a kill from outside says nothing about them
    if result.code in KILLED:
        raise result.failed()
    if result.code == NO_TESTS:
        raise BaseBroken(
            f"the models repo has no tests on {_where(run)}, and every check begins with them\n{result.tail}"
        )
    if not result.ok:
        raise BaseBroken(
            f"the models repo's own tests fail on {_where(run)}, before anybody has worked on it, so no model can pass "
            f"there: mend them, or what {run.settings.python} has installed\n{result.failed()}"
        )
    if passed is not None:
        _keep(passed)


def _where(run: BringupRun) -> str:
    return f"{run.facts.into or 'the default branch'} at {run.facts.base}"


def _verdict(run: BringupRun, evaluation: Evaluation) -> Path | None:
    """The file that stands for a pass; None where nothing can be kept."""
    if run.shell.dry:
        return None
    settings, left_out = run.settings, tests_folder(run.brief, run.settings.system)
    listed: Result = evaluation.command([settings.python, "-c", _LIST], "import-list", LIST_SECS, run.workspace.check)
    if not listed.ok or listed.cut:
        return None
    said = (
        settings.repo, run.facts.base, settings.python, settings.system, listed.out,
        left_out if (run.workspace.check / left_out).exists() else "",
    )  # fmt: skip
    return settings.home / "gates" / hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def _keep(passed: Path) -> None:
    """Write a verdict down, and forget the oldest where there are many."""
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.touch()
    for old in sorted(passed.parent.iterdir(), key=lambda file: file.stat().st_mtime)[:-KEPT]:
        old.unlink(missing_ok=True)
