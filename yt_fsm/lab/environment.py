"""The lab's evaluation environment: a venv with torch and transformers, made once and kept in the cache.

ytfsm's own interpreter needs neither; what §9.1 runs, runs in `YT_PYTHON`. On a Tenstorrent machine that is
the Python with ttnn; in the lab it is this environment's, unless YT_PYTHON is already set.

Runs: `python -m venv`, `python -m pip install`.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from yt_fsm.lab.errors import LabError

Say = Callable[[str], None]

TORCH = "torch==2.13.0"
# transformers 5 needs Python 3.11; before that the last 4 has the same API for what we use.
OTHERS = (
    "transformers>=5,<6; python_version >= '3.11'",
    "transformers>=4.57,<5; python_version < '3.11'",
    "accelerate",  # transformers asks for it to read a GGUF file
    "gguf>=0.10",
    "numpy",
    "safetensors",
    "pytest>=8",
)


def say_on_stderr(text: str) -> None:
    """Progress for a person."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Where environments and models are kept between labs: YTFSM_CACHE, else the user's cache folder."""
    chosen = os.environ.get("YTFSM_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("ytfsm"))


def lock(name: str) -> Path | None:
    """scripts/locks/NAME for this Python; None where there is none, as in a wheel, or when YTFSM_NEWEST is set."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    file = Path(__file__).resolve().parents[2] / "scripts" / "locks" / f"{name}-{version}.txt"
    return file if file.exists() and not os.environ.get("YTFSM_NEWEST") else None


def held_to(file: Path | None) -> dict[str, str]:
    """What in pip's environment holds it to a lock, as scripts/pip does; nothing without one."""
    if file is None:
        return {}
    # An address, as pip takes these settings apart at blanks.
    return {
        setting: f"{file.as_uri()} {os.environ.get(setting, '')}".strip()
        for setting in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
    }


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; two labs that start at once make a thing once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def evaluation_python(say: Say = say_on_stderr) -> Path:
    """The Python that evaluations run in: YT_PYTHON when it is set, else the cached environment's.

    That is made if need be, which takes a minute or more. Raises LabError, with the log's tail, if it
    cannot be made.
    """
    chosen = os.environ.get("YT_PYTHON")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise LabError(f"YT_PYTHON is {chosen!r}, which is no program; unset it to let the lab make its own")
        return Path(found)
    torch_index = os.environ.get("YTFSM_TORCH_INDEX", "")
    held = lock("evaluation")
    wanted = "\n".join((sys.version, TORCH, torch_index, *OTHERS, held.read_text() if held else ""))
    folder = cache_folder() / f"evaluation-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    complete = folder / ".complete"
    # A venv cannot be moved, so that it is whole is said by a stamp that is written last. The Python that it links to
    # may have been removed since.
    if complete.exists() and python.exists():
        return python
    with locked(folder.with_suffix(".lock")):
        if complete.exists() and python.exists():
            return python
        _make(folder, torch_index, say)
        complete.write_text(wanted + "\n")
    return python


def _make(folder: Path, torch_index: str, say: Say) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log = folder / "install.log"
    python = str(folder / "bin" / "python")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]
    # What PyTorch needs comes from the usual index: PyTorch's own has not all versions of that.
    torch = [*pip, *(["--index-url", torch_index, "--no-deps"] if torch_index else []), TORCH]
    say(f"making the evaluation environment in {folder} (once; a minute or more)")
    if not torch_index:
        say("set YTFSM_TORCH_INDEX to PyTorch's CPU index if pip would fetch torch's large CUDA build")
    for step, command in (
        ("a virtual environment", [_base_python(), "-m", "venv", str(folder)]),
        (TORCH, torch),
        ("transformers and what goes with it", [*pip, TORCH, *OTHERS]),
    ):
        say(f"installing {step}" if command is not torch or torch_index else f"installing {step} (the large one)")
        _run(command, log)


def _base_python() -> str:
    """The Python that our own virtual environment was made with: ours may be deleted, and the cache stays."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(base) if base.exists() else sys.executable


def _run(command: list[str], log: Path) -> None:
    # A caller's PYTHONPATH (a lab's ttnn stand-in, say) must not shine through into pip.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= held_to(lock("evaluation"))
    with log.open("ab") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(
            f"{' '.join(command[:6])} … exited {done.returncode}; the end of {log}:\n{tail}\n"
            "If the network is the reason, try again; to use a Python of your own, set YT_PYTHON."
        )
