"""The branch of a bringup: the commit that was judged, kept as a bundle, and its push, which happens once (§9.1 G)."""

import functools
from typing import Any

from yt_fsm.engine.errors import CommandFailed, Refused
from yt_fsm.engine.journal import Record
from yt_fsm.github import refusals
from yt_fsm.github.errors import NoWay
from yt_fsm.tools.gate import guard_push
from yt_fsm.tools.git import TRAILER, Repository, refused

from .clean import clean_clone
from .errors import BranchExists
from .run import BringupRun


def commit(run: BringupRun, repository: Repository, tree: str, message: str) -> str:
    """Commit `tree` as the run's branch, and keep it as a bundle that outlives the workspace; returns its sha."""
    sha = repository.commit(tree, run.facts.base, run.facts.branch, f"{message}\n\n{TRAILER}: {run.run_id}\n")
    run.artifacts.mkdir(parents=True, exist_ok=True)
    repository.bundle(run.facts.branch, run.facts.base, run.bundle)
    return sha


def look_ahead(run: BringupRun, repository: Repository, branch: str) -> None:
    """Before codex is paid: find whatever is sure to refuse the branch or the pull request at the end (faults W12).

    Raises NoWay (a person must mend the repo or the login), BranchExists (this issue's name is taken), CommandFailed.
    """
    if run.shell.dry:
        return
    refusals.of_repository(run.github)
    refusals.of_branch(run.github, branch)
    for other in repository.colliding(branch):
        if other.startswith(f"{branch}/"):
            raise BranchExists(
                f"the branch `{other}` exists on the remote, so git can have none named `{branch}`. When nobody needs "
                f"it, delete it with `git push origin --delete {other}` and set the issue to ready again"
            )
        raise NoWay(
            f"the branch `{other}` exists on the remote, so git can have none named `{other}/…`, as all that runs push "
            f"are. When nobody needs it, rename or delete it with `git push origin --delete {other}`"
        )
    try:
        repository.push(branch, run.facts.base, run.facts.tip, dry=True)
    except CommandFailed as problem:
        if refused(problem):
            raise NoWay(f"git may not push `{branch}` to {run.settings.repo}: {problem}") from None
        raise


def push(run: BringupRun, *statuses: str | None) -> None:
    """Push the run's commit as its branch, from a clone that is made for it.

    Raises Leaked when it would send a secret of this machine, Refused when the remote rejects it.
    """
    branch, sha = run.facts.branch, run.facts.commit

    @functools.cache
    def repository() -> Repository:
        clean = clean_clone(run)
        if clean.unbundle(run.bundle, branch) != sha and not run.shell.dry:
            raise Refused(f"{run.bundle} does not hold the commit {sha} that passed: somebody wrote to it")
        return clean

    def observe(_: Record) -> dict[str, Any] | None:
        return {"sha": sha} if repository().remote_head(branch) == sha else None

    def apply(_: Record) -> dict[str, Any]:
        run.fence(*statuses)
        try:
            repository().push(branch, sha, run.facts.tip)
        except CommandFailed as problem:
            if observe({}) is not None:  # it landed and only its answer was lost
                return {"sha": sha}
            if refused(problem):
                raise Refused(f"the remote refuses the branch {branch}: {problem}") from None
            raise
        return {"sha": sha}

    if run.effects.done("push", branch) is None and not run.shell.dry:
        guard_push(repository(), run.facts.base, sha, branch)
    run.effects.once("push", branch, apply, observe)
