"""The collaborators that several states build from a run: its evaluation and its codex."""

from typing import TYPE_CHECKING

from .isolation import environment
from .run import Run

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
    )


def codex_of(run: Run) -> "Codex":
    """The run's codex, which goes on with the run's thread when there is one."""
    import os
    from pathlib import Path

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
    )
