"""Credentials: what this worker knows that nobody else may, read from its environment and from where operators keep it.

Values count by the name that they stand under (`GH_TOKEN`, `password =`), by their looks whatever their name, by the
place in a URL (userinfo, a webhook's path), and whole files that hold nothing else. Nothing here is ever written down.
"""

import base64
import binascii
import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

SHORTEST = 6  # a shorter value would black out ordinary words
_MOST_BYTES = 256 << 10  # of a file
_MOST_FILES = 64  # of one pattern

# Shapes of tokens, whoever put them there; strict enough that ordinary names are none.
SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[opsur]_[A-Za-z0-9]{36,255}|github_pat_\w{40,255}|hf_[A-Za-z0-9]{30,64}|hf_oauth_[\w.-]{20,}"
    r"|sk-(?:proj-|svcacct-|ant-|or-|admin-)?[A-Za-z0-9_-]{20,255}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{20,255}|AIza[\w-]{35}|glpat-[\w-]{20,255}"
    r"|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,255}|dckr_pat_[\w-]{20,255}"
    r"|eyJ[\w-]{10,4096}\.eyJ[\w-]{10,16384}\.[\w-]{10,4096})"
)
KEYS = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s\\:,.]|-(?!----)){40,16384}?"
    r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----"
)

_TELLING = re.compile(r"TOKEN(?!I[SZ]E)|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY")
_TELLING_LAST = {"KEY", "PAT", "PASS", "PWD", "AUTH", "AUTHORIZATION", "COOKIE", "BEARER", "JWT", "CREDS", "DATA"}
_HARMLESS_LAST = re.compile(
    r"(TYPE|UR[IL]|ENDPOINT|FILE|PATH|DIR|HOME|SOCK(ET)?|NAME|ID|USER(NAME)?|HOST|MODE|METHOD|HELPER|STORE|COMMAND|CMD"
    r"|EXPIR(Y|ES|ATION)|AT|IN|AGE|TTL|TIMEOUT|SECS|LIMIT|COUNT|BUDGET|SIZE|LEN(GTH)?|SCOPES?|POLICY|PARALLELISM"
    r"|VERSION|ENV|VARS?|PROVIDER|MANAGER|BACKEND|PREFIX|FORMAT|PLACEHOLDER)"
)
_ORDINARY = {"true", "false", "none", "null", "undefined", "default", "keyring", "disabled", "enabled", "chatgpt"}
_ORDINARY |= {"x-oauth-basic", "x-access-token", "oauth2", "git", "login", "password", "secret", "token", "__token__"}

_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://([^/\s\"'<>]{1,1000})@")
_BARE_USERINFO = re.compile(r"^([^:/@\s]+:[^/\s]+)@[\w.-]+")
_QUERY = re.compile(r"[?&]([A-Za-z_][\w.-]{0,60})=([^&\s\"'#]{6,2000})")
_HEADER = re.compile(r"\b(?:basic|bearer|token)\s+([A-Za-z0-9+/=._~-]{12,4096})", re.IGNORECASE)
_LINE = re.compile(
    r"^[ \t]*(?:(?:export|set|-)[ \t]+)?[\"']?(?P<name>[\w./:@-]{1,200}?)[\"']?[ \t]*[=:][ \t]*(?P<value>.{1,8192})$",
    re.MULTILINE,
)
_VALUE = r"(?=(\"[^\"\n]{6,4096}\"|'[^'\n]{6,4096}'|[^\s\"',;]{6,4096}))"  # only looked at: it may be the next name
_INLINE = re.compile(r"\b([A-Za-z_][\w-]{1,60})[\"']?[ \t]*[=:][ \t]*" + _VALUE)
_SPACED = re.compile(r"\b(password|account)[ \t\n]+" + _VALUE)  # netrc
_WEBHOOK = re.compile(r"https?://[^/\s]+(/[^\s\"']{6,2000})", re.IGNORECASE)

