"""checking: the work is judged (§9.1 F), and if it passes, once more for the final metrics (§9.1 G)."""

from yt_fsm import metrics, publishing
from yt_fsm.errors import BringupError
from yt_fsm.evaluation import model_folder, tests_folder
from yt_fsm.git import Repository
from yt_fsm.prompt import clip
from yt_fsm.run import Run
from yt_fsm.work import evaluation_of


def enter(run: Run) -> str:
    """On entry codex has finished a turn. The attempt is journalled with its metrics.

    Leaves `accept` after a pass that is committed, `retry` after a failure with attempts left, else `give_up`.
    Raises Lost (`lose`) when the claim did not survive the work, SetupError (`abort`) for the world's faults.
    """
    number = len(run.attempts()) + 1
    repository = Repository(run.shell, run.workspace.clean)
    evaluation = evaluation_of(run)
    if number > 1 and run.attempts()[-1].get("killed"):
        run.board.reset()  # what hung may have left the board hanging
    before = run.tokens() - sum(a["tokens"] or 0 for a in run.attempts())
    report = evaluation.check(repository, run.facts["base"], f"{number:02d}")
    if report.error is None:
        try:
            report.metrics = {}
            evaluation.measure(report, "final")
        except BringupError as problem:
            report.error = f"the checks passed, but the final evaluation did not: {problem}"
    run.report = report
    run.journal.append(
        "attempt",
        n=number,
        passed=report.error is None,
        failing=report.failing,
        metrics=report.metrics,
        tokens=before,
        seconds=round(report.seconds, 3),
        error=clip(report.error) if report.error else None,
        killed="was killed" in (report.error or ""),
        tampered=report.tampered,
    )
    if report.error is None:
        run.fence()
        keep(run, repository, message(run, report.metrics))
        return "accept"
    if number >= run.settings.max_attempts:
        run.problem = BringupError(report.error)
        return "give_up"
    return "retry"


def message(run: Run, found: dict[str, metrics.Metrics]) -> str:
    """The commit's first line (§9.1 G), from the last evaluation that ran."""
    last = found.get("tt1") or found.get("tt0") or found["hf"]
    return (
        f"Bringup {run.brief.hf_model_id} ({run.settings.system}) "
        f"top1={last['top1']:.4f} top5={last['top5']:.4f} trace={int(last['trace'])}"
    )


def keep(run: Run, repository: Repository, text: str) -> str:
    """Commit the model's folder and codex's own tests; everything else that codex did stays behind."""
    folders = [f(run.brief, run.settings.system) for f in (model_folder, tests_folder)]
    tree = repository.tree_of(run.workspace.agent, run.facts["base"], folders)
    return publishing.commit(run, tree, text)
