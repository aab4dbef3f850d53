"""What several states do with a run: its download, its evaluation, its codex, and keeping its unfinished work."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import JournalBroken, SetupError, StopRequested
from yt_fsm.engine.run import boot_id

from . import commits, earlier, unfinished
from .clean import clean_clone
from .isolation import environment, hub_environment, sandbox_of, weights
from .run import CODEX, BringupRun

if TYPE_CHECKING:
    from yt_fsm.tools.codex import Codex

    from .evaluation import Evaluation

log = logging.getLogger("ytfsm")


def evaluation_of(run: BringupRun) -> "Evaluation":
    """The run's evaluation, isolated, with the references of this machine."""
    from .evaluation import Evaluation

    settings, space = run.settings, run.workspace
    more = {**run.board.environment, "TT_METAL_CACHE": str(space.kernels)}
    return Evaluation(
        run.shell,
        settings,
        run.brief,
        run.facts.revision,
        space,
        environment(settings, space, space.evaluation, **more),
        settings.reference_cache or str(settings.home / "references"),
        run.artifacts,
        settings.skip_tt,
        run.facts.reference.get("reference"),
        None if run.shell.dry else sandbox_of(settings, (weights(space),), devices=tuple(run.board.devices())),
        "harness" in run.facts.reference,
    )


def download(run: BringupRun) -> None:
    """Have the model's weights on this disk; the first time its exact commit is pinned. Raises SetupError."""
    from yt_fsm.tools import hub, progress

    from . import fit

    brief, settings = run.brief, run.settings
    with progress.bytes_of(f"downloading {brief.hf_model_id}") as show:
        try:
            found = hub.download(
                run.shell,
                brief.hf_model_id,
                run.facts.revision or brief.hf_revision,
                hub_environment(run.workspace),
                settings.download_secs,
                settings.min_free_gb * 1e9,
                show,
                fit.most_weights(settings),
            )
        except hub.TooLarge as problem:
            raise fit.in_words(problem, settings) from None
    run.facts.revision = found.sha
    run.facts.bytes = found.bytes


def keep_unfinished(run: BringupRun) -> None:
    """Keep what codex wrote, as `unfinished.keep` does; a failure to do so is said, and is nobody's verdict."""
    try:
        unfinished.keep(run)
    except (StopRequested, JournalBroken):
        raise
    except Exception as problem:
        log.error("run_id=%s its unfinished work could not be kept: %s", run.run_id, problem)


def preserve(run: BringupRun, message: str) -> bool:
    """Keep what codex wrote, and commit what of it belongs to the bringup, once; False when that is nothing (§12.3)."""
    if run.facts.commit:
        return True
    keep_unfinished(run)
    kept = unfinished.Kept(run.artifacts)
    if not run.facts.branch or kept.file is None:
        return False
    repository, base = clean_clone(run), run.facts.base
    try:
        tree = kept.tree(repository, base, run.workspace.check)
        tree = repository.tree_of(tree, base, unfinished.folders(run))
    except (SetupError, OSError) as problem:
        log.error("run_id=%s %s holds its work, and git cannot commit it: %s", run.run_id, kept.file, problem)
        return False
    if tree == repository.tree_in(base):
        return False
    run.facts.commit = commits.commit(run, repository, tree, message)
    return True


def rebuild(run: BringupRun) -> None:
    """A whole workspace again, from what outlives one: the remote, what was kept, and what an earlier run left."""
    run.empty_workspace()
    space = run.workspace
    repository = clean_clone(run)
    repository.copy_for_agent(space.agent)
    kept = unfinished.Kept(run.artifacts)
    if kept.file:
        kept.put_back(repository, space.agent)
    else:
        earlier.lay_again(run, repository)
    space.seal(boot_id())


@contextlib.contextmanager
def limit_told(run: BringupRun) -> Iterator[None]:
    """While codex works: tell this machine's other workers of the account's limit (faults W1)."""
    from yt_fsm.tools import codex_limits
    from yt_fsm.tools.codex_home import CodexHome
    from yt_fsm.tools.errors import CodexLimited

    try:
        yield
    except CodexLimited as limit:
        source = run.settings.codex_source
        with contextlib.suppress(OSError, SetupError):  # it is known here all the same
            codex_limits.note(run.settings.home, CodexHome(source, source).account(), limit.until, str(limit))
        raise


def codex_of(run: BringupRun) -> "Codex":
    """The run's codex, which goes on with the run's thread when there is one."""
    from yt_fsm.tools import codex_limits
    from yt_fsm.tools.codex import Codex
    from yt_fsm.tools.codex_home import CodexHome

    from . import prompt

    settings, space = run.settings, run.workspace
    home = CodexHome(settings.codex_source, run.folder / CODEX, settings.codex_model, settings.codex_effort)
    passed = {name: value for name, value in os.environ.items() if name.startswith("CODEX_")}
    env = {**passed, "CODEX_HOME": str(home.folder), **run.board.environment}
    thread = run.facts.thread

    def learned(thread_id: str) -> None:
        run.facts.thread = thread_id

    def used(tokens: int) -> None:
        run.journal.append("tokens", tokens=tokens, thread=run.facts.thread)
        with contextlib.suppress(OSError, SetupError):  # it works, so nothing limits it
            codex_limits.clear(settings.home, CodexHome(settings.codex_source, settings.codex_source).account())

    write = (space.agent, space.codex.home, space.codex.tmp, home.folder, *home.login)
    read, devices = (weights(space),), tuple(run.board.devices())
    return Codex(
        run.shell,
        settings.codex_bin,
        settings.codex_sandbox,
        space.agent,
        environment(settings, space, space.codex, **env),
        run.artifacts,
        settings.attempt_secs,
        settings.stall_secs,
        settings.backoff_secs,
        learned,
        used,
        thread,
        sum(record["tokens"] for record in run.journal.all("tokens") if record["thread"] == thread),
        prompt.bringup(run.brief, settings, run.facts.revision, run.facts.earlier),
        None if run.shell.dry else sandbox_of(settings, read, write, devices, network=True),
        None if run.shell.dry else home,
    )
