"""Removal: the only module that deletes folders, and files under names that others could have chosen (faults S2).

A name is opened without following a link, and everything below it by that descriptor, so that nothing which is
swapped while we walk leads out of the folder. What another user owns and what is mounted there is no part of it: it
is named and left. Folders that were closed are opened first.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .errors import SetupError

DEEP = 100  # levels below which folders are first moved up: any depth can be made, and each level holds a descriptor
_NAMED = 5  # of the things that were left, in words


def remove(folder: Path) -> None:
    """Delete a folder of ours with all that unreviewed code left in it; there may be none.

    Raises SetupError naming what is left, and why; everything else is gone then.
    """
    left: list[str] = []
    try:
        with _opened(folder.parent, os.O_RDONLY) as parent:
            _Walk(parent, folder, left).over()
    except FileNotFoundError:
        return
    except OSError as problem:
        left.append(f"{problem.filename or folder} ({problem.strerror})")
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        raise SetupError(f"{folder} cannot be deleted: {', '.join(left[:_NAMED])}{more}")


def remove_file(path: Path) -> bool:
    """Delete a file of ours in a folder of ours; whether there was one. Raises SetupError for what is not ours."""
    try:
        with _opened(path.parent, os.O_RDONLY | os.O_NOFOLLOW) as parent:
            found = os.stat(path.name, dir_fd=parent, follow_symlinks=False)
            problem = _foreign(os.fstat(parent)) or _foreign(found)
            if problem or stat.S_ISDIR(found.st_mode):
                raise SetupError(f"{path} cannot be deleted: {problem or 'it is a folder'}")
            os.unlink(path.name, dir_fd=parent)
    except FileNotFoundError:
        return False
    except OSError as problem:
        raise SetupError(f"{path} cannot be deleted: {problem.strerror}") from None
    return True


def ours(folder: Path) -> bool:
    """Whether a name stands for a real folder (no link to one) of this process's user."""
    try:
        found = folder.lstat()
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(found.st_mode) and not _foreign(found)


class _Walk:
    """One removal: a stack of open folders, at most DEEP of them."""

    def __init__(self, parent: int, folder: Path, left: list[str]) -> None:
        self._parent, self._folder, self._left = parent, folder, left
        self._mount = -1

    def over(self) -> None:
        """Remove the folder."""
        top = self._enter(self._parent, self._folder.name, self._folder)
        if top is None:
            return
        stack: list[tuple[int, Path, list[str]]] = [(top, self._folder, _names(top))]
        try:
            while stack:
                descriptor, path, names = stack[-1]
                if names:
                    self._one(stack, names.pop())
                    continue
                os.close(descriptor)
                stack.pop()
                self._drop(stack[-1][0] if stack else self._parent, path)
        finally:
            for descriptor, _, _ in stack:
                os.close(descriptor)

    def _one(self, stack: list[tuple[int, Path, list[str]]], name: str) -> None:
        """Delete one name of the innermost folder, or go into it."""
        parent, within, _ = stack[-1]
        path = within / name
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            problem = _foreign(found)
            if problem:
                self._left.append(f"{path} ({problem})")
            elif not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=parent)
            elif (descriptor := self._enter(parent, name, path)) is not None:
                if len(stack) < DEEP:
                    stack.append((descriptor, path, _names(descriptor)))
                    return
                os.close(descriptor)
                above = f".deep-{os.urandom(8).hex()}"
                os.rename(name, above, src_dir_fd=parent, dst_dir_fd=stack[0][0])
                stack[0][2].append(above)
        except FileNotFoundError:
            return
        except OSError as problem:
            self._left.append(f"{path} ({problem.strerror})")

    def _enter(self, parent: int, name: str, path: Path) -> int | None:
        """Open a folder for reading without following a link; None when it is not ours, and that is noted."""
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            found = os.fstat(handle)
            problem = _foreign(found)
            if not problem and not stat.S_ISDIR(found.st_mode):
                problem = "it is a link" if stat.S_ISLNK(found.st_mode) else "it is no folder"
            mount = _mount(handle, found)
            if self._mount == -1:
                self._mount = _mount(self._parent, os.fstat(self._parent))
            if not problem and mount != self._mount:
                problem = "something is mounted there"
            if problem:
                self._left.append(f"{path} ({problem})")
                return None
            if found.st_mode & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{handle}", 0o700)  # the folder itself, whatever its name is now
            return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
        finally:
            os.close(handle)

    def _drop(self, parent: int, path: Path) -> None:
        """Remove an empty folder; one that holds what was left stays with it."""
        try:
            os.rmdir(path.name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as problem:
            if not any(words.startswith(f"{path}/") for words in self._left):
                self._left.append(f"{path} ({problem.strerror})")


@contextlib.contextmanager
def _opened(folder: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(folder, flags | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(descriptor: int) -> list[str]:
    """What an open folder holds; it is closed when that cannot be read."""
    try:
        return os.listdir(descriptor)
    except OSError:
        os.close(descriptor)
        raise


def _foreign(found: os.stat_result) -> str:
    """Whose a file is, when it is not ours."""
    return "" if found.st_uid == os.geteuid() else f"it belongs to user {found.st_uid}"


def _mount(descriptor: int, found: os.stat_result) -> int:
    """The mount that an open folder lies in; a folder that is bound elsewhere has its own, on the same device."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
    except (OSError, StopIteration):
        return found.st_dev
