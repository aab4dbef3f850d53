"""Values as records hold them: JSON of bounded depth and size, every string redacted but the machine's own words."""

from collections.abc import Callable
from typing import Any

from . import records

# Fields that hold the machine's own words. They steer a run that goes on, so a secret that is one of them changes none.
_OURS = frozenset(
    {"kind", "event", "source", "dest", "status", "effect", "key", "state", "by", "name", "run_id", "seq", "at", "hash"}
    | {"id", "item", "comment", "sha", "machine", "machine_hash", "system", "commit", "base", "log"}
    | {"sha256", "boot", "last"}
)
_TABLE = "machine_table"  # all of it is
_STEERING = frozenset(
    {"base", "into", "tip", "branch", "commit", "workspace", "revision", "thread"}
)  # facts that do so
_FOREIGN = frozenset({"metrics", "settings", "versions", "why"})  # whatever is in there, others named it


def clean(value: Any, redact: Callable[[str], str], ours: bool = True, level: int = 2) -> Any:
    """`value` as JSON has it, every string redacted but the machine's own words; what no record may hold is a string.

    `ours` says whether it was we who named its fields, `level` how deep it stands.
    """
    if isinstance(value, dict | list | tuple) and level >= records.DEEPEST:
        return "(too deep)"
    if isinstance(value, dict):
        steers = ours and value.get("name") in _STEERING and isinstance(value.get("value"), str)
        return {
            redact(str(key)): item
            if ours and (key == _TABLE or (isinstance(item, str) and (key in _OURS or (steers and key == "value"))))
            else clean(item, redact, ours and key not in _FOREIGN and key != "value", level + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item, redact, ours, level + 1) for item in value]
    if type(value) is int and records.too_much(value):
        return "(a number of more than 40 digits)"
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def shortened(value: Any) -> Any:
    """A record's fields without what made it longer than any: long texts and lists, of which the beginning stays."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in list(value.items())[:1000]}
    if isinstance(value, list | tuple):
        return [shortened(item) for item in value[:1000]]
    text = str(value)
    if value is None or isinstance(value, bool | int | float) or len(text) <= 4000:
        return value
    return f"{text[:4000]} … ({len(text) - 4000} characters left out)"
