"""The preflight: what a machine needs before it may claim anything (§4, §9.1 B), and what to do when it lacks it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine import sandbox
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.needs import Need, look
from yt_fsm.engine.shell import Shell
from yt_fsm.github import refusals
from yt_fsm.github.client import NOT_LOGGED_IN
from yt_fsm.github.errors import GitHubError
from yt_fsm.tools import git, hub
from yt_fsm.tools.board import Board, NoBoard, board_of
from yt_fsm.tools.codex_home import CodexHome

from . import fit, isolation

if TYPE_CHECKING:
    from yt_fsm.bringup.settings import Settings
    from yt_fsm.github.client import GitHub

TOOL_SECS = 60.0
IMPORT_SECS = 300.0
MODULES = ("ttnn", "torch", "transformers", "pytest")
LOG_IN = "`gh auth login -s project`, or `gh auth refresh -s project`"
WAIT = "look at this machine's network and at GitHub's status, then try again"
REMEDIES = {"NETWORK": WAIT, "5xx": WAIT, "UNAUTHORIZED": LOG_IN}  # whatever was asked of GitHub


def needs(shell: Shell, github: GitHub, settings: Settings) -> list[Need]:
    """Every prerequisite, looked at now."""
    board = board_of(settings, shell)
    return [
        _tool(shell, "git", "install git"),
        _tool(shell, "gh", "install the GitHub CLI, then `gh auth login -s project`"),
        _tool(shell, settings.codex_bin, "install codex, then `codex login`; CODEX_BIN may name it"),
        _try(
            "codex login", lambda: _codex_login(shell, settings), "`codex login`, or set what its configuration names"
        ),
        _board(board),
        _try(
            "isolation",
            lambda: _isolation(shell, settings),
            f"`{sandbox.INSTALL}`; YT_ISOLATION=none does without walls, and lets codex read what this user can",
        ),
        _try(
            "evaluation python",
            lambda: _python(shell, settings),
            "point YT_PYTHON at the Python that has ttnn",
        ),
        _try(
            "GitHub login",
            lambda: _login(shell),
            LOG_IN,
        ),
        _try(
            "Project board",
            lambda: github.project.url,
            "set YT_PROJECT_NUMBER; `ytfsm init-board` makes a board",
        ),
        _try(
            "GitHub permissions",
            lambda: refusals.of_repository(github),
            f"have somebody who administers {settings.repo} give this login the role Write",
        ),
        _try(
            "models repo",
            lambda: _reachable(shell, settings),
            f"give git an SSH key that may read and push it; try `git ls-remote {settings.remote}`",
        ),
        _try("Hub", lambda: hub.require_online(dict(os.environ)), "unset it, for the worker at least"),
        _try("disk", lambda: require_room(settings), "make room, or point YT_TMP_ROOT and HF_HOME at a larger disk"),
    ]


def require(shell: Shell, settings: Settings) -> None:
    """§9.1 B inside a run: `import ttnn`, tt-smi, the login. Raises SetupError for the first that fails."""
    _python(shell, settings)
    _login(shell)
    require_room(settings)


def require_harness(shell: Shell, script: Path, repo: str) -> None:
    """Raises SetupError when the models repo lacks the evaluation's entry point (§10.1)."""
    if not script.exists() and not shell.dry:
        raise SetupError(
            f"{repo} has no scripts/run_eval.py: `ytfsm init-models DIR` writes the skeleton of a models repo"
        )


def _try(name: str, at: Callable[[], str], fix: str) -> Need:
    return look(name, at, fix, REMEDIES)


def _tool(shell: Shell, program: str, fix: str) -> Need:
    name = Path(program).name
    if not shutil.which(program) and not shell.dry:
        return Need(name, False, "not on PATH", fix)
    return _try(name, lambda: _first_line(shell, [program, "--version"]), fix)


def _first_line(shell: Shell, argv: list[str]) -> str:
    out = shell.run(argv, name=f"{Path(argv[0]).name}-version", timeout=TOOL_SECS).out.strip()
    return out.splitlines()[0] if out else "no version"


def _board(board: Board) -> Need:
    def look() -> str:
        board.verify()
        if isinstance(board, NoBoard):
            return "none, and none is wanted (--skip-tt)"
        return f"{', '.join(board.boards())} ({fit.dram(board.system, board.device) >> 30} GB of DRAM)"

    found = _try("tt-smi and board", look, "install tt-smi, check the card, or mend YT_SYSTEM")
    trouble = None if found.ok else board.system.trouble_in(found.found)
    return replace(found, fix=trouble.fix) if trouble else found


def _isolation(shell: Shell, settings: Settings) -> str:
    """Make a sandbox as codex gets one, and start codex in it."""
    if isolation.in_force(settings) == "none":
        return "none: codex and the evaluation run as this user, without walls"
    version = _first_line(shell, [sandbox.WALLS, "--version"])
    box = None if shell.dry else isolation.sandbox_of(settings)
    argv, env = [settings.codex_bin, "--version"], {**isolation.passed(), "HOME": "/tmp"}  # noqa: S108 - the sandbox's
    result = shell.run(argv, name="codex-isolated", timeout=TOOL_SECS, check=False, env=env, sandbox=box)
    if not result.ok:
        raise SetupError(f"codex does not start behind the walls (YT_ISOLATION_BIND shows it more): {result.tail}")
    return version


