"""Junk: values, texts and documents that are nearly right, or not at all, from one source of chance."""

import json
from random import Random
from typing import Any

# What breaks parsers, terminals, paths and counts.
WORDS = (
    "", " ", "\t", "0", "-1", "1", "00", "1e999", "-1e999", "NaN", "nan", "inf", "Infinity", "²", "٣", "１２", "1_000",
    "9" * 30, "9" * 5000, "true", "null", "None", "a/b", "../..", "/", "~", "~nobody/x", "-", "--", "--help", "-rf",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\r", "\n", "a\nb", "\x7f", "\u202eabc", "\u2028", "\ufeff",
    "\U0001f600", "x" * 300, "x" * 5000, "/" * 5000, "a" * 300 + "/b", "n300", "org/name", "$HOME", "`id`", "$(id)",
    "%s%n", "{}", "[", "{", '"', "'", "\\", "<!--", "-->", "```", "#", "hf_model_id: a/b", "YT_METRICS={}",
    "[yt-claim]", "@x", "é", "0x10",
)  # fmt: skip
HALVES = ("\ud800", "\udfff", "a\udc80b")  # no UTF-8; on a command line, bytes that were none
NUMBERS = (
    0, -1, 1, 2, 49, 2**31, 2**53, 2**63, -(2**63), 10**40, 0.0, -0.0, 0.5, 1e308, 5e-324, True, False, None,
)  # fmt: skip


def word(chance: Random, halves: bool = True) -> str:
    """A text, mostly a nasty one."""
    kind = chance.random()
    if halves and kind < 0.06:
        return chance.choice(HALVES)
    if kind < 0.75:
        return chance.choice(WORDS)
    if kind < 0.9:
        return chance.choice(WORDS) + chance.choice(WORDS)
    return "".join(
        chr(chance.choice((32, 35, 58, 96, chance.randrange(1, 0x250)))) for _ in range(chance.randrange(60))
    )


def value(chance: Random, depth: int = 3) -> Any:
    """A JSON value of any kind."""
    kind = chance.random()
    if depth and kind < 0.15:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if depth and kind < 0.3:
        return {word(chance): value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return word(chance) if kind < 0.6 else chance.choice(NUMBERS)


def twisted(chance: Random, data: Any) -> Any:
    """A copy of `data` with one part of it replaced, dropped, doubled or renamed."""
    copy = json.loads(json.dumps(data))
    places = list(_places(copy))
    if not places:
        return value(chance)
    holder, key = chance.choice(places)
    kind = chance.random()
    if kind < 0.55:
        holder[key] = value(chance)
    elif kind < 0.8:
        del holder[key]
    elif isinstance(holder, list):
        holder.extend([holder[key]] * chance.randrange(1, 4))
    else:
        holder[word(chance)] = holder.pop(key)
    return copy


def _places(data: Any) -> Any:
    if isinstance(data, dict | list):
        for key in list(data) if isinstance(data, dict) else range(len(data)):
            yield data, key
            yield from _places(data[key])


def document(chance: Random, data: Any) -> str:
    """`data` as JSON, twisted as a value or as a text, or both."""
    for _ in range(chance.randrange(3)):
        data = twisted(chance, data)
    text = json.dumps(data, ensure_ascii=chance.random() < 0.7)
    return spoiled(chance, text) if chance.random() < 0.4 else text


def spoiled(chance: Random, text: str) -> str:
    """A text with a piece cut out, put in, doubled or nested."""
    at = chance.randrange(len(text) + 1)
    to = min(len(text), at + chance.choice((0, 1, 5, 50)))
    new = chance.choice(
        (
            "", text[at:to] * 2, word(chance), "\0", "NaN", "1e999", "9" * 5000, "[" * 3000, '{"a":' * 3000,
            '"a":1,"a":2,', r"\ud800",
        )
    )  # fmt: skip
    return (chance.choice(("\ufeff", "\n", "")) if chance.random() < 0.1 else "") + text[:at] + new + text[to:]


def long_text(chance: Random, pieces: tuple[str, ...]) -> str:
    """Up to 64 Ki characters: a piece over and over between two others, or a mixture."""
    if chance.random() < 0.4:
        middle = chance.choice(pieces)
        count = chance.choice((1, 100, 65_000)) // max(1, len(middle))
        return chance.choice(pieces) + middle * count + chance.choice(pieces)
    return "".join(chance.choice((*pieces, word(chance))) for _ in range(chance.randrange(40)))
