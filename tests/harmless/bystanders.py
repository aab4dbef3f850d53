"""Every command over malformed journals, folders and environments, among bystanders: `bystanders.py DIR CASES SEED`.

To be run in PID and mount namespaces of its own: what it looks for is commands that kill and delete. Each case is one
command in one fork of this process; afterwards every bystander lives, every file that is no run's is as it was, the
exit code is one of cli.md's and there was no traceback. Says what was wrong, a line each, and exits 1 then.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from machines import MACHINES
from machines.bringup import MACHINE
from yt_fsm.bringup import preflight
from yt_fsm.cli.main import app, run_app
from yt_fsm.engine.journal import GENESIS, digest
from yt_fsm.engine.processes import MARK, MARKER, Mark
from yt_fsm.engine.workspace import prefix

RUN = "20261122T034107Z-n300-i12-7f3c"
CODES = {0, 1, 2, 3, 4, 5, 130}
PATIENCE = 40
SLOW = 5
AT = "2026-11-22T03:41:07.000000Z"
HEADER: dict[str, Any] = {
    "kind": "header", "run_id": RUN, "machine": "bringup", "machine_table": MACHINE.table(), "system": "n300",
    "worker": "bench", "versions": {}, "host": os.uname().nodename, "pid": 1, "started": 0.0, "boot": "",
    "issue": {"number": 12, "id": "I", "title": "t", "body": "hf_model_id: a/b", "url": "u", "labels": ["n300"],
              "item": "i", "status": "ready"},
}  # fmt: skip
END = {"kind": "end", "state": "released", "published": True}
LOSE = {"kind": "transition", "event": "lose", "source": "ready", "dest": "released", "status": None}
CLAIM = {"kind": "transition", "event": "claim", "source": "ready", "dest": "claimed", "status": "in progress"}


def journal(*records: dict[str, Any]) -> bytes:
    """Lines whose hashes are right, whatever they say; a field that is `...` is left out."""
    lines, prev = [], GENESIS
    for seq, record in enumerate(records):
        whole = {"v": 1, "seq": seq, "at": AT, "mono": 1.0, **record, "prev": prev}
        whole = {name: value for name, value in whole.items() if value is not ...}
        body = json.dumps(whole, separators=(",", ":")).encode()
        prev = digest(body)
        lines.append(body[:-1] + b',"hash":"' + prev.encode() + b'"}\n')
    return b"".join(lines)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def fact(name: Any, value: Any) -> dict[str, Any]:
    return {"kind": "fact", "name": name, "value": value}


# What is damage wherever it is read: `replay` exits 3.
DAMAGED: dict[str, bytes] = {
    **{f"run_id {v!r:.20}": journal({**HEADER, "run_id": v})
       for v in (None, "", 0, [], {}, True, "../x", "x" * 999, ...)},
    "another's run_id": journal({**HEADER, "run_id": RUN[:-1] + "d"}),
    **{f"table {v!r:.30}": journal({**HEADER, "machine_table": v})
       for v in (..., None, {}, [], {"initial": 1}, {"initial": "a", "states": ["a"], "final": [], "edges": [[1]]},
                 {"initial": "a", "states": [], "final": [], "edges": []})},
    **{f"without {name}": journal({**HEADER, name: ...})
       for name in ("machine", "system", "issue", "kind", "at", "mono")},
    **{f"issue {v!r:.20}": journal({**HEADER, "issue": v})
       for v in (None, [], "12", {"number": "12"}, {"number": True})},
    **{f"at {v!r:.20}": journal({**HEADER, "at": v})
       for v in (None, 5, "yesterday", "9999-99-99T99:99:99.000000Z")},
    **{f"mono {v!r:.20}": journal({**HEADER, "mono": v})
       for v in (None, "1", float("nan"), float("inf"), 10**4000, [])},
    "seq true": journal(HEADER, {**CLAIM, "seq": True}),
    "header twice": journal(HEADER, HEADER),
    "no header": journal(CLAIM),
    "no edge": journal(HEADER, {**CLAIM, "dest": "review"}),
    "unknown state": journal(HEADER, {**CLAIM, "dest": "nowhere"}),
    "states that are none": journal(HEADER, {**CLAIM, "source": {}, "dest": []}),
    "a move without event": journal(HEADER, {**CLAIM, "event": ...}),
    "a fact without name": journal(HEADER, {"kind": "fact"}),
    "a workspace that is a number": journal(HEADER, fact("workspace", 7)),
    "an attempt of nothing": journal(HEADER, {"kind": "attempt"}),
    "tokens in words": journal(HEADER, {"kind": "tokens", "tokens": "many", "thread": None}),
    "a claim without comment": journal(HEADER, {"kind": "effect.done", "effect": "claim", "key": "c", "result": {}}),
    "deep": journal(HEADER, fact("x", deep(300))),
    "deeper": b"[" * 200_000 + b"\n",
    "a kind that is a list": journal(HEADER, {"kind": []}),
    "NULs": b"\0" * 4096 + b"\n",
    "a line without end": b"x" * (17 << 20),
    "rubbish": b"rubbish\n",
}  # fmt: skip

# What is read, and gone on with or cleared away.
SOUND: dict[str, bytes] = {
    "begun": journal(HEADER),
    "claimed": journal(HEADER, CLAIM),
    "over": journal(HEADER, LOSE, END),
    "unknown kind": journal(HEADER, {"kind": "news", "x": "\ud800"}),
    "torn": journal(HEADER, CLAIM)[:-9],
    "no more than its header": journal({**HEADER, "worker": ..., "versions": ..., "host": ..., "issue": {"number": 1}}),
    **{f"workspace {v}": journal(HEADER, CLAIM, fact("workspace", v)) for v in ("/", "", "VICTIM", "\0", "..")},
    "a workspace of another": journal(HEADER, LOSE, fact("workspace", "VICTIM"), END),
}  # fmt: skip


class Case:
    """A machine's folders for one command."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.tmp, self.victim = folder, folder / "home", folder / "tmp", folder / "victim"
        self.run = self.home / "runs" / RUN
        for path in (self.run, self.tmp, self.victim / "closed", self.home / "runs" / "notes"):
            path.mkdir(parents=True)
        (self.victim / "closed").chmod(0o500)
        bystanding = [self.victim / name for name in ("whole", "ballast", "config.json")]
        for file in (
            *bystanding,
            self.home / "runs" / "notes" / "mine",
            self.home / "runs" / "todo",
            self.tmp / "mine",
        ):
            file.write_text("mine")
        old = time.time() - 999
        os.utime(self.home / "runs" / "notes", (old, old))
        mark = Mark(self.home, RUN, 0.0)
        for name in (f"ytfsm-{RUN}-x", f"{prefix(mark)}abcd1234"):
            (self.tmp / name).symlink_to(self.victim)
        strangers = self.tmp / f"{prefix(Mark(folder, RUN, 0.0))}abcd1234"  # another home's
        strangers.mkdir()
        (strangers / "theirs").write_text("theirs")

    def seen(self) -> dict[str, tuple[int, bytes]]:
        """Everything that is no run's: mode and content, by path."""
        found = {}
        roots = (self.victim, self.tmp, self.home / "runs" / "notes", self.home / "runs" / "todo")
        for root in roots:
            for path in (root, *root.rglob("*")):
                stat = path.lstat()
                content = b"" if path.is_dir() or path.is_symlink() else path.read_bytes()
                found[str(path)] = (stat.st_mode, content)
        return found


