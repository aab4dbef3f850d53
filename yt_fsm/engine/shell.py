"""Other programs: the only module that starts processes.

Every command gets its own process group, a timeout, a log file of its whole output and an entry in the journal.
Its environment marks it and everything that it starts (processes.py), so that what outlives it can be found.
"""

import contextlib
import logging
import os
import shlex
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import AnswerTooLarge, CommandFailed, SetupError
from .outside import shown
from .processes import MARK, MARKER, Mark, end_survivors, stop_group
from .steady import steady
from .stop import StopFlag

if TYPE_CHECKING:
    import subprocess  # imported where a process is started: commands that only read never start one

    from .redaction import Redactor
    from .sandbox import Sandbox

log = logging.getLogger("ytfsm")

TAIL_LINES = 60
_TAIL_CHARS = 1 << 16
KEEP_BYTES = 16 << 20  # of stdout, in memory
LONGEST_LINE = 16 << 20  # bytes; a longer one is no event, no answer and no message
_LOG_BYTES = 256 << 20  # of one log file: endless output must not fill the disk
_TAIL_LINE_CHARS = 4000  # of one line, where the last lines are kept for an error's text
LINGER_SECS = 5.0  # that a program may stay after its work is done
_PIPE_BYTES = 1 << 20  # the most that a pipe may still hold when its writer has ended

Recorder = Callable[[dict[str, object]], None]


@dataclass
class Result:
    """How a command ended: `code` is None when it was killed by us, and `why` then says what for.

    `out` is stdout as it was sent, but for its last newline; `cut` says that more came than KEEP_BYTES, and that `out`
    is its beginning only.
    """

    argv: list[str]
    code: int | None
    out: str
    tail: str
    seconds: float
    log: Path | None
    why: str = ""
    limit: str = ""  # the sandbox's limit that it met, in words
    cut: bool = False

    @property
    def ok(self) -> bool:
        """It exited 0 and was not killed."""
        return self.code == 0 and not self.why

    def failed(self) -> CommandFailed:
        """The error that describes it."""
        return CommandFailed(self.argv, self.code, self.tail, self.log, self.why, self.limit)

    def too_large(self) -> AnswerTooLarge:
        """The error of one that had to be read whole and was `cut`."""
        return AnswerTooLarge(self.argv, KEEP_BYTES >> 20, self.log)


