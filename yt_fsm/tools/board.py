"""The Tenstorrent board: reset, verified, and one owner at a time.

Commands: those of the system's file (systems/); in ours `tt-smi -s` (what is there) and `tt-smi -r [index]` (reset).
A reset has been seen to exit 0 and fail, to fail now and then, and to hang for minutes: so it is timed out, looked at
afterwards and tried again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.errors import CommandFailed, SetupError, Wait
from yt_fsm.engine.outside import Malformed, at, parse, shown
from yt_fsm.engine.shell import Shell

from . import systems
from .systems import Reset, System

if TYPE_CHECKING:
    from .settings import BoardSettings

DEVICES = Path("/dev/tenstorrent")
MOST_CHIPS = 256  # a galaxy has 32
MOST_STARTS = 100  # of braces that may be a listing's first
OWNER_CHARS = 200


@dataclass(frozen=True)
class Chip:
    """One entry of the listing: its board's type and number ("" where it has none); `second`: not its board's first."""

    type: str
    second: bool
    board: str


class Board:
    """The board(s) that this worker may use: number `device`, or all of them."""

    def __init__(self, shell: Shell, system: System, device: int | None, locks: Path) -> None:
        self.shell = shell
        self.system = system
        self.device = device
        self._locks = locks
        self._held: list[int] = []
        self._number = ""  # of the one board that YT_DEVICE names, once it was seen

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
        return [chip.type for chip in self._first_chips(self._chips())]

    def verify(self, occasion: str = "") -> None:
        """Check that the boards are those of this system type, and whole. Raises SetupError.

        The whole listing is in the log, whose name says on what `occasion` it was asked for.
        """
        listing, chips = self.system.listing, self._chips(occasion)
        boards, wanted = self._first_chips(chips), self.system.types
        if self.device is not None:
            if self.device >= len(boards):
                raise SetupError(
                    f"YT_DEVICE = {self.device}: {listing.program} lists {len(boards)} board(s), which count from 0: "
                    "set it to one of them, or leave it out to use all"
                )
            boards, wanted = [boards[self.device]], wanted[:1]
            self._require_ours(boards[0])
        self._compare([board.type for board in boards], wanted)
        whole = self.system.chips
        if self.device is not None:  # its neighbours are nobody's business
            whole = next(board.chips for board in self.system.boards if board.type == wanted[0])
            chips = [chip for chip in chips if chip.board == boards[0].board] if boards[0].board else chips[:whole]
        if len(chips) < whole:
            raise SetupError(
                f"this {self.system.name} is not whole: {listing.program} lists {len(chips)} chip(s) of {whole}. Reset "
                "it, else start the host from cold"
            )

    def _require_ours(self, chip: Chip) -> None:
        """Remember the board that YT_DEVICE names; raise SetupError where it is another one than before."""
        if self._number and chip.board and chip.board != self._number:
            raise SetupError(
                f"YT_DEVICE = {self.device} is the board {chip.board} now, and was {self._number}: that one fell off "
                "the bus, and its neighbours moved up. They are not touched; start the host from cold"
            )
        self._number = self._number or chip.board

    def _compare(self, found: list[str], wanted: list[str]) -> None:
        """Raise SetupError that names the boards which are missing, and those which are none of this system's."""
        name, program = self.system.name, self.system.listing.program
        others = sorted(set(found) - set(wanted))
        missing, spare = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
        right = len(found) - sum(spare.values())
        if missing and right:
            beside = f", and {', '.join(others)} beside" if others else ""
            raise SetupError(
                f"this {name} is not whole: {program} lists {right} board(s) of {len(wanted)}, {_told(missing)} "
                f"missing{beside}. Reset it, else start the host from cold. Where that is all it ever had, set "
                "YT_SYSTEM to what the machine is"
            )
        if missing:
            raise SetupError(
                f"this is no {name}: {program} lists {', '.join(sorted(found))}, and {', '.join(wanted)} was "
                "expected. Set YT_SYSTEM to what the machine is"
            )
        if spare:
            raise SetupError(
                f"this is no {name}: {program} lists {', '.join(sorted(found))}, and {', '.join(sorted(wanted))} was "
                f"expected, so {_told(spare)} would be opened and reset too. Set YT_SYSTEM to what the machine is, or "
                "YT_DEVICE to the one board to use, which count from 0 in that list"
            )

    def _chips(self, occasion: str = "") -> list[Chip]:
        """Every chip that is listed. Raises SetupError when none is."""
        listing = self.system.listing
        argv, name = list(listing.command), listing.program
        log = f"{name}-{occasion}" if occasion else name
        result = self.shell.run(argv, name=log, timeout=listing.timeout_secs, pretend=json.dumps(self._as_expected()))
        try:
            devices = at(list, _snapshot(result.out), "device_info")[:MOST_CHIPS]
            found = [self._chip(device) for device in devices]
        except Malformed as problem:
            raise SetupError(f"`{shlex.join(argv)}` printed no snapshot ({problem}):\n{result.tail}") from None
        chips = [chip for chip in found if chip.type]
        if not self._first_chips(chips):
            raise SetupError(f"{name} sees no board: check the card and the driver, or reset the host")
        return chips

    def _chip(self, device: Any) -> Chip:
        words = shown(at(str, device, "board_info", "board_type"), 40).split()  # "n300 R": an n300's second chip
        second = words[1:][-1:] == [self.system.listing.second_chip]
        number = device["board_info"].get("board_id")
        return Chip(words[0].lower() if words else "", second, number if isinstance(number, str) else "")

    def _first_chips(self, chips: list[Chip]) -> list[Chip]:
        """One chip of every board."""
        return [chip for chip in chips if not chip.second]

    def _as_expected(self) -> dict[str, Any]:
        """What a dry run takes for the listing."""
        second = self.system.listing.second_chip
        kinds = [
            f"{board.type} {second}" if chip else board.type
            for board in self.system.boards
            for _ in range(board.count)
            for chip in range(board.chips)
        ]
        return {"device_info": [{"board_info": {"board_type": kind}} for kind in kinds]}

    def reset(self) -> None:
        """Reset as the system's file says, and verify (§9.1 D). Raises SetupError when the boards do not come back.

        A neighbour's board is never reset, also where ours is gone and the neighbour's has its number.
        """
        if self._number and self.device is not None:
            try:
                boards = self._first_chips(self._chips("before-reset"))
            except SetupError:
                boards = []  # nobody's is listed
            if self.device < len(boards):
                self._require_ours(boards[self.device])
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

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return bool(self._held)

    def acquire(self) -> None:
        """Take the board for this process. Raises Wait, naming the owner, while another live process holds it."""
        if self.held:
            return
        if self.shell.dry:
            self._held.append(os.open(os.devnull, os.O_RDONLY))  # nobody is kept away
            return
        self._locks.mkdir(parents=True, exist_ok=True)
        wanted = [("all", fcntl.LOCK_EX if self.device is None else fcntl.LOCK_SH)]
        if self.device is not None:
            wanted.append((str(self.device), fcntl.LOCK_EX))
        try:
            for name, mode in wanted:
                self._held.append(self._take(self._locks / f"board-{name}.lock", mode))
        except Wait:
            self.release()  # half of it would keep others away meanwhile
            raise

    def _take(self, path: Path, mode: int) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = shown(os.pread(fd, OWNER_CHARS, 0).decode(errors="replace").strip()) or "another process"
            os.close(fd)
            raise Wait(f"the board is held by {owner} ({path})") from None
        os.ftruncate(fd, 0)
        who = f"run {self.shell.mark.run_id}, " if self.shell.mark else ""
        os.write(fd, f"{who}pid {os.getpid()}".encode())
        return fd

    def release(self) -> bool:
        """Let the board go; harmless when it is not held. Whether it was."""
        held = bool(self._held)
        while self._held:
            os.close(self._held.pop())
        return held


