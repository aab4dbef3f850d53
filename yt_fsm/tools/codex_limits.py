"""What this machine knows of a codex account's usage limit, for all its workers: one small file an account (faults W1).

It lies in `codex-limits` under YTFSM_HOME, named by a hash that tells who the account is and never its secret
(codex_home.account). It is a hint: a file that cannot be read is no limit.
"""

import contextlib
import json
import logging
import os
import time
from pathlib import Path

from yt_fsm.engine.outside import Malformed, at, maybe, parse, read, shown

log = logging.getLogger("ytfsm")

LONGEST_PROBE_SECS = 1800.0  # a limit without a time counts so long; then somebody may ask again
_FOLDER = "codex-limits"
_LARGEST = 4096  # bytes of a note
_WHY_CHARS = 500


def note(home: Path, account: str, until: float | None, why: str) -> None:
    """Write down that the account is limited, `until` then (seconds since 1970) or nobody knows when; replaces others.

    Raises OSError when it cannot be written.
    """
    path = _path(home, account)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"until": until, "why": shown(why, _WHY_CHARS), "noted": time.time()}))
    os.replace(fresh, path)


def limited(home: Path, account: str) -> tuple[float | None, str] | None:
    """Until when the account is limited, and codex's words; None when it is not, as far as this machine knows."""
    path = _path(home, account)
    try:
        found = parse(read(path, _LARGEST))
        until = _moment(found, "until")
        noted, why = _moment(found, "noted") or 0.0, at(str, found, "why")
    except FileNotFoundError:
        return None
    except (OSError, Malformed) as problem:
        log.warning("%s cannot be read (%s): no limit of codex's account is known", path, problem)
        return None
    now = time.time()
    # A clock that was set back must not make a note count for ever.
    over = now >= until if until is not None else not noted - LONGEST_PROBE_SECS < now < noted + LONGEST_PROBE_SECS
    return None if over else (until, why)


def clear(home: Path, account: str) -> None:
    """The account works: there is no limit."""
    with contextlib.suppress(FileNotFoundError):
        _path(home, account).unlink()


def _path(home: Path, account: str) -> Path:
    return home / _FOLDER / f"{account}.json"


def _moment(found: object, name: str) -> float | None:
    value = maybe(object, found, name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise Malformed(f"`{name}` is {shown(repr(value))}, not a moment")
