"""Redaction: no secret survives in a journal, a log or what replay tells."""

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.bringup import MACHINE
from yt_fsm.journal import Journal, read
from yt_fsm.redaction import BLACK, Redactor, secrets_in
from yt_fsm.replay import replay
from yt_fsm.shell import Shell

# What tokens and passwords are made of; none of it can be a part of the mark that replaces them.
SECRET = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=$^.*?({|\\ é✓", min_size=6, max_size=40).filter(
    lambda text: len(text.strip()) >= 6
)
TEXT = st.text(max_size=40)


@given(secrets=st.lists(SECRET, min_size=1, max_size=4), parts=st.lists(TEXT, min_size=2, max_size=6))
def test_no_known_secret_survives(secrets: list[str], parts: list[str]) -> None:
    text = parts[0] + "".join(secrets[n % len(secrets)] + part for n, part in enumerate(parts[1:]))
    clean = Redactor(secrets)(text)
    assert all(secret not in clean for secret in secrets)
    assert BLACK in clean


@given(secrets=st.lists(SECRET, max_size=3), text=TEXT)
def test_redacting_twice_changes_nothing_more(secrets: list[str], text: str) -> None:
    redact = Redactor(secrets)
    assert redact(redact(text)) == redact(text)


SCORES = {"top1": 1.0, "top5": 1.0, "tokens": 32}


@given(
    # A journal has digits of its own: a secret of nothing but them would be found in its times.
    secret=SECRET.filter(lambda text: re.search(r"[G-Zéñ({|+?]", text) is not None),
    before=TEXT,
    after=TEXT,
)
@settings(max_examples=30)
def test_no_secret_survives_in_a_journal_or_in_what_replay_tells(
    tmp_path_factory: pytest.TempPathFactory, secret: str, before: str, after: str
) -> None:
    said = f"{before}{secret}{after}"
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    header = {"run_id": "r", "machine": "bringup", "machine_table": MACHINE.table(), "system": "n300"}
    header["issue"] = {"number": 1, "title": said}
    journal = Journal.create(path, Redactor([secret]), **header)
    journal.append("command", argv=["curl", said], cwd=said, why={said: [said]})
    journal.append("fact", name="model", value=said)
    journal.append(
        "attempt",
        n=1,
        passed=False,
        failing=said,
        metrics={"hf": {**SCORES, "note": said}},
        tokens=0,
        seconds=1.0,
        error=said,
    )
    journal.append("effect.intent", effect="push", key=said)
    journal.close()
    path.with_name("ballast").unlink()
    assert read(path).verdict == "ok"
    told = replay(read(path))
    assert _nowhere(secret, [json.loads(line) for line in path.read_text().splitlines()])
    assert _nowhere(secret, told)
    assert secret.encode() not in path.read_bytes()


def _nowhere(secret: str, value: object) -> bool:
    if isinstance(value, dict):
        return all(_nowhere(secret, key) and _nowhere(secret, item) for key, item in value.items())
    if isinstance(value, list):
        return all(_nowhere(secret, item) for item in value)
    return not (isinstance(value, str) and secret in value)


def test_no_secret_survives_in_a_log_a_tail_or_an_entry(tmp_path: Path) -> None:
    secret = "hunter2-hunter2"
    noted: list[dict[str, object]] = []
    shell = Shell("r", Redactor([secret]), tmp_path / "logs", noted.append)
    code = f"import sys; print('out {secret} x'); print('err {secret}', file=sys.stderr); sys.exit(3)"
    result = shell.run([sys.executable, "-c", code], timeout=20, check=False)
    assert result.log
    assert secret not in result.log.read_text()
    assert result.log.read_text().count(BLACK) == 2
    assert secret not in result.tail


def test_a_secret_of_several_lines_is_found_line_by_line(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n"
    shell = Shell("r", Redactor([key]), tmp_path / "logs")
    result = shell.run([sys.executable, "-c", f"print({key!r})"], timeout=20)
    assert result.log
    for line in ("abcdefghijkl", "mnopqrstuvwx"):
        assert line not in result.log.read_text()
        assert line not in result.tail


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "a1B2" * 9,
        "gho_" + "a1B2" * 9,
        "ghs_" + "a1B2" * 9,
        "ghu_" + "a1B2" * 9,
        "ghr_" + "a1B2" * 9,
        "github_pat_11ABCDEFG0" + "x" * 60,
        "hf_" + "abcdEFGH" * 4,
        "sk-" + "proj-" + "abcdEFGH" * 4,
    ],
)
def test_anything_shaped_like_a_token_is_blacked_out_whoever_put_it_there(token: str) -> None:
    assert Redactor()(f"Authorization: bearer {token}, thanks") == f"Authorization: bearer {BLACK}, thanks"
    assert token not in Redactor()(f"https://x:{token}@github.com/o/r.git")


@pytest.mark.parametrize("word", ["gh", "hf_model_id", "sk-learn", "ghp_short", "hf_hub", "github_pat_", "task-force"])
def test_ordinary_words_stay(word: str) -> None:
    assert Redactor()(f"see {word}, please") == f"see {word}, please"


def test_a_value_too_short_to_be_secret_stays() -> None:
    assert Redactor(["yes", "1"])("yes, 1 of them") == "yes, 1 of them"


def test_the_longer_of_two_secrets_goes_whole() -> None:
    assert Redactor(["abcdef", "abcdefghi"])("abcdefghi") == BLACK


def test_secrets_are_the_variables_that_say_so() -> None:
    environment = {
        "HF_TOKEN": "a-token",
        "GH_TOKEN": "b-token",
        "MY_SECRET": "c",
        "DB_PASSWORD": "d",
        "OPENAI_API_KEY": "e",
        "APIKEY": "f",
        "AWS_CREDENTIALS": "g",
        "AZURE_PAT": "h",
        "hf_token": "lower",
        "EMPTY_TOKEN": "",
        "PATH": "/usr/bin",
        "PATTERN": "x",
        "HOME": "/root",
        "KEYBOARD": "us",
    }
    assert sorted(secrets_in(environment)) == ["a-token", "b-token", "c", "d", "e", "f", "g", "h", "lower"]


@pytest.mark.parametrize("name", ["YT_MAX_TOKENS", "TOKENIZERS_PARALLELISM"])
def test_a_number_of_tokens_is_no_secret(name: str) -> None:
    assert secrets_in({name: "1000000"}) == []
