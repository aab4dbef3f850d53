"""The kill matrix: a lab, runs that are killed at chosen points, and what must be true after the next start."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.parts.command import Finished
from tests.parts.workplace import SETTLED, start_lab, warm_python
from yt_fsm.engine.journal import Journal, read
from yt_fsm.engine.replay import replay
from yt_fsm.engine.shell import MARKER
from yt_fsm.lab.serving import Running

HERE = Path(__file__).resolve().parent
WORKER = [sys.executable, str(HERE / "worker.py")]
TIMEOUT = 120
PATIENCE = 20  # seconds for a worker that cannot publish for now

# Where the world fails and no process dies, a run may also end as the spec wants it for that: in `setup error`.
WORLDS_FAULT = ("full", "disk", "child", "lab")
SETUP_ERROR = {
    "status": "setup error",
    "open": "open",
    "branches": 0,
    "tree": [],
    "commits": [],
    "pull requests": [],
}

FAMILIES = {
    "record": "SIGKILL before and after every journal record",
    "effect": "SIGKILL before and after every change of the outside world",
    "torn": "SIGKILL half way through writing a record (every 2nd that is no command's)",
    "command": "SIGKILL as soon as a command has been started, which goes on without us (every 2nd)",
    "file": "SIGKILL before a file or folder is made, opened for writing, renamed or removed (every 8th)",
    "twice": "SIGKILL in the middle, and again while the next start goes on with the run",
    "stop": "SIGTERM after a record: the run stops, and the next start goes on (every 2nd that is no command's)",
    "full": "the disk is full from a journal record on, at every record, until the next start",
    "disk": "the disk is full for one write, takes half a record, or fails to sync (every 3rd that is no command's)",
    "child": "SIGKILL of a child: each program that a run starts, its first and its last time",
    "lab": "SIGKILL of the far end (GitHub, Hub, codex's model), which is back 2 s later (every 2nd such record)",
}


@dataclass
class Trace:
    """An undisturbed run: the places that it passed, in order, and how it ended."""

    places: list[str]
    result: dict[str, Any]

    def of(self, where: str) -> list[str]:
        """What stands behind `where` on its lines."""
        return [place.split(" ", 1)[1] for place in self.places if place.split(" ", 1)[0] == where]

    def points(self, family: str) -> list[str]:
        """A family's points, as tests/kill/worker.py takes them; two of them stand around a `+`."""
        records = self.of("record")
        everyone = range(len(records))
        telling = [n for n in everyone if records[n] != "command"]
        commands = self.of("command")
        if family == "record":
            return [f"record:{n}:{what}" for n in everyone for what in ("before", "after")]
        if family == "torn":
            return [f"record:{n}:torn" for n in telling[::2]]
        if family == "effect":
            return [f"effect:{n}:{what}" for n in range(len(self.of("effect"))) for what in ("before", "after")]
        if family == "command":
            return [f"command:{n}:started" for n in range(0, len(commands), 2)]
        if family == "file":
            within = [n for n, what in enumerate(self.of("file")) if "within" in what]
            others = [n for n, what in enumerate(self.of("file")) if "within" not in what]
            return [f"file:{n}:before" for n in sorted(others[::8] + within[::64])]
        if family == "twice":
            middle = [n for n in telling if records[n] in ("transition", "attempt", "effect.intent")][1:]
            return [f"record:{n}:after+record:{m}:before" for m, n in enumerate(middle[::2] + middle[1::2])]
        if family == "stop":
            return [f"record:{n}:stop" for n in telling[1::2]]
        if family == "full":
            return [f"record:{n}:full" for n in everyone]
        if family == "disk":
            return [f"record:{n}:{what}" for what in ("once", "short", "eio") for n in telling[::3]]
        if family == "child":
            last = {name: len([c for c in commands if c == name]) - 1 for name in sorted(set(commands))}
            return [f"child:{name}-{n}:killed" for name in last for n in sorted({0, last[name]})]
        return [f"world:{n}:after" for n in telling[::2]]


