"""A machine of the lab: its own board, programs, folders and settings, in one folder.

A lab has one in its own folder; more of them let several workers meet as they do from several machines.
"""

import fcntl
import json
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from yt_fsm.engine.sandbox import roots_of
from yt_fsm.lab import disk
from yt_fsm.lab.faults import Vocabulary, ends_at
from yt_fsm.lab.request_log import read
from yt_fsm.tools.systems import System

HERE = Path(__file__).parent
FAULTY = "faulty"  # the folder of the faults, which programs behind walls may write to
DISKS = ("tmp", "ytfsm", "home")  # the folders that can be given a small disk
OPENS = ("timeout", "no-chips", "busy", "full", "killed")  # what can come of opening a mesh
Faults = list[dict[str, Any]]

# What the programs in `bin` can be made to do.
FAULTS = {
    "tt-smi": Vocabulary(
        kinds={
            "hang": "it never ends by itself",
            "fails": "it exits 1 with tt-smi's message",
            "vanishes": "a reset exits 0 and the board is gone; the next good reset brings it back",
            "absent": "no device is found",
            "driver": "no kernel driver is found",
            "lost": "from now on `chips` (1, a number, half or all) of the board are gone, until a reset mends it",
            "idle": "a reset exits 0 and mends nothing",
            "warns": "the snapshot has lines before and after its JSON",
        },
        operations=("reset", "list", "snapshot"),
        details=("chips", "lasts", "until"),
        only={"vanishes": ("reset",), "idle": ("reset",), "warns": ("snapshot",)},
    ),
    "board": Vocabulary(
        kinds={
            "lost": "`chips` (1, a number, half or all) of it are gone, until a reset mends it",
            "open": "opening a mesh fails, until a reset mends it: `what` is timeout, no-chips, busy, full (the disk) "
            "or killed (for its memory)",
            "beside": "another board is in the host: its `type` (p150) and `chips` (1)",
        },
        operations=(),
        details=("chips", "what", "type"),
    ),
    "evaluation": Vocabulary(
        kinds={
            "hang": "it never ends by itself",
            "killed": "it is killed, as the kernel does when memory runs out",
            "exit": "it exits with `code` (1) and `text`",
            "slow": "it waits `seconds` (5), then does its work",
            "nan": "its metrics hold NaN",
            "metrics": "its metrics are changed by the object `set`",
            "twice": "an older line of metrics comes first",
            "silent": "it prints no metrics",
            "lost": "from now on `chips` (1, a number, half or all) of the board are gone, until a reset mends it",
            "open": "from now on opening a mesh fails, until a reset mends it: `what`, as of the board",
        },
        operations=("pytest", "hf", "tt0", "tt1", "eval", "import"),
        details=("code", "text", "seconds", "set", "chips", "what", "lasts", "until"),
        only=dict.fromkeys(("nan", "metrics", "twice", "silent"), ("hf", "tt0", "tt1", "eval")),
    ),
    "codex": Vocabulary(
        kinds={
            "exit": "codex itself exits with `code` (1) and `text`",
            "killed": "codex itself is killed",
            "mute": "codex itself prints nothing and never ends",
            "lingers": "codex does its work, and then stays for `seconds` (for ever)",
            "exit-after": "codex does its work, and then exits with `code` (1)",
            "babbles": "codex prints lines and events of unknown shapes, then does its work",
        },
        operations=("exec", "version"),
        details=("code", "text", "seconds", "lasts", "until"),
    ),
}


