"""The tree that is judged: the base with the model's folder and codex's own tests over it, made anew for every command.

What a command writes into it is gone before the next begins, and its scripts/ must be the base's when one has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.bringup.errors import BringupError
from yt_fsm.engine.errors import AnswerTooLarge, CommandFailed
from yt_fsm.engine.removal import remove
from yt_fsm.tools.gate import secrets_in_tree

if TYPE_CHECKING:
    from yt_fsm.tools.git import Repository

FILES = 20_000  # more than the base has
BYTES = 2 << 30
HARNESS = ("scripts/", "tests/", "conftest.py", "pytest.ini", "pyproject.toml", "setup.cfg", "tox.ini")


@dataclass
class JudgedTree:
    """A git tree that is laid out in `folder` for each command; `harness` is the digest of its scripts/ (`seal.py`)."""

    repository: Repository
    tree: str
    folder: Path
    harness: str = field(default="", init=False)

    def lay(self) -> None:
        """Write it anew, whatever lies there."""
        remove(self.folder)
        self.repository.export(self.tree, self.folder)
        self.harness = digest(self.folder / "scripts")

    def changed(self) -> bool:
        """Whether somebody wrote to its scripts/ since."""
        return digest(self.folder / "scripts") != self.harness


def digest(scripts: Path) -> str:
    """The sha256 over the names and contents of a folder's files, as the harness's `seal.py` has it."""
    found = hashlib.sha256()
    for path in sorted(scripts.rglob("*"), key=lambda one: one.relative_to(scripts).as_posix()):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            found.update(f"{path.relative_to(scripts).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def collected(
    repository: Repository, base: str, agent: Path, allowed: tuple[str, str], tampered: list[str], dry: bool
) -> str:
    """Read codex's clone, once: the tree of `base` with the two `allowed` folders as they are there, the model's first.

    Files of the harness that codex changed are added to `tampered`. Raises BringupError for what it may not have done.
    """
    try:
        survey(agent, repository.size(base) + FILES)
        read = repository.read(agent, base)
        changes = repository.changes(base, read)
    except CommandFailed as problem:
        if problem.why:
            raise
        raise BringupError(f"git cannot read the repo as it is now:\n{problem.tail}") from None
    except AnswerTooLarge:
        raise BringupError("far too many files were changed to list them: remove what is generated") from None
    tampered += sorted(c.path for c in changes if c.kind != "A" and is_harness(c.path))
    outside = [c.path for c in changes if not c.path.startswith(allowed) and c.path not in tampered]
    if outside:
        raise BringupError(
            f"files outside `{allowed[0]}` were changed: {', '.join(outside[:20])}. Put everything that this "
            "bringup needs into that folder, and undo the rest"
        )
    links = [c.path for c in changes if c.mode in ("120000", "160000") and c.path.startswith(allowed)]
    if links:
        raise BringupError(f"links and submodules are not allowed: {', '.join(links[:20])}")
    if not any(c.path.startswith(allowed[0]) and c.kind != "D" for c in changes) and not dry:
        raise BringupError(f"there is nothing new in `{allowed[0]}`: the bringup belongs there")
    tree = repository.tree_of(read, base, [name.rstrip("/") for name in allowed])
    leaking = secrets_in_tree(repository, base, tree)
    if leaking:
        raise BringupError(
            "these places hold secrets of this machine, which must never be published; take them out, and read "
            "nothing outside of the repo and the model's folder:\n" + "\n".join(leaking)
        )
    return tree


def judged_bundle(artifacts: Path) -> Path:
    """Where the tree that is being judged is kept: what is committed comes from there."""
    return artifacts / "judged.bundle"


def survey(agent: Path, files: int) -> None:
    """Look at codex's tree before anything of it is read. Raises BringupError for what no bringup can need."""
    seen = size = 0
    for place, folders, names in os.walk(agent):
        here = Path(place)
        if here == agent:
            folders[:] = [name for name in folders if name != ".git"]
            names = [name for name in names if name != ".git"]
        elif ".git" in folders + names:
            raise BringupError(f"there is a git repository inside the repo ({here.relative_to(agent)}): remove it")
        seen += len(names) + len(folders)
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(here / name).st_size
        if seen > files:
            raise BringupError(f"the repo holds more than {files} files now: remove what the bringup does not need")
        if size > BYTES:
            raise BringupError(f"the repo holds more than {BYTES / 1e9:.0f} GB now: remove what it does not need")


def is_harness(path: str) -> bool:
    """Whether a path of the models repo decides about models, so that no bringup may change it."""
    return path.startswith(HARNESS)
