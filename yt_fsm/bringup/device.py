"""The process that runs a model's code (§10.2), started by the worker in a sandbox of its own (faults S5).

run_eval.py lays the task ready and says so; this starts `python scripts/harness/device_main.py` beside it. The sandbox
shows Python, the harness, the model's folder and the weights to read, and the task's folder and compiled kernels to
write: no network, no reference, nothing of the scorer's, and no process but its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine.removal import remove
from yt_fsm.engine.shell import Result, Shell

from .workspace import Room

if TYPE_CHECKING:
    from yt_fsm.engine.sandbox import Sandbox

READY = "YT_DEVICE=ready"  # as the harness says it (harness/device_process.py)
PROGRAM = "scripts/harness/device_main.py"


class DeviceProcess:
    """One run of a model's code for one evaluation command; `result` is how it ended, None while it was not asked for.

    `folder` is laid out anew: `task` in it is the process's to write, what lies beside that is ours and run_eval's.
    """

    def __init__(self, shell: Shell, python: str, folder: Path, seconds: float) -> None:
        self.shell, self.python, self.folder = shell, python, folder
        self.deadline = time.monotonic() + seconds
        self.result: Result | None = None
        remove(folder)
        self.room.make()

    @property
    def room(self) -> Room:
        """The task's folder, with a HOME and a TMPDIR in it."""
        return Room(self.folder / "task")

    @property
    def variables(self) -> dict[str, str]:
        """What tells run_eval.py to have the process started instead of starting it."""
        return {"YT_DEVICE_FOLDER": str(self.folder)}

    def run(self, name: str, tree: Path, model: str, env: Mapping[str, str], sandbox: Sandbox) -> None:
        """Run it to its end on the model in `tree`/`model`, once, and tell run_eval.py how it went.

        `env` and `sandbox` are what it gets beside its own. Raises what a stop carries, and SetupError where the
        sandbox cannot be made.
        """
        if self.result is not None:
            return
        room = self.room
        home = {"HOME": str(room.home), "TMPDIR": str(room.tmp), "XDG_CACHE_HOME": str(room.home / ".cache")}
        home["HF_HOME"] = str(room.home / ".cache" / "huggingface")
        self.result = self.shell.run(
            [self.python, str(tree / PROGRAM), str(room.folder)],
            cwd=room.folder,  # ttnn leaves its reports where it is started
            env={**env, **home},
            name=name,
            timeout=max(1.0, self.deadline - time.monotonic()),
            check=False,
            sandbox=replace(
                sandbox,
                read=(*sandbox.read, tree / "scripts" / "harness", tree / model),
                write=(*sandbox.write, room.folder),
                network=False,
            ),
        )
        draft = self.folder / "ended.part"
        draft.write_text(json.dumps({"code": self.result.code, "said": self.result.tail}))
        os.replace(draft, self.folder / "ended.json")

    def overrun(self) -> bool:
        """Whether it was ended by us: for its time, or at a limit of its sandbox."""
        return self.result is not None and (bool(self.result.why) or (bool(self.result.limit) and not self.result.ok))
