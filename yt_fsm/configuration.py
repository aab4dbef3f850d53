"""ytfsm.toml: what a user wrote down, read without knowing what any of it means."""

import os
import sys
from pathlib import Path
from typing import Any

import platformdirs

from .errors import Usage

APP = "ytfsm"


def read() -> dict[str, Any]:
    """The settings in `ytfsm.toml`: the current folder's, else the user's; {} when there is none. Raises Usage."""
    places = [Path("ytfsm.toml"), Path(platformdirs.user_config_dir(APP)) / "ytfsm.toml"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Usage(f"{path}: {problem}") from None


def home() -> Path:
    """YTFSM_HOME: the environment's, else the file's, else this system's place for a user's state."""
    named = os.environ.get("YTFSM_HOME") or read().get("home") or platformdirs.user_state_dir(APP)
    return Path(str(named)).expanduser().absolute()
