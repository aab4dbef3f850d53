"""The clean clone of a run: where commits are made and pushes come from, out of reach of unreviewed code (faults S5 b).

Nothing that such code could have touched is believed: the clone is made anew each time that it is needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine.removal import remove
from yt_fsm.tools.git import Repository

if TYPE_CHECKING:
    from .run import BringupRun


def clean_clone(run: "BringupRun") -> Repository:
    """The worker's clone, made anew, with the run's branch at its base.

    It comes from the bundle that was made before codex began, if that is still what the journal says, else from the
    remote. Raises SetupError when it cannot be had.
    """
    space = run.workspace
    repository = Repository(run.shell, space.clean)
    if not run.shell.dry:
        space.make()
        if run.facts.pristine and digest(space.pristine) == run.facts.pristine:
            repository.renew(space.pristine, run.settings.remote)
        else:
            remove(space.clean)
            repository.clone(run.settings.remote)
            keep_pristine(run, repository)
        repository.git("checkout", "--quiet", "-B", run.facts.branch, run.facts.base)
    return repository


def keep_pristine(run: "BringupRun", repository: Repository) -> None:
    """Keep the remote's history as it is now for `clean_clone`, with its sha256 in the journal."""
    repository.keep(run.workspace.pristine)
    if not run.shell.dry:
        run.facts.pristine = digest(run.workspace.pristine)


def digest(file: Path) -> str:
    """A file's sha256; "" where there is none."""
    import hashlib  # loads OpenSSL, which a drawing needs none of

    found = hashlib.sha256()
    try:
        with file.open("rb") as source:
            while part := source.read(1 << 20):
                found.update(part)
    except OSError:
        return ""
    return found.hexdigest()
