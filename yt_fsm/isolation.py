"""Isolation: the environment of code that nobody reviewed (codex, pytest, the evaluation).

Only what is named here passes; HOME is empty and the run's own, there is no SSH agent, no GitHub login and no Hub
token, and the Hub is offline, because the download is over.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from .workspace import Workspace

if TYPE_CHECKING:
    from .settings import Settings

_PASSES = re.compile(
    r"^(PATH|LANG|LANGUAGE|LC_\w+|TZ|TERM|USER|LOGNAME|SHELL|PYTHONPATH|LD_LIBRARY_PATH|OMP_NUM_THREADS"
    r"|ARCH_NAME|WH_ARCH_YAML|TT_\w+|TTNN_\w+|MESH_DEVICE|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE)$"
)
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY|CREDENTIAL", re.IGNORECASE)


def weights_home(workspace: Workspace) -> Path:
    """HF_HOME: the environment's, else in the workspace."""
    return Path(os.environ.get("HF_HOME") or workspace.weights)


def environment(settings: Settings, workspace: Workspace, **more: str) -> dict[str, str]:
    """The whole environment of an unreviewed program; `more` is added to it."""
    passed = {name: value for name, value in os.environ.items() if _PASSES.match(name) and not _SECRET.search(name)}
    return {
        "PATH": os.defpath,
        **passed,
        "HOME": str(workspace.home),
        "TMPDIR": str(workspace.tmp),
        "XDG_CACHE_HOME": str(workspace.home / ".cache"),
        "HF_HOME": str(weights_home(workspace)),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "YT_SYSTEM": settings.system,
        **more,
    }


def hub_environment(workspace: Workspace) -> dict[str, str]:
    """The environment of the download, the one program that needs the Hub and its token."""
    return {
        **os.environ,
        "HF_HOME": str(weights_home(workspace)),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
