"""The real `ytfsm` with one accident built in: `python tests/kill/worker.py ARGV…`, the accident in KILL_POINT.

A point is `WHERE:NUMBER:WHAT`, numbers from 0, counted in this process:

    record:17:before|torn|after     this process gets SIGKILL around, or half way through, a journal write
    record:17:stop                  SIGTERM after that record
    record:17:filled                the disk of the run's folder is really filled, by a file `filler` in it
    record:17:full|once|short|eio   the disk under that write is full (from then on, or once), or takes half of it
                                    and no more, or fails to sync
    effect:2:before|after           SIGKILL around what changes the outside world
    command:40:started              SIGKILL as soon as a command of the run has been started
    file:9:before                   SIGKILL before a file or folder is made, renamed or removed
    child:codex-0:killed            the run's first command of that name gets SIGKILL
    world:17:after                  the process KILL_VICTIM gets SIGKILL after that record; this one goes on

With KILL_BOOT this process takes itself to run in that boot of the machine. With KILL_TRACE the points that a run
passes are written to that file, one a line, and nothing happens. The product knows nothing of this: its functions
are replaced from here.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from yt_fsm.engine import journal
from yt_fsm.engine.effects import Effects
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.shell import MARKER


def die() -> NoReturn:
    """End this process as a kill from outside does."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL was survived")


class Accident:
    """What happens, and where; or, with `trace`, only a note of each place."""

    def __init__(self, point: str, trace: str) -> None:
        self.where, number, self.what = [*point.split(":"), "", ""][:3]
        self.name, _, index = number.rpartition("-")
        self.number = int(index or -1)
        self.trace = trace
        self.seen: Counter[str] = Counter()
        self.over = False

    def note(self, line: str) -> None:
        """Write down a place that was passed."""
        if self.trace:
            with open(self.trace, "a") as file:
                file.write(line + "\n")

    def here(self, where: str, name: str = "") -> bool:
        """Count this place; whether it is the one."""
        key = f"{where}/{name}" if self.name and where == self.where else where
        if self.name and where == self.where and name != self.name:
            return False
        number = self.seen[key]
        self.seen[key] += 1
        return where == self.where and number == self.number


def arm(accident: Accident) -> None:
    """Replace the functions of the product that an accident can happen in."""
    _arm_records(accident)
    _arm_effects(accident)
    _arm_commands(accident)
    if accident.where == "file" or accident.trace:
        _arm_files(accident)


def _arm_records(accident: Accident) -> None:
    write = Journal._write
    real = {"write": os.write, "fdatasync": os.fdatasync}

    class Disk:
        """`os` as the journal sees it, with a disk that fails."""

        def __init__(self, mode: str) -> None:
            self.mode = mode

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, fd: int, data: bytes) -> int:
            if self.mode in ("full", "once"):
                self.mode = "full" if self.mode == "full" else ""
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.mode == "short":
                return real["write"](fd, data[: len(data) // 2])
            return real["write"](fd, data)

        def fdatasync(self, fd: int) -> None:
            if self.mode == "eio":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real["fdatasync"](fd)

    def writing(self: Journal, line: bytes) -> bool:
        kind = line.split(b'"kind":"', 1)[1].split(b'"', 1)[0].decode()
        accident.note(f"record {kind}")
        hit = accident.here("record")
        if hit and accident.what == "before":
            die()
        if hit and accident.what == "torn":
            os.write(self._fd, line[: len(line) // 2])
            die()
        if hit and accident.what == "filled":
            _fill(self.path.parent / "filler")
        if hit and accident.what in ("full", "once", "short", "eio"):
            journal.os = Disk(accident.what)  # type: ignore[attr-defined]
        written = write(self, line)
        if hit and accident.what == "after":
            die()
        if hit and accident.what == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if accident.here("world"):
            os.kill(int(os.environ["KILL_VICTIM"]), signal.SIGKILL)
        return written

    Journal._write = writing  # type: ignore[method-assign]


def _fill(path: Path) -> None:
    """Write until the disk is really full."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    continue


def _arm_effects(accident: Accident) -> None:
    once = Effects.once

    def doing(self: Effects, effect: str, key: str, apply: Callable[..., Any], *more: Any, **options: Any) -> Any:
        def applying(intent: dict[str, Any]) -> Any:
            accident.note(f"effect {effect}")
            hit = accident.here("effect")
            if hit and accident.what == "before":
                die()
            result = apply(intent)
            if hit and accident.what == "after":
                die()
            return result

        return once(self, effect, key, applying, *more, **options)

    Effects.once = doing  # type: ignore[method-assign]


def _arm_commands(accident: Accident) -> None:
    begin = subprocess.Popen.__init__

    def beginning(self: Any, argv: Any, *args: Any, **options: Any) -> None:
        begin(self, argv, *args, **options)
        marker = (options.get("env") or {}).get(MARKER, "")
        if not marker[:1].isdigit():  # the worker's own look-ups before and between runs
            return
        name = command_name(argv)
        accident.note(f"command {name}")
        if accident.here("command"):
            die()
        if accident.here("child", name):
            os.kill(self.pid, signal.SIGKILL)

    subprocess.Popen.__init__ = beginning  # type: ignore[method-assign]


def command_name(argv: list[str]) -> str:
    """A command's name in the list of points: `git push`, `gh`, `codex`, `eval-tt1` …"""
    words = [str(word) for word in argv]
    program = Path(words[0]).name
    if "scripts/run_eval.py" in words:
        mode = words[words.index("--mode") + 1]
        return f"eval_{mode}" + (words[words.index("--trace") + 1] if mode == "tt" else "")
    if program == "git":
        return "git " + next(w for w in words[1:] if not w.startswith(("-", "/")))
    if "yt_fsm.tools.hub" in words:
        return "download"
    if "pytest" in words:
        return "pytest"
    return program


CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree", "tempfile.mkdtemp")


def _arm_files(accident: Accident) -> None:
    home = os.environ["YTFSM_HOME"], os.environ["YT_TMP_ROOT"]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if accident.over:
            return
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event not in CHANGES and not writes:
            return
        within = event in ("os.remove", "os.rmdir") and args[1] != -1  # rmtree names what it removes by its folder
        if not within and not str(args[0]).startswith(home):
            return
        accident.over = True  # what is done here is no place of its own
        accident.note(f"file {'within rmtree' if within else event}")
        if accident.here("file"):
            die()
        accident.over = False

    sys.addaudithook(hook)


if __name__ == "__main__":
    from machines.__main__ import main

    if os.environ.get("KILL_BOOT"):
        for module in [m for name, m in sys.modules.items() if name.split(".")[0] in ("yt_fsm", "states")]:
            if hasattr(module, "boot_id"):
                module.boot_id = lambda: os.environ["KILL_BOOT"]
    arm(Accident(os.environ.pop("KILL_POINT", "::"), os.environ.pop("KILL_TRACE", "")))
    sys.argv[0] = "ytfsm"
    main()
