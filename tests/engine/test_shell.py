"""The shell: real processes that hang, fall silent, flood, fork and hide, and what is left of them afterwards."""

import hashlib
import os
import signal
import stat
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.engine import processes
from yt_fsm.engine import shell as module
from yt_fsm.engine.errors import AnswerTooLarge, CommandFailed, Lost, SetupError, StopRequested
from yt_fsm.engine.processes import MARK, MARKER, Mark, end_survivors, survivors
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.shell import TAIL_LINES, Shell, StopFlag
from yt_fsm.engine.steady import steady


@pytest.fixture(autouse=True)
def nothing_survives_a_test(shell: Shell) -> Iterator[None]:
    yield
    end_survivors(shell.mark)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECS", 0.5)


def python(text: str) -> list[str]:
    return [sys.executable, "-S", "-u", "-c", textwrap.dedent(text)]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


# --- ordinary ends


def test_a_command_that_works_says_so_in_log_and_journal(shell: Shell, tmp_path: Path) -> None:
    result = shell.run(["sh", "-c", "echo one; echo two >&2; echo three"], timeout=20, cwd=tmp_path, name="count")
    assert result.ok
    assert (result.code, result.out, result.why) == (0, "one\nthree", "")
    assert sorted(result.tail.splitlines()) == ["one", "three", "two"]
    assert result.log == tmp_path / "logs" / "001-count.log"
    assert result.log
    assert sorted(result.log.read_text().splitlines()) == ["one", "three", "two"]
    (entry,) = shell.noted  # type: ignore[attr-defined]
    assert entry == {
        "argv": ["sh", "-c", "echo one; echo two >&2; echo three"],
        "cwd": str(tmp_path),
        "code": 0,
        "why": None,
        "seconds": round(result.seconds, 3),
        "log": "001-count.log",
        "sha256": hashlib.sha256(result.log.read_bytes()).hexdigest(),
    }


def test_a_command_that_fails_raises_with_its_last_words(shell: Shell) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell.run(["sh", "-c", "echo trying; echo no such thing >&2; exit 7"], timeout=20)
    assert caught.value.code == 7
    assert "exited 7 (log: 001-sh.log)" in str(caught.value)
    assert "no such thing" in str(caught.value)


def test_a_failure_that_is_expected_is_a_result(shell: Shell) -> None:
    result = shell.run(["false"], timeout=20, check=False)
    assert not result.ok
    assert result.code == 1
    assert "`false` exited 1" in str(result.failed())


def test_a_command_killed_by_somebody_else_says_by_what(shell: Shell) -> None:
    result = shell.run(["sh", "-c", "kill -9 $$"], timeout=20, check=False)
    assert (result.code, result.why) == (-9, "")
    assert "was killed by signal 9" in str(result.failed())


def test_standard_input_is_given_and_is_otherwise_empty(shell: Shell) -> None:
    text = "zeile ä\n" * 200_000
    assert shell.run(["wc", "-c"], timeout=20, input=text).out.strip() == str(len(text.encode()))
    assert shell.run(["wc", "-c"], timeout=20).out.strip() == "0"


def test_the_environment_is_what_is_given_and_the_marker(shell: Shell) -> None:
    out = shell.run(["/usr/bin/env"], timeout=20, env={"ONLY": "this"}).out
    found = dict(line.split("=", 1) for line in out.splitlines())
    assert found == {**steady({"ONLY": "this"}), MARKER: shell.marker, MARK: shell.mark.hash}


def test_bytes_that_are_no_text_are_escaped(shell: Shell) -> None:
    result = shell.run(["printf", r"a\377\000b\n"], timeout=20)
    assert result.out == "a\\xff\0b"
    assert result.log
    assert result.log.read_text() == "a\\xff\0b\n"


def test_a_last_line_without_its_newline_counts(shell: Shell) -> None:
    heard: list[str] = []
    result = shell.run(["printf", "first\nlast"], timeout=20, on_line=heard.append)
    assert result.out == "first\nlast"
    assert heard == ["first", "last"]


def test_lines_are_heard_as_they_come(shell: Shell) -> None:
    heard: list[float] = []
    shell.run(["sh", "-c", "echo a; sleep 0.4; echo b"], timeout=20, on_line=lambda _: heard.append(time.monotonic()))
    assert heard[1] - heard[0] > 0.3


