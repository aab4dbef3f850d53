"""failed: the model could not be brought up within the budget; the work is preserved (§9.1 H 2, §12.3)."""

from yt_fsm import publishing
from yt_fsm.evaluation import model_folder, tests_folder
from yt_fsm.git import Repository
from yt_fsm.prompt import clip
from yt_fsm.run import Run


def enter(run: Run) -> None:
    """On entry the attempts are spent, a budget is, or codex asked to stop.

    Final. What codex wrote is committed and pushed, the card moved, and the issue told why.
    """
    mark = run.definition.mark
    branch = None
    if preserve(run):
        publishing.push(run, mark)
        branch = run.facts["branch"]
    publishing.set_status(run, "failed", mark)
    attempts = run.attempts()
    work = f"The work so far is on the branch `{branch}`." if branch else "There was no work to preserve."
    text = [
        f"Could not bring up {run.brief.hf_model_id} on {run.settings.system} "
        f"in {len(attempts)} of {run.settings.max_attempts} attempts. {work}",
        "",
        "What was wrong at last:",
        publishing.fenced(clip(why(run), 6000)),
    ]
    if attempts and attempts[-1]["metrics"]:
        text += ["", publishing.table(attempts[-1]["metrics"])]
    text += ["", "To reproduce:", publishing.reproduction(run, branch)]
    publishing.comment(run, "failed", "\n".join(text))


def why(run: Run) -> str:
    """Why it ended: the verdict, else what the last check said."""
    verdicts = [r for r in run.journal.records if r["kind"] == "verdict"]
    if verdicts:
        return str(verdicts[-1]["text"])
    attempts = run.attempts()
    return str(attempts[-1]["error"]) if attempts else "unknown"


def preserve(run: Run) -> bool:
    """Commit what codex wrote, once; False when it wrote nothing."""
    if "commit" in run.facts:
        return True
    if not (run.workspace.agent / ".git").exists() and not run.shell.dry:
        return False
    repository = Repository(run.shell, run.workspace.clean)
    folders = [f(run.brief, run.settings.system) for f in (model_folder, tests_folder)]
    tree = repository.tree_of(run.workspace.agent, run.facts["base"], folders)
    if not repository.diff(run.facts["base"], tree).strip():
        return False
    attempts = len(run.attempts())
    publishing.commit(
        run, tree, f"Bringup {run.brief.hf_model_id} ({run.settings.system}) failed after {attempts} attempts"
    )
    return True
