"""Driving the installed `ytfsm` inside a lab, as an operator would."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.serving import Running, running_lab

YTFSM = shutil.which("ytfsm", path=sysconfig.get_path("scripts")) or str(Path(sys.executable).with_name("ytfsm"))


@dataclass
class Finished:
    """A command that ended: its exit code, its output, and the last line of stdout as JSON."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])


class World:
    """A lab with one worker's machine, and what a test asks of them."""

    def __init__(self, lab: Running, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.act("move_card", issue=1, status="assessing")  # the lab's own first issue; each test seeds its own
        self.env = {**lab.env, "YT_WRITE_GAP_SECS": "0", "YT_BACKOFF_SECS": "0", "YT_SETTLE_SECS": "1"}
        self.env["YT_MAX_ATTEMPTS"] = "2"

    def act(self, deed: str, **detail: Any) -> Any:
        """A person does something on GitHub."""
        return self.lab.ask("POST", "/act", {"do": deed, **detail})

    def ytfsm(self, *argv: str, timeout: float = 180, **env: str) -> Finished:
        return self._finished(YTFSM, *argv, timeout=timeout, **env)

    def script(self, name: str, *argv: str, **env: str) -> Finished:
        """A changed `ytfsm`, which is a script beside the tests."""
        return self._finished(sys.executable, str(Path(__file__).with_name(name)), *argv, **env)

    def _finished(self, *argv: str, timeout: float = 180, **env: str) -> Finished:
        done = subprocess.run(
            argv, env={**self.env, **env}, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def work(self, *argv: str, **env: str) -> Finished:
        return self.ytfsm("run", "--system", "n300", "--once", "--json", *argv, **env)

    def seed(self, **asked: Any) -> int:
        return self.lab.seed(**{"prefill_len": 32, "decode_len": 16, **asked})

    def issue(self, number: int) -> dict[str, Any]:
        return next(issue for issue in self.lab.state()["issues"] if issue["number"] == number)

    def comments(self, number: int, first_line: str) -> list[str]:
        bodies = [comment["body"].replace("\r\n", "\n") for comment in self.issue(number)["comments"]]
        return [body for body in bodies if body.split("\n", 1)[0] == first_line]

    def branches(self) -> list[str]:
        return sorted(b["name"] for b in self.lab.state()["branches"] if b["name"] != "main")

    def replay(self, run_id: str) -> dict[str, Any]:
        done = self.ytfsm("replay", run_id, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def run_folder(self, run_id: str) -> Path:
        return Path(self.env["YTFSM_HOME"]) / "runs" / run_id

    def workspaces(self) -> list[str]:
        root = Path(self.env["YT_TMP_ROOT"])
        return [path.name for path in root.glob("ytfsm-*")] if root.exists() else []

    def left_running(self, run_id: str) -> list[int]:
        from yt_fsm.engine.processes import Mark, survivors

        mark = Mark(Path(self.env["YTFSM_HOME"]), run_id, 0.0)
        return [pid for role in ("", "github", "heartbeat") for pid in survivors(mark.as_role(role))]

    def nothing_is_left(self, run_id: str) -> None:
        assert self.workspaces() == []
        assert self.left_running(run_id) == []


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One whole real run is enough: the tests that look at it share a worker process."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("finished"))


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation Python that answers at once: torch and transformers are loaded in `test_bringup` only."""
    from yt_fsm.lab.models import model_folder

    model_folder("tiny")  # made by the real one
    script = tmp_path_factory.mktemp("warm") / "python"
    answers = shutil.copy(Path(__file__).parents[1] / "kill" / "evaluation.py", script.parent)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "{answers}" "$@"\n')
    script.chmod(0o755)
    return script


@contextmanager
def entered(folder: Path, python: Path, **choices: Any) -> Iterator[World]:
    """A lab whose evaluations `python` answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YT_PYTHON", str(python))
        with running_lab(folder, model="tiny", **choices) as lab:
            yield World(lab, folder)


@pytest.fixture
def enter(tmp_path: Path, warm_python: Path) -> Iterator[Callable[..., World]]:
    """Opens labs, and closes them after the test; their evaluation is warm."""
    with ExitStack() as stack:
        yield lambda **choices: stack.enter_context(entered(tmp_path / "lab", warm_python, **choices))


@pytest.fixture
def world(enter: Callable[..., World]) -> World:
    return enter(script="bringup")


def field(body: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", body, re.MULTILINE)
    assert found, f"no {name!r} in:\n{body}"
    return found[1]
