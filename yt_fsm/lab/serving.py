"""Serving a lab: in the foreground until a signal, or around one command."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.lab.client import ask
from yt_fsm.lab.errors import LabError

if TYPE_CHECKING:
    from yt_fsm.lab.control import Control


Fault = dict[str, Any]  # `target`, `kind` and the rest, as Running.fault takes them


async def serve(
    folder: Path,
    ready: Callable[[dict[str, Any]], None],
    guarded: bool = False,
    faults: Sequence[Fault] = (),
    **choices: str | None,
) -> None:
    """Serve the lab in `folder` until SIGTERM or SIGINT, or when `guarded` until standard input ends.

    `ready` gets what `ytfsm lab serve` prints, once the lab answers; `faults` are set before that. Raises LabError.
    """
    from yt_fsm.lab.control import Control
    from yt_fsm.lab.lab import Lab

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if guarded:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    lab = Lab(folder, model=choices.get("model"), script=choices.get("script"), system=choices.get("system"))
    control = Control(lab)
    try:
        await lab.start()
        for fault in faults:
            _set(control, fault)
        await lab.hub.settle()
        await control.start()
        ready(lab.ready())
        await stop.wait()
    finally:
        await control.stop()
        await lab.stop()


def _set(control: "Control", fault: Fault) -> None:
    try:
        control.misbehaviour.set(str(fault.get("target")), {k: v for k, v in fault.items() if k != "target"})
    except ValueError as problem:
        raise LabError(str(problem)) from None


class Running:
    """A lab that another process serves: its environment, and what can be asked of it."""

    def __init__(self, line: dict[str, Any], process: "subprocess.Popen[str]") -> None:
        from yt_fsm.lab.variables import environment

        self.line = line
        self.pid: int = line["pid"]
        self.variables: dict[str, str] = line["env"]
        self.env = environment(self.variables)
        self.socket = self.variables["YTFSM_LAB"]
        self.model: str = line["hub"]["model"]
        self.process = process

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """One request to the lab's control socket."""
        return ask(self.socket, method, target, body)

    def state(self) -> dict[str, Any]:
        """All that the lab knows, as `ytfsm lab state --json` prints it."""
        return dict(self.ask("GET", "/state"))

    def seed(self, **asked: Any) -> int:
        """Open an issue; its number. Keywords as in Lab.seed."""
        return int(self.ask("POST", "/seed", asked)["number"])

    def script(self, script: Any, model: str | None = None) -> None:
        """What codex's model does from now on (for `model` only): a name, or turns of steps."""
        self.ask("POST", "/script", {"script": script, "model": model})

    def fault(self, target: str, kind: str, **detail: Any) -> None:
        """Make a part misbehave: github, hub, codex, tt-smi, evaluation or disk. Raises LabError, in words.

        `operation`, `count` (None: for ever), `after`, `probability` and `seed` choose when; `machine` names another
        machine than the lab's own. The kinds and their details: yt_fsm.lab.misbehaviour.KINDS.
        """
        self.ask("POST", f"/faults/{target}", {"kind": kind, **detail})

    def clear(self, target: str | None = None, kind: str | None = None) -> None:
        """Behave again: all of it, one part, or one kind of its faults (of a full disk only all)."""
        self.ask("DELETE", _faults_of(target, kind))

    def clock(self, ahead: float) -> str:
        """Set GitHub's clock so many seconds ahead of the host's (less than 0: behind); its time then."""
        return str(self.ask("POST", "/clock", {"offset": ahead})["now"])

    def gate(self, model: str, *tokens: str) -> None:
        """Let only these tokens read the model."""
        self.ask("POST", "/gate", {"model": model, "tokens": list(tokens)})

    def machine(self, name: str, *, login: str | None = None, system: str | None = None) -> dict[str, str]:
        """The environment of another machine, with a board and a YTFSM_HOME of its own.

        Its worker is called `name`, and is the GitHub account `login` (default: the one all share).
        """
        variables = dict(self.ask("POST", "/machine", {"name": name, "system": system}))
        if login:
            variables["GH_TOKEN"] = self.ask("POST", "/login", {"name": login})["token"]
        return self.env | variables

    def act(self, deed: str, **detail: Any) -> Any:
        """Do what a person does on GitHub: a deed of yt_fsm.lab.github.person with what it needs."""
        return self.ask("POST", "/act", {"do": deed, **detail})

    def run(self, *argv: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command in the lab; its output is captured as text, its exit code not checked."""
        settings: dict[str, Any] = {
            "capture_output": True,
            "text": True,
            "env": self.env,
            "timeout": 120,
        } | options
        return subprocess.run(argv, **settings)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the server by a signal; its exit code."""
        self.process.send_signal(number)
        self.process.wait(20)
        _close(self.process)
        return self.process.returncode


def start(folder: Path, *, quiet: bool = True, faults: Sequence[Fault] = (), **choices: str | None) -> Running:
    """Start serving the lab in `folder` in a process of its own, with `faults` set. Raises LabError with its words."""
    argv = [sys.executable, "-m", "yt_fsm.lab.cli", "serve", "--guarded", "--dir", str(folder)]
    for name, value in choices.items():
        if value is not None:
            argv += [f"--{name}", value]
    for fault in faults:
        argv += ["--fault", json.dumps(fault)]
    # A session of its own: a Ctrl-C at the terminal is the command's affair first, then ours.
    # Its standard input is a pipe that nobody writes to: it ends when we die, and so does the server.
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors if quiet else None,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            return Running(json.loads(line), process)
        process.wait()
        _close(process)
        errors.seek(0)
        said = errors.read().strip().removeprefix("ytfsm: ")
    raise LabError(said or f"the lab in {folder} did not start (see above)")


def _faults_of(target: str | None, kind: str | None) -> str:
    return f"/faults/{target}?kind={kind}" if kind else f"/faults/{target}" if target else "/faults"


def _close(process: "subprocess.Popen[str]") -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


@contextlib.contextmanager
def running_lab(folder: Path, **choices: Any) -> Iterator[Running]:
    """A lab in `folder` for the time of a `with`: `env`, `state()`, `seed()`, `fault()`, `script()`, `run()`.

    `choices`: model (tiny), script (bringup), system (n300), faults (none), quiet (True: its progress is not shown).
    """
    lab = start(folder, **choices)
    try:
        yield lab
    finally:
        if lab.process.poll() is None:
            lab.stop()


def run(folder: Path, command: list[str], **choices: Any) -> int:
    """Run `command` inside the lab in `folder`; its exit code (128 + n when signal n ended it)."""
    with running_lab(folder, quiet=False, **choices) as lab:
        try:
            child = subprocess.Popen(command, env=lab.env)
        except OSError as problem:
            raise LabError(f"cannot run {command[0]}: {os.strerror(problem.errno or 0)}") from None
        # The terminal's Ctrl-C reaches the child by itself, a TERM is passed on; the child decides.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(number))
        code = child.wait()
    return code if code >= 0 else 128 - code