def _python(shell: Shell, settings: Settings) -> str:
    """Import ttnn and find the other modules, in YT_PYTHON, as isolated as an evaluation."""
    others = ", ".join(repr(module) for module in MODULES[1:])
    needed = "torch" if settings.skip_tt else "ttnn"
    code = (
        "import importlib.util as u, sys\n"
        f"missing = [m for m in ({others}) if not u.find_spec(m)]\n"
        "sys.exit(f'no module named {missing[0]}') if missing else None\n"
        f"import {needed} as m\n"
        f"print('{needed}', getattr(m, '__version__', 'unknown'))"
    )
    devices = tuple(board_of(settings, shell).devices())
    result = shell.run(
        [settings.python, "-c", code],
        name="import-ttnn",
        timeout=IMPORT_SECS,
        check=False,
        env={**isolation.passed(), "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108 - the sandbox's
        pretend=needed,
        sandbox=None if shell.dry else isolation.sandbox_of(settings, devices=devices),
    )
    if not result.ok:
        raise SetupError(f"{settings.python} cannot `import {needed}`: {result.tail.strip() or result.why}")
    return f"{settings.python}: {result.out.strip().splitlines()[-1]}"


def _codex_login(shell: Shell, settings: Settings) -> str:
    return CodexHome(settings.codex_source, settings.codex_source).status(shell, settings.codex_bin)


def _reachable(shell: Shell, settings: Settings) -> str:
    """Whether git itself, which does not use gh's login over SSH, can read the models repo."""
    argv = ["git", "ls-remote", "--quiet", settings.remote, "HEAD"]
    shell.run(argv, name="git-ls-remote", timeout=TOOL_SECS, env=git.environment())
    return settings.remote


def _login(shell: Shell) -> str:
    """Who gh is logged in as, and with what scopes; `gh auth status` calls a rate-limited token invalid."""
    from yt_fsm.github.client import split_response

    result = shell.run(
        ["gh", "api", "-i", "user"],
        name="gh-user",
        timeout=TOOL_SECS,
        check=False,
        pretend='HTTP/2.0 200 OK\nX-Oauth-Scopes: repo, project\n\n{"login": "dry-run"}',
    )
    status, headers, body = split_response(result.out)
    if not result.ok:
        said = str(body.get("message") or result.tail.strip() or result.why)
        if status in (403, 429) and "rate limit" in said.lower():
            return "rate limited for now"
        if (status or 0) >= 500 or (status is None and result.code != NOT_LOGGED_IN):
            raise GitHubError(f"GitHub does not answer: {said}", "NETWORK")
        if "accessible by integration" in said:
            raise GitHubError(
                f"gh's token is a GitHub App's, and an App's claims do not count: log in as a user ({said})",
                "FORBIDDEN",
            )
        raise GitHubError(f"gh is not logged in: {said}", "UNAUTHORIZED")
    scopes = [scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",") if scope.strip()]
    if scopes and "project" not in scopes:
        raise GitHubError(f"gh's login lacks the scope `project` (it has {', '.join(scopes)})", "FORBIDDEN")
    if scopes and "repo" not in scopes:
        raise GitHubError(f"gh's login lacks the scope `repo` (it has {', '.join(scopes)})", "FORBIDDEN")
    if not isinstance(body.get("login"), str):
        raise GitHubError("gh's answer does not say who it is logged in as: `gh api user` shows it", "UNAUTHORIZED")
    return f"{body['login']} ({', '.join(scopes) or 'fine-grained token'})"


def require_room(settings: Settings, least_gb: float | None = None) -> str:
    """Free space where workspaces and runs live. Raises SetupError where it is less than YT_MIN_FREE_GB, or than
    `least_gb` where that is lower.
    """
    least = settings.min_free_gb if least_gb is None else min(least_gb, settings.min_free_gb)
    free = []
    for folder in (settings.tmp_root, settings.home):
        place = folder
        while not place.exists():
            place = place.parent
        gigabytes = shutil.disk_usage(place).free / 1e9
        if gigabytes < least:
            raise SetupError(f"{folder} has {gigabytes:.1f} GB free and needs {least:.1f}")
        free.append(f"{gigabytes:.0f} GB")
    return " / ".join(free)


def require_memory(needed: int) -> None:
    """Raise SetupError where fewer bytes of this machine's memory are free than `needed`."""
    with contextlib.suppress(OSError, ValueError):
        lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        free = next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), needed)
        if free < needed:
            raise SetupError(
                f"{free / 1e9:.1f} GB of memory are free, and the weights alone have {needed / 1e9:.1f}: end what else "
                "uses this machine's memory"
            )
