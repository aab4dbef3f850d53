"""setup: a workspace with two clones of the models repo, and the prerequisites checked again (§9.1 B)."""

import tempfile

from yt_fsm import preflight, publishing
from yt_fsm.git import Repository, branch_name
from yt_fsm.run import Run


def enter(run: Run) -> str:
    """On entry the issue is claimed and its text is sound; nothing is on disk yet.

    Leaves `fetch`. Raises SetupError (`abort`) when a prerequisite broke since the preflight, when the clone fails,
    or when the branch exists on the remote (§8.4).
    """
    if "workspace" not in run.facts:
        run.settings.tmp_root.mkdir(parents=True, exist_ok=True)
        run.fact("workspace", tempfile.mkdtemp(prefix=f"ytfsm-{run.run_id}-", dir=run.settings.tmp_root))
    run.workspace.make()
    preflight.require(run.shell, run.settings)
    run.board.verify()
    repository = Repository(run.shell, run.workspace.clean)
    run.fact("base", repository.clone(publishing.remote(run)))
    run.fact("into", repository.default_branch())
    branch = branch_name(run.issue.number, run.brief.hf_model_id)
    repository.start_branch(branch)
    run.fact("branch", branch)
    repository.copy_for_agent(run.workspace.agent)
    harness = run.workspace.clean / "scripts" / "run_eval.py"
    preflight.require_harness(run.shell, harness, run.settings.repo)
    return "fetch"