class Shell:
    """Runs commands for one run (or, without `logs`, for none)."""

    dry = False

    def __init__(
        self,
        marker: str | Mark,
        redact: "Redactor",
        logs: Path | None = None,
        record: Recorder | None = None,
        stop: StopFlag | None = None,
    ) -> None:
        self.marker = str(marker)
        self.mark = marker if isinstance(marker, Mark) else None  # of no run: what it starts is never looked for
        self.redact = redact
        self.logs = logs
        self.stop = StopFlag() if stop is None else stop  # an unset flag is false
        self._record = record

    def logged(self, marker: Mark, logs: Path, record: Recorder, redact: "Redactor", stop: StopFlag) -> "Shell":
        """The same shell for a run: marked, logged and journalled."""
        return type(self)(marker, redact, logs, record, stop)

    def as_role(self, mark: Mark) -> "Shell":
        """The same shell, whose programs carry another mark."""
        return type(self)(mark, self.redact, self.logs, self._record, self.stop)

    def quiet(self, marker: str | Mark, stop: StopFlag) -> "Shell":
        """The same shell without logs or journal, for a thread that must write neither."""
        return type(self)(marker, self.redact, None, None, stop)

    def run(
        self,
        argv: list[str],
        *,
        timeout: float,
        name: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        stall: float | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
        stoppable: bool = True,
        finished: Callable[[], bool] | None = None,
        pretend: str = "",
        sandbox: "Sandbox | None" = None,
    ) -> Result:
        """Run `argv` to its end and return how it went.

        `env` is the whole environment (default: this process's), made steady. `timeout` bounds the whole, `stall` the
        silence between two outputs, both in seconds. `on_line` sees each line of stdout as it comes, whole; one longer
        than LONGEST_LINE is left out, and the log says so. `finished` says that the program's work is done, which then
        is ended when it does not end within LINGER_SECS. `pretend` is what a dry run takes for stdout. `sandbox` holds
        a program that nobody reviewed; when this returns, all that it started has ended. Raises CommandFailed when
        `check` and the command did not exit 0, AnswerTooLarge when `check` and stdout was cut; SetupError when the
        program or its sandbox cannot be had; what the stop flag carries when it is set and the command is `stoppable`.
        """
        import subprocess
        import tempfile

        if stoppable:
            self.stop.obey()
        started = time.monotonic()
        path = self._log_path(name or Path(argv[0]).name)
        log.info("$ %s%s", self.redact(shlex.join(argv)), f"  # {name}" if "graphql" in argv else "")
        whole = steady(os.environ if env is None else env)
        whole.pop(MARK, None)
        whole |= self.mark.variables if self.mark else {MARKER: self.marker}
        if sandbox and not shutil.which(argv[0], path=whole.get("PATH")):
            raise SetupError(f"`{argv[0]}` cannot be started: there is no such program")
        with (
            tempfile.TemporaryFile() as stdin,
            sandbox.around(argv, cwd or Path("/")) if sandbox else contextlib.nullcontext() as cell,
        ):
            stdin.write((input or "").encode(errors="replace"))
            stdin.seek(0)
            try:
                process = subprocess.Popen(
                    cell.argv if cell else argv,
                    cwd=cwd,
                    env=whole,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                    pass_fds=cell.fds if cell else (),
                )
            except OSError as problem:
                raise SetupError(f"`{argv[0]}` cannot be started: {problem.strerror} ({problem.filename})") from None
            except ValueError as problem:  # a NUL, or what no file system can spell
                raise SetupError(f"`{shown(argv[0])}` cannot be started: an argument has an {problem}") from None
            pump = _Pump(process, path, self.redact, on_line)
            try:
                why = pump.drain(timeout, stall, self.stop if stoppable else None, finished)
            except BaseException:
                stop_group(process)
                raise
            finally:
                pump.close()
                if path:
                    self.redact.refresh()  # codex may have renewed its login meanwhile
                    self.redact.file(path)
            code = None if why else process.returncode
            if cell:
                code = cell.end(code)
        limit = cell.words if cell else ""
        result = Result(argv, code, pump.text(), pump.tail(), time.monotonic() - started, path, why, limit, pump.cut)
        self._note(result, cwd, path)
        if cell and not cell.made:
            raise SetupError(f"the sandbox of `{argv[0]}` cannot be made (YT_ISOLATION): {result.tail.strip()}")
        if limit:
            log.warning("`%s` met a limit: %s", argv[0], limit)
        if stoppable and why == "was stopped":
            self.stop.obey()
        if check and not result.ok:
            raise result.failed()
        if check and result.cut:
            raise result.too_large()
        return result

    def end_survivors(self) -> list[int]:
        """Kill what this shell's run left running; returns the pids. Nothing is, in a dry run or without a run."""
        return end_survivors(self.mark) if self.mark and not self.dry else []

    def _note(self, result: Result, cwd: Path | None, path: Path | None) -> None:
        if self._record:
            self._record(
                {
                    "argv": result.argv,
                    "cwd": str(cwd) if cwd else None,
                    "code": result.code,
                    "why": result.why or None,
                    **({"limit": result.limit} if result.limit else {}),
                    "seconds": round(result.seconds, 3),
                    "log": path.name if path else None,
                    "sha256": _digest(path) if path else None,
                }
            )

    def _log_path(self, name: str) -> Path | None:
        if self.logs is None:
            return None
        self.logs.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(p.name.split("-")[0]) for p in self.logs.glob("[0-9]*-*.log")), default=0)
        return self.logs / f"{number:03d}-{name}.log"


