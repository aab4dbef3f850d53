"""download: the weights on this disk (§9.1 C), and the HF reference known to be good."""

from yt_fsm import hub, progress
from yt_fsm.git import Repository
from yt_fsm.isolation import hub_environment
from yt_fsm.run import Run
from yt_fsm.work import evaluation_of


def enter(run: Run) -> str:
    """On entry the clones are there. The exact commit of the model is pinned for the rest of the run.

    Leaves `clear`. Raises SetupError (`abort`) when the download fails, BadReference (`reject`) when the model does
    not pass its own HF-only evaluation: codex is never paid to mend what only the reference got wrong.
    """
    brief = run.brief
    with progress.bytes_of(f"downloading {brief.hf_model_id}") as show:
        found = hub.download(
            run.shell,
            brief.hf_model_id,
            brief.hf_revision,
            hub_environment(run.workspace),
            run.settings.download_secs,
            run.settings.min_free_gb * 1e9,
            show,
        )
    run.fact("revision", found.sha)
    run.fact("bytes", found.bytes)
    repository = Repository(run.shell, run.workspace.clean)
    repository.export(run.facts["base"], run.workspace.check)
    run.fact("reference", evaluation_of(run).reference(run.workspace.check))
    return "clear"
