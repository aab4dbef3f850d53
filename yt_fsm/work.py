"""What several states do with a run: its download, its evaluation, its codex, and keeping its unfinished work."""

from pathlib import Path
from typing import TYPE_CHECKING

from . import publishing
from .git import Repository
from .isolation import environment, hub_environment
from .run import Run, boot_id

if TYPE_CHECKING:
    from .agent import Codex
    from .evaluation import Evaluation


def evaluation_of(run: Run) -> "Evaluation":
    """The run's evaluation, isolated, with the references of this machine."""
    from .evaluation import Evaluation

    cache = run.settings.reference_cache or str(run.settings.home / "references")
    return Evaluation(
        run.shell,
        run.settings,
        run.brief,
        run.facts["revision"],
        run.workspace,
        environment(run.settings, run.workspace, **run.board.environment),
        cache,
        run.artifacts,
        run.settings.skip_tt,
        run.facts.get("reference", {}).get("reference"),
    )


def download(run: Run) -> None:
    """Have the model's weights on this disk; the first time its exact commit is pinned. Raises SetupError."""
    from . import hub, progress

    brief, settings = run.brief, run.settings
    with progress.bytes_of(f"downloading {brief.hf_model_id}") as show:
        found = hub.download(
            run.shell,
            brief.hf_model_id,
            run.facts.get("revision") or brief.hf_revision,
            hub_environment(run.workspace),
            settings.download_secs,
            settings.min_free_gb * 1e9,
            show,
        )
    run.fact("revision", found.sha)
    run.fact("bytes", found.bytes)


def tree_of_work(run: Run, repository: Repository) -> str:
    """A tree object: the base with the model's folder and codex's own tests; what else codex did stays behind."""
    from .evaluation import model_folder, tests_folder

    folders = [folder(run.brief, run.settings.system) for folder in (model_folder, tests_folder)]
    return repository.tree_of(run.workspace.agent, run.facts["base"], folders)


def preserve(run: Run, message: str) -> bool:
    """Commit what codex wrote, once; False when it wrote nothing (§12.3)."""
    if "commit" in run.facts:
        return True
    if "branch" not in run.facts:
        return False
    if not run.shell.dry and not run.workspace.whole(boot_id()):
        if not wip(run).exists():
            return False
        rebuild(run)
    repository = Repository(run.shell, run.workspace.clean)
    tree = tree_of_work(run, repository)
    if not repository.diff(run.facts["base"], tree).strip():
        return False
    run.fact("commit", publishing.commit(run, tree, message))
    return True


def rebuild(run: Run) -> None:
    """A whole workspace again, from what outlives one: the remote, the bundles, and an earlier run's branch."""
    from .evaluation import model_folder

    space, repository = run.workspace, Repository(run.shell, run.workspace.clean)
    space.delete()
    space.make()
    repository.clone(run.settings.remote)
    if run.bundle.exists():  # the commit of work that has passed
        repository.unbundle(run.bundle, run.facts["branch"])
    repository.git("checkout", "--quiet", "-B", run.facts["branch"], run.facts["base"])
    repository.copy_for_agent(space.agent)
    if wip(run).exists():
        repository.put_back(wip(run), space.agent)
    elif run.facts.get("tip") and repository.has(run.facts["tip"]):
        repository.export(run.facts["tip"], space.agent, model_folder(run.brief, run.settings.system))
    space.seal(boot_id())


def wip(run: Run) -> Path:
    """The bundle of codex's unfinished work."""
    return run.artifacts / "wip.bundle"


def keep_unfinished(run: Run) -> None:
    """Before the workspace of an unfinished run goes: bundle all that codex wrote, wherever it wrote it."""
    if "commit" in run.facts or run.state not in ("bringup", "checking", "failed", "released"):
        return
    if run.workspace.whole(boot_id()):
        run.artifacts.mkdir(parents=True, exist_ok=True)
        Repository(run.shell, run.workspace.clean).take_aside(run.workspace.agent, run.facts["base"], wip(run))


def codex_of(run: Run) -> "Codex":
    """The run's codex, which goes on with the run's thread when there is one."""
    import os

    from . import prompt
    from .agent import Codex

    settings = run.settings
    home = settings.codex_home or Path(os.environ.get("HOME", "~")).expanduser() / ".codex"
    passed = {name: value for name, value in os.environ.items() if name.startswith("CODEX_")}
    thread = run.facts.get("thread")

    def learned(thread_id: str) -> None:
        run.fact("thread", thread_id)

    def used(tokens: int) -> None:
        run.journal.append("tokens", tokens=tokens, thread=run.facts.get("thread"))

    return Codex(
        run.shell,
        settings.codex_bin,
        settings.codex_sandbox,
        run.workspace.agent,
        environment(settings, run.workspace, **{**passed, "CODEX_HOME": str(home)}, **run.board.environment),
        run.artifacts,
        settings.attempt_secs,
        settings.stall_secs,
        settings.backoff_secs,
        learned,
        used,
        thread,
        sum(r["tokens"] for r in run.journal.records if r["kind"] == "tokens" and r["thread"] == thread),
        prompt.bringup(run.brief, settings, run.facts["revision"]),
    )
