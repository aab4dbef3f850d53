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
from typing import Any

from yt_fsm.lab.request_log import read

HERE = Path(__file__).parent
SYSTEMS = ("n150", "n300", "lb")


class Machine:
    """The machine in `folder`; `make` puts it there, and leaves a board that is there already as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board = folder / "tt-smi.json"
        self.evaluation_faults = folder / "evaluation-faults.json"

    def make(self, system: str, python: Path, codex_config: str) -> None:
        """Write its programs (tt-smi, and an evaluation Python that can be made to fail) and codex's settings."""
        for name in ("home", "tmp", "codex", "ytfsm", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self.board.exists():
            self.board.write_text(json.dumps({"system": system, "present": True, "faults": [], "resets": 0}))
        ours = [sys.executable, "-I", "-S"]
        smi = shlex.join([*ours, str(HERE / "bin" / "tt-smi")])
        self._program("tt-smi", f'YTFSM_LAB_TTSMI={shlex.quote(str(self.board))} exec {smi} "$@"')
        faults = str(self.evaluation_faults)
        faulty = shlex.join([*ours, str(HERE / "bin" / "faulty-python"), faults, str(python)])
        self._program(
            "evaluation-python",
            f'if [ -e {shlex.quote(faults)} ]; then exec {faulty} "$@"; fi\nexec {shlex.quote(str(python))} "$@"',
        )
        (self.folder / "codex" / "config.toml").write_text(codex_config)

    def variables(self, system: str, worker: str) -> dict[str, str]:
        """The environment variables of a client on this machine; where GitHub and the Hub are is the lab's affair."""
        folder = self.folder
        path = [str(folder / "bin"), sysconfig.get_path("scripts")]
        path += [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part and part not in path]
        search = os.pathsep.join(path)
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
            "YT_SYSTEM": system,
            "YT_WORKER_NAME": worker,
            "YT_SLEEP_SECS": "0.5",
            "YT_TMP_ROOT": str(folder / "tmp"),
            "YTFSM_HOME": str(folder / "ytfsm"),
            "YTFSM_LAB_TTSMI": str(self.board),
        }

    def board_state(self) -> dict[str, Any]:
        """The board as tt-smi left it, with every call of tt-smi so far."""
        with self.board.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            state = dict(json.load(file))
        return state | {"requests": read(self.board.with_name(self.board.name + ".log"))}

    def board_faults(self) -> list[dict[str, Any]]:
        """How tt-smi will fail."""
        return list(self.board_state()["faults"])

    def add_board_fault(self, fault: dict[str, Any]) -> None:
        """Let tt-smi fail."""
        self._change_board(lambda board: board | {"faults": [*board["faults"], fault]})

    def clear_board_faults(self) -> None:
        """Let tt-smi work again; a board that a fault took away is back."""
        self._change_board(lambda board: board | {"faults": [], "present": True})

    def python_faults(self) -> list[dict[str, Any]]:
        """How the evaluation Python will fail."""
        return list(json.loads(self.evaluation_faults.read_text())) if self.evaluation_faults.exists() else []

    def add_python_fault(self, fault: dict[str, Any]) -> None:
        """Let the evaluation Python fail."""
        self.evaluation_faults.write_text(json.dumps([*self.python_faults(), fault]))

    def clear_python_faults(self) -> None:
        """Let the evaluation Python work again."""
        self.evaluation_faults.unlink(missing_ok=True)

    def _change_board(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self.board.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            board = change(json.load(file))
            file.seek(0)
            file.truncate()
            json.dump(board, file)

    def _program(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