def as_folder(case: Case) -> None:
    (case.run / "journal.jsonl").mkdir()


def as_pipe(case: Case) -> None:
    os.mkfifo(case.run / "journal.jsonl")


def as_link(case: Case) -> None:
    (case.victim / "journal.jsonl").write_bytes(SOUND["claimed"])
    (case.run / "journal.jsonl").symlink_to(case.victim / "journal.jsonl")


def as_dangling(case: Case) -> None:
    (case.run / "journal.jsonl").symlink_to("nowhere")


def run_is_link(case: Case) -> None:
    case.run.rmdir()
    (case.victim / "journal.jsonl").write_bytes(SOUND["over"])
    case.run.symlink_to(case.victim)


PLACES: dict[str, Callable[[Case], None]] = {
    "a folder": as_folder, "a pipe": as_pipe, "a link": as_link, "a dangling link": as_dangling,
    "a linked run": run_is_link,
}  # fmt: skip

ENVIRONMENTS: dict[str, Callable[[Case], dict[str, str]]] = {
    "plain": lambda case: {},
    "relative home": lambda case: {"YTFSM_HOME": "home"},
    "linked home": lambda case: {"YTFSM_HOME": str(case.folder / "to-home")},
    "home is a file": lambda case: {"YTFSM_HOME": str(case.victim / "whole")},
    "linked tmp": lambda case: {"YT_TMP_ROOT": str(case.folder / "to-tmp")},
    "empty marker": lambda case: {MARKER: "", MARK: ""},
    "a run's marker": lambda case: {MARKER: RUN, MARK: Mark(case.home, RUN, 0.0).hash},
}


