"""What comes from outside: what is read of it, what is refused in words, and what is shown of it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.engine.outside import DEEPEST, Malformed, at, discard, harmless, maybe, parse, plain, read, shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    max_leaves=12,
)  # fmt: skip


# --- JSON


@given(JSON, st.booleans())
def test_what_is_json_is_read_as_json(data: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(data, ensure_ascii=ascii_only)) == data


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not JSON"),
        ("{", "it is not JSON"),
        ("\ufeff{}", "it is not JSON"),
        ('{"a": 1} x', "it is not JSON"),
        ("NaN", "it contains NaN"),
        ("[-Infinity]", "it contains -Infinity"),
        ("1e999", "it contains 1e999"),
        ("[" + "9" * 5000 + "]", "it contains a number of 5,000 digits"),
        ("-" + "9" * 300, "it contains a number of 301 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "it says 'a' twice"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 100_000 + "]" * 100_000, "nested deeper"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested deeper"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested deeper"),
        ('"' + "x" * 100 + '"', "it is 102 characters long, and at most 50 are read"),
    ],
)
def test_what_is_no_sound_json_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        parse(text, 50 if "x" * 100 in text else 1 << 20)


def test_what_is_as_deep_as_allowed_is_read() -> None:
    assert parse("[" * DEEPEST + "[]" * 1 + "]" * DEEPEST)
    assert len(parse(json.dumps([{}] * 1000))) == 1000


@pytest.mark.parametrize("text", [r'"a\ud800b"', r'{"\udfff": ["\uDC00"]}', '"a\ud800b"', r'"\ud83d\ude00\ud83d"'])
def test_half_a_letter_is_replaced(text: str) -> None:
    json.dumps(parse(text), ensure_ascii=False).encode()


def test_whole_letters_of_two_halves_stay() -> None:
    assert parse(r'"\ud83d\ude00"') == "\U0001f600"


# --- its parts


DATA = {"a": {"b": [{"c": 1, "t": True, "n": None, "s": "x"}]}}


def test_a_part_is_found_by_its_path_and_kind() -> None:
    assert at(int, DATA, "a", "b", 0, "c") == 1
    assert at(bool, DATA, "a", "b", 0, "t") is True
    assert at(dict, DATA) == DATA
    assert maybe(str, DATA, "a", "b", 0, "n") is None
    assert maybe(str, DATA, "a", "b", 0, "n", "deeper") is None
    assert maybe(str, DATA, "nothing", "here") is None


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        (int, ("a", "b", 0, "n"), "`a.b.0.n` is missing"),
        (int, ("a", "x"), "`a.x` is missing"),
        (int, ("a", "b", 0, "t"), "`a.b.0.t` is True, not a whole number"),
        (str, ("a", "b", 0, "c"), "`a.b.0.c` is 1, not text"),
        (list, ("a",), "not a list"),
        (str, ("a", "b", "c"), "`a.b.c` cannot be found in"),
        (str, ("a", "b", 7), "`a.b.7` cannot be found in"),
        (str, ("a", "b", 0, "s", "d"), "`a.b.0.s.d` cannot be found in 'x'"),
        (str, ("a", 0), "`a.0` cannot be found in"),
    ],
)
def test_a_part_that_is_not_there_or_of_another_kind_is_named(kind: type, path: tuple[Any, ...], words: str) -> None:
    with pytest.raises(Malformed) as caught:
        at(kind, DATA, *path)
    assert words in str(caught.value)


# --- files


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("zeile ä")
    assert read(file, 8) == "zeile ä"
    with pytest.raises(Malformed, match="longer than 7 bytes"):
        read(file, 7)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    folder, pipe, link, text = (tmp_path / name for name in ("folder", "pipe", "link", "text"))
    folder.mkdir()
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    text.write_bytes(b"ab\xff")
    for path, words in ((folder, "not a file"), (pipe, "not a file"), (link, "a link"), (text, r"UTF-8 \(byte 3\)")):
        with pytest.raises(Malformed, match=words):
            read(path, 100)
    with pytest.raises(Malformed, match="not a file"):
        read(link, 100, follow=True)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing", 100)


def test_a_link_to_a_file_is_read_where_the_operator_made_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    assert read(tmp_path / "link", 10, follow=True) == "x"


def test_what_stands_in_a_files_place_does_not_stop_us(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("folder", "file", "nothing"):
        discard(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# --- what is shown


@given(st.text(st.characters()))
def test_nothing_that_is_shown_controls_a_terminal(text: str) -> None:
    for told in (plain(text), shown(text), shown(text, 10)):
        told.encode()
        assert not any(
            ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in told.replace("\n", "").replace("\t", "")
        )
        assert not set(told) & set("\u202e\u2066\u2028\u200f")
    assert "\n" not in shown(text)


def test_controls_are_spelled_out_and_text_stays() -> None:
    assert plain("a\tb\n\x1b[31mred\x1b[0m ä ✓ \r\x9b") == "a\tb\n\\x1b[31mred\\x1b[0m ä ✓ \\r\\x9b"
    assert shown("one\ntwo\tthree") == "one\\ntwo\\tthree"


def test_long_texts_are_cut_in_the_middle() -> None:
    told = shown("a" * 1000 + "b" * 1000, 90)
    assert told == "a" * 60 + " … 1,910 characters … " + "b" * 30


def test_every_text_of_a_record_is_made_harmless() -> None:
    assert harmless({"a": ["\x1b]0;x\x07", 1, None, {"b": "\x1b"}]}) == {
        "a": ["\\x1b]0;x\\x07", 1, None, {"b": "\\x1b"}]
    }
