"""Global ids and cursors in the form that GitHub gives them: a prefix, and packed numbers in base64."""

from __future__ import annotations

import base64
import hashlib


def node_id(prefix: str, *numbers: int) -> str:
    """The global id of an object, such as `I_kwDO…`, from its parents' and its own database ids."""
    packed = bytes([0x90 + len(numbers) + 1, 0]) + b"".join(b"\xce" + n.to_bytes(4, "big") for n in numbers)
    return f"{prefix}_{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def option_id(*parts: object) -> str:
    """The id of a single-select option: eight hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:8]


def cursor(position: int, database_id: int) -> str:
    """An opaque cursor that finds its place again when earlier entries have gone."""
    packed = b"\x92" + b"".join(b"\xce" + n.to_bytes(4, "big") for n in (position, database_id))
    return base64.b64encode(b"cursor:v2:" + packed).decode()


def read_cursor(text: str) -> tuple[int, int] | None:
    """Position and database id of a cursor, or None when it is none of ours."""
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    if not packed.startswith(b"cursor:v2:\x92\xce") or len(packed) != 21:
        return None
    return int.from_bytes(packed[12:16], "big"), int.from_bytes(packed[17:21], "big")
