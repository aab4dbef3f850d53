"""Writes scripts/locks: one file for each environment that pip makes for us and each Python that we support.

They only constrain: what is in a lock and not asked for (PyTorch's CUDA build, say) is not installed.
"""

import subprocess
import sys
from pathlib import Path

import tomli

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "scripts" / "locks"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def requirements() -> dict[str, tuple[str, ...]]:
    """What goes into each environment, as pip is asked for it, by the lock's name."""
    from clients import GITHUBKIT

    from yt_fsm.lab.environment import OTHERS, TORCH

    read = tomli.loads((ROOT / "pyproject.toml").read_text())
    project, extras = read["project"], read["project"]["optional-dependencies"]
    # What builds ytfsm in place, and scripts/lock's own tool.
    around = (*read["build-system"]["requires"], "editables", "uv")
    return {
        "ytfsm": (*project["dependencies"], *extras["lab"], *extras["dev"], *around),
        "evaluation": (TORCH, *OTHERS),
        "tt-smi": ("tt-smi",),
        "githubkit": GITHUBKIT,
    }


def write(name: str, python: str, asked: tuple[str, ...], options: list[str]) -> None:
    """Write one lock; uv keeps the versions that stand in it, as far as it can and unless it is told not to."""
    file = LOCKS / f"{name}-{python}.txt"
    compile = [Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    where = ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28", "--output-file", file]
    subprocess.run([*compile, *where, *options, "-"], input="\n".join(asked), text=True, check=True)
    file.write_text(f"# Python {python}: written by scripts/lock\n{file.read_text()}")
    print(file.relative_to(ROOT))


def main() -> None:
    """Write them all."""
    LOCKS.mkdir(exist_ok=True)
    for name, asked in requirements().items():
        for python in PYTHONS:
            write(name, python, asked, sys.argv[1:])


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "lab" / "conformance")]
    main()
