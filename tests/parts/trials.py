"""Trials: a lab, and one machine with one issue of its own for each; how each ends, and that nothing is left of it."""

import fcntl
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psutil

from tests.parts.command import Finished
from tests.parts.workplace import SETTLED, start_lab, warm_python
from yt_fsm.engine.journal import Journal, read
from yt_fsm.engine.replay import replay
from yt_fsm.engine.shell import MARKER
from yt_fsm.lab.serving import Running

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120
PATIENCE = 20  # seconds for a worker that cannot publish for now


@dataclass
class Case:
    """One issue whose run is disturbed: its worker's machine, and what came of each start."""

    number: int
    env: dict[str, str]
    machine: str  # its name in the lab
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

    WORKER: ClassVar[Path]  # the program that is started: the real `ytfsm`, with something built in
    SETTINGS: ClassVar[dict[str, str]] = {"YT_MIN_FREE_GB": "0", "YT_MAX_ATTEMPTS": "3"}
    SCRIPT: ClassVar[str] = "bringup"  # what codex does

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._evaluation = warm_python(folder / "warm")  # in our folder, so that it can be made slow
        self.lab = self._serve()
        self.lab.act("move_card", issue=1, status="assessing")
        self._count = 0

    def _serve(self) -> Running:
        return start_lab(self.folder / "lab", self._evaluation, script=self.SCRIPT)

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

    def case(self, issue: dict[str, Any] | None = None, **env: str) -> Case:
        """A new issue, ready, and a new machine for it."""
        self._count += 1
        machine = self.lab.machine(f"m{self._count}", login=f"bot-{self._count}")  # an hour has 5,000 points a login
        number = self.lab.seed(**(issue or {"prefill_len": 16, "decode_len": 16}))
        quick = {**SETTLED, **self.SETTINGS, "PYTHONPATH": f"{ROOT}:{machine['PYTHONPATH']}"}
        return Case(number, {**machine, **quick, **env}, machine["YT_WORKER_NAME"])

    def begin(self, case: Case, words: str = "", **env: str) -> Ended:
        """Start the worker once; wait for its end.

        It gets a SIGTERM after TIMEOUT, or PATIENCE seconds after it said `words`.
        """
        started = time.monotonic()
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            # Files, not pipes: what a killed worker leaves running holds them open.
            process = subprocess.Popen(
                [sys.executable, str(self.WORKER), "run", "--system", "n300", "--once", "--json"],
                env={**case.env, **env},
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
        assert got == want, f"the end differs: {difference(got, want)}"
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


def difference(got: dict[str, Any], want: dict[str, Any]) -> str:
    return "; ".join(f"{key} is {got[key]!r}, not {want[key]!r}" for key in want if got[key] != want[key])
