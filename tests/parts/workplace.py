"""A lab with a worker's machine, as an operator has it: the installed `ytfsm` on one side, GitHub on the other."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yt_fsm.engine.processes import Mark, survivors
from yt_fsm.lab import models, serving
from yt_fsm.lab.serving import Running

from .command import YTFSM, Finished, finish

# A worker that waits for nothing that a lab does not need.
QUICK = {"YT_WRITE_GAP_SECS": "0", "YT_BACKOFF_SECS": "0"}
SETTLED = {**QUICK, "YT_SETTLE_SECS": "1"}

_ENVIRONMENT = threading.Lock()  # this process's own, which a lab inherits


def warm_python(folder: Path) -> Path:
    """A Python in `folder` that answers a run's evaluations at once, as tests/kill/evaluation.py says."""
    folder.mkdir(exist_ok=True)
    answers = shutil.copy(Path(__file__).parents[1] / "kill" / "evaluation.py", folder)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "{answers}" "$@"\n')
    program.chmod(0o755)
    return program


def start_lab(folder: Path, python: Path | None = None, **choices: Any) -> Running:
    """Serve a lab with the tiny model until it is stopped; `python` runs its evaluations."""
    with _ENVIRONMENT:
        before = os.environ.get("YT_PYTHON")
        models.model_folder("tiny")  # by a Python that can make it: `python` may be none of these
        if python is not None:
            os.environ["YT_PYTHON"] = str(python)
        try:
            return serving.start(folder, model="tiny", **choices)
        finally:
            os.environ.pop("YT_PYTHON", None)
            if before is not None:
                os.environ["YT_PYTHON"] = before


class Workplace:
    """A lab with one worker's machine, and what a test asks of them."""

    def __init__(self, lab: Running, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.act("move_card", issue=1, status="assessing")  # the lab's own first issue; each test seeds its own
        self.env = {**lab.env, **SETTLED, "YT_MAX_ATTEMPTS": "2"}

    # --- the machine

    def ytfsm(self, *argv: str, timeout: float = 180, **env: str) -> Finished:
        """The installed command, run to its end."""
        return finish([YTFSM, *argv], {**self.env, **env}, timeout)

    def script(self, file: Path, *argv: str, **env: str) -> Finished:
        """A `ytfsm` that is another in one thing, as `file` says."""
        return finish([sys.executable, str(file), *argv], {**self.env, **env})

    def work(self, *argv: str, **env: str) -> Finished:
        """A worker for one issue."""
        return self.ytfsm("run", "--system", "n300", "--once", "--json", *argv, **env)

    def replay(self, run_id: str) -> dict[str, Any]:
        """What `ytfsm replay --json` tells of a run."""
        done = self.ytfsm("replay", run_id, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def run_folder(self, run_id: str) -> Path:
        return Path(self.env["YTFSM_HOME"]) / "runs" / run_id

    def workspaces(self) -> list[str]:
        root = Path(self.env["YT_TMP_ROOT"])
        return [path.name for path in root.glob("ytfsm-*")] if root.exists() else []

    def left_running(self, run_id: str) -> list[int]:
        mark = Mark(Path(self.env["YTFSM_HOME"]), run_id, 0.0)
        return [pid for role in ("", "subject", "heartbeat") for pid in survivors(mark.as_role(role))]

    def nothing_is_left(self, run_id: str) -> None:
        assert self.workspaces() == []
        assert self.left_running(run_id) == []

    # --- GitHub

    def act(self, deed: str, **detail: Any) -> Any:
        """A person does something on GitHub."""
        return self.lab.ask("POST", "/act", {"do": deed, **detail})

    def seed(self, **asked: Any) -> int:
        """Open an issue that is ready; its number."""
        return self.lab.seed(**{"prefill_len": 32, "decode_len": 16, **asked})

    def issue(self, number: int) -> dict[str, Any]:
        return next(issue for issue in self.lab.state()["issues"] if issue["number"] == number)

    def comments(self, number: int, first_line: str) -> list[str]:
        """The issue's comments that begin with this line."""
        bodies = [comment["body"].replace("\r\n", "\n") for comment in self.issue(number)["comments"]]
        return [body for body in bodies if body.split("\n", 1)[0] == first_line]

    def branches(self) -> list[str]:
        """The models repo's branches but `main`."""
        return sorted(b["name"] for b in self.lab.state()["branches"] if b["name"] != "main")


@contextmanager
def workplace(folder: Path, python: Path | None = None, **choices: Any) -> Iterator[Workplace]:
    """A workplace for the time of a `with`; its lab is served from `folder`, as start_lab does."""
    lab = start_lab(folder, python, **choices)
    try:
        yield Workplace(lab, folder)
    finally:
        if lab.process.poll() is None:
            lab.stop()
