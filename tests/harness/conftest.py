"""What the tests of the models repository's template share: a written template, a tiny model, and the command."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from yt_fsm import lab
from yt_fsm.bringup import template
from yt_fsm.lab import environment, models

LAB = Path(lab.__file__).parent
STANDIN = LAB / "standin"
EXAMPLE = template.SOURCE / "models" / "example" / "llama" / "functional" / "model.py"
PREFIX = "YT_METRICS="


@pytest.fixture(scope="session")
def python() -> str:
    """The Python with torch and transformers that evaluations run in."""
    return str(environment.evaluation_python())


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama that labs serve, as a local folder `tiny/llama`."""
    folder = tmp_path_factory.mktemp("models") / "tiny" / "llama"
    return Path(shutil.copytree(models.model_folder("tiny"), folder))


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, python: str) -> Path:
    """The same with random embeddings: unfit as a reference, and the one in which mistakes show most."""
    folder = tmp_path_factory.mktemp("untrained") / "tiny" / "llama"
    subprocess.run([python, "-I", str(models.model_named("tiny").recipe), str(folder), "--random"], check=True)
    return folder


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference cache that tests share, those of other pytest workers as well."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "references"
    folder.mkdir(exist_ok=True)
    return folder


def clean(**more: str) -> dict[str, str]:
    """An environment of the kind a worker gives: little in it, an empty HOME, the stand-in for ttnn."""
    found = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    found["OMP_NUM_THREADS"] = "1"  # threads cost a model this small more than they save
    return {**found, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(STANDIN), "YT_SYSTEM": "n150", **more}


@dataclass
class Done:
    """An evaluation's end."""

    code: int
    out: str
    err: str

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics on the last line printed; fails, with what was said, when there are none."""
        last = self.out.splitlines()[-1] if self.out else ""
        assert last.startswith(PREFIX), f"exit code {self.code}\n{self.out}\n{self.err}"
        return json.loads(last.removeprefix(PREFIX))

    @property
    def error(self) -> str:
        """The error's text; fails when there was none."""
        assert self.code != 0, self.out
        lines = self.err.splitlines()
        at = [index for index, line in enumerate(lines) if line.startswith(("error: ", "reference error: "))]
        assert at, self.err
        return "\n".join(lines[at[-1] :])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A models repository fresh from the template."""
    folder = tmp_path / "ttnn_models"
    template.write(folder)
    return folder


@pytest.fixture
def bringup(repo: Path) -> Callable[..., Path]:
    """Puts a model file for the tiny model into the repository: the example, changed or replaced."""

    def put(*changes: tuple[str, str], text: str | None = None, system: str = "n150") -> Path:
        source = EXAMPLE.read_text() if text is None else text
        for old, new in changes:
            assert old in source, old
            source = source.replace(old, new)
        file = repo / "models" / "tiny" / "llama" / system / "functional" / "model.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        return file

    return put


@pytest.fixture
def evaluate(repo: Path, python: str, tiny: Path, references: Path) -> Callable[..., Done]:
    """Runs scripts/run_eval.py on the tiny model: evaluate("--mode", "hf", NAME="value")."""

    def run(*options: Any, model: Path | str | None = None, **environment: str) -> Done:
        command = [python, "scripts/run_eval.py", "--hf-model", str(model or tiny), *map(str, options)]
        if "--reference-cache" not in options and "YT_REFERENCE_CACHE" not in environment:
            command += ["--reference-cache", str(references)]
        done = subprocess.run(
            command, cwd=repo, env=clean(**environment), capture_output=True, text=True, timeout=300, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def checks(python: str, untrained: Path, tmp_path: Path) -> Callable[..., str]:
    """Runs a file of checks with the evaluation's own pytest, for what needs torch; its output, when it passed."""

    def run(name: str, python: str = python, **environment: str) -> str:
        command = [python, "-m", "pytest", "-q", "--noconftest", "-c", "/dev/null", "--rootdir", str(tmp_path)]
        command += ["-p", "no:cacheprovider", "-W", "error", str(Path(__file__).with_name(name))]
        more = {
            "TINY": str(untrained),
            "TEMPLATE": str(template.SOURCE),
            "OMP_WAIT_POLICY": "PASSIVE",
            "GOMP_SPINCOUNT": "3000",
            **environment,
        }
        done = subprocess.run(
            command, cwd=tmp_path, env={**clean(), **more}, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        return done.stdout

    return run
