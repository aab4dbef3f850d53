"""The Tenstorrent board: reset, verified, and one owner at a time.

Commands: those of the system's file (systems/); in ours `tt-smi -s` (what is there) and `tt-smi -r [index]` (reset).
A reset has been seen to exit 0 and fail, to fail now and then, and to hang for minutes: so it is timed out, looked at
afterwards and tried again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import CommandFailed, SetupError
from yt_fsm.engine.outside import Malformed, at, parse, shown
from yt_fsm.engine.shell import Shell

from . import systems
from .systems import Reset, System

if TYPE_CHECKING:
    from .settings import BoardSettings

DEVICES = Path("/dev/tenstorrent")
MOST_CHIPS = 256  # a galaxy has 32
LOCK_SECS = 600.0


class Board:
    """The board(s) that this worker may use: number `device`, or all of them."""

    def __init__(self, shell: Shell, system: System, device: int | None, locks: Path) -> None:
        self.shell = shell
        self.system = system
        self.device = device
        self._locks = locks
        self._held: list[int] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find this worker's board, and no other."""
        return self.system.variables(self.device)

    def devices(self) -> list[Path]:
        """What a program needs in sight to use the board(s): device nodes and hugepages, as far as they are there."""
        wanted = "*" if self.device is None else str(self.device)
        nodes = sorted(path for path in DEVICES.glob(wanted) if path.name.isdecimal())
        try:
            mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
        except OSError:
            mounts = []
        return nodes + [Path(words[1]) for words in mounts if nodes and words[2] == "hugetlbfs"]

    def boards(self) -> list[str]:
        """The type of every board that is listed (`n150`, `n300`), in lower case. Raises SetupError when none is."""
        listing = self.system.listing
        argv, name = list(listing.command), listing.program
        pretend = json.dumps({"device_info": [{"board_info": {"board_type": kind}} for kind in self.system.types]})
        result = self.shell.run(argv, name=name, timeout=listing.timeout_secs, pretend=pretend)
        try:
            snapshot = parse(result.out[max(0, result.out.find("{")) :])
            devices = at(list, snapshot, "device_info")
            types = [shown(at(str, device, "board_info", "board_type"), 40) for device in devices[:MOST_CHIPS]]
        except Malformed as problem:
            raise SetupError(f"`{shlex.join(argv)}` printed no snapshot ({problem}):\n{result.tail}") from None
        # "n300 R" is the second chip of the board whose first is "n300 L".
        entries = [words for kind in types if (words := kind.split())]
        boards = [kind.lower() for kind, *more in entries if more[-1:] != [listing.second_chip]]
        if not boards:
            raise SetupError(f"{name} sees no board: check the card and the driver, or reset the host")
        return boards

    def verify(self) -> None:
        """Check that the boards are those of this system type. Raises SetupError."""
        found = self.boards()
        wanted = self.system.types
        if self.device is not None:
            found, wanted = found[:1], wanted[:1]
        if sorted(found) != sorted(wanted):
            raise SetupError(
                f"this is no {self.system.name}: {self.system.listing.program} lists {', '.join(found)}, and "
                f"{', '.join(wanted)} was expected. Set YT_SYSTEM to what the machine is"
            )

    def reset(self) -> None:
        """Reset as the system's file says, and verify (§9.1 D). Raises SetupError when the boards do not come back."""
        tries, problem = 0, SetupError("there is no way to reset it")
        for way in self.system.resets:
            for pause in (*way.pauses_secs, 0.0):
                tries += 1
                try:
                    self._reset(way)
                    return
                except SetupError as error:
                    problem = error
                if pause:
                    self.shell.stop.wait(pause)
        if isinstance(problem, CommandFailed):
            raise problem
        raise SetupError(f"the reset did not bring the board back in {tries} tries: {problem}")

    def _reset(self, way: Reset) -> None:
        argv = way.argv(self.device)
        self.shell.run(argv, name=f"{Path(argv[0]).name}-reset", timeout=way.timeout_secs)
        if way.rest_secs:
            self.shell.stop.wait(way.rest_secs)
        self.verify()

    def acquire(self) -> None:
        """Take the board for this process; waits up to ten minutes. Raises SetupError naming the owner."""
        if self._held or self.shell.dry:
            return
        self._locks.mkdir(parents=True, exist_ok=True)
        wanted = [("all", fcntl.LOCK_EX if self.device is None else fcntl.LOCK_SH)]
        if self.device is not None:
            wanted.append((str(self.device), fcntl.LOCK_EX))
        for name, mode in wanted:
            self._held.append(self._take(self._locks / f"board-{name}.lock", mode))

    def _take(self, path: Path, mode: int) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        deadline = time.monotonic() + LOCK_SECS
        while True:
            try:
                fcntl.flock(fd, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    owner = path.read_text().strip() or "another process"
                    os.close(fd)
                    raise SetupError(f"the board is held by {owner} ({path})") from None
                self.shell.stop.wait(1.0)
        os.ftruncate(fd, 0)
        os.write(fd, f"pid {os.getpid()}".encode())
        return fd

    def release(self) -> bool:
        """Let the board go; harmless when it is not held. Whether it was."""
        held = bool(self._held)
        while self._held:
            os.close(self._held.pop())
        return held


class NoBoard(Board):
    """A machine without a card, for runs with `--skip-tt`: nothing to hold and nothing to reset."""

    def verify(self) -> None:
        """Raise SetupError where there is a board after all: a run that could be evaluated on it must be."""
        if self.shell.dry:
            return
        try:
            found = self.boards()
        except SetupError:
            return
        raise SetupError(
            f"--skip-tt is for machines without a card, and {self.system.listing.program} lists {', '.join(found)}"
        )

    def devices(self) -> list[Path]:
        """Nothing to see."""
        return []

    def acquire(self) -> None:
        """Nothing to hold."""

    def reset(self) -> None:
        """Nothing to reset."""


def board_of(settings: BoardSettings, shell: Shell) -> Board:
    """This worker's board, as the settings name it."""
    kind = NoBoard if settings.skip_tt else Board
    system = systems.known(settings.systems_dir).find(settings.system)
    return kind(shell, system, settings.device, settings.home / "locks")