def test_an_error_in_the_listener_ends_the_command(shell: Shell) -> None:
    pids: list[int] = []

    def listen(line: str) -> None:
        pids.append(int(line))
        raise ValueError("I will not hear that")

    with pytest.raises(ValueError, match="not hear"):
        shell.run(["sh", "-c", "echo $$; sleep 60"], timeout=20, on_line=listen)
    assert gone(pids[0])


def test_the_tail_is_the_last_lines_only(shell: Shell) -> None:
    result = shell.run(["seq", "1", "500"], timeout=20)
    assert result.tail.splitlines() == [str(n) for n in range(501 - TAIL_LINES, 501)]
    assert len(result.out.splitlines()) == 500


def test_logs_are_numbered_and_never_overwritten(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "999-last.log").write_text("before\n")
    names = [shell.run(["true"], timeout=20, name="gh-user").log for _ in range(3)]
    assert [n and n.name for n in names] == ["1000-gh-user.log", "1001-gh-user.log", "1002-gh-user.log"]


def test_a_quiet_shell_leaves_no_log_and_no_record(shell: Shell, tmp_path: Path) -> None:
    result = shell.quiet("other", StopFlag()).run(["echo", "x"], timeout=20)
    assert (result.out, result.log) == ("x", None)
    assert not (tmp_path / "logs").exists()
    assert shell.noted == []  # type: ignore[attr-defined]


# --- programs that cannot start


def test_a_missing_program_is_the_worlds_fault(shell: Shell) -> None:
    with pytest.raises(SetupError, match="`no-such-program` cannot be started: No such file"):
        shell.run(["no-such-program"], timeout=20)


