"""Records: what a journal's lines must say beyond their hashes, one small table of fields and types a kind (faults S6).

A hash tells that a line is as it was written, not who wrote it. Fields that the table does not name may be anything,
and so may kinds that it does not know: a newer ytfsm may have written them.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

DEEPEST = 50  # levels of a record
LARGEST = 10**40  # of its whole numbers: more digits cost more than their length to read

# Compiled when a journal is read: a drawing reads none.
RUN_ID = r"[A-Za-z0-9][\w.-]{0,127}"
_AT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
_WORD = r"[A-Za-z]\w{0,63}"  # a state or an event: it is drawn, and becomes an attribute

Check = Callable[[Any], bool]
Fields = Mapping[str, Check]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return type(value) is int


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(one) for one in value)


def _having(required: Fields, optional: Fields | None = None) -> Check:
    return lambda value: isinstance(value, dict) and not _amiss(value, required, optional or {})


def _word(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(_WORD, value, re.ASCII))


def _run_id(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(RUN_ID, value, re.ASCII))


def _time(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(_AT, value, re.ASCII):
        return False
    try:
        datetime.fromisoformat(value[:-1])
    except ValueError:
        return False
    return value[:4] >= "1970"


def _edge(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(_word(one) for one in value[:3])
        and (value[3] is None or isinstance(value[3], str))
    )


def _table(value: Any) -> bool:
    """A machine's table: what replay checks transitions against, and what `graph --run` draws."""
    parts = {"initial": _word, "states": _list_of(_word), "final": _list_of(_word), "edges": _list_of(_edge)}
    if not _having(parts, {"name": _text})(value):
        return False
    states = set(value["states"])
    named = {value["initial"], *value["final"], *(state for edge in value["edges"] for state in edge[1:3])}
    return len(states) == len(value["states"]) and named <= states


_METRICS = _having({"top1": _number, "top5": _number, "tokens": _whole}, {"trace": _flag, "mode": _text})

# What a subject may say of itself, whatever it is.
_SUBJECT: Fields = {
    "number": _count, "name": _text, "inputs": _object, "id": _text, "title": _text, "body": _text, "url": _text,
    "labels": _list_of(_text), "item": _or_none(_text), "status": _or_none(_text),
}  # fmt: skip

# What the header of an earlier ytfsm, which knew issues only, must have in the place of a `subject`.
_EARLIER: Fields = {"system": _text, "issue": _having({"number": _count}, _SUBJECT)}

_EVERY: Fields = {"at": _time, "mono": _number, "kind": _text}

# For each kind: the fields that it must have, and those that must be of their type where it has them.
_KINDS: dict[str, tuple[Fields, Fields]] = {
    "header": (
        {"run_id": _run_id, "machine": _text, "machine_table": _table},
        {
            "system": _or_none(_text),
            "subject": _having({"kind": _text, "words": _text}, _SUBJECT),
            "issue": _having({"number": _count}, _SUBJECT),
            "worker": _text,
            "versions": _object,
            "host": _text,
            "machine_id": _text,
            "boot": _text,
            "pid": _whole,
        },
    ),
    "transition": ({"event": _word, "source": _word, "dest": _word, "status": _or_none(_text)}, {}),
    "fact": ({"name": _text}, {}),  # and its value by what its machine declares (facts.py)
    "unit": ({"unit": _text}, {}),
    "attempt": (
        {
            "n": _whole,
            "passed": _flag,
            "failing": _or_none(_text),
            "metrics": lambda value: isinstance(value, dict) and all(_METRICS(one) for one in value.values()),
            "tokens": _or_none(_whole),
            "seconds": _number,
            "error": _or_none(_text),
        },
        {"commit": _or_none(_text), "tree": _or_none(_text), "killed": _flag, "tampered": _list_of(_text)},
    ),
    "tokens": ({"tokens": _whole, "thread": _or_none(_text)}, {}),
    "verdict": ({"state": _word, "event": _word, "error": _text, "text": _text}, {}),
    "effect.intent": ({"effect": _text, "key": _text}, {}),
    "effect.done": ({"effect": _text, "key": _text, "result": _object}, {}),  # and its result by _RESULTS
    "effect.unknown": ({"effect": _text, "key": _text}, {"error": _text}),
    "stopped": ({}, {"state": _word, "why": _text}),
    "crashed": ({}, {"state": _word, "error": _text, "traceback": _text}),
    "resumed": (
        {},
        {
            "host": _text,
            "machine_id": _text,
            "state": _word,
            "boot": _text,
            "pid": _whole,
            "abandon": _text,
            "anew": _flag,
        },
    ),
    "waiting": ({"state": _word, "why": _text, "until": _time}, {}),
    "refused": ({"error": _text}, {"again": _flag}),
    "repaired": ({}, {"detail": _text}),
    "cleanup": ({}, {"let_go": _list_of(_text), "killed": _list_of(_whole), "failed": _list_of(_text)}),
    "end": ({}, {"state": _word, "published": _flag}),
}

