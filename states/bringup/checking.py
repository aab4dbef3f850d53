"""checking: the work is judged (§9.1 F), and if it passes, once more for the final metrics (§9.1 G)."""

import logging

from yt_fsm.bringup import commits, metrics, world
from yt_fsm.bringup.clean import clean_clone
from yt_fsm.bringup.errors import BringupError
from yt_fsm.bringup.evaluation import HF, TT0, TT1, Report
from yt_fsm.bringup.judged import judged_bundle
from yt_fsm.bringup.prompt import clip
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.work import evaluation_of, keep_unfinished
from yt_fsm.engine.errors import ServiceError, SetupError
from yt_fsm.engine.journal import Record

log = logging.getLogger("ytfsm")

FRESH_FROM = 3  # from this attempt on one evaluation of each is along windows that codex has not seen


def enter(run: BringupRun) -> str:
    """On entry codex has finished a turn. The attempt is journalled with its metrics and, if it passed, its commit.

    Leaves `accept` after a pass that is committed, `retry` after a failure with attempts left, else `give_up`.
    Raises Lost (`lose`) when the claim did not survive the work, SetupError (`abort`) for the world's faults before
    the work has passed: GitHub being away then is the outbox's to wait for.
    """
    attempt = judged(run) or judge(run)
    if attempt["passed"]:
        try:
            run.fence()
        except ServiceError as problem:  # the pass stands (faults W4); publishing asks again before each of its steps
            log.warning("run_id=%s whose the issue is cannot be asked now: %s", run.run_id, problem)
        run.facts.commit = attempt["commit"]
        return "accept"
    keep_unfinished(run)
    if attempt["n"] >= run.settings.max_attempts:
        run.problem = BringupError(attempt["error"])
        return "give_up"
    return "retry"


def judged(run: BringupRun) -> Record | None:
    """This turn's attempt, when it was judged and journalled before a crash; it is never judged twice."""
    for record in reversed(run.journal.records):
        if record["kind"] == "attempt":
            run.report = Report(error=record["error"])
            return record
        if record["kind"] == "transition":
            break
    return None


def judge(run: BringupRun) -> Record:
    """Check the work, and if it passes evaluate it once more and commit it; returns the attempt's record.

    codex's files are read once, and the tree that this gave is judged, committed and pushed. The commit is made in a
    clone that the judged code never saw and is bundled before the record: whatever happens to the workspace or in it,
    what is published is what passed.
    """
    before = run.attempts()
    number = len(before) + 1
    world.have_board(run)
    try:
        report = run.report = checked(run, f"{number:02d}")
    except SetupError:
        keep_unfinished(run)  # the world's fault takes no finished work with it
        raise
    commit = commit_of(run, report) if report.error is None else None
    return run.journal.append(
        "attempt",
        n=number,
        passed=report.error is None,
        failing=report.failing,
        tree=report.tree or None,
        commit=commit,
        metrics=report.metrics,
        tokens=run.tokens() - sum(attempt["tokens"] or 0 for attempt in before),
        seconds=round(report.seconds, 3),
        error=clip(report.error) if report.error else None,
        killed="was killed" in (report.error or ""),
        tampered=report.tampered,
    )


def checked(run: BringupRun, attempt: str) -> Report:
    """The whole check of codex's work; what failed by a machine that is not whole is checked once more (faults W2).

    Raises SetupError when the world is at fault and stays so: no attempt is spent.
    """
    report = checked_once(run, attempt)
    if report.failing and world.acquits(run, report, again=False):
        report = checked_once(run, attempt)
        if report.failing:
            world.acquits(run, report, again=True)
    return report


def checked_once(run: BringupRun, attempt: str) -> Report:
    """The checks, and when they pass the final evaluation, along windows that nobody knew before."""
    evaluation = evaluation_of(run)
    fresh = (TT0,) if attempt.isdecimal() and int(attempt) >= FRESH_FROM else ()
    report = evaluation.check(clean_clone(run), run.facts.base, attempt, fresh)
    if report.error is None:
        try:
            report.metrics = {}
            evaluation.measure(report, "final", (HF, TT0, TT1))
        except BringupError as problem:
            report.error = f"the checks passed, but the final evaluation did not: {problem}"
    return report


def commit_of(run: BringupRun, report: Report) -> str:
    """Commit what was judged; returns the commit. Raises SetupError when the tree that was kept is another one."""
    repository = clean_clone(run)
    kept = report.tree if run.shell.dry else repository.fetch_aside(judged_bundle(run.artifacts))
    if kept != report.tree:
        raise SetupError(
            f"the tree that was judged is {report.tree}, and {judged_bundle(run.artifacts)} holds {kept}: somebody "
            "wrote to it. Nothing is committed; set the issue to ready again"
        )
    return commits.commit(run, repository, kept, message(run, report.metrics))


def message(run: BringupRun, found: dict[str, metrics.Metrics]) -> str:
    """The commit's first line (§9.1 G), from the last evaluation that ran."""
    last = found.get("tt1") or found.get("tt0") or found["hf"]
    return (
        f"Bringup {run.brief.hf_model_id} ({run.settings.system}) "
        f"top1={last['top1']:.4f} top5={last['top5']:.4f} trace={int(last['trace'])}"
    )
