"""codex's own folder, CODEX_HOME, as a run's codex has it: threads of its own, the operator's model and login (E6).

The configuration is written anew before each turn and holds what chooses a model and reaches it: no MCP servers, no
plugins, no hooks, no projects. The login file is the operator's own, as codex renews it.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.outside import read, shown
from yt_fsm.engine.removal import remove
from yt_fsm.engine.shell import Shell

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


# What codex gets of this process's environment beside: the way to its service, and what its configuration names.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_SERVICE = ("OPENAI_BASE_URL", "OPENAI_ORGANIZATION", "OPENAI_PROJECT")
_DOTENV = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s#]*))", re.MULTILINE | re.ASCII
)
_STATUS_SECS = 60.0


class CodexHome:
    """The run's CODEX_HOME in `folder`, made of the operator's in `source`; `model` and `effort` win over theirs."""

    def __init__(self, source: Path, folder: Path, model: str | None = None, effort: str | None = None) -> None:
        self.folder = folder
        self._source = source
        self._own = {"model": model, "model_reasoning_effort": effort}
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
        who = self._environment(_names(provider)[:1]) or who
        told = json.dumps([provider.get("base_url"), who], default=str)
        return hashlib.sha256(told.encode(errors="replace")).hexdigest()[:24]

    def make(self) -> dict[str, str]:
        """Write its configuration; returns the environment that leads codex there. Raises SetupError.

        In it are the proxies, and the variables that the configuration's provider names, a key's say (faults E4).
        """
        import tomli_w

        found = self._configuration()
        kept = {name: found[name] for name in _KEPT if name in found}
        kept |= {name: value for name, value in self._own.items() if value}
        provider = _chosen(found)
        if provider:
            kept["model_providers"] = {found["model_provider"]: provider}
        proxies = [name for proxy in _PROXIES for name in (proxy, proxy.lower())]
        env = self._environment([*proxies, *_SERVICE, *_names(provider)]) | {"CODEX_HOME": str(self.folder)}
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

    def status(self, shell: Shell, binary: str) -> str:
        """How codex gets at its model, in words. Raises SetupError where it is not logged in, or lacks a key.

        Command: `codex login status`, which speaks of OpenAI's login only: a provider of the configuration has a key of
        its own, or none.
        """
        found = self._configuration()
        provider = _chosen(found)
        if provider and not provider.get("requires_openai_auth"):
            missing = [name for name in _names(provider) if not self._environment([name])]
            if missing:
                told = f"codex's provider {shown(found['model_provider'], 60)} wants {', '.join(missing)}"
                raise SetupError(f"{told}, which is not set")
            return f"provider {shown(found['model_provider'], 60)}"
        if os.environ.get("CODEX_API_KEY"):
            return "by CODEX_API_KEY"
        env = {**os.environ, "CODEX_HOME": str(self._source)}
        argv = [binary, "login", "status"]
        result = shell.run(argv, name="codex-login", timeout=_STATUS_SECS, check=False, env=env, pretend="Logged in")
        # Warnings come first; a key's first and last letters stand behind the dash.
        said = shown(result.tail.strip().rpartition("\n")[2].partition(" - ")[0])
        if not result.ok:
            raise SetupError(f"codex is not logged in: {said or result.why}")
        return said

    def _environment(self, names: list[str]) -> dict[str, str]:
        """Those of the variables that are set: here, or in the operator's `.env`, which codex reads too."""
        try:
            written = _DOTENV.findall(read(self._source / ".env", LOGIN_BYTES, follow=True))
        except (OSError, ValueError):
            written = []
        every = {name: double or single or plain for name, double, single, plain in written} | dict(os.environ)
        return {name: every[name] for name in names if every.get(name)}

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


def _names(provider: dict[str, Any]) -> list[str]:
    """The variables that a provider's table names: its key's first, then its headers'."""
    headers = provider.get("env_http_headers")
    named = [provider.get("env_key"), *(headers.values() if isinstance(headers, dict) else ())]
    return [name for name in named if isinstance(name, str)]


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
