"""setup_error: the world was at fault, not the model (§9.1 H 1); nothing is pushed, and the work is kept."""

from yt_fsm.bringup import report
from yt_fsm.bringup.prompt import clip
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import keep_unfinished
from yt_fsm.engine.errors import YtfsmError
from yt_fsm.github import publishing


def enter(run: BringupRun) -> None:
    """On entry a prerequisite, the download, the board or codex itself failed.

    Final. What codex wrote is kept, the card is moved, and the issue told what failed, and how to try again.
    """
    keep_unfinished(run)
    publishing.set_status(run, "setup error", run.subject.mark, run.subject.base)
    verdict = run.journal.all("verdict")[-1]
    publishing.comment(
        run,
        "setup error",
        f"The machine or its surroundings failed in `{verdict['state']}`, before the model could be judged "
        f"(worker {run.settings.worker_name}, {run.settings.system}).\n\n"
        f"{report.fenced(clip(verdict['text'], 6000))}\n\n"
        "Mend that, then set this issue to `ready` again. "
        f"The logs are on the worker, in {report.kept(run.folder)}. {report.unfinished(run)}\n\n"
        f"To reproduce:\n{reproduction(run)}",
    )


def reproduction(run: BringupRun) -> str:
    """The checks' commands, or the worker's when the issue's own text is what is wrong."""
    try:
        return report.reproduction(run)
    except YtfsmError:
        return report.fenced(f"ytfsm run --system {run.settings.system} --issue {run.issue.number} --once", "bash")
