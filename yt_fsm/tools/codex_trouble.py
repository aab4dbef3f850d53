"""What codex says when it is its account or its service that is not there: a wait, and nobody's failure (faults W1).

No event of codex carries a time that a program can read, so its texts are read: those of 0.130, 0.147 and 0.169.
"""

import re
from datetime import datetime, timedelta

from yt_fsm.engine.errors import Wait

MARGIN_SECS = 5.0  # after the reset: its clock and ours are not one

_LIMIT = re.compile(
    r"hit your usage limit|usage limit has been reached|usage_limit_reached|quota exceeded|insufficient_quota"
    r"|\b429 too many requests|rate limit (?:reached|exceeded)|rate_limit",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"at capacity|server_is_overloaded|experiencing high demand|stream disconnected|error sending request"
    r"|(?:status:?|error:?) (?:500|502|503|504|520|522|524|529)\b|connection (?:refused|reset)|timed? ?out",
    re.IGNORECASE,
)
_LOGGED_OUT = re.compile(r"\b401 unauthorized|not logged in|refresh token|please log ?in", re.IGNORECASE)
_AGAIN = re.compile(
    r"try again at (?:(?P<month>[a-z]{3})[a-z]* (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4})(?:,? at)? )?"
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d) ?(?P<half>[ap]m)\b",
    re.IGNORECASE,
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def trouble(said: str, now: datetime) -> Wait | None:
    """The wait that codex's words ask for, None where they are of another kind; `now` is local, as their times are."""
    words = said.strip()[-500:]
    if _LIMIT.search(said):
        return Wait(f"codex's limit is used up: {words}", reset_of(said, now))
    if _LOGGED_OUT.search(said):
        return Wait(f"codex is logged out (`codex login` on this machine; CODEX_HOME says where): {words}")
    if _AWAY.search(said):
        return Wait(f"codex's service is away: {words}")
    return None


def reset_of(said: str, now: datetime) -> float | None:
    """When a limit ends, in seconds since the epoch: the next such time of day, or the day that is named with it."""
    found = _AGAIN.search(said)
    if not found:
        return None
    hour = int(found["hour"]) % 12 + (12 if found["half"].lower() == "pm" else 0)
    try:
        at = now.replace(hour=hour, minute=int(found["minute"]), second=0, microsecond=0)
        if found["month"]:
            month = _MONTHS.index(found["month"].lower()) + 1
            at = at.replace(year=int(found["year"]), month=month, day=int(found["day"]))
        elif at <= now - timedelta(minutes=1):
            at += timedelta(days=1)
        return at.timestamp() + MARGIN_SECS
    except (ValueError, OverflowError, OSError):
        return None
