"""The clients that are no dependency of ours: fetched into the cache once, used from there, `not run` without.

Commands: `apt-get download gh` and `dpkg -x`, `pip install --target`, `npm install`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from yt_fsm.lab.environment import cache_folder, held_to, lock, locked

OLD_GH = "2.23"
GITHUBKIT = ("githubkit==0.16.1", "hishel>=1.3,<2", "httpx>=0.28,<1")
OCTOKIT = (
    "@octokit/core@7.0.8",
    "@octokit/plugin-paginate-rest@16.0.0",
    "@octokit/plugin-rest-endpoint-methods@18.0.0",
    "undici@6.29.1",
)
PATIENCE = 60  # seconds for one client's way from its registry


class NotHere(Exception):
    """A client that this machine does not have and cannot get; the text says why."""


def old_gh() -> Path:
    """Debian's gh 2.23. Raises NotHere."""

    def fetch(folder: Path) -> None:
        for program in ("apt-get", "dpkg"):
            if shutil.which(program) is None:
                raise NotHere(f"no {program} to get gh {OLD_GH} with")
        _run(["apt-get", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=15", "download", "gh"], folder)
        packages = list(folder.glob(f"gh_{OLD_GH}*.deb"))
        if not packages:
            raise NotHere(f"apt-get has another gh than {OLD_GH}")
        _run(["dpkg", "-x", str(packages[0]), "."], folder)
        packages[0].unlink()

    return _kept(f"gh-{OLD_GH}", "usr/bin/gh", fetch)


def githubkit() -> Path:
    """A folder to put on PYTHONPATH. Raises NotHere."""

    file = lock("githubkit")

    def fetch(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "--retries", "0", "--timeout", "15", "--target", ".", *GITHUBKIT], folder, **held_to(file))

    held = f"-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}" if file else ""
    name = f"githubkit-0.16.1-py{sys.version_info[0]}{sys.version_info[1]}{held}"
    return _kept(name, "githubkit/__init__.py", fetch).parents[1]


def octokit() -> Path:
    """A folder whose node_modules has octokit. Raises NotHere."""
    if shutil.which("node") is None:
        raise NotHere("no node")

    def fetch(folder: Path) -> None:
        if shutil.which("npm") is None:
            raise NotHere("no npm to get octokit with")
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        quick = ["--fetch-retries=0", "--fetch-timeout=15000", "--no-audit", "--no-fund", "--ignore-scripts"]
        _run(["npm", "install", *quick, *OCTOKIT], folder)

    return _kept("octokit-7", "node_modules/@octokit/core/package.json", fetch).parents[3]


def _kept(name: str, proof: str, fetch: Callable[[Path], None]) -> Path:
    """The file `proof` of the client's folder in the cache, which `fetch` fills when it is not there yet."""
    folder = cache_folder() / "clients" / name
    if (folder / proof).exists():
        return folder / proof
    with locked(folder.with_name(f"{name}.lock")):
        if not (folder / proof).exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                fresh = Path(scratch) / "fresh"
                fresh.mkdir()
                fetch(fresh)
                if not (fresh / proof).exists():
                    raise NotHere(f"what came has no {proof}")
                shutil.rmtree(folder, ignore_errors=True)
                fresh.rename(folder)
    return folder / proof


def _run(argv: list[str], folder: Path, **more: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(argv, cwd=folder, env={**clean, **more}, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NotHere(f"{argv[0]}: {problem}") from None
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).splitlines()
        said = next((line for line in lines if "error" in line.lower()), "it did not say why")
        raise NotHere(f"{' '.join(argv[:3])}: exit {done.returncode}: {said}")
