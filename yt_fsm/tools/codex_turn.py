"""A turn of codex as its events tell it (`codex exec --json`), and what its words about trouble mean.

`turn.completed` ends a turn, `turn.failed` is never success, and what comes after either changes nothing (faults W8).
codex says why it failed in English sentences only: those of 0.130 to 0.169 are read here (faults W1).
"""

import calendar
import re
import time
from collections.abc import Callable
from typing import Any

from yt_fsm.engine.outside import Malformed, maybe, parse, shown

from .errors import CodexAway, CodexLimited, CodexLoggedOut, CodexTrouble, CodexUnfinished, CodexWait

TIMEZONE = "UTC0"  # in which codex is started, so that the times that it prints are in it
MESSAGE_CHARS = 200_000  # of one answer of codex
MOST_TOKENS = 10**12  # of a thread: more is no count
LONG_PROBE_SECS = 600.0  # after a limit that does not pass by itself, or not soon
SLACK_SECS = 600.0  # codex prints whole minutes, and our clock is not the service's

_ERROR_CHARS = 500
_THREAD = re.compile(r"[A-Za-z0-9][\w-]{0,127}", re.ASCII)  # it stands on codex's command line again
_MONTHS = [name.lower() for name in calendar.month_abbr]  # the C locale's, as Python's own is never set
_CLOCK = r"(\d{1,2}):(\d{2}) ?([AP])\.?M"
_AGAIN_AT = re.compile(
    rf"try again at (?:([A-Z][a-z]{{2}})[a-z]* (\d{{1,2}})(?:st|nd|rd|th)?, (\d{{4}}) )?{_CLOCK}", re.I
)
_USED_UP = re.compile(r"usage limit|usage_limit_reached|out of credits|spend(ing)? (cap|limit)", re.I)
_NO_MONEY = re.compile(r"insufficient_quota|quota exceeded|exceeded your current quota|\b429\b|rate limit", re.I)
_LOGGED_OUT = re.compile(
    r"\b401\b|not logged in|log ?in again|sign ?in again|log out and sign|access token could not be refreshed"
    r"|refresh token|token_expired|invalid_api_key",
    re.I,
)
_AWAY = re.compile(
    r"at capacity|overloaded|high demand|stream disconnected|status:? 5\d\d|timed? ?out|timeout waiting"
    r"|error sending request|connection (refused|reset|closed|failed)|network error|dns error",
    re.I,
)


class Turn:
    """What one turn's events said so far.

    `began(thread)` is called when codex names a thread, `counted(tokens)` once, when the turn completes, with the
    tokens that its thread used since its start.
    """

    def __init__(self, began: Callable[[str], None], counted: Callable[[int], None]) -> None:
        self._began, self._counted = began, counted
        self.heard = False  # any event at all
        self.worked = False  # codex did or said something
        self.message = ""
        self.error = ""
        self.end = ""  # `completed` or `failed`, whichever came first

    @property
    def completed(self) -> bool:
        """codex finished it, whatever its process then did."""
        return self.end == "completed"

    def hear(self, line: str) -> None:
        """Learn from one line of codex's stdout; what is no event of a known shape says nothing."""
        try:
            event = parse(line)
        except Malformed:
            return
        if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
            return
        self.heard = True
        try:
            self._learn(kind, event)
        except Malformed:
            return

    def _learn(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "thread.started":
            thread = maybe(str, event, "thread_id") or ""
            if _THREAD.fullmatch(thread):
                self._began(thread)
        elif kind in ("item.started", "item.completed"):
            sort = maybe(str, event, "item", "type")
            if sort not in (None, "error"):
                self.worked, self.error = True, ""  # it got over what it said before
            if kind == "item.completed" and sort == "agent_message":
                self.message = (maybe(str, event, "item", "text") or "")[:MESSAGE_CHARS]
        elif self.end:
            return
        elif kind == "turn.completed":
            self.end = "completed"
            if maybe(dict, event, "usage") is not None:
                counts = [maybe(int, event, "usage", name) or 0 for name in ("input_tokens", "output_tokens")]
                self._counted(sum(min(max(count, 0), MOST_TOKENS) for count in counts))
        elif kind in ("error", "turn.failed"):
            self.end = "failed" if kind == "turn.failed" else ""
            where = ("message",) if kind == "error" else ("error", "message")
            self.error = (maybe(str, event, *where) or "")[:_ERROR_CHARS] or self.error

    def trouble(self, ended: str, tail: str, thread: str | None) -> CodexWait | CodexTrouble:
        """What kept the turn from completing: `ended` says how the process did, `tail` are its last words."""
        said = self.error or ("" if self.heard else tail.strip()[-_ERROR_CHARS:])
        why = shown(said, _ERROR_CHARS)
        if _USED_UP.search(said):
            return CodexLimited(f"codex's limit is used up: {why}", thread, until(said, time.time()))
        if _LOGGED_OUT.search(said):
            text = f"codex is logged out (`codex login` on this machine; CODEX_HOME says where): {why}"
            return CodexLoggedOut(text, thread)
        if _NO_MONEY.search(said):
            text = f"codex's limit is used up: {why} Where that does not pass, look at the account's plan and billing"
            return CodexLimited(text, thread, probe_secs=LONG_PROBE_SECS)
        if _AWAY.search(said) or (not self.worked and not said and ended.startswith("was killed after")):
            return CodexAway(f"codex's service is away: {why or f'it {ended}'}", thread)
        if self.end == "failed":
            return CodexTrouble(f"codex does not work: {why or 'it said nothing'}", thread)
        last = why or shown(tail.strip()[-_ERROR_CHARS:], _ERROR_CHARS) or "it said nothing"
        return CodexUnfinished(f"codex does not work: it {ended} without finishing its turn ({last})", thread)


def until(said: str, now: float) -> float | None:
    """The moment that codex names in `said`, in seconds since 1970, None where it names none.

    It prints a minute, and the date where that is not today. The moment is the minute's end, as the limit ends within
    it; it may just have passed.
    """
    found = _AGAIN_AT.search(said.replace("\u202f", " ").replace("\u00a0", " "))
    if not found:
        return None
    month, day, year, hours, minutes, half = found.groups()
    if not 1 <= int(hours) <= 12 or int(minutes) > 59:
        return None
    of_day = (int(hours) % 12 + (12 if half.upper() == "P" else 0)) * 3600 + int(minutes) * 60 + 60
    if month is None:
        moment = now - now % 86_400 + of_day
        return moment if moment > now - SLACK_SECS else moment + 86_400
    if month.lower() not in _MONTHS or int(year) < 1970:
        return None
    number = _MONTHS.index(month.lower())
    if not 1 <= int(day) <= calendar.monthrange(int(year), number)[1]:
        return None
    return float(calendar.timegm((int(year), number, int(day), 0, 0, 0)) + of_day)
