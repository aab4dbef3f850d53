"""Real workers in a lab: the installed `ytfsm`, with a Python for evaluations that is quick to say what it has."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

YTFSM = shutil.which("ytfsm", path=sysconfig.get_path("scripts")) or str(Path(sys.executable).with_name("ytfsm"))
MALFORMED = "architecture: llama\n"  # names no model: such a run ends in `setup error` before anything is fetched


class Worker:
    """`ytfsm run --once` on one machine of a lab, in the background from the start."""

    def __init__(self, env: dict[str, str], python: Path) -> None:
        quick = {"YT_WRITE_GAP_SECS": "0", "YT_BACKOFF_SECS": "0", "YT_PYTHON": str(python)}
        quick["YT_ISOLATION_BIND"] = f"{env['YT_ISOLATION_BIND']}:{python.parent / 'modules'}"
        self.process = subprocess.Popen(
            [YTFSM, "run", "--system", "n300", "--once", "--json"],
            env=env | quick, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self) -> dict[str, Any]:
        """What it says at its end."""
        out, err = self.process.communicate(timeout=90)
        assert out.strip(), err
        return dict(json.loads(out.strip().splitlines()[-1]))


@pytest.fixture
def quick_python(tmp_path: Path) -> Path:
    """A Python that has ttnn and the others, all of them empty: nothing is evaluated here."""
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("ttnn", "torch", "transformers", "pytest"):
        (modules / f"{name}.py").write_text('__version__ = "0"\n')
    program = tmp_path / "quick-python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={modules} exec {sys.executable} -S "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def worker(quick_python: Path) -> Any:
    """Starts a worker in an environment."""
    return lambda env: Worker(env, quick_python)


@pytest.fixture
def malformed() -> str:
    """The body of an issue whose run ends early."""
    return MALFORMED