def test_a_program_without_its_x_bit_cannot_be_started(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plain"
    file.write_text("#!/bin/sh\n")
    with pytest.raises(SetupError, match="cannot be started: Permission denied"):
        shell.run([str(file)], timeout=20)


def test_a_program_of_another_machine_cannot_be_started(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "alien"
    file.write_bytes(b"\x7fELF not for here")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SetupError, match="cannot be started: Exec format error"):
        shell.run([str(file)], timeout=20)


def test_a_folder_that_is_gone_is_named(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot be started: No such file or directory .*nowhere"):
        shell.run(["true"], timeout=20, cwd=tmp_path / "nowhere")


# --- time


def test_a_command_that_takes_too_long_is_killed(shell: Shell) -> None:
    started = time.monotonic()
    result = shell.run(["sleep", "60"], timeout=0.6, check=False)
    assert time.monotonic() - started < 4
    assert (result.code, result.why) == (None, "was killed after its 1 s were over")
    assert not result.ok


def test_a_command_that_ignores_term_is_killed_all_the_same(shell: Shell) -> None:
    heard: list[str] = []
    text = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid()); time.sleep(60)"
    result = shell.run(python(text), timeout=1.0, check=False, on_line=heard.append)
    assert result.why
    assert gone(int(heard[0]))


def test_a_command_gets_time_to_end_in_order(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "ended"
    script = f"trap 'echo bye > {file}; exit 0' TERM; while :; do sleep 0.05; done"
    shell.run(["sh", "-c", script], timeout=0.5, check=False)
    assert file.read_text() == "bye\n"


def test_a_silent_command_is_killed_after_its_stall(shell: Shell) -> None:
    result = shell.run(["sh", "-c", "echo working; sleep 60"], timeout=60, stall=0.6, check=False)
    assert result.why == "was killed after 1 s without a word"
    assert result.out == "working"


def test_a_command_that_keeps_talking_is_not_stalled(shell: Shell) -> None:
    assert shell.run(["sh", "-c", "for i in 1 2 3 4 5; do sleep 0.2; echo $i; done"], timeout=20, stall=0.7).ok


def test_closing_its_output_does_not_free_a_command_from_its_timeout(shell: Shell) -> None:
    result = shell.run(python("import os, time; os.close(1); os.close(2); time.sleep(60)"), timeout=0.8, check=False)
    assert result.why.startswith("was killed after its")
    assert result.seconds < 5


def test_a_command_that_closes_its_output_and_then_ends_is_waited_for(shell: Shell) -> None:
    text = "import os, time; os.close(1); os.close(2); time.sleep(0.4); os._exit(3)"
    assert shell.run(python(text), timeout=20, check=False).code == 3


# --- stops


def later(seconds: float, act: Callable[[], None]) -> None:
    threading.Timer(seconds, act).start()


def test_a_stop_ends_the_command_and_is_raised(shell: Shell) -> None:
    pids: list[str] = []
    later(0.4, lambda: shell.stop.set(StopRequested("stopped by SIGTERM", 0)))
    with pytest.raises(StopRequested) as caught:
        shell.run(["sh", "-c", "echo $$; sleep 60"], timeout=30, on_line=pids.append)
    assert caught.value.exit_code == 0
    assert gone(int(pids[0]))
    assert shell.noted[-1]["why"] == "was stopped"  # type: ignore[attr-defined]


def test_what_the_flag_carries_is_what_is_raised(shell: Shell) -> None:
    later(0.3, lambda: shell.stop.set(Lost("our claim comment was deleted")))
    with pytest.raises(Lost, match="deleted"):
        shell.run(["sleep", "60"], timeout=30)


def test_nothing_is_started_after_a_stop(shell: Shell, tmp_path: Path) -> None:
    shell.stop.set(StopRequested("stopped"))
    with pytest.raises(StopRequested):
        shell.run(["touch", str(tmp_path / "started")], timeout=20)
    assert not (tmp_path / "started").exists()
    assert shell.run(["echo", "all the same"], timeout=20, stoppable=False).ok


def test_the_first_who_asks_for_a_stop_is_heard() -> None:
    flag = StopFlag()
    assert not flag
    flag.set(Lost("first"))
    flag.set(StopRequested("second"))
    assert flag
    with pytest.raises(Lost, match="first"):
        flag.obey()
    flag.clear()
    flag.obey()
    flag.set(StopRequested("third"))
    with pytest.raises(StopRequested, match="third"):
        flag.wait(60)


# --- what a command leaves behind


def test_the_whole_group_is_killed(shell: Shell) -> None:
    pids: list[str] = []
    script = "sleep 60 & echo $!; sh -c 'echo $$; sleep 60' & wait"
    shell.run(["sh", "-c", script], timeout=0.7, check=False, on_line=pids.append)
    assert len(pids) == 2
    assert all(gone(int(pid)) for pid in pids)


def test_a_child_that_holds_the_pipe_does_not_hold_us(shell: Shell) -> None:
    started = time.monotonic()
    result = shell.run(["sh", "-c", "sleep 60 & echo $!"], timeout=30)
    assert time.monotonic() - started < 4
    assert result.ok
    pid = int(result.out)
    assert alive(pid)
    assert survivors(shell.mark) == [pid]
    assert end_survivors(shell.mark) == [pid]
    assert gone(pid)


def test_a_child_that_floods_the_pipe_after_its_parents_end_does_not_hold_us(shell: Shell) -> None:
    started = time.monotonic()
    assert shell.run(["sh", "-c", "yes & echo done"], timeout=30).code == 0
    assert time.monotonic() - started < 6


def test_what_leaves_the_session_is_found_by_its_marker(shell: Shell) -> None:
    result = shell.run(["sh", "-c", "setsid sh -c 'echo $$; exec sleep 60' & sleep 0.3"], timeout=1.0, check=False)
    pid = int(result.out)
    assert os.getsid(pid) != os.getsid(0)
    assert alive(pid), "killing the group does not reach it"
    assert pid in survivors(shell.mark)
    end_survivors(shell.mark)
    assert gone(pid)
    assert survivors(shell.mark) == []


def test_another_runs_processes_are_left_alone(shell: Shell) -> None:
    other = Shell(Mark(Path("/other"), str(shell.mark), 0.0), Redactor())
    pid = int(other.run(["sh", "-c", "setsid sh -c 'echo $$; exec sleep 60' & sleep 0.3"], timeout=2).out)
    end_survivors(shell.mark)
    assert alive(pid)
    assert end_survivors(other.mark) == [pid]


def test_a_command_is_out_of_reach_of_our_terminals_signals(shell: Shell) -> None:
    result = shell.run(["sh", "-c", "ps -o pgid= -p $$"], timeout=20)
    assert int(result.out) != os.getpgid(0)


# --- floods


def test_endless_output_is_bounded_in_memory_and_on_disk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", 10_000)
    monkeypatch.setattr(module, "_LOG_BYTES", 20_000)
    result = shell.run(["yes", "0123456789"], timeout=0.7, check=False)
    assert result.why
    assert result.log
    assert result.cut
    assert len(result.out) == 10_000
    assert 20_000 <= result.log.stat().st_size < 20_100
    assert result.log.read_text().endswith("[this log is full: the rest is left out]\n")


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 5_000_001, 16 << 20])
def test_an_answer_of_one_long_line_arrives_as_it_was_sent(shell: Shell, size: int) -> None:
    """Faults S4: it was cut in two past 1 MiB."""
    text = f"""
        import sys
        sys.stdout.buffer.write((bytes(range(32, 127)) * {size // 95 + 1})[:{size}])
    """
    heard: list[str] = []
    quiet = Shell(shell.marker, Redactor())
    result = quiet.run(python(text), timeout=60, on_line=heard.append)
    assert not result.cut
    assert result.out == (bytes(range(32, 127)) * (size // 95 + 1))[:size].decode()
    assert heard == [result.out]


@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_stdout_is_what_was_sent_but_for_its_last_newline(shell: Shell, ending: str) -> None:
    result = shell.run(["printf", "%s", f"a\r\n\n\tb\x0b\x1c{ending}"], timeout=20)
    assert result.out == f"a\r\n\n\tb\x0b\x1c{ending}".removesuffix("\n")


def test_more_than_is_kept_is_said_and_never_taken_for_the_whole(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", 10_000)
    just, over = ["head", "-c", "10000", "/dev/zero"], ["head", "-c", "10001", "/dev/zero"]
    assert not shell.run(just, timeout=20).cut
    assert len(shell.run(over, timeout=20, check=False).out) == 10_000
    with pytest.raises(AnswerTooLarge, match=r"`head -c 10001 /dev/zero` printed more than .* \(log: 003-head.log\)"):
        shell.run(over, timeout=20)


def test_a_line_that_is_too_long_is_left_out_whole(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its pieces would be taken for lines, and a secret across a cut would not be found."""
    monkeypatch.setattr(module, "LONGEST_LINE", 100_000)
    heard: list[str] = []
    text = "print('first'); print('x' * 100_000); print('y' * 100_001); print('last', end='')"
    result = shell.run(python(text), timeout=20, on_line=heard.append)
    assert heard == ["first", "x" * 100_000, "last"]
    said = "[a line of 100,001 bytes is left out: at most 100,000 are taken]"
    assert result.log
    assert result.log.read_text().splitlines() == ["first", "x" * 100_000, said, "last"]
    assert said in caplog.text
    assert len(result.out) == 200_001 + len("first\n\n\nlast")


def test_what_is_held_of_a_line_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 100_000)
    lines = module._Lines()
    for _ in range(1000):
        assert list(lines.add(b"x" * 65_536)) == []
        assert len(lines._begun) <= 100_000
    assert list(lines.add(b"\nnext\n")) == [65_536_000, b"next"]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_lines_do_not_depend_on_how_their_bytes_come(chunks: list[bytes], longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LONGEST_LINE", longest)
        lines = module._Lines()
        found = [line for chunk in chunks for line in lines.add(chunk)] + [lines.end()]
    whole = b"".join(chunks).split(b"\n")
    assert found == [line if len(line) <= longest else len(line) for line in whole]


def test_very_long_last_words_are_cut_for_the_errors_text(shell: Shell) -> None:
    result = shell.run(python("print('a' * 999_999); print('end')"), timeout=20)
    assert len(result.tail) < 5_000
    assert result.tail.endswith("a\nend")


@pytest.mark.parametrize("argv", [["echo", "a\0b"], ["ec\0ho"], ["echo", "\ud800"]])
def test_what_no_program_can_be_started_with_is_said(shell: Shell, argv: list[str]) -> None:
    with pytest.raises(SetupError, match="cannot be started"):
        shell.run(argv, timeout=20)


def test_input_that_utf8_cannot_say_is_replaced(shell: Shell) -> None:
    assert shell.run(["cat"], timeout=20, input="a\ud800b").out == "a?b"


def test_a_flood_on_the_other_stream_does_not_block(shell: Shell) -> None:
    text = "import sys; sys.stderr.write('x' * 999_999); print('out'); sys.stderr.write('y' * 999_999)"
    assert shell.run(python(text), timeout=20).out == "out"


def test_signals_are_as_programs_expect_them(shell: Shell) -> None:
    """Python ignores SIGPIPE for itself; a child must not inherit that."""
    out = shell.run(["sh", "-c", "kill -PIPE $$; echo survived"], timeout=20, check=False)
    assert (out.code, out.out) == (-signal.SIGPIPE, "")
