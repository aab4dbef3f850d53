"""ytfsm.toml: what a user wrote down, read without knowing what any of it means."""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from .errors import Usage
from .outside import Malformed, measure, shown
from .outside import read as read_file

APP = "ytfsm"
NAMED = "YTFSM_SETTINGS"  # the variable that names another file; `--settings` sets it
LARGEST = 16_384  # bytes of ytfsm.toml; there are some thirty settings
LONGEST_PATH, LONGEST_NAME = 4095, 255  # bytes, on Linux

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


@dataclass(frozen=True)
class Written:
    """The settings that a file has; {} and no path when there is none."""

    values: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    text: str = ""

    def place(self, name: str) -> str:
        """Where a setting stands: `file:line`, or the file alone where its line is not to be seen."""
        key = re.compile(rf"""[ \t]*\[*[ \t]*["']?{re.escape(name)}["']?[ \t]*[=.\]]""")
        numbers = (number for number, line in enumerate(self.text.splitlines(), 1) if key.match(line))
        number = next(numbers, None)
        return f"{self.path}:{number}" if number else str(self.path)


def read() -> Written:
    """The settings of the file that YTFSM_SETTINGS names, else of the current folder's `ytfsm.toml`, else the user's.

    Raises Usage for one that is there and cannot be read, and where the named one is not there: nobody is to wonder why
    his settings do not count.
    """
    named = os.environ.get(NAMED)
    if named:
        try:
            places = [whole_path(named)]
        except ValueError as problem:
            raise Usage(f"{NAMED} = {shown(repr(named))}: {problem}") from None
    else:
        places = [Path("ytfsm.toml"), Path(platformdirs.user_config_dir(APP)) / "ytfsm.toml"]
    for path in places:
        try:
            text = read_file(path, LARGEST, follow=True)
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise Usage(f"{path} is a link to nothing: mend or remove it") from None
            if named:
                raise Usage(f"{shown(path)}: there is no such settings file (--settings, {NAMED})") from None
        except (Malformed, OSError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else problem
            raise Usage(f"{shown(path)}: it cannot be read: {why}") from None
        else:
            return Written(parse(path, text), Path(os.path.abspath(path)), text.removeprefix("\ufeff"))
    return Written()


def parse(path: Path, text: str) -> dict[str, Any]:
    """The TOML in `text`, which `path` holds. Raises Usage naming the file."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(text.removeprefix("\ufeff"))
        measure(found)
    except (ValueError, RecursionError) as problem:  # a number of 5,000 digits is a plain ValueError
        why = "it is nested too deeply" if isinstance(problem, RecursionError) else shown(problem)
        raise Usage(f"{path}: {why}") from None
    return found


def home() -> Path:
    """YTFSM_HOME: the environment's, else the file's, else this system's place for a user's state."""
    named: Any = os.environ.get("YTFSM_HOME")
    base = None
    if not named:
        written = read()
        base = written.path.parent if written.path else None
        named = written.values.get("home", platformdirs.user_state_dir(APP))
    try:
        if not isinstance(named, str):
            raise ValueError("must be a path, as text")
        return whole_path(named, base)
    except ValueError as problem:
        raise Usage(f"YTFSM_HOME = {shown(repr(named))}: {problem}") from None


def whole_path(text: str, base: Path | None = None) -> Path:
    """The absolute path that `text` names, with `~` and `$VARIABLE` as a shell has them.

    A relative one begins at `base`, or at the current folder. Raises ValueError for what no file system has a place
    for.
    """
    require_text(text)
    try:
        path = (base or Path()) / Path(_VARIABLE.sub(_value, text)).expanduser()
        path = path.absolute()
    except RuntimeError:
        raise ValueError("begins with the home of a user that is not known here") from None
    except FileNotFoundError:
        raise ValueError("is relative to a current folder that is gone") from None
    if len(bytes(path)) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise ValueError("is longer than a path may be")
    return path


def whole_program(text: str, base: Path | None = None) -> str:
    """A program: its name, to be looked for on PATH, or the absolute path that `text` names."""
    return str(whole_path(text, base)) if "/" in text or text.startswith(("~", "$")) else text


def whole_paths(text: str, base: Path | None = None) -> str:
    """Paths with `:` between, some with `+` before them, each made absolute."""
    parts = [part for part in text.split(":") if part]
    return ":".join("+" * part.startswith("+") + str(whole_path(part.removeprefix("+"), base)) for part in parts)


def _value(found: re.Match[str]) -> str:
    name = found[1] or found[2]
    value = os.environ.get(name)
    if not value:
        raise ValueError(f"names the variable {name}, which is not set")
    return value


def require_text(text: str) -> None:
    """Raise ValueError for a value that no setting has: empty, not UTF-8, or with control characters."""
    if not text.strip():
        raise ValueError("is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("contains control characters")
