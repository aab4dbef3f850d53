"""Small disks: a folder on a file system of its own that is soon full, to see what a full disk does.

Commands: `mount -t tmpfs`, `mount -o remount`, `umount`; they need root.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from yt_fsm.lab.errors import LabError

ROOMY = 1 << 40  # bytes of a disk that shall not be full
TRIES = 5


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """`folder`, made if need be, on a disk of `size` bytes for the time of a `with`; what was on it is gone after.

    Raises LabError where mounting is not allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _mount(folder, size)
    try:
        yield folder
    finally:
        _unmount(folder)


def fill(folder: Path, free: int = 0) -> None:
    """Leave `folder` with `free` bytes, on a disk of its own from now on; also while programs use that disk.

    Raises LabError where mounting is not allowed, and for a folder with content that has no such disk yet.
    """
    if not os.path.ismount(folder):
        if any(folder.iterdir()):
            raise LabError(
                f"{folder} is in use on the machine's own disk: set this fault before the folder is used (with any "
                "`free`, also at the lab's start); from then on `free` can be changed at any time"
            )
        _mount(folder, ROOMY)
    for left in reversed(range(TRIES)):
        size = os.statvfs(folder)
        used = (size.f_blocks - size.f_bfree) * size.f_frsize
        done = _run("mount", "-o", f"remount,size={max(used + free, size.f_frsize)}", str(folder))
        if done is None:
            return
        if not left:  # else: somebody wrote meanwhile, and a disk cannot be smaller than what is on it
            raise LabError(f"{folder} cannot be filled: {done}")


def empty(folder: Path) -> None:
    """Make room again on a folder's own disk, if it has one."""
    if os.path.ismount(folder):
        _run("mount", "-o", f"remount,size={ROOMY}", str(folder))


def free_bytes(folder: Path) -> int | None:
    """What is left on a folder's own small disk; None when it has none, or a roomy one."""
    if not os.path.ismount(folder):
        return None
    size = os.statvfs(folder)
    return size.f_bavail * size.f_frsize if size.f_blocks * size.f_frsize < ROOMY else None


def release(folder: Path) -> None:
    """Take a folder's own disk away, and keep what is on it in the folder."""
    if not os.path.ismount(folder):
        return
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside, symlinks=True)
    _unmount(folder)
    for path in aside.iterdir():
        shutil.move(path, folder / path.name)
    aside.rmdir()


def _mount(folder: Path, size: int) -> None:
    said = _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "ytfsm-lab", str(folder))
    if said is not None:
        raise LabError(f"a small disk cannot be mounted here: {said}")


def _unmount(folder: Path) -> None:
    # Lazily: a process that still stands in it must not keep it.
    _run("umount", "--lazy", str(folder))


def _run(*argv: str) -> str | None:
    """None when the command succeeded, else what it said."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as problem:
        return str(problem)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"