def _told(boards: Counter[str]) -> str:
    """`2 n300, 1 p150`."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(boards.items()))


def _snapshot(text: str) -> Any:
    """The listing's JSON, whatever lines stand before and after it. Raises Malformed when there is none."""
    problem = Malformed("there is no JSON in it")
    starts = [found.start() for found in re.finditer(r"\{", text)][:MOST_STARTS]
    for start in starts:
        try:
            _, end = json.JSONDecoder().raw_decode(text, start)
            snapshot = parse(text[start:end])
        except Malformed as why:
            problem = why
        except (ValueError, RecursionError) as why:
            problem = Malformed(f"it is not JSON ({shown(why)})")
        else:
            if "device_info" in snapshot:
                return snapshot
            problem = Malformed("`device_info` is missing")
    raise problem


class NoBoard(Board):
    """A machine without a card, for runs with `--skip-tt`: nothing to hold and nothing to reset."""

    def verify(self, occasion: str = "") -> None:
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

    @property
    def held(self) -> bool:
        """There is nothing that anybody else could hold."""
        return True

    def acquire(self) -> None:
        """Nothing to hold."""

    def reset(self) -> None:
        """Nothing to reset."""


def board_of(settings: BoardSettings, shell: Shell) -> Board:
    """This worker's board, as the settings name it."""
    kind = NoBoard if settings.skip_tt else Board
    system = systems.known(settings.systems_dir).find(settings.system)
    return kind(shell, system, settings.device, settings.home / "locks")
