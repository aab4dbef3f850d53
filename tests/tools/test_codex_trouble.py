"""codex's words for a limit, an overload and a logout, in every wording that its versions have (faults W1)."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.tools.codex_trouble import MARGIN_SECS, reset_of, trouble

NOW = datetime(2026, 11, 25, 23, 30, 20)  # noqa: DTZ001 - codex's times are local, and name no zone


def at(*given: int) -> float:
    return datetime(*given).timestamp() + MARGIN_SECS  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ("You've hit your usage limit. Upgrade to Pro or try again at 5:36 AM.", at(2026, 11, 26, 5, 36)),
        ("You’ve hit your usage limit. To get more, or try again at 11:45 PM.", at(2026, 11, 25, 23, 45)),
        ("You've hit your usage limit. Try again at 11:30 PM.", at(2026, 11, 25, 23, 30)),
        ("You've hit your usage limit. Try again at 12:05 AM.", at(2026, 11, 26, 0, 5)),
        ("You’ve hit your usage limit. … or try again at Nov 28th, 2026 4:40 AM.", at(2026, 11, 28, 4, 40)),
        ("You've hit your usage limit. Try again at Jan 1st, 2027 12:00 PM.", at(2027, 1, 1, 12, 0)),
        ("You've hit your usage limit. Try again later.", None),
        ("You've hit your usage limit. Try again at Feb 31st, 2027 4:40 AM.", None),
        ("You've hit your usage limit. Try again at 5:99 AM.", None),
        ("stream disconnected before completion: The usage limit has been reached", None),
        ("exceeded retry limit, last status: 429 Too Many Requests", None),
        ("Quota exceeded. Check your plan and billing details.", None),
    ],
)
def test_a_limit_is_a_wait_until_the_time_that_is_named(said: str, until: float | None) -> None:
    found = trouble(said, NOW)
    assert found is not None
    assert found.until == until
    assert "codex's limit is used up" in str(found)
    assert said in str(found)


@pytest.mark.parametrize(
    "said",
    [
        "Selected model is at capacity. Please try a different model.",
        "unexpected status 503 Service Unavailable: Service Unavailable, url: https://x/v1/responses",
        "unexpected status 529 <unknown status code>: overloaded",
        "We’re currently experiencing high demand, which may cause temporary errors.",
        "stream disconnected before completion: error sending request for url (https://x/v1/responses)",
    ],
)
def test_a_service_that_is_away_is_a_wait_and_so_is_a_logout(said: str) -> None:
    found = trouble(said, NOW)
    assert found is not None
    assert found.until is None
    assert "codex's service is away" in str(found)
    out = trouble("unexpected status 401 Unauthorized: Missing bearer, url: https://x/v1/responses", NOW)
    assert out is not None
    assert "codex is logged out (`codex login`" in str(out)


@pytest.mark.parametrize(
    "said", ["", "it said nothing", "no rollout found for thread", "unknown flag --json", "exit 1"]
)
def test_what_is_no_such_trouble_is_no_wait(said: str) -> None:
    assert trouble(said, NOW) is None


@given(st.text(), st.datetimes(min_value=datetime(1971, 1, 2), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_no_words_are_too_odd_to_read(said: str, now: datetime) -> None:
    trouble(said, now)
    until = reset_of(f"try again at {said} 5:36 AM", now)
    assert until is None or until > now.timestamp() - 60
    again = reset_of("or try again at 5:36 AM.", now)
    assert again is not None
    assert -60 <= again - now.timestamp() <= 86_400 * 1.1
