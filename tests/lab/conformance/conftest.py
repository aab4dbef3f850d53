"""Real workers in a lab: the installed `ytfsm`, with a Python for evaluations that is quick to say what it has."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parts.command import Started
from tests.parts.workplace import QUICK

MALFORMED = "architecture: llama\n"  # names no model: such a run ends in `setup error` before anything is fetched


class Worker(Started):
    """A worker on one machine of a lab, with a quick Python."""

    def __init__(self, env: dict[str, str], python: Path) -> None:
        bind = f"{env['YT_ISOLATION_BIND']}:{python.parent / 'modules'}"
        super().__init__({**env, **QUICK, "YT_PYTHON": str(python), "YT_ISOLATION_BIND": bind})


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
