"""Bars are for terminals, and tell what is true."""

import io
import sys
import time
from pathlib import Path

import pytest

from yt_fsm.tools.progress import bytes_of, tokens_of


class Terminal(io.StringIO):
    """A screen that keeps what was drawn."""

    def isatty(self) -> bool:
        return True


def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in stderr's place; pytest's capture would take it back if a fixture put it there."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_the_tokens_of_an_evaluation_are_drawn_as_it_tells_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal, file = screen(monkeypatch), tmp_path / "progress"
    with tokens_of("evaluating tt1", file) as environment:
        assert environment == {"YT_PROGRESS_FILE": str(file)}
        for text in ("", "not a number", "16/32"):
            file.write_text(text)
            time.sleep(0.25)
        time.sleep(0.25)
    assert "evaluating tt1" in terminal.getvalue()
    assert "16/32 tokens" in terminal.getvalue()
    assert not file.exists()


def test_the_bytes_of_a_download_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    with bytes_of("downloading org/name") as show:
        show(1_000_000, 2_000_000)
        time.sleep(0.25)
    assert "downloading org/name" in terminal.getvalue()
    assert "1.0/2.0 MB" in terminal.getvalue()


def test_nothing_is_drawn_where_nobody_looks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with tokens_of("evaluating tt1", tmp_path / "progress") as environment, bytes_of("downloading") as show:
        show(1, 2)
    assert environment == {}
    assert capfd.readouterr() == ("", "")