# Where operators keep them: (the variable that names the file or folder, what stands for it below HOME, what is in it).
# `*` is any name; a file is read by the names in it, and those marked `whole` hold secrets and nothing else.
_PLACES: tuple[tuple[str, str, str], ...] = (
    ("GH_CONFIG_DIR", ".config/gh", "hosts.yml"),
    ("XDG_CONFIG_HOME", ".config", "gh/hosts.yml"),
    ("XDG_CONFIG_HOME", ".config", "hub"),
    ("XDG_CONFIG_HOME", ".config", "git/config"),
    ("XDG_CONFIG_HOME", ".config", "git/credentials"),
    ("XDG_CONFIG_HOME", ".config", "glab-cli/config.yml"),
    ("XDG_CONFIG_HOME", ".config", "pip/pip.conf"),
    ("XDG_CONFIG_HOME", ".config", "environment.d/*.conf"),
    ("XDG_CONFIG_HOME", ".config", "gcloud/application_default_credentials.json"),
    ("XDG_CONFIG_HOME", ".config", "ytfsm/ytfsm.toml"),
    ("YTFSM_SETTINGS", "", ""),
    ("PIP_CONFIG_FILE", ".pip/pip.conf", ""),
    ("NETRC", ".netrc", ""),
    ("GIT_CONFIG_GLOBAL", ".gitconfig", ""),
    ("", "", ".git-credentials"),
    ("HF_TOKEN_PATH", ".cache/huggingface/token", "whole"),
    ("HF_STORED_TOKENS_PATH", ".cache/huggingface/stored_tokens", ""),
    ("HF_HOME", ".cache/huggingface", "token whole"),
    ("HF_HOME", ".cache/huggingface", "stored_tokens"),
    ("XDG_CACHE_HOME", ".cache", "huggingface/token whole"),
    ("XDG_CACHE_HOME", ".cache", "huggingface/stored_tokens"),
    ("", "", ".huggingface/token whole"),
    ("CODEX_HOME", ".codex", "auth.json"),
    ("CODEX_HOME", ".codex", ".credentials.json"),
    ("CODEX_HOME", ".codex", "config.toml"),
    ("CODEX_HOME", ".codex", ".env"),
    ("", "", ".ssh/*"),
    ("", "", ".pushover whole"),
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ""),
    ("AWS_CONFIG_FILE", ".aws/config", ""),
    ("DOCKER_CONFIG", ".docker", "config.json"),
    ("KUBECONFIG", ".kube/config", ""),
    ("NPM_CONFIG_USERCONFIG", ".npmrc", ""),
    ("", "", ".yarnrc.yml"),
    ("", "", ".pypirc"),
    ("CARGO_HOME", ".cargo", "credentials.toml"),
    ("CARGO_HOME", ".cargo", "credentials"),
    ("PGPASSFILE", ".pgpass", ""),
    ("", "", ".my.cnf"),
    ("", "", ".claude/.credentials.json"),
    ("", "", ".azure/msal_token_cache.json"),
    ("", "", ".env"),
    *(
        ("", "", name)
        for name in (".profile", ".bashrc", ".bash_profile", ".bash_login", ".zshrc", ".zshenv", ".zprofile")
    ),
    ("CREDENTIALS_DIRECTORY", "", "* whole"),
)


@dataclass
class Known:
    """The secrets of this machine, `{value: where it stands}`, and how many files of theirs could not be read."""

    values: dict[str, str] = field(default_factory=dict)
    unread: int = 0
    stamp: tuple[object, ...] = ()  # changes when a file does

    def add(self, value: str, name: str) -> None:
        """Keep a value unless it is too short, or known already."""
        value = value.strip()
        if len(value) >= SHORTEST and value.lower() not in _ORDINARY:
            self.values.setdefault(value, name)


