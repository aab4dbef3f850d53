"""reference_error: the model fails its own HF-only evaluation (§5), so no bringup could pass."""

from yt_fsm.bringup import report
from yt_fsm.bringup.prompt import clip
from yt_fsm.bringup.run import BringupRun
from yt_fsm.github import publishing


def enter(run: BringupRun) -> None:
    """On entry the weights are there and the HF reference does not hold. Final: the card is moved, the issue told."""
    publishing.set_status(run, "reference error", run.subject.mark)
    verdict = run.journal.all("verdict")[-1]
    publishing.comment(
        run,
        "reference error",
        f"{run.brief.hf_model_id} at {run.facts.revision} fails its HF-only evaluation, so it cannot be "
        f"brought up as it is.\n\n{report.fenced(clip(verdict['text'], 6000))}\n\n"
        f"To reproduce:\n{report.reproduction(run)}",
    )
