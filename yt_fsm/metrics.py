"""Metrics: what an evaluation printed (§10.1), believed only when it is whole, sane and what was asked for."""

import json
import math
from pathlib import Path
from typing import Any

from .errors import BringupError

PREFIX = "YT_METRICS="
REQUIRED = ("top1", "top5", "tokens", "mode", "trace", "timing")

Metrics = dict[str, Any]


class BadMetrics(BringupError):
    """The evaluation's metrics are missing, malformed or of another evaluation."""


def parse(stdout: str) -> Metrics:
    """The metrics of the *last* `YT_METRICS=` line. Raises BadMetrics naming the key and the value."""
    lines = [line for line in stdout.splitlines() if line.startswith(PREFIX)]
    if not lines:
        raise BadMetrics(f"the evaluation printed no `{PREFIX}` line")
    return check(_load(lines[-1][len(PREFIX) :]))


def _load(text: str) -> Metrics:
    def refuse(word: str) -> float:
        raise BadMetrics(f"the metrics contain {word}")

    def finite(word: str) -> float:
        return value if math.isfinite(value := float(word)) else refuse(word)

    try:
        data = json.loads(text, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as problem:
        raise BadMetrics(f"the metrics are not JSON ({problem}): {text[:200]}") from None
    if not isinstance(data, dict):
        raise BadMetrics(f"the metrics are not an object: {text[:200]}")
    return data


def check(data: Metrics) -> Metrics:
    """`data` itself when every required key is there and in range. Raises BadMetrics."""
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        raise BadMetrics(f"the metrics lack {', '.join(missing)}")
    for key in ("top1", "top5"):
        value = data[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadMetrics(f"the metrics' {key} is {value!r}, not a number")
        if not 0 <= value <= 1:
            raise BadMetrics(f"the metrics' {key} is {value!r}, not between 0 and 1")
    tokens = data["tokens"]
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise BadMetrics(f"the metrics' tokens is {tokens!r}, not a positive whole number")
    if data["mode"] not in ("hf", "tt"):
        raise BadMetrics(f"the metrics' mode is {data['mode']!r}, not hf or tt")
    if not isinstance(data["trace"], bool):
        raise BadMetrics(f"the metrics' trace is {data['trace']!r}, not true or false")
    if not isinstance(data["timing"], dict) or not data["timing"]:
        raise BadMetrics("the metrics' timing holds no measurement")
    return data


def agree(printed: Metrics, private: Path, nonce: str) -> None:
    """Check the printed metrics against those in the private file that this attempt's `nonce` opens.

    Raises BadMetrics when the file is missing, is another attempt's, or says something else.
    """
    try:
        sealed = _load(private.read_text())
    except (OSError, UnicodeDecodeError):
        raise BadMetrics("the evaluation left no private metrics: it is not the harness that ran") from None
    if sealed.get("nonce") != nonce:
        raise BadMetrics("the private metrics carry another attempt's nonce")
    if sealed.get("metrics") != printed:
        raise BadMetrics("the printed metrics contradict the private ones")


def matches(data: Metrics, **asked: Any) -> None:
    """Check that the metrics are of the evaluation that was asked for. Raises BadMetrics naming the difference."""
    for key, value in asked.items():
        if data.get(key) != value:
            raise BadMetrics(f"the metrics are of {key} = {data.get(key)!r}, and {value!r} was asked for")


def summary(data: Metrics) -> str:
    """`top1 0.969 top5 1.000 (32 tokens)`, with the mean KL when it was measured, and what is suspect."""
    text = f"top1 {data['top1']:.3f} top5 {data['top5']:.3f} ({data['tokens']} tokens)"
    if isinstance(data.get("kl"), int | float):
        text += f" KL {data['kl']:.4f}"
    if found := suspicions(data):
        text += f"; suspect: {', '.join(found)}"
    return text


def suspicions(data: Metrics) -> list[str]:
    """What the harness found suspect in scores that may well pass, such as a mean KL above 0.02."""
    found = data.get("suspect")
    return [str(one) for one in found] if isinstance(found, list) else []
