"""What a turn's events say, and what codex's words about trouble mean (faults W1, W8)."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.conformance import words
from yt_fsm.tools.codex_turn import SLACK_SECS, Turn, until
from yt_fsm.tools.errors import CodexAway, CodexLimited, CodexLoggedOut, CodexTrouble, CodexUnfinished, CodexWait

NOW = 1_795_650_300.0  # Wed Nov 25 23:45:00 UTC 2026


def stamp(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M")) - time.timezone


def heard(*events: Any) -> Turn:
    turn = Turn(lambda thread: None, lambda tokens: None)
    for event in events:
        turn.hear(json.dumps(event))
    return turn


def trouble(said: str, tail: str = "") -> CodexWait | CodexTrouble:
    events = [{"type": "error", "message": said}, {"type": "turn.failed", "error": {"message": said}}] if said else []
    return heard(*events).trouble("exited 1", tail, "t-1")


LIMITED = "You’ve hit your usage limit. Upgrade to Pro (https://x.example/pro) or try again at 5:36 AM."


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (LIMITED, CodexLimited),
        ("You've hit your usage limit. Try again later.", CodexLimited),
        ("stream disconnected before completion: The usage limit has been reached", CodexLimited),
        ("exceeded retry limit, last status: 429 Too Many Requests", CodexLimited),
        ("Quota exceeded. Check your plan and billing details.", CodexLimited),
        ("Selected model is at capacity. Please try a different model.", CodexAway),
        ("We’re currently experiencing high demand, which may cause temporary errors.", CodexAway),
        ("unexpected status 503 Service Unavailable: x, url: http://x", CodexAway),
        ("unexpected status 529 <unknown status code>: Overloaded", CodexAway),
        ("stream disconnected before completion: error decoding response body", CodexAway),
        ("stream disconnected before completion: idle timeout waiting for SSE", CodexAway),
        ("unexpected status 401 Unauthorized: Your token has expired. Please sign in again.", CodexLoggedOut),
        ("Your access token could not be refreshed. Please log out and sign in again.", CodexLoggedOut),
        ("unexpected status 400 Bad Request: no such model", CodexTrouble),
    ],
)
def test_codexs_words_say_whose_trouble_it_is(said: str, kind: type[CodexWait | CodexTrouble]) -> None:
    found = trouble(said)
    assert type(found) is kind
    assert found.thread == "t-1"
    assert found.fault == ("machine" if kind is CodexLoggedOut else "service")
    assert "codex" in str(found)


def test_every_trouble_that_the_real_codex_was_seen_in_is_read() -> None:
    """The README's table of the lab is what it prints."""
    meant = {"usage": CodexLimited, "rate": CodexLimited, "insufficient_quota": CodexLimited, "401": CodexLoggedOut}
    rows = [line.split(" | ") for line in words.in_readme().splitlines()[2:]]
    failed = {name.removeprefix("| "): said for name, code, said in rows if code == "1"}
    assert len(failed) > 10
    for name, said in failed.items():
        found = trouble(said.removesuffix(" |").replace("TIME", "Nov 28th, 2026 4:40 AM"))
        assert type(found) is meant.get(re.split(r"[ ,]", name)[0], CodexAway), name


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("try again at 5:36 AM.", "2026-11-26 05:37"),
        ("try again at 11:50 PM.", "2026-11-25 23:51"),
        ("Try again at 12:05 AM.", "2026-11-26 00:06"),
        ("try again at 12:05 PM.", "2026-11-26 12:06"),
        ("try again at 11:44 PM.", "2026-11-25 23:45"),
        ("try again at 11:40 PM.", "2026-11-25 23:41"),
        ("try again at Nov 28th, 2026 4:40 AM.", "2026-11-28 04:41"),
        ("try again at Dec 1st, 2026 4:40\u202fPM.", "2026-12-01 16:41"),
    ],
)
def test_a_limit_ends_with_the_minute_that_codex_names(said: str, moment: str) -> None:
    assert until(said, NOW) == stamp(moment)


@pytest.mark.parametrize(
    "said",
    [
        "Try again later.", "", "try again at noon", "try again at 25:99 AM", "try again at Foo 28th, 2026 4:40 AM",
        "try again at Feb 30th, 2026 4:40 AM", "try again at Feb 1st, 0001 4:40 AM", "try again at 0:10 PM",
    ],
)  # fmt: skip
def test_a_limit_without_a_time_has_none(said: str) -> None:
    assert until(said, NOW) is None


WORDED = st.from_regex(r"try again at ([A-Z][a-z]{2} \d{1,2}th, \d{4} )?\d{1,2}:\d{2} [AP]M")


@settings(max_examples=60)
@given(st.text() | WORDED, st.floats(0, 4e9))
def test_whatever_codex_says_is_a_moment_or_none(said: str, now: float) -> None:
    found = until(said, now)
    if found is not None and "," not in said:
        assert now - SLACK_SECS < found <= now + 86_460


def test_without_events_stderr_is_what_there_is() -> None:
    assert type(trouble("", "ERROR: unexpected status 401 Unauthorized")) is CodexLoggedOut
    assert type(trouble("", "Error: required MCP server did not start")) is CodexUnfinished
    began = heard({"type": "thread.started", "thread_id": "t"}, {"type": "turn.started"})
    assert type(began.trouble("was killed by signal 9", "a 401 in what codex read", None)) is CodexUnfinished


def test_codexs_warnings_are_no_work() -> None:
    assert not heard({"type": "item.completed", "item": {"type": "error", "message": "Model metadata"}}).worked
    assert heard({"type": "item.started", "item": {"type": "command_execution"}}).worked


def test_an_error_that_codex_got_over_is_none() -> None:
    lost = {"type": "error", "message": "Reconnecting... 1/5 (stream disconnected)"}
    work = {"type": "item.started", "item": {"type": "command_execution"}}
    assert heard(lost, work).error == ""
    assert "stream disconnected" in heard(work, lost).error


KNOWN = st.sampled_from(
    ["type", "item", "usage", "error", "message", "text", "thread_id", "input_tokens", "output_tokens"]
)
KINDS = st.sampled_from(
    ["thread.started", "turn.started", "item.started", "item.completed", "turn.completed", "turn.failed", "error"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | KINDS | st.just("agent_message")
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN | st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(KNOWN, VALUES, max_size=3).map(dict) | VALUES, max_size=6), st.lists(KINDS, max_size=6))
def test_no_events_at_all_raise_anything(events: list[Any], kinds: list[str]) -> None:
    """Each is completed, or one of the troubles; tokens are counted at most once."""
    threads: list[str] = []
    tokens: list[int] = []
    turn = Turn(threads.append, tokens.append)
    for number, event in enumerate(events):
        kind = {"type": kinds[number]} if number < len(kinds) else {}
        turn.hear(json.dumps({**event, **kind} if isinstance(event, dict) else event))
    assert len(tokens) <= 1
    assert all(count >= 0 for count in tokens)
    assert turn.completed or isinstance(turn.trouble("exited 1", "", None), CodexWait | CodexTrouble)