def of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the environment itself holds: by name, by looks, in URLs."""
    known = Known()
    for name, value in environment.items():
        for one, where in _named(name, value):
            known.add(one, where)
    return known.values


def read(environment: Mapping[str, str], folder: Path | None = None) -> Known:
    """All secrets of the environment, of the files that operators keep them in, and of `folder`'s `.env` and settings.

    A file that cannot be read is counted, not complained about: whoever could read it is not this worker.
    """
    known = Known(of_environment(environment))
    stamp: list[object] = []
    for path, name, whole in _files(environment, folder):
        try:
            state = path.stat()
            if not path.is_file():
                continue
            stamp.append((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            known.unread += 1
            continue
        for value, where in _of_file(text, name, whole):
            known.add(value, where)
    known.stamp = tuple(stamp)
    return known


def stamp(environment: Mapping[str, str], folder: Path | None = None) -> tuple[object, ...]:
    """What `read` would say as its `stamp` now, without reading a file."""
    found: list[object] = []
    for path, _, _ in _files(environment, folder):
        with contextlib.suppress(OSError):
            state = path.stat()
            if path.is_file():
                found.append((str(path), state.st_size, state.st_mtime_ns, state.st_ino))
    return tuple(found)


def _files(environment: Mapping[str, str], folder: Path | None) -> Iterator[tuple[Path, str, bool]]:
    """The files to read, each once: path, how it is called, whether it holds nothing but secrets."""
    home = Path(environment.get("HOME") or "~").expanduser()
    seen: set[Path] = set()

    def once(path: Path, name: str, whole: bool) -> Iterator[tuple[Path, str, bool]]:
        if path not in seen:
            seen.add(path)
            yield path, name, whole

    for variable, below, kind in _PLACES:
        pattern, whole = kind.removesuffix("whole").strip(), kind.endswith("whole")
        roots = [Path(environment[variable]).expanduser()] if variable and environment.get(variable) else []
        if below or not variable:
            roots.append(home / below)
        for root in roots:
            paths = [root / pattern] if "*" not in pattern else _matching(root, pattern)
            for path in paths:
                yield from once(path, _short(path, home), whole)
    if folder:
        for name in (".env", "ytfsm.toml"):
            yield from once(folder / name, name, False)
    # A variable that names a file of theirs, and the keys that ssh is told to take.
    for name, value in environment.items():
        if value.startswith(("/", "~")) and len(value) < 1000 and _TELLING.search(name.upper()):
            yield from once(Path(value).expanduser(), f"the file of {name}", True)
    for word in environment.get("GIT_SSH_COMMAND", "").split():
        if "/" in word:
            yield from once(Path(word.removeprefix("-i")).expanduser(), "the key of GIT_SSH_COMMAND", False)


def _matching(root: Path, pattern: str) -> list[Path]:
    try:
        return sorted(root.glob(pattern))[:_MOST_FILES]
    except OSError:
        return []


def _short(path: Path, home: Path) -> str:
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else path.name


def _of_file(text: str, name: str, whole: bool) -> Iterator[tuple[str, str]]:
    yield from _looks(text, name)
    if name.startswith("~/.ssh/"):
        return  # what is no key there (hosts, public keys) is no secret
    if name == "~/.pgpass":
        for line in text.splitlines():
            yield line.rpartition(":")[2], name
    try:
        data = json.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        data = None
    if data is not None:
        for key, value in _leaves(data):
            yield from _under(key, value, f"{key} in {name}")
    elif whole and text.count("\n") < 4:
        yield text, name
        for line in text.splitlines():
            yield from ((part, name) for part in (line, line.rpartition("=")[2].strip("\"' ")))
    for match in _LINE.finditer(text):
        yield from _under(match["name"], _unquoted(match["value"]), f"{_last(match['name'])} in {name}")
    for match in (*_INLINE.finditer(text), *(_SPACED.finditer(text) if "netrc" in name else ())):
        yield from _under(match[1], _unquoted(match[2]), f"{match[1]} in {name}")


def _named(name: str, value: str) -> Iterator[tuple[str, str]]:
    """The secrets of one variable."""
    yield from _looks(value, name)
    if "WEBHOOK" in name.upper() or "HOOK_URL" in name.upper():
        for match in _WEBHOOK.finditer(value):
            yield match[1], name
            yield from ((part, name) for part in match[1].split("/") if len(part) >= 12)
    if value.startswith(("/", "~")) and os.path.exists(os.path.expanduser(value)):
        return  # the file is read instead
    yield from _under(name, value, name)


def _under(name: str, value: str, where: str) -> Iterator[tuple[str, str]]:
    """The secrets of a value that stands under a name."""
    if not tells(name) or not _plausible(name, value):
        return
    yield value, where
    if "," in value:
        yield from ((part, where) for part in value.split(",") if len(part) >= 12)
    decoded = _decoded(value)
    if "PRIVATE KEY-----" in decoded:
        yield from _looks(decoded, where)
    elif ":" in decoded and decoded.isprintable():  # `auth` of docker and npm
        yield decoded.partition(":")[2], where


def tells(name: str) -> bool:
    """Whether a name says that what stands under it is secret."""
    words = [word for word in re.split(r"[^A-Z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).upper()) if word]
    while words and words[-1].isdigit():
        words.pop()
    if not words or _HARMLESS_LAST.fullmatch(words[-1]) or "ENV" in words or "PUBLIC" in words:
        return False
    if words[-1] == "DATA":
        return "KEY" in words
    whole = "_".join(words)
    if whole.endswith("TOKENS") and ("MAX" in words or "NUM" in words):
        return False
    if words[-1] in _TELLING_LAST:
        return whole not in ("PWD", "AUTH_DATA") and not (len(words) == 1 and words[0] == "KEY" and name.islower())
    other = words[-1] in ("BYPASS", "COMPASS", "ASKPASS")
    return bool(_TELLING.search(whole)) or (words[-1].endswith("PASS") and not other)


def _plausible(name: str, value: str) -> bool:
    """Whether a value under a telling name is one, rather than a reference, a switch or a number of tokens."""
    bare = value.strip()
    if len(bare) < SHORTEST or bare.lower() in _ORDINARY or bare[0] in "$<`" or bare.startswith(("{{", "${")):
        return False
    if re.search(r"\s", bare) and not re.search("PASS|PWD", name.upper()):
        return False  # a command, a sentence
    if bare.replace(".", "").isdigit() and len(bare) < 12:
        return bool(re.search("PASS|PWD", name.upper()))
    return "://" not in bare


def _looks(text: str, name: str) -> Iterator[tuple[str, str]]:
    """What looks like a secret, and what stands in a URL or a header where a secret does."""
    if "PRIVATE KEY-----" in text:
        for match in KEYS.finditer(text):
            key = match[0].replace("\\n", "\n")
            yield key, name
    for match in SHAPES.finditer(text):
        yield match[0], name
        for part in match[0].split(".")[1:] if match[0].startswith("eyJ") else []:
            yield part, name
    if "@" in text or "://" in text:
        for match in (*_USERINFO.finditer(text), *_BARE_USERINFO.finditer(text)):
            user, _, password = match[1].partition(":")
            for part in (password, unquote(password)):
                yield part, name
            if len(user) >= 20 or (not password and len(user) >= 16):
                yield unquote(user), name
        for match in _QUERY.finditer(text):
            if tells(match[1]) or match[1].lower() in ("sig", "signature", "key", "code"):
                yield unquote(match[2]), name
    if "uthorization" in text or "UTHORIZATION" in text or "earer" in text:
        for match in _HEADER.finditer(text):
            yield match[1], name
            decoded = _decoded(match[1])
            if ":" in decoded and decoded.isprintable():
                yield decoded.partition(":")[2], name


def _leaves(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON document with the name that it stands under."""
    waiting = [(key, data)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(str(inner), item) for inner, item in value.items()]
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif isinstance(value, str):
            yield name, value


def _decoded(value: str) -> str:
    """A value in base64 as the text that it is, "" when it is none."""
    if len(value) < 8 or len(value) > _MOST_BYTES or not re.fullmatch(r"[A-Za-z0-9+/_-]+=*", value):
        return ""
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), b"-_" if set("-_") & set(value) else None).decode()
    except (binascii.Error, ValueError):
        return ""


def _unquoted(value: str) -> str:
    value = value.strip().rstrip(",")
    if len(value) > 1 and value[0] in "\"'" and value[0] in value[1:]:
        return value[1 : value.index(value[0], 1)]
    return value


def _last(name: str) -> str:
    return name.rpartition(":")[2] or name
