"""An account's usage limit, as all workers of a machine know it."""

import json
import logging
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yt_fsm.tools import codex_limits
from yt_fsm.tools.codex_home import CodexHome


def test_a_limit_is_known_until_it_is_over_or_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert codex_limits.limited(tmp_path, "a") is None
    codex_limits.note(tmp_path, "a", 1060.0, "used up")
    assert codex_limits.limited(tmp_path, "a") == (1060.0, "used up")
    assert codex_limits.limited(tmp_path, "b") is None
    monkeypatch.setattr(time, "time", lambda: 1060.0)
    assert codex_limits.limited(tmp_path, "a") is None
    codex_limits.note(tmp_path, "a", 2000.0, "again")
    codex_limits.clear(tmp_path, "a")
    codex_limits.clear(tmp_path, "a")
    assert codex_limits.limited(tmp_path, "a") is None
    assert not list((tmp_path / "codex-limits").iterdir())


@pytest.mark.parametrize("later", [-1e6, codex_limits.LONGEST_PROBE_SECS])
def test_a_limit_without_a_time_is_worth_a_try_after_half_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    codex_limits.note(tmp_path, "a", None, "no money")
    assert codex_limits.limited(tmp_path, "a") == (None, "no money")
    monkeypatch.setattr(time, "time", lambda: 1e9 + later)
    assert codex_limits.limited(tmp_path, "a") is None


ODD = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.none())
NOTES = st.fixed_dictionaries({}, optional=dict.fromkeys(("until", "why", "noted"), ODD))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | NOTES.map(lambda note: json.dumps(note).encode()))
def test_a_note_that_cannot_be_read_is_no_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    caplog.clear()
    file = tmp_path / "codex-limits" / "a.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        found = codex_limits.limited(tmp_path, "a")
    try:
        sound = isinstance(json.loads(data).get("why"), str)
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        assert found is None
        assert f"{file} cannot be read" in caplog.text


def test_an_account_is_known_by_its_login_and_a_renewed_one_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def account(name: str, login: object = None, config: str = "") -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if login is not None:
            (folder / "auth.json").write_text(json.dumps(login))
        (folder / "config.toml").write_text(config)
        return CodexHome(folder, tmp_path / "run").account()

    mine = account("a", {"tokens": {"account_id": "me", "access_token": "1"}})
    assert account("b", {"tokens": {"account_id": "me", "access_token": "2"}}) == mine
    assert account("b", {"tokens": {"account_id": "you"}}) != mine
    assert account("k", {"OPENAI_API_KEY": "secret-key"}) == account("l", {"OPENAI_API_KEY": "secret-key"})
    assert account("m") != account("n"), "without a login, each folder is an account"
    config = 'model_provider = "lab"\n[model_providers.lab]\nbase_url = "http://x"\nenv_key = "LAB_KEY"\n'
    monkeypatch.setenv("LAB_KEY", "one")
    keyed = account("m", config=config)
    assert account("n", config=config) == keyed
    monkeypatch.setenv("LAB_KEY", "two")
    assert account("n", config=config) != keyed
    assert account("o", ["odd"]) != account("p", "odd"), "what is no login has an account all the same"
