"""The kill matrix: a lab, runs that are killed at chosen points, and what must be true after the next start."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts import trials
from tests.parts.trials import Case, Ended, Wrong

# Where the world fails and no process dies, a run may also end as the spec wants it for that: in `setup error`.
WORLDS_FAULT = ("full", "disk", "child")
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


class Trials(trials.Trials):
    """A lab, and runs in it that are killed."""

    WORKER = Path(__file__).resolve().parent / "worker.py"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._trace: Trace | None = None

    def start(self, case: Case, point: str = "", words: str = "", **env: str) -> Ended:
        """Start the worker once, with an accident built in or without one; wait for its end."""
        return self.begin(case, words, KILL_POINT=point or "::", KILL_VICTIM=str(self.lab.pid), **env)

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