class Machine:
    """The machine in `folder`; `make` puts it there, and leaves a board that is there already as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = folder / "tt-smi.json"

    def make(self, system: System, python: Path, codex_config: str) -> None:
        """Write its programs (tt-smi, and an evaluation Python that can be made to fail) and codex's settings."""
        for name in ("home", "tmp", "codex", "ytfsm", "bin", FAULTY):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        boards = [[one.type, one.count, one.chips] for one in system.boards]
        if not self.board.exists():
            state = {"system": system.name, "boards": boards, "present": True, "faults": [], "resets": 0}
            self.board.write_text(json.dumps(state))
        self._change_board(lambda board: {"boards": boards, **board})  # an older lab's file has none
        ours = [sys.executable, "-I", "-S"]
        smi = shlex.join([*ours, str(HERE / "bin" / "tt-smi")])
        self._program("tt-smi", f'YTFSM_LAB_TTSMI={shlex.quote(str(self.board))} exec {smi} "$@"')
        self._faulty("evaluation-python", "faulty-python", self._file("evaluation"), str(python))
        behind = [str(python)]
        if codex := shutil.which("codex", path=self._search(without_ours=True)):
            self._faulty("codex", "faulty-codex", self._file("codex"), codex)
            behind.append(codex)
        (self.folder / "bin" / "behind.json").write_text(json.dumps(behind))
        (self.folder / "codex" / "config.toml").write_text(codex_config)

    def variables(self, system: System, worker: str) -> dict[str, str]:
        """The environment variables of a client on this machine; where GitHub and the Hub are is the lab's affair."""
        folder, search = self.folder, self._search()
        return {
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": str(folder / "home" / ".config"),
            "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
            "XDG_DATA_HOME": str(folder / "home" / ".local" / "share"),
            "XDG_STATE_HOME": str(folder / "home" / ".local" / "state"),
            "PATH": search,
            "PYTHONPATH": str(HERE / "standin"),
            "CODEX_HOME": str(folder / "codex"),
            "CODEX_BIN": shutil.which("codex", path=search) or "codex",
            "YT_PYTHON": str(folder / "bin" / "evaluation-python"),
            "YT_SYSTEM": system.name,
            "YT_WORKER_NAME": worker,
            "YT_SLEEP_SECS": "0.5",
            "YT_TMP_ROOT": str(folder / "tmp"),
            "YTFSM_HOME": str(folder / "ytfsm"),
            "YTFSM_LAB_TTSMI": str(self.board),
            "YT_ISOLATION_BIND": ":".join(self._bound()),
        }

    def _bound(self) -> list[str]:
        """What the machine's programs are made of behind their wrappers; the faults are theirs to use up."""
        given = [part for part in os.environ.get("YT_ISOLATION_BIND", "").split(":") if part]
        behind = self.folder / "bin" / "behind.json"
        programs = json.loads(behind.read_text()) if behind.exists() else []
        seen = {str(path) for program in (sys.executable, *programs) for path in roots_of(program)}
        seen |= {str(Path(program).parent) for program in programs}  # a wrapper's, which knows what lies beside it
        return [*given, f"+{self.folder / FAULTY}", str(self.folder / "bin"), str(HERE / "bin"), *sorted(seen)]

    def board_state(self) -> dict[str, Any]:
        """The board as tt-smi left it, with every call of tt-smi so far."""
        with self.board.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            state = dict(json.load(file))
        return state | {"requests": read(self.board.with_name(self.board.name + ".log"))}

    def faults(self, target: str) -> Faults:
        """How the programs of `target` (one of FAULTS) will fail."""
        if target == "board":
            return [{"kind": kind, **value} for kind, value in _listed(self._wounds())]
        return list(self._changed(target, lambda faults: faults))

    def add_fault(self, target: str, fault: dict[str, Any]) -> None:
        """Let a program fail. Raises ValueError for a fault that it cannot have."""
        FAULTS[target].check(fault)
        _check_board(fault)
        if target == "board":
            self._wound(fault)
            return
        once: dict[str, Any] = {"operation": "any", "count": 1}
        if "lasts" in fault:
            once |= {"count": None, "until": ends_at(fault["lasts"])}
        self._changed(target, lambda faults: [*faults, once | fault])

    def clear_faults(self, target: str, kind: str | None = None) -> None:
        """Let them work again, as far as this kind goes if one is given; a board that a fault took away is back."""
        if target == "board":
            left = {name: wound for name, wound in self._wounds().items() if kind not in (None, name)}
            self._keep_wounds(left)
            return
        self._changed(target, lambda faults: [fault for fault in faults if kind not in (None, fault["kind"])])
        if target == "tt-smi" and kind in (None, "absent", "vanishes"):
            self._change_board(lambda board: board | {"present": True})

    def release_disks(self) -> None:
        """Take its small disks away; what is on them stays in its folders."""
        for name in DISKS:
            disk.release(self.folder / name)

    def _wounds(self) -> dict[str, Any]:
        """What is wrong with the board until a reset, as bin/wounds.py has it."""
        path = self._file("board")
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _wound(self, fault: dict[str, Any]) -> None:
        wounds, kind, chips = self._wounds(), fault["kind"], fault.get("chips", 1)
        if kind == "beside":
            wounds["beside"] = [*wounds.get("beside", []), [fault.get("type", "p150"), 1, chips]]
        else:
            wounds[kind] = chips if kind == "lost" else fault.get("what", "timeout")
        self._keep_wounds(wounds)

    def _keep_wounds(self, wounds: dict[str, Any]) -> None:
        if not wounds:
            self._file("board").unlink(missing_ok=True)
            return
        scratch = self._file("board").with_suffix(".ours")
        scratch.write_text(json.dumps(wounds))
        scratch.replace(self._file("board"))

    def _file(self, target: str) -> Path:
        return self.folder / FAULTY / f"{target}.json"

    def _changed(self, target: str, change: Callable[[Faults], Faults]) -> Faults:
        """The target's faults after `change`, kept where its programs look."""
        if target == "tt-smi":
            board = self._change_board(lambda board: board | {"faults": change(board["faults"])})
            return list(board["faults"])
        path = self._file(target)
        if not path.exists() and not change([]):
            return []
        path.touch()
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            faults = change(json.loads(file.read() or "[]"))
            _write(file, faults)
        if not faults:
            path.unlink()
        return faults

    def _change_board(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        with self.board.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            board = change(json.load(file))
            _write(file, board)
        return board

    def _search(self, without_ours: bool = False) -> str:
        """The PATH of this machine's clients."""
        path = (
            [sysconfig.get_path("scripts")]
            if without_ours
            else [str(self.folder / "bin"), sysconfig.get_path("scripts")]
        )
        path += [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part and part not in path]
        return os.pathsep.join(path)

    def _faulty(self, name: str, wrapper: str, faults: Path, program: str) -> None:
        """The program, but for the time when there are faults behind the wrapper that makes it fail."""
        where, plain = shlex.quote(str(faults)), shlex.quote(program)
        faulty = shlex.join([sys.executable, "-I", "-S", str(HERE / "bin" / wrapper), str(faults), program])
        board = shlex.quote(str(self._file("board")))
        self._program(
            name, f'export YTFSM_LAB_BOARD={board}\nif [ -e {where} ]; then exec {faulty} "$@"; fi\nexec {plain} "$@"'
        )

    def _program(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)


def _check_board(fault: dict[str, Any]) -> None:
    """Raises ValueError for what no board can lose, and no mesh do."""
    chips, what = fault.get("chips", 1), fault.get("what", "timeout")
    if chips not in ("half", "all") and not (isinstance(chips, int) and chips >= 1):
        raise ValueError(f"`chips` is {chips!r}: it is 1 or more, half or all")
    if what not in OPENS:
        raise ValueError(f"`what` is {what!r}: it is one of {', '.join(OPENS)}")


def _listed(wounds: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Wounds in the words that made them."""
    beside = [("beside", {"type": sort, "chips": chips}) for sort, _, chips in wounds.get("beside", [])]
    names = {"lost": "chips", "open": "what"}
    return [*((kind, {name: wounds[kind]}) for kind, name in names.items() if kind in wounds), *beside]


def _write(file: IO[str], data: Any) -> None:
    file.seek(0)
    file.truncate()
    json.dump(data, file)
