"""What comes from outside: bounded and checked when it is read, harmless when it is shown.

GitHub's answers, codex's events, metrics, tt-smi's and the Hub's words and the operator's own files are all written
by others. JSON is read by `parse` and taken apart by `at` and `maybe`; files by `read`. What is quoted to a person
goes through `shown` (one line) or `plain` (whole texts): no terminal escape sequence gets through either.
"""

import contextlib
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

LARGEST = 16 << 20  # characters of one JSON document
DEEPEST = 64  # levels; GitHub's answers have about ten
DIGITS = 100  # of a whole number: more is no count of anything

T = TypeVar("T")

# Controls but tab and newline, what reorders or breaks lines, and what UTF-8 cannot say.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


class Malformed(ValueError):
    """What came is not what was asked for; the text says how. Each border turns it into an error of its own."""


def parse(text: str, largest: int = LARGEST) -> Any:
    """The JSON document in `text`, its lone surrogates replaced.

    Raises Malformed for what is no JSON (NaN too), and for what JSON allows and no sender of ours means: keys twice,
    numbers beyond floats, `largest` characters, DIGITS digits or DEEPEST levels.
    """
    if len(text) > largest:
        raise Malformed(f"it is {len(text):,} characters long, and at most {largest:,} are read")
    try:
        data = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
    except Malformed:
        raise
    except ValueError as problem:
        raise Malformed(f"it is not JSON ({shown(problem)})") from None
    except RecursionError:
        raise Malformed(f"it is nested deeper than {DEEPEST} levels") from None
    if text.count("[") + text.count("{") > DEEPEST:
        measure(data)
    return _scrubbed(data) if _SURROGATE.search(text) or _ESCAPED_SURROGATE.search(text) else data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Malformed(f"it says {shown(repr(key))} twice")
            seen.add(key)
    return found


def _no_constant(word: str) -> Any:
    raise Malformed(f"it contains {word}")


def _finite(word: str) -> float:
    number = float(word)
    return number if math.isfinite(number) else _no_constant(shown(word))


def _whole(word: str) -> int:
    if len(word) > DIGITS:
        raise Malformed(f"it contains a number of {len(word):,} digits")
    return int(word)


def measure(data: Any) -> None:
    """Raise Malformed where `data` is deeper than DEEPEST: what passes can be compared, copied and written again."""
    level, depth = [data], 0
    while level:
        if depth > DEEPEST:
            raise Malformed(f"it is nested deeper than {DEEPEST} levels")
        within: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                within += part.values()
            elif isinstance(part, list):
                within += part
        level, depth = [part for part in within if isinstance(part, dict | list)], depth + 1


def _scrubbed(data: Any) -> Any:
    if isinstance(data, str):
        return _SURROGATE.sub("\ufffd", data)
    if isinstance(data, list):
        return [_scrubbed(part) for part in data]
    if isinstance(data, dict):
        return {_scrubbed(key): _scrubbed(value) for key, value in data.items()}
    return data


def at(kind: type[T], data: Any, *path: str | int) -> T:
    """What stands at `path` in parsed JSON. Raises Malformed, naming the path, when it is missing or no `kind`."""
    found = maybe(kind, data, *path)
    if found is None:
        raise Malformed(f"`{'.'.join(map(str, path))}` is missing")
    return found


def maybe(kind: type[T], data: Any, *path: str | int) -> T | None:
    """What stands at `path`, or None where it is null or not there. Raises Malformed when it is no `kind`."""
    for step in path:
        if data is None:
            return None
        try:
            data = data.get(step) if isinstance(step, str) else data[step]
        except (AttributeError, TypeError, IndexError, KeyError):
            raise Malformed(f"`{'.'.join(map(str, path))}` cannot be found in {shown(repr(data))}") from None
    if data is None:
        return None
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise Malformed(f"`{'.'.join(map(str, path))}` is {shown(repr(data))}, not {_KINDS.get(kind, kind.__name__)}")
    return data


def read(path: Path, largest: int, follow: bool = False) -> str:
    """The UTF-8 text of a file of at most `largest` bytes; a link counts as a file with `follow` only.

    Raises Malformed for what is no such file (a folder, a pipe that would block for ever, a device without an end),
    FileNotFoundError when there is nothing, and OSError for what cannot be opened.
    """
    if not follow and path.is_symlink():
        raise Malformed("it is a link")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Malformed("it is not a file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise Malformed(f"it is longer than {largest:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        raise Malformed(f"it is not UTF-8 (byte {problem.start + 1})") from None


def plain(text: object) -> str:
    """`text` as a terminal may have it: only tabs and newlines still act, all other controls are spelled out."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def shown(text: object, most: int = 200) -> str:
    """`text` on one line of at most about `most` characters, to be quoted to a person."""
    whole = str(text)
    if len(whole) > most:
        whole = f"{whole[: most * 2 // 3]} … {len(whole) - most:,} characters … {whole[len(whole) - most // 3 :]}"
    return plain(whole).replace("\n", "\\n").replace("\t", "\\t")


def harmless(data: T) -> T:
    """`data` with every text in it `plain`: what was read from a record, to be printed."""
    if isinstance(data, str):
        return plain(data)  # type: ignore[return-value]
    if isinstance(data, list):
        return [harmless(part) for part in data]  # type: ignore[return-value]
    if isinstance(data, dict):
        return {key: harmless(value) for key, value in data.items()}  # type: ignore[return-value]
    return data


def discard(path: Path) -> None:
    """Remove a file that unreviewed code was told to write; what is no file goes with the folder around it."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
