"""ytfsm.toml: what a user wrote down, read without knowing what any of it means."""

import os
import sys
from pathlib import Path
from typing import Any

import platformdirs

from .errors import Usage
from .outside import Malformed, measure, shown
from .outside import read as read_file

APP = "ytfsm"
LARGEST = 16_384  # bytes of ytfsm.toml; there are some thirty settings
LONGEST_PATH, LONGEST_NAME = 4095, 255  # bytes, on Linux


def read() -> dict[str, Any]:
    """The settings in `ytfsm.toml`: the current folder's, else the user's; {} when there is none.

    Raises Usage for one that is there and cannot be read: nobody is to wonder why his settings do not count.
    """
    for path in (Path("ytfsm.toml"), Path(platformdirs.user_config_dir(APP)) / "ytfsm.toml"):
        try:
            return parse(path, read_file(path, LARGEST, follow=True))
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                raise Usage(f"{path} is a link to nothing: mend or remove it") from None
        except (Malformed, OSError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else problem
            raise Usage(f"{path}: it cannot be read: {why}") from None
    return {}


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
    named = os.environ.get("YTFSM_HOME") or read().get("home", platformdirs.user_state_dir(APP))
    try:
        if not isinstance(named, str):
            raise ValueError("must be a path, as text")
        return whole_path(named)
    except ValueError as problem:
        raise Usage(f"YTFSM_HOME = {shown(repr(named))}: {problem}") from None


def whole_path(text: str) -> Path:
    """The absolute path that `text` names. Raises ValueError for what no file system has a place for."""
    check_text(text)
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home of a user that is not known here") from None
    except FileNotFoundError:
        raise ValueError("is relative to a current folder that is gone") from None
    if len(bytes(path)) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise ValueError("is longer than a path may be")
    return path


def check_text(text: str) -> None:
    """Raise ValueError for a value that no setting has: empty, not UTF-8, or with control characters."""
    if not text.strip():
        raise ValueError("is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("contains control characters")
