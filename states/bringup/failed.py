"""failed: the model could not be brought up within the budget; the work is preserved (§9.1 H 2, §12.3)."""

from yt_fsm.bringup import commits, report
from yt_fsm.bringup.prompt import clip
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import preserve
from yt_fsm.engine.errors import Leaked
from yt_fsm.github import publishing


def enter(run: BringupRun) -> None:
    """On entry the attempts are spent, a budget is, or codex asked to stop.

    Final. What codex wrote is committed and pushed, the card moved, and the issue told why.
    """
    mark = run.subject.mark
    branch = leaked = None
    attempts = run.attempts()
    name = f"{run.brief.hf_model_id} ({run.settings.system})"
    if preserve(run, f"Bringup {name} failed after {len(attempts)} attempts"):
        try:
            commits.push(run, mark)
            branch = run.facts.branch
        except Leaked as problem:
            leaked = str(problem)
    publishing.set_status(run, "failed", mark)
    work = [report.unfinished(run)]
    if branch:
        work.insert(0, f"The work so far is on the branch `{branch}`.")
    if leaked:
        work.append(f"Its commit is there too, in {report.kept(run.bundle)}:\n\n{report.fenced(leaked)}\n")
    told = " ".join(filter(None, work)) or "There was no work to preserve."
    text = [
        f"Could not bring up {run.brief.hf_model_id} on {run.settings.system} "
        f"in {len(attempts)} of {run.settings.max_attempts} attempts. {told}",
        "",
        "What was wrong at last:",
        report.fenced(clip(why(run), 6000)),
    ]
    if attempts and attempts[-1]["metrics"]:
        text += ["", report.table(attempts[-1]["metrics"])]
    text += ["", "To reproduce:", report.reproduction(run, branch)]
    publishing.comment(run, "failed", "\n".join(text))


def why(run: BringupRun) -> str:
    """Why it ended: the verdict, else what the last check said."""
    verdict = run.journal.last("verdict")
    if verdict:
        return str(verdict["text"])
    attempts = run.attempts()
    return str(attempts[-1]["error"]) if attempts else "unknown"
