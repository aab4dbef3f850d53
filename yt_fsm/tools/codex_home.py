"""codex's own folder, CODEX_HOME, as a run's codex has it: threads of its own, the operator's model and login (E6).

The configuration is written anew before each turn and holds what chooses a model and reaches it: no MCP servers, no
plugins, no hooks, no projects. The login file is the operator's own, as codex renews it.
"""

import contextlib
import hashlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.outside import read
from yt_fsm.engine.removal import remove

log = logging.getLogger("ytfsm")

LOGIN = "auth.json"
CONFIG = "config.toml"
LOGIN_BYTES = 1 << 20

# What of the operator's configuration codex keeps: which model, how it thinks, and where it is.
_KEPT = (
    "model", "model_provider", "model_reasoning_effort", "model_reasoning_summary", "model_verbosity",
    "model_context_window", "model_max_output_tokens", "model_auto_compact_token_limit",
    "model_supports_reasoning_summaries",
    "chatgpt_base_url", "openai_base_url", "service_tier", "preferred_auth_method", "forced_login_method",
    "disable_response_storage", "check_for_update_on_startup", "analytics",
)  # fmt: skip


class CodexHome:
    """The run's CODEX_HOME in `folder`, made of the operator's in `source`."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self._config = source / CONFIG
        self._login = (source / LOGIN).resolve()
        self._before = b""

    @property
    def login(self) -> list[Path]:
        """The operator's login file, which codex may write to; none where codex needs none."""
        return [self._login] if self._login.is_file() else []

    def account(self) -> str:
        """Who pays, as a hash: the login's account, else the key, else the provider and folder. Raises SetupError.

        Two machines' homes of one account have one hash, and a renewed login keeps it.
        """
        found = self._configuration()
        provider = _chosen(found)
        who: object = str(self._login)
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            login = json.loads(read(self._login, LOGIN_BYTES))
            who = (login.get("tokens") or {}).get("account_id") or login.get("OPENAI_API_KEY") or who
        key = provider.get("env_key")
        if isinstance(key, str) and os.environ.get(key):
            who = os.environ[key]
        told = json.dumps([provider.get("base_url"), who], default=str)
        return hashlib.sha256(told.encode(errors="replace")).hexdigest()[:24]

    def make(self) -> dict[str, str]:
        """Write its configuration; returns the environment that leads codex there. Raises SetupError.

        A variable that holds the key of the chosen provider is in it: the configuration names that.
        """
        import tomli_w

        found = self._configuration()
        kept = {name: found[name] for name in _KEPT if name in found}
        provider = _chosen(found)
        env = {"CODEX_HOME": str(self.folder)}
        if provider:
            kept["model_providers"] = {found["model_provider"]: provider}
            key = provider.get("env_key")
            if isinstance(key, str) and key in os.environ:
                env[key] = os.environ[key]
        if self.folder.is_symlink():
            self.folder.unlink()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(self.folder / CONFIG, tomli_w.dumps(kept).encode())
        if self.login:
            self._before = self._login.read_bytes()
            mine = self.folder / LOGIN
            _clear(mine)
            mine.symlink_to(self._login)
        return env

    def after_turn(self) -> None:
        """After a turn: a login that codex renewed stays or comes back; whatever else the file became is undone."""
        if not self._before:
            return
        mine = self.folder / LOGIN
        try:
            # A codex that replaces the file, rather than writing into it, replaced our link.
            found = read(self._login if mine.is_symlink() else mine, LOGIN_BYTES).encode()
        except (OSError, ValueError):
            found = b""
        if _account(found) != _account(self._before):
            log.error("codex's login file %s became that of somebody else, or none, which is undone", self._login)
            found = self._before
        try:
            if read(self._login, LOGIN_BYTES).encode() != found:
                _replace(self._login, found)
        except (OSError, ValueError):
            _replace(self._login, found)

    def _configuration(self) -> dict[str, Any]:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        try:
            return tomllib.loads(self._config.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as problem:
            raise SetupError(f"codex's configuration cannot be read: {self._config}: {problem}") from None


def _chosen(configuration: dict[str, Any]) -> dict[str, Any]:
    """The table of the model provider that the configuration chooses; {} where codex has its own."""
    providers, chosen = configuration.get("model_providers"), configuration.get("model_provider")
    found = providers.get(chosen) if isinstance(providers, dict) and isinstance(chosen, str) else None
    return found if isinstance(found, dict) else {}


def _replace(file: Path, data: bytes) -> None:
    """Write a file whole, readable by this user only, in the place of whatever is there."""
    fresh = file.with_name(f"{file.name}.ytfsm")
    _clear(fresh)
    if file.is_dir():
        _clear(file)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)
    os.replace(fresh, file)


def _clear(path: Path) -> None:
    """Have nothing at `path`, whatever codex put there."""
    if path.is_dir() and not path.is_symlink():
        remove(path)
    else:
        path.unlink(missing_ok=True)


def _account(data: bytes) -> object:
    """Whose login it is; None for what is no login at all."""
    try:
        found = json.loads(data)
        tokens = found.get("tokens") or {}
        return found.get("OPENAI_API_KEY"), tokens.get("account_id"), sorted(tokens)
    except (ValueError, AttributeError, RecursionError, TypeError):
        return None
