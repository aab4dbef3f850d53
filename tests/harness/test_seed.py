"""A secret seed: windows that nobody can have learned by heart, asked for on stdin and reproduced by its number."""

import importlib
import io
import re
from types import ModuleType

import pytest

from yt_fsm.bringup import template

OPTIONS = ("--mode", "hf", "--hf-model", "any/model")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch):
    """Loads a module of the harness that needs neither torch nor numpy."""
    monkeypatch.syspath_prepend(str(template.SOURCE / "scripts"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"harness.{name}")

    return load


@pytest.fixture
def corpus(harness):
    return harness("corpus")


TEXT = (template.SOURCE / "corpus" / "corpus.txt").read_text()


def test_a_seed_gives_the_same_text_again_and_another_seed_another(corpus):
    assert corpus.spliced(TEXT, 7) == corpus.spliced(TEXT, 7)
    assert corpus.spliced(TEXT, 7) != corpus.spliced(TEXT, 8)


def test_its_text_is_longer_than_the_corpus_so_that_every_window_still_fits(corpus):
    for seed in range(5):
        assert len(corpus.spliced(TEXT, seed)) > 2 * len(TEXT)


def test_hardly_a_window_of_it_stands_in_the_corpus_or_comes_with_another_seed(corpus):
    def windows(text):
        words = text.split()
        return {tuple(words[at : at + 16]) for at in range(len(words) - 16)}

    plain, first, second = windows(TEXT), windows(corpus.spliced(TEXT, 1)), windows(corpus.spliced(TEXT, 2))
    assert len(first & plain) < len(first) / 4
    assert len(first & second) < len(first) / 4


def test_it_is_made_of_the_corpus_s_own_words(corpus):
    assert set(re.findall(r"\w+", corpus.spliced(TEXT, 3))) <= set(re.findall(r"\w+", TEXT))


def test_a_seed_is_read_from_stdin_so_that_no_command_line_shows_it(harness, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("9182736455463728190\n"))
    assert harness("options").parse([*OPTIONS, "--seed", "-"]).seed == 9182736455463728190
    assert harness("options").parse([*OPTIONS, "--seed", "12"]).seed == 12
    assert harness("options").parse([*OPTIONS]).seed == 0


@pytest.mark.parametrize("told", ["", "abc\n"])
def test_no_seed_on_stdin_is_a_usage_error(harness, monkeypatch, told):
    monkeypatch.setattr("sys.stdin", io.StringIO(told))
    with pytest.raises(SystemExit) as caught:
        harness("options").parse([*OPTIONS, "--seed", "-"])
    assert caught.value.code == 2
