"""Input from outside is bounded and linear: the corpus, and texts that double."""

import ast
import itertools
import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

import yt_fsm
from yt_fsm.bringup import brief, metrics, report
from yt_fsm.bringup.prompt import clip
from yt_fsm.engine.outside import Malformed, parse, plain, shown
from yt_fsm.github import lease
from yt_fsm.github.client import Comment, split_response
from yt_fsm.tools.git import sanitize

from .corpus import KINDS, Fault, Place, attempt, command, surrounded

CASES = 200  # of each of the eleven kinds
SEED = "issue 9"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def silent() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_input_becomes_one_of_our_errors_or_is_taken(kind: str, place: Place, silent: None) -> None:
    taken = sum(attempt(kind, f"{SEED}/{number}", place) for number in range(CASES))
    assert taken, "none reached what it was made for"


def test_a_case_is_the_same_again(place: Place) -> None:
    def body(seed: str) -> str:
        from .corpus import BODIES
        from .junk import long_text

        return long_text(Random(seed), BODIES)

    assert [body(str(n)) for n in range(50)] == [body(str(n)) for n in range(50)]


def test_the_corpus_notices_a_traceback_a_raw_control_and_a_code_that_is_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yt_fsm.cli import main as cli

    with surrounded(place):
        assert command(["runs"]) == 0
        for told, code in (("Traceback (most recent call last)", 1), ("\x1b[31m", 1), ("", 1), ("x", 9)):

            def broken(*_: Any, told: str = told, code: int = code, **__: Any) -> None:
                print(told, file=__import__("sys").stderr, end="")
                raise SystemExit(code)

            monkeypatch.setattr(cli.show, "runs", broken)
            with pytest.raises(Fault):
                command(["runs"])


# --- linear: texts of 64 Ki characters, in a second of CPU where a quadratic reader takes minutes

UNITS = (
    " ", "\t", "\n", "\r", "#", "# ", "a", "_", "*", "`", "- ", ":", "a:", " :", "<!--", "-->", "<!--->", "```\n",
    "### batch\n", "ttl:", "ttl: ", "run_id: a ", "\\", '"', "[", "{", '{"a":', "0", "9", ".", "-", ".lock", "\x0b",
    "[yt-claim]\n", "HTTP/2.0 ", "journal: `1", "journal: `", "YT_METRICS=", "YT_METRICS={\n", "\x1b", "\ud800",
    "a: b\n", "- **a**: ", "\u2028",
)  # fmt: skip
SIZE = 65_536
HANG_SECS = 10.0  # of CPU for one reader, which takes half a second


class TooSlow(BaseException):
    """A reader that is not linear."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def ring(_: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def texts() -> Iterator[str]:
    for unit in UNITS:
        middle = unit * (SIZE // len(unit))
        yield middle
        yield f"# a{middle}x"
        yield f"ttl: 1{middle}!\n"
    for one, other in itertools.pairwise(UNITS):
        yield (one + other) * (SIZE // len(one + other))


def claims(body: str) -> object:
    said = (f"[yt-claim]\n{body}", f"[yt-status]\n{body}", body)
    return lease.claims([Comment("1", 1, text, "x", "OWNER", 0.0, 0.0) for text in said], 60.0)


def loosely(read: Callable[[str], object], *errors: type[Exception]) -> Callable[[str], object]:
    def call(text: str) -> object:
        try:
            return read(text)
        except errors:
            return None

    call.__name__ = read.__name__
    return call


READERS: list[Callable[[str], object]] = [
    brief.fields,
    claims,
    loosely(metrics.parse, metrics.BadMetrics),
    loosely(parse, Malformed),
    split_response,
    plain,
    shown,
    clip,
    report.fenced,
    lambda text: sanitize(text[:200]),  # no model id is longer
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_reading_takes_time_in_proportion_to_the_text(read: Callable[[str], object]) -> None:
    """Faults Q8: 24,000 spaces after a `#` took eight seconds."""
    with limited(HANG_SECS):
        for text in texts():
            read(text)


def patterns() -> list[str]:
    """Every pattern that the core's modules match, as it stands in their source."""
    found = set()
    for file in Path(yt_fsm.__file__).parent.glob("*/*.py"):
        if file.parent.name == "lab" or file.name == "redaction.py":  # its patterns are made of the operator's secrets
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                found.add(node.args[0].value)
    return sorted(found)


def test_the_patterns_are_found() -> None:
    assert len(patterns()) > 8


@pytest.mark.parametrize("pattern", patterns())
def test_no_pattern_tries_a_text_again_and_again(pattern: str) -> None:
    """Each is searched in what its own literals, and blanks, digits and letters, make when they are repeated."""
    literals = re.findall(r"[\w/.:`=<#-]+", re.sub(r"\\[a-zA-Z]|\\\W|[\[\](){}?+*^$|]", " ", pattern))
    units = {" ", "\t", "\n", "a", "0", "-", ".", ":", "#", "`", "_", "a ", "\ud800", *literals[:6]}
    compiled = re.compile(pattern, re.MULTILINE | re.DOTALL)
    start = literals[0] if literals else ""
    with limited(HANG_SECS):
        for unit in sorted(units):
            middle = unit * (SIZE // len(unit))
            for text in (middle, f"{start}{middle}", f"{start}{middle}!", f"{start} {middle} !"):
                compiled.search(text)


def test_a_name_that_comes_twice_is_found_in_one_look() -> None:
    keys = ",".join(f'"{number}":1' for number in range(100_000))
    with limited(HANG_SECS), pytest.raises(Malformed, match="says '99999' twice"):
        parse(f'{{{keys},"99999":1}}')


def test_the_guard_notices_a_quadratic_reader() -> None:
    with pytest.raises(TooSlow), limited(0.5):
        re.search(r"^\s*[-*]?\s*(\w+):", " " * SIZE)


def test_a_hang_is_noticed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from . import corpus

    monkeypatch.setattr(corpus, "HANG_SECS", 1)
    monkeypatch.setitem(corpus.KINDS, "body", lambda chance, place: time.sleep(20))
    with pytest.raises(corpus.Hang):
        attempt("body", SEED, place)
