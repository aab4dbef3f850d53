"""The troubles of codex's model server: when one is met, and what the real service then answers.

They are faults (yt_fsm.lab.faults), any of them also for the n-th `turn` of its thread only, for the n-th `step` of a
turn (0 is its beginning), and for as long as it `lasts`, in seconds. Scripts have them as steps. Bodies are as the
Responses API's; what the real codex makes of each stands in tests/lab/README.md.
"""

import time
from typing import Any

from yt_fsm.lab.faults import Fault

KINDS = {
    "status": "an answer of `status` (500), with the error code `code` and `message` if given: 401 is an expired login",
    "usage-limit": "429, the account's limit is used up: until `resets_at` (a time in seconds, or `+N`), or for "
    "`resets_in_seconds`, or nobody knows; with `stream=true` said by an event of the stream",
    "rate-limit": "429, too many requests; retry-after `retry_after` (1)",
    "quota": "429, insufficient_quota: the account's money is used up",
    "overloaded": "503, server_is_overloaded",
    "odd": "events of unknown types and shapes come first, then the answer",
    "no-message": "the turn completes without a message",
    "hang": "the answer begins, then nothing",
    "hang-after": "the answer is complete, and its connection stays open",
    "no-answer": "no answer at all",
    "cut": "the stream breaks before the answer, or with `middle=true` in the middle of it",
    "slow": "the answer takes `seconds` (1) longer",
}
ANSWERED = ("odd", "hang-after", "cut")  # what the script says comes too, or may
DETAILS = (
    "status", "code", "message", "seconds", "resets_at", "resets_in_seconds", "stream", "retry_after", "middle",
    "turn", "step", "lasts", "until",
)  # fmt: skip
ERRORS = {
    401: (
        "invalid_request_error",
        "token_expired",
        "Your authentication token has expired. Please sign in again.",
    ),
    429: ("usage_limit_reached", "usage_limit_reached", "You've hit your usage limit. Try again later."),
    503: ("service_unavailable_error", "service_unavailable", "Service temporarily unavailable."),
    529: ("overloaded_error", "overloaded", "Overloaded"),
}
_UNEXPLAINED = ("server_error", "server_error", "The server had an error while processing your request.")
USED_UP = "The usage limit has been reached"
# What no Responses API sends, and what a later one may.
ODD: tuple[tuple[str, Any], ...] = (
    ("response.from_the_future", {"type": "response.from_the_future", "item": {"type": "telepathy"}}),
    ("response.output_item.done", {"type": "response.output_item.done", "item": {"type": "hologram", "id": 7}}),
    ("response.output_text.delta", {"type": "response.output_text.delta", "delta": {"not": "text"}}),
    ("message", [1, 2, 3]),
    ("message", "words"),
    ("message", None),
    ("", {"type": 3}),
    ("response.output_item.added", {"type": "response.output_item.added"}),
)


def lasting(fault: dict[str, Any]) -> dict[str, Any]:
    """The fault with its times as moments: `lasts` N seconds is `until`, and `resets_at=+N` is N seconds from now.

    A fault that lasts is met any number of times, unless it says how often. Raises ValueError for what is no time.
    """
    asked = dict(fault)
    if "lasts" in asked:
        asked["until"] = time.time() + _seconds("lasts", asked.pop("lasts"))
        asked.setdefault("count", None)
    if str(asked.get("resets_at", "")).startswith("+"):
        asked["resets_at"] = int(time.time() + _seconds("resets_at", asked["resets_at"]))
    return asked


def _seconds(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` is {value!r}: it is a number of seconds") from None


def meets(fault: Fault, turn: int, step: int) -> bool:
    """Whether a fault is one for this turn of its thread, for this step of the turn, and for now."""
    here = {"turn": turn, "step": step}
    if any(fault.detail.get(name, number) != number for name, number in here.items()):
        return False
    return time.time() < float(fault.detail.get("until", float("inf")))


def refusal(kind: str, detail: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]] | None:
    """Status, headers and body of the answer that a fault or a step of this kind is; None when it is no refusal."""
    if kind == "status":
        status = int(detail.get("status", 500))
        sort, code, text = ERRORS.get(status, _UNEXPLAINED)
        code, text = str(detail.get("code", code)), str(detail.get("message", text))
        return status, {}, _error(sort, text, code=code, param=None)
    if kind == "usage-limit" and not detail.get("stream"):
        when = {name: detail[name] for name in ("resets_at", "resets_in_seconds") if name in detail}
        return 429, {}, _error("usage_limit_reached", USED_UP, plan_type="plus", **when)
    if kind == "rate-limit":
        wait = str(detail.get("retry_after", 1))
        text = f"Rate limit reached for requests. Please try again in {wait}s."
        return 429, {"retry-after": wait}, _error("requests", text, code="rate_limit_exceeded", param=None)
    if kind == "quota":
        text = "You exceeded your current quota, please check your plan and billing details."
        return 429, {}, _error("insufficient_quota", text, code="insufficient_quota", param=None)
    if kind == "overloaded":
        text = "Our servers are currently overloaded. Please try again later."
        return 503, {}, _error("service_unavailable_error", text, code="server_is_overloaded", param=None)
    return None


def _error(sort: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": sort, "message": message, **more}}
