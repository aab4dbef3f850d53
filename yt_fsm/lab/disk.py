"""A small disk for a folder: a file system of its own that is full soon, to see what a full disk does.

Commands: `mount -t tmpfs`, `umount`; they need root.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from yt_fsm.lab.errors import LabError


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """`folder`, made if need be, on a disk of `size` bytes for the time of a `with`; what was on it is gone after.

    Raises LabError where mounting is not allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "ytfsm-lab", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as problem:
        raise LabError(f"a small disk cannot be mounted here: {problem}") from None
    if done.returncode != 0:
        raise LabError(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that still stands in it must not keep it.
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
