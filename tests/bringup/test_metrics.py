"""Metrics: believed only when they are whole, sane and of the evaluation that was asked for (§10.1)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.bringup import metrics as m
from yt_fsm.bringup.errors import BringupError
from yt_fsm.bringup.metrics import BadMetrics, agree, matches, parse, summary, validated

GOOD: dict[str, Any] = {
    "top1": 0.9688,
    "top5": 1.0,
    "tokens": 32,
    "mode": "tt",
    "trace": True,
    "timing": {"total_s": 1.5},
}


def line(text: Any) -> str:
    return m.PREFIX + (text if isinstance(text, str) else json.dumps(text))


def test_bad_metrics_are_the_models_fault() -> None:
    assert issubclass(BadMetrics, BringupError)


def test_the_metrics_line_is_found_in_a_noisy_output() -> None:
    out = f"loading…\r 10%\r 100%\nWARNING: x\n{line(GOOD)}\n"
    assert parse(out) == GOOD


def test_the_last_line_counts() -> None:
    assert parse("\n".join([line({**GOOD, "top1": 1.0}), "noise", line(GOOD)])) == GOOD


def test_a_bad_last_line_is_not_made_up_for_by_a_good_first() -> None:
    with pytest.raises(BadMetrics, match="not JSON"):
        parse(f"{line(GOOD)}\n{line('{')}\n")


@pytest.mark.parametrize("out", ["", "done\n", f"  {line(GOOD)}", json.dumps(GOOD), "YT_METRICS {}", f"x{line(GOOD)}"])
def test_an_output_without_the_line_is_said_to_have_none(out: str) -> None:
    with pytest.raises(BadMetrics, match="printed no `YT_METRICS=` line"):
        parse(out)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{'top1': 1}", "not JSON"),
        ("[1]", "not an object"),
        ("0.95", "not an object"),
        ("null", "not an object"),
        ("[" * 60_000, "nested deeper"),
        ("[" * 65_537, "the metrics are 65,537 characters long"),
        (json.dumps(GOOD).replace('"top1"', '"top1": 1, "top1"'), "it says 'top1' twice"),
        (json.dumps(GOOD).replace("0.9688", "9" * 5000), "a number of 5,000 digits"),
        (json.dumps(GOOD).replace("0.9688", "NaN"), "it contains NaN"),
        (json.dumps(GOOD).replace("0.9688", "Infinity"), "it contains Infinity"),
        (json.dumps(GOOD).replace("0.9688", "-Infinity"), "it contains -Infinity"),
        (json.dumps(GOOD).replace("0.9688", "1e999"), "it contains 1e999"),
        (json.dumps(GOOD).replace("1.5", "1e999"), "it contains 1e999"),
        (json.dumps(GOOD).replace("1.5", "NaN"), "it contains NaN"),
    ],
)
def test_a_line_that_is_no_sound_json_object_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadMetrics) as caught:
        parse(line(text))
    assert words in str(caught.value)


@pytest.mark.parametrize("key", m.REQUIRED)
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(BadMetrics, match=f"the metrics lack {key}$"):
        parse(line({k: v for k, v in GOOD.items() if k != key}))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("top1", 95.0, "top1 is 95.0, not between 0 and 1"),
        ("top1", -0.01, "top1 is -0.01, not between 0 and 1"),
        ("top5", 1.0000001, "top5 is 1.0000001, not between 0 and 1"),
        ("top1", True, "top1 is True, not a number"),
        ("top5", "0.97", "top5 is '0.97', not a number"),
        ("top1", None, "top1 is None, not a number"),
        ("top1", [1.0], r"top1 is \[1.0\], not a number"),
        ("top1", 10**99, "not between 0 and 1"),
        ("tokens", 0, "tokens is 0, not a positive whole number"),
        ("tokens", 32.0, "tokens is 32.0, not a positive whole number"),
        ("tokens", True, "tokens is True, not a positive whole number"),
        ("tokens", "32", "tokens is '32', not a positive whole number"),
        ("mode", "TT", "mode is 'TT', not hf or tt"),
        ("mode", None, "mode is None, not hf or tt"),
        ("trace", 1, "trace is 1, not true or false"),
        ("trace", "true", "trace is 'true', not true or false"),
        ("timing", {}, "timing holds no measurement"),
        ("timing", 1.5, "timing holds no measurement"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_value_out_of_its_range_is_named(key: str, value: Any, words: str) -> None:
    with pytest.raises(BadMetrics, match=words):
        parse(line({**GOOD, key: value}))


@pytest.mark.parametrize(("top1", "top5"), [(0, 0), (1, 1), (0.0, 1.0)])
def test_whole_numbers_at_the_ends_are_fractions_too(top1: float, top5: float) -> None:
    assert parse(line({**GOOD, "top1": top1, "top5": top5}))["top1"] == top1


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(change=st.dictionaries(st.sampled_from([*m.REQUIRED, "kl", "extra"]), ANY, max_size=4))
def test_whatever_is_printed_is_sound_metrics_or_refused(change: dict[str, Any]) -> None:
    """What passes can be journalled and compared with a threshold."""
    try:
        found = parse(line({**GOOD, **change}))
    except BadMetrics:
        return
    json.dumps(found, allow_nan=False)
    assert 0 <= found["top1"] <= 1
    assert 0 <= found["top5"] <= 1
    assert isinstance(found["trace"], bool)
    assert summary(found)


@given(st.text(max_size=60))
def test_no_text_behind_the_prefix_escapes_as_another_error(text: str) -> None:
    with pytest.raises(BadMetrics):
        parse(m.PREFIX + text.replace(m.PREFIX, ""))


# --- of what was asked for


def test_metrics_of_another_evaluation_are_refused_with_the_difference() -> None:
    matches(GOOD, mode="tt", trace=True, tokens=32)
    for asked in ({"mode": "hf"}, {"trace": False}, {"tokens": 24}, {"model": "org/name"}):
        ((key, value),) = asked.items()
        with pytest.raises(BadMetrics, match=f"of {key} = .* and {value!r} was asked for"):
            matches(GOOD, **asked)


# --- the private file


@pytest.fixture
def private(tmp_path: Path) -> Path:
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps({"nonce": "n1", "metrics": GOOD}))
    return file


def test_the_printed_line_and_the_private_file_agree(private: Path) -> None:
    agree(dict(GOOD), private, "n1")


def test_another_attempts_private_file_does_not_count(private: Path) -> None:
    with pytest.raises(BadMetrics, match="another attempt's nonce"):
        agree(GOOD, private, "n2")


def test_a_printed_line_that_flatters_is_found(private: Path) -> None:
    with pytest.raises(BadMetrics, match="contradict the private ones"):
        agree({**GOOD, "top1": 1.0}, private, "n1")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe", b'{"metrics": NaN}', b"null"])
def test_a_private_file_that_is_missing_or_rubbish_is_refused(private: Path, content: bytes | None) -> None:
    private.unlink()
    if content is not None:
        private.write_bytes(content)
    with pytest.raises(BadMetrics):
        agree(GOOD, private, "n1")


def test_a_folder_in_the_private_files_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMetrics, match="left no private metrics"):
        agree(GOOD, tmp_path, "n1")


# --- in words


def test_a_summary_says_the_kl_when_there_is_one() -> None:
    assert summary(GOOD) == "top1 0.969 top5 1.000 (32 tokens)"
    assert summary({**GOOD, "kl": 0.0014}) == "top1 0.969 top5 1.000 (32 tokens) KL 0.0014"


@pytest.mark.parametrize(("suspect", "end"), [(["KL is high"], "; suspect: KL is high"), ([], ""), ("x", "")])
def test_a_summary_says_what_is_suspect(suspect: object, end: str) -> None:
    assert summary({**GOOD, "suspect": suspect}) == summary(GOOD) + end


def test_check_hands_back_what_it_was_given() -> None:
    assert validated(GOOD) is GOOD