def _digest(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Lines:
    """Puts the lines of a stream together again; of one that is too long only its length is kept."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self.length = 0  # of the line that has begun

    def add(self, data: bytes) -> Iterator[bytes | int]:
        """The lines that `data` ends, each whole or as the number of its bytes."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._grow(end)
            yield self.end()
        self._grow(rest)

    def _grow(self, part: bytes) -> None:
        self.length += len(part)
        if self.length <= LONGEST_LINE:
            self._begun += part
        else:
            self._begun.clear()

    def end(self) -> bytes | int:
        """The line that has begun, ended here."""
        line = bytes(self._begun) if self.length <= LONGEST_LINE else self.length
        self._begun.clear()
        self.length = 0
        return line


class _Pump:
    """Moves a process's output into its log, line by line, without ever letting it block.

    What it holds is bounded, whatever comes: KEEP_BYTES of stdout, a line of each stream, and the last lines.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        path: Path | None,
        redact: "Redactor",
        on_line: Callable[[str], None] | None,
    ) -> None:
        self.process = process
        self.cut = False  # more of stdout came than is kept
        self._redact = redact
        self._on_line = on_line
        self._log: IO[str] | None = path.open("w", errors="backslashreplace") if path else None
        self._logged = 0
        self._out = bytearray()
        self._last: deque[str] = deque(maxlen=TAIL_LINES)
        self._lines = {"out": _Lines(), "err": _Lines()}

    def drain(
        self,
        timeout: float,
        stall: float | None,
        stop: StopFlag | None,
        finished: Callable[[], bool] | None = None,
    ) -> str:
        """Read until the process has ended; "" when it did so by itself, else why we killed it."""
        assert self.process.stdout
        assert self.process.stderr
        deadline = time.monotonic() + timeout
        heard = time.monotonic()
        ended: float | None = None
        done: float | None = None
        left = 0  # bytes that came after its end
        import selectors
        import subprocess

        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ, "out")
            selector.register(self.process.stderr, selectors.EVENT_READ, "err")
            while True:
                if not selector.get_map():  # it closed its output; it need not end because of that
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.process.wait(0.1)
                ready = selector.select(0.1) if selector.get_map() else []
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    heard = time.monotonic()
                    left += len(data) if ended else 0
                    if data:
                        self._take(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                if self.process.poll() is not None:
                    # A child that it left behind may hold the pipe open for ever, or go on talking.
                    ended = ended or now
                    if not selector.get_map() or (now - ended > 1.0 and (not ready or left > 2 * _PIPE_BYTES)):
                        return ""
                    continue
                if finished and finished():
                    done = done or now
                why = self._overdue(now, deadline, timeout, heard, stall, stop)
                if done and now - done > LINGER_SECS:
                    why = f"was ended {LINGER_SECS:.0f} s after its work was done"
                if why:
                    stop_group(self.process)
                    return why

    def _overdue(
        self,
        now: float,
        deadline: float,
        timeout: float,
        heard: float,
        stall: float | None,
        stop: StopFlag | None,
    ) -> str:
        if stop:
            return "was stopped"
        if now > deadline:
            return f"was killed after its {timeout:.0f} s were over"
        if stall and now - heard > stall:
            return f"was killed after {stall:.0f} s without a word"
        return ""

    def _take(self, stream: str, data: bytes) -> None:
        if stream == "out":
            room = KEEP_BYTES - len(self._out)
            self._out += data[:room]
            self.cut = self.cut or len(data) > room
        for line in self._lines[stream].add(data):
            self._line(stream, line)

    def _line(self, stream: str, raw: bytes | int) -> None:
        if isinstance(raw, int):
            line = f"[a line of {raw:,} bytes is left out: at most {LONGEST_LINE:,} are taken]"
            log.warning("`%s`: %s", self.process.args[0], line)  # type: ignore[index]
        else:
            line = raw.decode(errors="backslashreplace")
        self._last.append(line[:_TAIL_LINE_CHARS])
        if self._log and self._logged < _LOG_BYTES:
            clean = self._redact(line)
            self._logged += len(clean) + 1
            full = self._logged >= _LOG_BYTES
            self._log.write(clean + "\n" + ("[this log is full: the rest is left out]\n" if full else ""))
        if stream == "out" and self._on_line and not isinstance(raw, int):
            self._on_line(line)

    def text(self) -> str:
        """Stdout without its last newline, at most its first KEEP_BYTES."""
        return self._out.removesuffix(b"\n").decode(errors="backslashreplace")

    def tail(self) -> str:
        """The last lines of both streams, redacted."""
        return self._redact("\n".join(self._last)[-_TAIL_CHARS:])

    def close(self) -> None:
        """Write down what is left."""
        for stream, lines in self._lines.items():
            if lines.length:
                self._line(stream, lines.end())
        if self._log:
            self._log.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
