"""Redaction: no secret survives in a journal, a log or what replay tells."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.bringup import MACHINE
from yt_fsm.engine.journal import Journal, read
from yt_fsm.engine.redaction import BLACK, Redactor
from yt_fsm.engine.replay import replay
from yt_fsm.engine.shell import Shell

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
    journal.append("effect.intent", effect="push", key="branch", error=said)
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
        *(f"gh{kind}_" + "a1B2" * 9 for kind in "psour"),
        "github_pat_11ABCDEFG0" + "x" * 60,
        "hf_" + "abcdEFGH" * 4,
        "AKIA" + "ABCD1234" * 2,
        "xoxb-123456789012-abcdefghij",
        "AIza" + "a1B2c" * 7,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijklmnop",
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


SECRET_TOKEN = "q7RkZ2vT9xLmB4nYc8WsJ1hUd6FgE3aPo5Xi"


@pytest.mark.parametrize("joint", ["", "\n", '" + "', "\\\n"])
def test_a_secret_is_blacked_out_however_it_is_written(joint: str) -> None:
    redact = Redactor([SECRET_TOKEN])
    for text in (
        SECRET_TOKEN,
        base64.b64encode(f"x{SECRET_TOKEN}y".encode()).decode(),
        SECRET_TOKEN.encode().hex(),
        "".join(f"%{ord(c):02X}" for c in SECRET_TOKEN),
        SECRET_TOKEN[::-1],
    ):
        said = joint.join(text[at : at + 13] for at in range(0, len(text), 13))
        clean = redact(f"before {said} after")
        assert clean.startswith("before ")
        assert clean.endswith(" after")
        assert BLACK in clean
        assert redact.leaks(clean.encode()) == []


@given(parts=st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=40)
def test_what_holds_no_secret_stays_as_it_is(parts: list[str]) -> None:
    redact = Redactor([SECRET_TOKEN, "hunter2!"])
    assert [redact(part) for part in parts] == parts


def test_a_log_whose_lines_hold_a_secret_together_is_blacked_out_when_it_is_whole(tmp_path: Path) -> None:
    shell = Shell("r", Redactor([SECRET_TOKEN]), tmp_path / "logs")
    rows = [SECRET_TOKEN[at : at + 8] for at in range(0, len(SECRET_TOKEN), 8)]
    result = shell.run([sys.executable, "-c", f"print(*{rows}, 'then the rest', sep='\\n')"], timeout=20)
    assert result.log
    assert result.log.read_text() == f"{BLACK}\nthen the rest\n"
    assert result.tail == f"{BLACK}\nthen the rest"


def test_a_secret_that_is_a_word_of_the_machine_changes_no_record(tmp_path: Path) -> None:
    """`X_PASSWORD=review` must not rename a state."""
    path = tmp_path / "run" / "journal.jsonl"
    header = {
        "run_id": "r",
        "machine": "bringup",
        "machine_table": {**MACHINE.table(), "initial": "checking"},
        "system": "n300",
    }
    words = Redactor(["review", "in review", "bringup", "accept"])
    journal = Journal.create(path, words, **header, issue={"number": 1})
    journal.append("transition", event="accept", source="checking", dest="review", status="in review")
    journal.append("effect.intent", effect="status", key="in review")
    journal.append("effect.done", effect="status", key="in review", result={"status": "in review"})
    journal.append("fact", name="branch", value="bringup/issue-12-org-name")
    journal.append("verdict", state="review", event="accept", error="Lost", text="the review was lost")
    scores = {**SCORES, "status": "review"}
    journal.append("attempt", n=1, passed=True, failing=None, metrics={"hf": scores}, tokens=0, seconds=1.0, error=None)
    journal.close()
    header, moved, intent, done, fact, verdict, attempt = read(path).records
    assert header["machine"] == "bringup"
    assert (moved["event"], moved["dest"], moved["status"]) == ("accept", "review", "in review")
    assert intent["key"] == done["key"] == done["result"]["status"] == "in review"
    assert fact["value"] == "bringup/issue-12-org-name"
    assert verdict["text"] == f"the {BLACK} was lost"
    assert attempt["metrics"]["hf"]["status"] == BLACK  # others named that


def test_the_terminal_shows_no_secret_in_words_or_tracebacks() -> None:
    code = (
        "import logging, sys\n"
        "from yt_fsm.engine.redaction import Redactor, guard_terminal\n"
        "logging.basicConfig(stream=sys.stderr)\n"
        f"guard_terminal(Redactor([{SECRET_TOKEN!r}]))\n"
        f"print({SECRET_TOKEN!r})\n"
        f"logging.getLogger('ytfsm').warning('it is %s', {SECRET_TOKEN!r})\n"
        f"raise ValueError({SECRET_TOKEN!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{BLACK}\n"
    assert f"it is {BLACK}" in done.stderr
    assert f"ValueError: {BLACK}" in done.stderr
    assert SECRET_TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "unit",
    [
        "\\",
        "%",
        "&#x0",
        "u{0",
        "\"' ",
        "' b",
        "eyJ",
        "eyJa.",
        "-----BEGIN PRIVATE KEY-----",
        "\\ ",
        "ghp_",
        "sk-",
        "0x",
        SECRET_TOKEN[:9],
    ],
)
def test_no_text_takes_more_than_its_length(unit: str) -> None:
    """A quadratic pattern would not come back from these."""
    text = unit * (300_000 // len(unit))
    redact = Redactor([SECRET_TOKEN])
    assert redact.leaks(text.encode()) == []
    assert BLACK in redact(text + "\n" + SECRET_TOKEN)