@dataclass
class Case:
    """One issue whose run is disturbed: its worker's machine, and what came of each start."""

    number: int
    env: dict[str, str]
    starts: list["Ended"] = field(default_factory=list)

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs, oldest first."""
        folder = Path(self.env["YTFSM_HOME"]) / "runs"
        return sorted(folder.iterdir()) if folder.is_dir() else []


@dataclass
class Ended(Finished):
    """One start of the worker: how it ended, and how long it took."""

    seconds: float


class Wrong(AssertionError):
    """Something is not as it must be; the text names the point, and where everything of it is kept."""


class Trials:
    """A lab in `folder`, and one new machine with one new issue for each case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._evaluation = warm_python(folder / "warm")  # in our folder, so that it can be made slow
        self.lab = self._serve()
        self.lab.act("move_card", issue=1, status="assessing")
        self._count = 0
        self._trace: Trace | None = None

    def _serve(self) -> Running:
        return start_lab(self.folder / "lab", self._evaluation, script="bringup")

    def close(self) -> None:
        """Stop the lab."""
        if self.lab.process.poll() is None:
            self.lab.stop()

    def restart_lab(self, after: float) -> None:
        """Wait for the lab's end, and after a while serve it again from its folder."""
        self.lab.process.wait(60)
        time.sleep(after)
        for stream in (self.lab.process.stdin, self.lab.process.stdout):
            assert stream
            stream.close()
        self.lab = self._serve()

    # --- a case

    def case(self, **env: str) -> Case:
        """A new issue, ready, and a new machine for it."""
        self._count += 1
        machine = self.lab.machine(f"m{self._count}", login=f"bot-{self._count}")  # an hour has 5,000 points a login
        number = self.lab.seed(prefill_len=16, decode_len=16)
        quick = {
            **SETTLED,
            "YT_MIN_FREE_GB": "0",
            "YT_MAX_ATTEMPTS": "3",
            "PYTHONPATH": f"{HERE.parent.parent}:{machine['PYTHONPATH']}",
        }
        return Case(number, {**machine, **quick, **env})

    def start(self, case: Case, point: str = "", words: str = "", **env: str) -> Ended:
        """Start the worker once, with an accident built in or without one; wait for its end.

        It gets a SIGTERM after TIMEOUT, or PATIENCE seconds after it said `words`.
        """
        started = time.monotonic()
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            # Files, not pipes: what a killed worker leaves running holds them open.
            process = subprocess.Popen(
                [*WORKER, "run", "--system", "n300", "--once", "--json"],
                env={**case.env, "KILL_POINT": point or "::", "KILL_VICTIM": str(self.lab.pid), **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            deadline, heard = started + TIMEOUT, False
            while process.poll() is None and time.monotonic() < deadline:
                if words and not heard and words in (self.folder / "err").read_text():
                    deadline, heard = min(deadline, time.monotonic() + PATIENCE), True
                time.sleep(0.05)
            code = process.poll()
            if code is None:
                process.terminate()
                try:
                    code = process.wait(30) or 124
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
            out.seek(0)
            err.seek(0)
            case.starts.append(Ended(code, out.read(), err.read(), time.monotonic() - started))
        return case.starts[-1]

    def trace(self) -> Trace:
        """The places that an undisturbed run passes; made once."""
        if self._trace is None:
            case = self.case()
            file = self.folder / "trace"
            ended = self.start(case, KILL_TRACE=str(file))
            assert ended.code == 0, ended.err
            result = self.result(case)
            self.check(case, result)
            self._trace = Trace(file.read_text().splitlines(), result)
        return self._trace

    def know(self, trace: Trace) -> None:
        """Take the undisturbed run of other trials for this one's."""
        self._trace = trace

    # --- disturbing it

    def disturb(self, family: str, point: str) -> None:
        """Run one case with the accident at `point`, start again until it is over, and look. Raises Wrong."""
        self.trace()
        case = self.case()
        try:
            getattr(self, f"_disturb_{family}", self._disturb_by_kill)(case, point)
            self.check(case, self.wanted(case, family in WORLDS_FAULT))
        except AssertionError as wrong:
            raise Wrong(f"{family} {point}: {wrong}\nkept in {self.keep(case, point, str(wrong))}") from None
        else:
            self.forget(case)

    def wanted(self, case: Case, worlds_fault: bool) -> dict[str, Any]:
        """How a case must end: as the undisturbed run, or, by the world's fault, in `setup error`."""
        if worlds_fault and self.result(case)["status"] == "setup error":
            return {**SETUP_ERROR, "metrics": self.result(case)["metrics"]}
        return self.trace().result

    def _disturb_by_kill(self, case: Case, point: str) -> None:
        died = self.start(case, point)
        # A run touches a file more or less than the traced one; the last places need not come.
        late = point.startswith("file:") and int(point.split(":")[1]) > len(self.trace().of("file")) - 16
        killed = died.code == -signal.SIGKILL or (late and died.code == 0)
        assert killed, f"it was not killed there, it exited {died.code}"
        self.go_on(case)

    def _disturb_twice(self, case: Case, point: str) -> None:
        first, second = point.split("+")
        assert self.start(case, first).code == -signal.SIGKILL
        died = self.start(case, second)
        # What is left of a run that died late may be over before the second accident.
        assert died.code in (-signal.SIGKILL, 0), f"it was not killed there, it exited {died.code}"
        self.go_on(case)

    def _disturb_stop(self, case: Case, point: str) -> None:
        ended = self.start(case, point)
        assert ended.code == 0, f"it was asked to stop and exited {ended.code}"
        self.check_machine(case)
        self.go_on(case)

    def _disturb_full(self, case: Case, point: str) -> None:
        ended = self.start(case, point, words="is full")  # what is not published yet waits for a disk with room
        assert "is full" in ended.err, f"the disk was full and it said nothing of it: {ended.err[-1500:]}"
        assert "Traceback" not in ended.err, f"a full disk is worth words, not a traceback: {ended.err[-1500:]}"
        self.go_on(case)

    def _disturb_disk(self, case: Case, point: str) -> None:
        self.start(case, point)
        self.go_on(case)

    def _disturb_child(self, case: Case, point: str) -> None:
        ended = self.start(case, point)
        assert ended.code >= 0
        self.go_on(case)

    def _disturb_lab(self, case: Case, point: str) -> None:
        waiting = threading.Thread(target=self.restart_lab, args=(2.0,))
        waiting.start()
        self.start(case, point)
        waiting.join()
        self.go_on(case)

    def go_on(self, case: Case) -> None:
        """Start the worker undisturbed, a while later; it recovers its own run."""
        for folder in case.runs:
            if not (folder / "journal.jsonl").exists():
                os.utime(folder, (time.time() - 60, time.time() - 60))
        ended = self.start(case)
        assert ended.code in (0, 1), f"the next start exited {ended.code}: {ended.err[-1500:]}"

    # --- what must be true

    def result(self, case: Case) -> dict[str, Any]:
        """How the issue stands now, without what differs from run to run."""
        state = self.lab.state()
        issue = next(i for i in state["issues"] if i["number"] == case.number)
        branches = [b["name"] for b in state["branches"] if f"issue-{case.number}-" in b["name"]]
        pulls = [p for p in state["pull_requests"] if p["head"] in branches]
        journals = [
            read(folder / "journal.jsonl").records for folder in case.runs if (folder / "journal.jsonl").exists()
        ]
        attempts = [r for records in journals for r in records if r["kind"] == "attempt"]
        metrics = attempts[-1]["metrics"] if attempts else {}
        return {
            "status": issue["status"],
            "open": issue["state"].lower(),
            "branches": len(branches),
            "tree": [self.git("rev-parse", f"{name}^{{tree}}") for name in branches],
            "commits": [self.git("rev-list", "--count", f"main..{name}") for name in branches],
            "pull requests": [(p["title"], p["base"], p["state"]) for p in pulls],
            "metrics": {key: {k: v for k, v in found.items() if k != "nonce"} for key, found in metrics.items()},
        }

    def git(self, *argv: str) -> str:
        """Ask the models repo's bare repository."""
        bare = next((self.folder / "lab").rglob("ttnn_models.git"))
        return subprocess.run(
            ["git", "-C", str(bare), *argv], capture_output=True, text=True, check=True
        ).stdout.strip()

    def check(self, case: Case, want: dict[str, Any]) -> None:
        """Raise AssertionError unless everything is as after an undisturbed run, and nothing is left."""
        got = self.result(case)
        assert got == want, f"the end differs: {_difference(got, want)}"
        self.check_issue(case)
        self.check_journals(case)
        self.check_machine(case)

    def check_issue(self, case: Case) -> None:
        """One claim, one terminal comment, both of the run that ended in it."""
        issue = next(i for i in self.lab.state()["issues"] if i["number"] == case.number)
        bodies = [c["body"].replace("\r\n", "\n") for c in issue["comments"]]
        claims = [b for b in bodies if b.startswith("[yt-claim]\n")]
        told = [b for b in bodies if b.startswith("[yt-status]\n")]
        assert len(claims) == 1, f"{len(claims)} claim comments"
        assert len(told) == 1, f"{len(told)} terminal comments"
        assert len(bodies) == 2, f"{len(bodies)} comments"
        (claimed,) = re.findall(r"^run_id: (\S+)$", claims[0], re.MULTILINE)
        (ended,) = re.findall(r"^run_id: (\S+)$", told[0].split("\n\n")[0], re.MULTILINE)
        assert claimed == ended, "the claim and the end are of different runs"
        (seq, found) = re.findall(r"journal: `(\d+):([0-9a-f]{16})`", told[0])[-1]
        records = read(Path(case.env["YTFSM_HOME"]) / "runs" / ended / "journal.jsonl").records
        assert records[int(seq)]["hash"] == found, "the terminal comment vouches for another record"

    def check_journals(self, case: Case) -> None:
        """Every run's journal verifies and is complete; one run had the issue, the others withdrew."""
        owners = 0
        for folder in case.runs:
            told = self.replay(case, folder.name)
            assert told["integrity"]["verdict"] == "ok", f"{folder.name}: {told['integrity']}"
            assert told["complete"], f"{folder.name} is not complete: it stands in {told['state']}"
            done = [(e["effect"], e["key"]) for e in told["effects"] if e["phase"] == "done"]
            assert len(done) == len(set(done)), f"{folder.name}: an effect is done twice: {done}"
            assert [a["n"] for a in told["attempts"]] == list(range(1, len(told["attempts"]) + 1))
            events = [t["event"] for t in told["transitions"]]
            if "claim" in events:
                owners += 1
            else:
                assert events == ["lose"], f"{folder.name} without a claim: {events}"
        assert owners == 1, f"{owners} runs had the issue"

    def replay(self, case: Case, run_id: str) -> dict[str, Any]:
        """What `ytfsm replay --json` says."""
        return replay(read(Path(case.env["YTFSM_HOME"]) / "runs" / run_id / "journal.jsonl"))

    def check_machine(self, case: Case) -> None:
        """No temp folder, no process, no lock, no half-written file."""
        root = Path(case.env["YT_TMP_ROOT"])
        left = [path.name for path in root.glob("*")] if root.exists() else []
        assert left == [], f"temp folders are left: {left}"
        alive = self.alive(case)
        assert alive == [], f"processes are left: {alive}"
        import fcntl

        for path in Path(case.env["YTFSM_HOME"]).rglob("*.lock"):
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in case.runs:
            Journal.probe(folder / "journal.jsonl")
            rubbish = [
                p.name for p in folder.rglob("*") if p.name == "ballast" or p.suffix in (".new", ".part", ".tmp")
            ]
            assert not rubbish, f"{folder.name} holds {rubbish}"

    def alive(self, case: Case) -> list[tuple[int, list[str]]]:
        """What the case's runs have started and still lives: pid and command."""
        ids = tuple(folder.name for folder in case.runs)
        found = []
        for process in psutil.process_iter():
            try:
                marker = process.environ().get(MARKER, "")
                if ids and marker.startswith(ids) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append((process.pid, process.cmdline()[:3]))
            except psutil.Error:
                continue
        return found

    # --- afterwards

    def keep(self, case: Case, point: str, wrong: str) -> Path:
        """Keep what a failed case left, for a person; its issue is out of the way."""
        self._put_away(case)
        folder = Path(case.env["YTFSM_HOME"])
        said = [f"--- exit {s.code} after {s.seconds:.1f} s\n{s.out}\n{s.err}" for s in case.starts]
        issue = next(i for i in self.lab.state()["issues"] if i["number"] == case.number)
        folder.mkdir(exist_ok=True)
        (folder / "said.txt").write_text(f"{point}: {wrong}\n\n{json.dumps(issue, indent=1)}\n\n" + "\n".join(said))
        return folder

    def forget(self, case: Case) -> None:
        """Remove a good case's machine; its issue is closed."""
        self._put_away(case)
        shutil.rmtree(Path(case.env["YTFSM_HOME"]).parent)

    def _put_away(self, case: Case) -> None:
        self.lab.act("close_issue", issue=case.number)


def _difference(got: dict[str, Any], want: dict[str, Any]) -> str:
    return "; ".join(f"{key} is {got[key]!r}, not {want[key]!r}" for key in want if got[key] != want[key])