def commands() -> list[list[str]]:
    """Every command with what it must be given, and those that take a run in their several ways."""
    found: list[list[str]] = []

    def visit(command: Any, words: list[str]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                visit(inner, [*words, name])
            return
        argv = list(words)
        for parameter in command.params:
            if parameter.name in ("dir", "folder", "model", "reason", "issue") and parameter.opts[0].startswith("-"):
                value = {"dir": "FILE", "folder": "FILE", "model": "nope", "issue": "12"}.get(parameter.name, "x")
                argv += [parameter.opts[-1], value]
            elif parameter.param_type_name == "argument" and parameter.required:
                argv.append({"RUN": RUN, "DIR": "FILE"}.get(str(parameter.metavar), "x"))
            elif parameter.required:
                argv += [parameter.opts[-1], "x"]
        found.append(argv)

    visit(typer.main.get_command(app), [])
    found = [argv for argv in found if argv[:2] != ["lab", "prepare"]]  # installs an environment, and is long about it
    once = [["run", "--once", "--system", "n300"], ["run", "--once", "--system", "n300", "--json"]]
    more = [["replay", RUN, "--json"], ["replay", RUN, "--until", "0"], ["graph", "--run", RUN], ["runs", "--all"],
            ["runs", "--json"], ["doctor", "--clean", "--system", "n300"]]  # fmt: skip
    endless = [argv for argv in found if argv[0] != "run"]
    return [*endless, *once, *more, *more, ["resume", RUN], ["abandon", RUN, "--reason", "x"]]


def child(argv: list[str], case: Case, environment: dict[str, str]) -> None:
    """In the fork: be the command; never returns."""
    os.chdir(case.folder)
    (case.folder / "to-home").symlink_to("home")
    (case.folder / "to-tmp").symlink_to("tmp")
    file = os.open(case.folder / "said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, file), (2, file)):
        os.dup2(source, target)
    for name in [name for name in os.environ if name.startswith(("YT", "HF_", "GH_", "CODEX", "XDG_"))]:
        del os.environ[name]
    os.environ.update({"HOME": str(case.folder), "PATH": f"{case.folder.parent / 'bin'}:/usr/bin:/bin"})
    os.environ.update({"YTFSM_HOME": str(case.home), "YT_TMP_ROOT": str(case.tmp), "YT_SETTLE_SECS": "0"})
    os.environ.update({"YT_WORKER_NAME": "bench", "YT_PROJECT_NUMBER": "1", **environment})
    if argv[0] == "run":
        preflight.run = lambda *_: []  # on to what a start recovers and clears away
    sys.argv = ["ytfsm", *argv]
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    code = 99
    try:
        run_app(MACHINES)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 98
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ends(pid: int) -> int | None:
    """The exit code of a fork; None when it had to be killed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def bystanders(home: Path) -> list["subprocess.Popen[bytes]"]:
    """Processes that are nobody's to end, though some carry what a run's would."""
    mark, other = Mark(home, RUN, 0.0), Mark(home / "other", RUN, 0.0)
    carried: list[dict[str, str]] = [
        {}, {MARKER: ""}, {MARKER: "", MARK: ""}, {MARKER: RUN}, {MARKER: RUN, MARK: ""}, {MARKER: "None"},
        {MARK: mark.hash},
        {MARKER: "worker-1", MARK: mark.hash}, other.variables, Mark(home / "other", RUN[:-1] + "d", 0.0).variables,
    ]  # fmt: skip
    made = [subprocess.Popen(["/bin/sleep", "1000"], env=variables) for variables in carried]
    if os.getuid() == 0:
        made.append(subprocess.Popen(["/bin/sleep", "1000"], env=mark.variables, user="nobody"))
    return made


def main(folder: Path, cases: int, seed: int) -> int:
    """Try so many cases; returns how many went wrong."""
    chance = random.Random(seed)
    (folder / "bin").mkdir(parents=True)
    for name in ("gh", "git", "codex", "tt-smi"):  # the far end refuses for good, at once
        said = r'HTTP/2.0 401 Unauthorized\r\n\r\n{"message": "Bad credentials"}'
        (folder / "bin" / name).write_text(f"#!/bin/sh\nprintf '{said}'\nexit 1\n")
        (folder / "bin" / name).chmod(0o755)
    home = folder / "case" / "home"  # the same in every case: its processes could be meant
    standing = bystanders(home)
    every, wrong = commands(), 0
    troubles = [*DAMAGED, *SOUND, *PLACES]
    for number in range(cases):
        argv = every[number % len(every)] if number < len(every) else chance.choice(every)
        trouble, around = chance.choice(troubles), chance.choice([*ENVIRONMENTS, *["plain"] * 6])
        shutil.rmtree(folder / "case", ignore_errors=True)
        case = Case(folder / "case")
        if trouble in PLACES:
            PLACES[trouble](case)
        else:
            data = {**DAMAGED, **SOUND}[trouble].replace(b"VICTIM", str(case.victim).encode())
            (case.run / "journal.jsonl").write_bytes(resealed(data) if b"workspace" in data else data)
        argv = [str(case.victim / "whole") if word == "FILE" else word for word in argv]
        before = case.seen()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            child(argv, case, ENVIRONMENTS[around](case))
        code = ends(pid)
        seconds = time.monotonic() - began
        if seconds > SLOW:
            print(f"case {number} took {seconds:.1f} s: ytfsm {' '.join(argv)} | {trouble} | {around}", flush=True)
        said = (case.folder / "said").read_text(errors="replace")
        problems = [f"bystander {n} is dead" for n, one in enumerate(standing) if one.poll() is not None]
        after = case.seen()
        problems += [f"{path} changed" for path in before if after.get(path) != before[path]]
        problems += ["a traceback"] if "Traceback (most" in said or code in (98, 99) else []
        problems += [f"exit code {code}"] if code not in CODES else []
        damaged = trouble in DAMAGED or trouble in PLACES
        if argv[:2] == ["replay", RUN] and around != "home is a file" and damaged != (code == 3):
            problems.append(f"replay exits {code}")
        if argv[0] == "runs" and code != 0:
            problems.append(f"runs exits {code}")
        if problems:
            wrong += 1
            told = said[-1500:] if "traceback" in str(problems) else said[-300:]
            print(
                f"case {number}: ytfsm {' '.join(argv)} | {trouble} | {around}: {'; '.join(problems)}\n{told}",
                flush=True,
            )
        standing = [one for one in standing if one.poll() is None]
    for one in standing:
        one.kill()
        one.wait()
    print(f"{cases} cases of {len(every)} command lines, {len(troubles)} troubles: {wrong} went wrong")
    return wrong


def resealed(data: bytes) -> bytes:
    """The lines again, with hashes that fit what they say now."""
    records = [json.loads(line) for line in data.splitlines()]
    return journal(*({k: v for k, v in r.items() if k not in ("v", "seq", "prev", "hash")} for r in records))


if __name__ == "__main__":
    sys.exit(bool(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
