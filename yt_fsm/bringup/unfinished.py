"""Unfinished work: all that codex wrote, kept in the run's folder before its workspace goes (faults W7).

It is a bundle where git takes the tree, and an archive of what can be had of it where git does not. Nobody has looked
at it: it is put into codex's own clone again, and nothing of it is ever run outside the sandbox.
"""

import logging
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import JournalBroken, SetupError, StopRequested
from yt_fsm.engine.outside import shown
from yt_fsm.engine.removal import remove, remove_file
from yt_fsm.engine.run import boot_id
from yt_fsm.tools.git import Repository, empty

from . import archive
from .clean import clean_clone

if TYPE_CHECKING:
    from .run import BringupRun

log = logging.getLogger("ytfsm")


class Kept:
    """What a run's folder of artifacts has of its unfinished work."""

    def __init__(self, artifacts: Path) -> None:
        self.bundle = artifacts / "wip.bundle"
        self.archive = artifacts / "wip.tar.gz"

    @property
    def file(self) -> Path | None:
        """The one that was made last; None where nothing was kept."""
        found = [(made, path) for path in (self.bundle, self.archive) if (made := _made(path)) is not None]
        return max(found)[1] if found else None

    def tree(self, repository: Repository, base: str, space: Path) -> str:
        """The kept files as a tree object; `space` is where an archive's are laid out meanwhile.

        What git does not take is not in it. Raises SetupError when there is none, or it cannot be read.
        """
        if self.file == self.bundle:
            return repository.fetch_aside(self.bundle)
        remove(space)
        space.mkdir()
        try:
            archive.unpack(self.archive, space)
            return repository.read(space, base, whole=False)
        finally:
            remove(space)

    def put_back(self, repository: Repository, agent: Path) -> None:
        """Make the files of codex's new clone the kept ones; an archive may lack some, so the base's stay with it.

        Raises SetupError.
        """
        if self.file == self.bundle:
            empty(agent)
            repository.export(repository.fetch_aside(self.bundle), agent)
        else:
            archive.unpack(self.archive, agent)


def _made(path: Path) -> int | None:
    """When a file was written last; None where there is no such file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else None


def folders(run: "BringupRun") -> list[str]:
    """The folders that a bringup's work belongs in, the model's first."""
    from .evaluation import model_folder, tests_folder

    return [folder(run.brief, run.settings.system) for folder in (model_folder, tests_folder)]


def begun(run: "BringupRun") -> bool:
    """Whether codex has worked in this run, so that there is something of its own."""
    return any(r["kind"] == "attempt" or r.get("dest") == "bringup" for r in run.journal.all("attempt", "transition"))


def keep(run: "BringupRun") -> None:
    """Keep what codex wrote in this run, before its workspace goes; once a pass is committed, that is what is kept.

    A final state's is a fact of the run, and so is what had to be left out. Raises SetupError when nothing can be kept.
    """
    if run.shell.dry or not run.facts.branch or run.facts.commit or not begun(run):
        return
    if not run.workspace.whole(boot_id()):
        return
    kept = Kept(run.artifacts)
    try:
        run.artifacts.mkdir(parents=True, exist_ok=True)
        run.shell.end_survivors()
        left = _by_git(run, kept)
        left = _as_archive(run, kept) if left is None else left
    except OSError as problem:
        raise SetupError(f"the unfinished work cannot be kept in {run.artifacts}: {problem}") from None
    file = kept.file
    if file and (run.final or left or run.facts.kept):
        run.facts.kept = {"file": file.name, "left_out": left}


def _by_git(run: "BringupRun", kept: Kept) -> str | None:
    """Keep all of it as a bundle; returns that nothing is left out, or None where git does not take it."""
    from .judged import FILES, survey

    agent, base = run.workspace.agent, run.facts.base
    try:
        repository = clean_clone(run)
        survey(agent, repository.size(base) + FILES)
        repository.take_aside(repository.read(agent, base), None, kept.bundle)
    except (StopRequested, JournalBroken):
        raise
    except Exception as problem:  # whatever codex left: it has made worse than anybody thought of
        log.warning("run_id=%s git does not take its work as it is: %s", run.run_id, shown(problem))
        return None
    remove_file(kept.archive)
    return ""


def _as_archive(run: "BringupRun", kept: Kept) -> str:
    """Keep what can be had of it as an archive; returns what is left out, in words. Raises OSError."""
    left = archive.pack(run.workspace.agent, kept.archive, folders(run))
    remove_file(kept.bundle)
    if left:
        log.warning("run_id=%s not all of its unfinished work is kept; left out are %s", run.run_id, left)
    return left
