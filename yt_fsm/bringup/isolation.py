"""Isolation: what code that nobody reviewed (codex, pytest, the evaluation) gets of this machine (faults S5).

Its environment is what is named here: HOME is the run's own, there is no SSH agent, no GitHub login and no Hub token,
and the Hub is offline, because the download is over. Its sandbox shows the system, the programs of its step and the
weights to read, and its own folders to write.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.engine import sandbox
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.sandbox import Sandbox
from yt_fsm.tools import systems

from .workspace import Room, Workspace

if TYPE_CHECKING:
    from yt_fsm.bringup.settings import Settings

log = logging.getLogger("ytfsm")

_PASSES = re.compile(
    r"^(PATH|LANG|LANGUAGE|LC_\w+|TZ|TERM|USER|LOGNAME|SHELL|PYTHONPATH|LD_LIBRARY_PATH|OMP_NUM_THREADS"
    r"|ARCH_NAME|WH_ARCH_YAML|TT_\w+|TTNN_\w+|MESH_DEVICE|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE)$"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)


def weights_home(workspace: Workspace) -> Path:
    """HF_HOME of the download: the environment's, else in the workspace."""
    return _named_by("HF_HOME") or workspace.weights


def weights(workspace: Workspace) -> Path:
    """Where the download puts the weights, and evaluations and codex read them: the Hub's cache, without the token
    that lies beside it. HUGGINGFACE_HUB_CACHE is its older name, which the Hub's client still takes.
    """
    return _named_by("HF_HUB_CACHE") or _named_by("HUGGINGFACE_HUB_CACHE") or weights_home(workspace) / "hub"


def _named_by(variable: str) -> Path | None:
    """The folder that a variable of the Hub's client names, read as that reads it, and whole (faults E2)."""
    text = os.environ.get(variable, "")
    return Path(os.path.abspath(os.path.expandvars(os.path.expanduser(text)))) if text else None


def environment(settings: Settings, workspace: Workspace, room: Room, **more: str) -> dict[str, str]:
    """The whole environment of an unreviewed program at home in `room`; `more` is added to it."""
    return {
        **passed(),
        "HOME": str(room.home),
        "TMPDIR": str(room.tmp),
        "XDG_CACHE_HOME": str(room.home / ".cache"),
        "TT_METAL_CACHE": str(room.home / ".cache" / "tt-metal"),
        "HF_HOME": str(room.home / ".cache" / "huggingface"),
        "HF_HUB_CACHE": str(weights(workspace)),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "YT_SYSTEM": settings.system,
        "YT_MESH": "x".join(map(str, systems.known(settings.systems_dir).find(settings.system).mesh)),
        **more,
    }


def passed() -> dict[str, str]:
    """What of this process's environment an unreviewed program gets too."""
    found = {name: value for name, value in os.environ.items() if _PASSES.match(name) and not _SECRET.search(name)}
    return {"PATH": os.defpath, **found}


def hub_environment(workspace: Workspace) -> dict[str, str]:
    """The environment of the download, the one program that needs the Hub and its token."""
    return {
        **os.environ,
        "HF_HOME": str(weights_home(workspace)),
        "HF_HUB_CACHE": str(weights(workspace)),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }


def in_force(settings: Settings) -> str:
    """`bwrap` or `none`: the walls that unreviewed code gets. Raises SetupError when they are wanted and not there.

    A lab without bubblewrap goes on without walls, and says so.
    """
    if settings.isolation == "none":
        return "none"
    if sandbox.available():
        return "bwrap"
    if os.environ.get("YTFSM_LAB"):
        _say_once()
        return "none"
    raise SetupError(
        f"`{sandbox.WALLS}` is not there, and without it codex could read this machine's logins: `{sandbox.INSTALL}`, "
        "or set YT_ISOLATION=none to do without walls"
    )


@functools.cache
def _say_once() -> None:
    log.warning(
        "NO WALLS: this lab has no bubblewrap, so codex and the evaluation run as you, with all that you may read and "
        "write. `%s` mends that; a worker outside a lab refuses to start like this",
        sandbox.INSTALL,
    )


def sandbox_of(
    settings: Settings,
    read: tuple[Path, ...] = (),
    write: tuple[Path, ...] = (),
    devices: tuple[Path, ...] = (),
    network: bool = False,
) -> Sandbox:
    """The sandbox of one step: what every step may read, and this one's own."""
    bound = [part for part in settings.isolation_bind.split(":") if part]
    seen = {*programs(settings), *_named(settings), *read, *(Path(part) for part in bound if part[0] != "+")}
    return Sandbox(
        in_force(settings) == "bwrap",
        tuple(sorted(seen)),
        (*write, *(Path(part[1:]) for part in bound if part[0] == "+")),
        devices,
        network,
        settings.max_processes,
        int(settings.max_file_gb * 1e9),
        int(settings.max_memory_gb * 1e9) if settings.max_memory_gb else _memory() * 9 // 10,
    )


def programs(settings: Settings) -> set[Path]:
    """What YT_PYTHON and codex are made of."""
    search = os.environ.get("PATH", os.defpath)
    return sandbox.roots_of(settings.python, search) | sandbox.roots_of(settings.codex_bin, search)


def _named(settings: Settings) -> set[Path]:
    """What variables that pass point at (TT_METAL_HOME, PYTHONPATH …), but for what holds somebody's own."""
    private = [*sandbox.homes(), settings.home, settings.tmp_root]
    found = {Path(part) for value in passed().values() for part in value.split(os.pathsep) if part.startswith("/")}
    path = {Path(part) for part in os.environ.get("PATH", "").split(os.pathsep)}
    return {one for one in found - path if one.exists() and not any(own.is_relative_to(one) for own in private)}


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
