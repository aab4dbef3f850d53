"""setup: a workspace with two clones of the models repo, and the prerequisites checked again (§9.1 B)."""

from yt_fsm.bringup import commits, isolation, preflight, work
from yt_fsm.bringup.clean import keep_pristine
from yt_fsm.bringup.earlier import begin_from
from yt_fsm.bringup.errors import BranchExists
from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.run import boot_id
from yt_fsm.tools.git import Repository, branch_name


def enter(run: BringupRun) -> str:
    """On entry the issue is claimed and its text is sound; of an earlier try of this run nothing is used.

    codex's clone begins with what the last run of the issue left (`earlier.begin_from`).

    Leaves `fetch`. Raises SetupError (`abort`) when a prerequisite broke since the preflight, when the clone fails,
    when the branch exists on the remote (§8.4), or when the push is sure to be refused at the end.
    """
    run.empty_workspace()
    run.facts.isolation = isolation.in_force(run.settings)
    preflight.require(run.shell, run.settings)
    run.board.verify()
    repository = Repository(run.shell, run.workspace.clean)
    run.facts.base = repository.clone(run.settings.remote)
    run.facts.into = repository.default_branch()
    keep_pristine(run, repository)
    branch = branch_name(run.issue.number, run.brief.hf_model_id)
    run.facts.tip, author = pushed_earlier(run, repository, branch)
    commits.look_ahead(run, repository, branch)
    repository.git("checkout", "--quiet", "-b", branch)
    run.facts.branch = branch
    repository.copy_for_agent(run.workspace.agent)
    begin_from(run, repository, author)
    preflight.require_harness(run.shell, run.workspace.clean / "scripts" / "run_eval.py", run.settings.repo)
    run.workspace.seal(boot_id())
    return "fetch"


def pushed_earlier(run: BringupRun, repository: Repository, branch: str) -> tuple[str | None, str | None]:
    """The tip of a dead run's branch of this issue, to go on from, and that run; Nones when there is no such branch.

    Raises BranchExists for any other branch of that name (§8.4).
    """
    tip = repository.remote_head(branch)
    if tip is None:
        return None, None
    author = repository.run_of(branch)
    if author and run.subject.is_dead(author):
        return tip, author
    raise BranchExists(
        f"the branch `{branch}` exists on the remote already, and no dead run of this issue made it. When nobody needs "
        f"it, delete it with `git push origin --delete {branch}` and set the issue to ready again"
    )


def restore(run: BringupRun, going_on: bool) -> None:
    """After a crash or a stop: the clones, codex's work in them, and, to go on, the weights.

    The board is taken by the state that needs it, which waits while another run has it.

    A workspace that a kill left is used as it is; otherwise the work comes from the bundle that was made last.
    """
    if not run.facts.branch:  # still in claimed or setup, which make everything themselves
        return
    space = run.workspace
    run.facts.isolation = isolation.in_force(run.settings)
    if not space.whole(boot_id()):
        work.rebuild(run)
    space.make()
    if going_on and run.state != "download" and run.facts.revision:
        work.download(run)