_RESULTS: dict[str, Fields] = {"claim": {"comment": _text}, "pull request": {"url": _text}, "push": {"sha": _text}}


def wrong(record: dict[str, Any], seq: int) -> str:
    """What keeps a record from being believed; "" when nothing does."""
    if (record.get("kind") == "header") != (seq == 0):
        return "the first record, and only that, is the header"
    problem = _amiss(record, _EVERY, {})
    if problem:
        return problem
    required, optional = _KINDS.get(record["kind"], ({}, {}))
    problem = _amiss(record, required, optional)
    if not problem and record["kind"] == "header" and "subject" not in record:
        problem = _amiss(record, _EARLIER, {})
    if not problem and record["kind"] == "fact":
        problem = "" if "value" in record else "it has no `value`"
    if not problem and record["kind"] == "effect.done":
        problem = _amiss(record["result"], _RESULTS.get(record["effect"], {}), {})
    return f"a record `{record['kind']}` of odd shape: {problem}" if problem else ""


def lacking(header: dict[str, Any]) -> str:
    """What a header lacks for its run to go on, beyond what reading it needs; "" when nothing."""
    return _amiss(header, {"worker": _text, "versions": _object, "host": _text}, {})


class Way:
    """The way that a journal's transitions take through the table in its header, record by record."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.edges = {tuple(edge[:3]) for edge in table.get("edges", [])}
        self.state = table.get("initial")

    def strays(self, record: dict[str, Any]) -> bool:
        """Whether a record is a transition that the table does not have or that does not start where the run stood."""
        if record["kind"] != "transition":
            return False
        if (record["event"], record["source"], record["dest"]) not in self.edges or record["source"] != self.state:
            return True
        self.state = record["dest"]
        return False


def too_much(value: Any) -> str:
    """What is beyond any record that ytfsm writes: depth and numbers; "" when nothing is. Linear, without recursion."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
            elif type(one) is int and abs(one) > LARGEST:
                return "a whole number of more than 40 digits"
            elif type(one) is float and not math.isfinite(one):
                return "a number that is none"
        if not inner:
            return ""
        level = inner
    return f"more than {DEEPEST} levels deep"


def _amiss(record: Mapping[str, Any], required: Fields, optional: Fields) -> str:
    """The first field that is missing or of another type, in words."""
    for name, check in required.items():
        if name not in record:
            return f"it has no `{name}`"
        if not check(record[name]):
            return f"its `{name}` is {_shown(record[name])}"
    for name, check in optional.items():
        if name in record and not check(record[name]):
            return f"its `{name}` is {_shown(record[name])}"
    return ""


def _shown(value: Any) -> str:
    """A value in a few words, printable anywhere."""
    if isinstance(value, dict | list):
        return "an object or a list of odd shape"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:50]}… ({len(text)} characters)"
