"""Metrics: what an evaluation printed (§10.1), believed only when it is whole, sane and what was asked for."""

from pathlib import Path
from typing import Any

from yt_fsm.bringup.errors import BringupError
from yt_fsm.engine.outside import Malformed, read, shown
from yt_fsm.engine.outside import parse as parse_json

LONGEST = 65_536  # characters of a metrics line, and of the private file but for its frame
PREFIX = "YT_METRICS="
REQUIRED = ("top1", "top5", "tokens", "mode", "trace", "timing")

Metrics = dict[str, Any]


class BadMetrics(BringupError):
    """The evaluation's metrics are missing, malformed or of another evaluation."""


def parse(stdout: str) -> Metrics:
    """The metrics of the *last* `YT_METRICS=` line. Raises BadMetrics naming the key and the value."""
    lines = [line for line in stdout.split("\n") if line.startswith(PREFIX)]
    if not lines:
        raise BadMetrics(f"the evaluation printed no `{PREFIX}` line")
    line = lines[-1][len(PREFIX) :]
    if len(line) > LONGEST:
        raise BadMetrics(f"the metrics are {len(line):,} characters long, and at most {LONGEST:,} are read")
    return validated(_load(line))


def _load(text: str) -> Metrics:
    try:
        data = parse_json(text, 2 * LONGEST)
    except Malformed as problem:
        raise BadMetrics(f"the metrics cannot be read: {problem}: {shown(text)}") from None
    if not isinstance(data, dict):
        raise BadMetrics(f"the metrics are not an object: {shown(text)}")
    return data


def validated(data: Metrics) -> Metrics:
    """`data` itself when every required key is there and in range. Raises BadMetrics."""
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        raise BadMetrics(f"the metrics lack {', '.join(missing)}")
    for key in ("top1", "top5"):
        value = data[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadMetrics(f"the metrics' {key} is {shown(repr(value))}, not a number")
        if not 0 <= value <= 1:
            raise BadMetrics(f"the metrics' {key} is {value!r}, not between 0 and 1")
    tokens = data["tokens"]
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise BadMetrics(f"the metrics' tokens is {shown(repr(tokens))}, not a positive whole number")
    if data["mode"] not in ("hf", "tt"):
        raise BadMetrics(f"the metrics' mode is {shown(repr(data['mode']))}, not hf or tt")
    if not isinstance(data["trace"], bool):
        raise BadMetrics(f"the metrics' trace is {shown(repr(data['trace']))}, not true or false")
    if not isinstance(data["timing"], dict) or not data["timing"]:
        raise BadMetrics("the metrics' timing holds no measurement")
    return data


def agree(printed: Metrics, private: Path, nonce: str) -> None:
    """Check the printed metrics against those in the private file that this attempt's `nonce` opens.

    Raises BadMetrics when the file is missing, is another attempt's, or says something else.
    """
    try:
        sealed = _load(read(private, 4 * LONGEST))
    except (OSError, Malformed) as problem:
        told = "" if isinstance(problem, FileNotFoundError) else f" ({problem})"
        raise BadMetrics(f"the evaluation left no private metrics{told}: it is not the harness that ran") from None
    if sealed.get("nonce") != nonce:
        raise BadMetrics("the private metrics carry another attempt's nonce")
    if sealed.get("metrics") != printed:
        raise BadMetrics("the printed metrics contradict the private ones")


def matches(data: Metrics, **asked: Any) -> None:
    """Check that the metrics are of the evaluation that was asked for. Raises BadMetrics naming the difference."""
    for key, value in asked.items():
        if data.get(key) != value:
            raise BadMetrics(f"the metrics are of {key} = {shown(repr(data.get(key)))}, and {value!r} was asked for")


def summary(data: Metrics) -> str:
    """`top1 0.969 top5 1.000 (32 tokens)`, with the mean KL when it was measured, and what is suspect."""
    text = f"top1 {data['top1']:.3f} top5 {data['top5']:.3f} ({data['tokens']} tokens)"
    if isinstance(data.get("kl"), int | float):
        text += f" KL {data['kl']:.4f}"
    if found := suspicions(data):
        text += f"; suspect: {', '.join(found)}"
    return text


def suspicions(data: Metrics) -> list[str]:
    """What the harness found suspect in scores that may well pass, such as a KL that rounding does not explain."""
    found = data.get("suspect")
    return [shown(one) for one in found[:20]] if isinstance(found, list) else []
