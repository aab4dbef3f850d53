"""The fault matrix: runs that a fault strikes in a state, and what must be true at their end.

Each trial is one start of the worker, which must end by itself, and everything is looked at then:

goes on            the run ends as an undisturbed one of its kind does: state, Status, exit code, branch, pull request,
                   one claim, one terminal comment; the world spent no attempt
waits              the same, and it said that it waits, for whom, as long as the fault was there
nothing            nothing was taken: the Status is as it was, no claim is left, exit 0 or 1; where the fault ends,
                   another run may take the issue then
goes on or …       one of the two
setup error        exit 1, Status `setup error`, the issue is told, no attempt; what codex wrote is kept
reference error    the same with that Status
lost               state `released`, exit 0, the Status as the person left it, no terminal comment, the claim released;
                   what codex wrote is kept
unpublished        exit 1, status `unpublished`: a comment says where the work is, the claim lives on as `unpublished:`
…, untold          the same, where GitHub takes no comment: the worker's words and the journal say it
…, taken away      exit 1: a person has the issue, and its Status is theirs

In each, no process, workspace or lock is left, every journal is whole and complete, nothing is said in a traceback, no
run crashed, and what was felt for long was said in words that name whose fault it is.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.parts import trials
from tests.parts.trials import Case, Ended, Wrong
from yt_fsm.engine.journal import read

from . import points
from .points import Point, Request

SYSTEMS = Path(__file__).resolve().parent / "systems"
HURRY = {
    "YT_PROBE_SECS": "30", "YT_SETTLE_SECS": "1", "YT_EVAL_SECS": "4", "YT_DOWNLOAD_SECS": "6", "YT_ATTEMPT_SECS": "15",
    "YT_STALL_SECS": "3", "YT_SYSTEMS_DIR": str(SYSTEMS),
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A run that reaches a state by itself, and how it ends when nothing strikes it there."""

    state: str = "review"
    status: str = "in review"
    code: int = 0
    branches: int = 1
    pulls: int = 1
    failures: int = 0  # attempts that the model fails by itself
    told: bool = True
    script: str = "right"
    issue: dict[str, Any] | None = None
    attempts: int = 3
    before: tuple[Request, ...] = ()
    strikes: tuple[dict[str, Any], ...] = ()


_CLOSED = {"state": "setup", "do": [["POST", "/act", {"do": "close_issue", "issue": "$issue"}]], "undo": [],
           "beat": True, "until": None}  # fmt: skip
_BAD = {"kind": "exit", "operation": "hf", "code": 3, "text": "the reference is not finite", "machine": "$machine"}
BASES = {
    "failed": Base("failed", "failed", 1, 1, 0, failures=1, script="hopeless", attempts=1),
    "setup_error": Base(
        "setup_error", "setup error", 1, 0, 0, issue={"body": "hf_model_id: lab/tiny-llama\nprefill_len: many\n"}
    ),
    "reference_error": Base(
        "reference_error", "reference error", 1, 0, 0, before=(("POST", "/faults/evaluation", _BAD),)
    ),
    "released": Base("released", "in progress", 0, 0, 0, told=False, strikes=(_CLOSED,)),
}
REVIEW = Base()
LEFT_AT = {"moves the card": "done", "removes the card": None}  # by the persons who move it


@dataclass
class Found:
    """What a trial left: the issue and what stands beside it, the journals' records, what the worker said."""

    case: Case
    ended: Ended
    issue: dict[str, Any]
    branches: list[str]
    pulls: list[dict[str, Any]]
    runs: dict[Path, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def outcome(self) -> dict[str, Any]:
        """The last line of stdout; {} where there was none."""
        return dict(self.ended.json) if self.ended.out.strip() else {}

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every run's, in order."""
        return [record for records in self.runs.values() for record in records]

    def bodies(self, first_line: str) -> list[str]:
        """The comments that begin so."""
        bodies = [comment["body"].replace("\r\n", "\n") for comment in self.issue["comments"]]
        return [body for body in bodies if body.split("\n", 1)[0] == first_line]

    def claims(self) -> list[str]:
        """The runs' own claims."""
        ids = [folder.name for folder in self.runs]
        return [body for body in self.bodies("[yt-claim]") if any(f"run_id: {name}" in body for name in ids)]

    def said(self) -> str:
        """What the operator was told: by the worker, and on the issue."""
        return "\n".join([self.ended.err, self.ended.out, *(comment["body"] for comment in self.issue["comments"])])

    def waited(self) -> bool:
        """Whether the run said that it waits, in its journal or, for its outbox, in the log."""
        said = ("not wholly published yet", "waits, as GitHub did not confirm its claim")
        return any(r["kind"] == "waiting" for r in self.records) or any(words in self.ended.err for words in said)


class Faults(trials.Trials):
    """A lab, and runs in it that faults strike."""

    WORKER = Path(__file__).resolve().parent / "worker.py"
    SETTINGS: ClassVar[dict[str, str]] = {**trials.Trials.SETTINGS, **HURRY}
    SCRIPT = "right"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._script = self.SCRIPT

    def strike(self, point: Point) -> float:
        """Run one trial and look at its end; the seconds that it took. Raises Wrong."""
        base = BASES.get(point.state, REVIEW)
        case = self.case(base.issue, YT_MAX_ATTEMPTS=str(base.attempts))
        if base.script != self._script:
            self._script = base.script
            self.lab.script(base.script)
        for one in base.before:
            self.lab.ask(*self._for(case, one))
        try:
            ended = self.begin(case, STRIKES=json.dumps([*self._all(case, base.strikes), self._strike(case, point)]))
        finally:
            self._mend(case, point)
        try:
            Look(self, point, base, self._found(case, ended)).check()
        except AssertionError as wrong:
            raise Wrong(f"{point.name}: {wrong}\nkept in {self.keep(case, point.name, str(wrong))}") from None
        self.forget(case)
        return ended.seconds

    def _strike(self, case: Case, point: Point) -> dict[str, Any]:
        fault = point.fault
        ours = any(path == "/faults/github" for _, path, _ in fault.do(point.lasts))
        # In these states nothing else asks GitHub; and a person is heard by the heartbeat in all that have one.
        beat = (
            point.state in ("download", "reset", "bringup")
            if ours and not fault.heard
            else fault.heard and point.state in points.HELD
        )
        return {
            # Who acts between the last look and the mark is not seen: GitHub has no way to compare and set.
            "state": "marked" if fault.heard and point.state == "claimed" else point.state,
            "do": self._all(case, fault.do(point.lasts)),
            "undo": self._all(case, fault.undo),
            "beat": beat,
            "until": 2 if point.lasts == points.LASTING else None,
        }

    def _mend(self, case: Case, point: Point) -> None:
        for one in (*point.fault.undo, *(() if not BASES.get(point.state, REVIEW).before else _EVALUATION_WELL)):
            self.lab.ask(*self._for(case, one))

    def _all(self, case: Case, given: Any) -> Any:
        return json.loads(self._named(case, json.dumps(list(given))))

    def _for(self, case: Case, request: Request) -> Any:
        return self._all(case, request)

    def _named(self, case: Case, text: str) -> str:
        return text.replace('"$issue"', str(case.number)).replace("$machine", case.machine)

    def _found(self, case: Case, ended: Ended) -> Found:
        state = self.lab.state()
        issue = next(i for i in state["issues"] if i["number"] == case.number)
        branches = [b["name"] for b in state["branches"] if f"issue-{case.number}-" in b["name"]]
        pulls = [p for p in state["pull_requests"] if p["head"] in branches]
        journals = {folder: folder / "journal.jsonl" for folder in case.runs}
        runs = {folder: list(read(path).records) for folder, path in journals.items() if path.exists()}
        return Found(case, ended, issue, branches, pulls, runs)


_EVALUATION_WELL: tuple[Request, ...] = (("DELETE", "/faults/evaluation", None),)


class Look:
    """One trial's end against what the table says."""

    def __init__(self, trials: Faults, point: Point, base: Base, found: Found) -> None:
        self.trials, self.point, self.base, self.found = trials, point, base, found
        self.code, self.outcome = found.ended.code, found.outcome

    def check(self) -> None:
        """Raise AssertionError, in words, unless all is as it must be."""
        err = self.found.ended.err
        assert "Traceback" not in err, f"a traceback: …{err[-1500:]}"
        crashed = [r for r in self.found.records if r["kind"] == "crashed"]
        assert not crashed, f"it crashed: {crashed[0]['error']}"
        ends = {
            points.GOES_ON: self.goes_on,
            points.WAITS: self.waits,
            points.NOTHING: self.nothing if self.point.lasts != points.LASTING else self.later,
            points.UNTAKEN: lambda: self.nothing() if self.outcome.get("run_id") is None else self.goes_on(),
            points.WORLD: lambda: self.setup_error() if self.code else self.goes_on(),
            points.SETUP_ERROR: self.setup_error,
            points.REFERENCE: lambda: self.ended("reference_error", "reference error", 1),
            points.LOST: self.lost,
            points.UNPUBLISHED: lambda: self.unpublished(told=True),
            points.UNTOLD: lambda: self.unpublished(told=False),
            points.TAKEN_AWAY: self.taken_away,
        }
        ends[self.point.end]()
        self.attempts()
        self.journals()
        self.trials.check_machine(self.found.case)

    # --- the ends

    def goes_on(self) -> None:
        """As an undisturbed run."""
        base = self.base
        self.ended(base.state, base.status, base.code, told=base.told)
        assert len(self.found.branches) == base.branches, f"{len(self.found.branches)} branches"
        states = [p["state"] for p in self.found.pulls]
        assert states == ["OPEN"] * base.pulls, f"pull requests: {states}"

    def waits(self) -> None:
        """The same, said."""
        self.goes_on()
        assert self.found.waited(), "it did not say that it waits"
        self.said()

    def nothing(self) -> None:
        """Nothing was taken."""
        assert self.code in (0, 1), f"exit {self.code}"
        assert self.outcome.get("run_id") is None, f"it ended a run: {self.outcome}"
        self.stands(LEFT_AT.get(self.point.fault.name, "ready"))
        left = [claim for claim in self.found.claims() if "\nreleased:" not in claim]
        assert not left, f"a claim is left: {left}"
        assert not self.found.bodies("[yt-status]"), "it told the issue something"

    def later(self) -> None:
        """Nothing was taken while the fault was there; another run may have taken it since."""
        first = next(iter(self.found.runs.values()))
        events = [r["event"] for r in first if r["kind"] == "transition"]
        assert events == ["lose"], f"the first run went {events}"
        if self.outcome.get("run_id") is None:
            self.nothing()
        else:
            self.goes_on()

    def setup_error(self) -> None:
        """By the world's fault."""
        self.ended("setup_error", "setup error", 1)
        self.said()
        self.kept()
        assert not self.found.pulls, "there is a pull request"

    def lost(self) -> None:
        """By a person."""
        self.ended("released", LEFT_AT.get(self.point.fault.name, "in progress"), 0, told=False)
        self.said()
        self.kept()
        assert not self.found.branches, f"it pushed {self.found.branches}"

    def unpublished(self, told: bool) -> None:
        """For good."""
        assert self.code == 1, f"exit {self.code}"
        assert self.outcome.get("status") == "unpublished", f"it ended as {self.outcome}"
        self.said()
        self.kept()
        if not told:
            return
        claims = self.found.claims()
        assert len(claims) == 1, f"{len(claims)} claims"
        assert "\nunpublished:" in claims[0], f"the claim does not say it: {claims[0]}"
        telling = [c["body"] for c in self.found.issue["comments"] if "could not be published" in c["body"]]
        assert len(telling) == 1, f"{len(telling)} comments say where the work is"

    def taken_away(self) -> None:
        """A person has the issue, while it was published."""
        assert self.code == 1, f"exit {self.code}"
        assert self.outcome.get("status") == "unpublished", f"it ended as {self.outcome}"
        self.stands(LEFT_AT.get(self.point.fault.name, "in progress"))
        assert not self.found.pulls, "there is a pull request"
        self.said()
        self.kept()

    # --- what they are made of

    def ended(self, state: str, status: str | None, code: int, told: bool = True) -> None:
        """State, exit code, Status, one claim and one terminal comment."""
        got = f"it ended as {self.outcome} with exit {self.code}: …{self.found.ended.err[-700:]}"
        assert self.outcome.get("state") == state, got
        assert self.code == code, got
        self.stands(status)
        claims, statuses = self.found.claims(), self.found.bodies("[yt-status]")
        wanted = 0 if self.point.fault.name == "deletes the claim" else 1
        assert len(claims) == wanted, f"{len(claims)} claims"
        assert len(statuses) == told, f"{len(statuses)} terminal comments"
        if told:
            assert f"\nstatus: {status}\n" in statuses[0], statuses[0]
        elif claims:
            assert "\nreleased:" in claims[0], f"the claim is not released: {claims[0]}"

    def stands(self, status: str | None) -> None:
        """The issue's Status."""
        assert self.found.issue["status"] == status, f"the Status is {self.found.issue['status']!r}, not {status!r}"

    def attempts(self) -> None:
        """The world spent none."""
        failed = [r for r in self.found.records if r["kind"] == "attempt" and not r["passed"]]
        spent = failed[self.base.failures :]
        assert not spent, f"the world spent {len(spent)} attempts: {spent[0]['error'][:300]}"

    def kept(self) -> None:
        """What codex wrote can be had: as a bundle in the run's folder, or as its branch."""
        for folder, records in self.found.runs.items():
            worked = any(r["kind"] == "transition" and r["event"] == "submit" for r in records)
            bundles = [p.name for p in folder.rglob("*.bundle") if p.name in ("wip.bundle", "work.bundle")]
            assert not worked or bundles or self.found.branches, "what codex wrote is not kept"

    def said(self) -> None:
        """Whose fault it is, in words."""
        pattern = self.point.fault.said
        assert re.search(pattern, self.found.said(), re.IGNORECASE), f"nothing says {pattern!r}"

    def journals(self) -> None:
        """Every run's journal verifies and is complete, and no effect happened twice."""
        for folder in self.found.runs:
            told = self.trials.replay(self.found.case, folder.name)
            assert told["integrity"]["verdict"] == "ok", f"{folder.name}: {told['integrity']}"
            done = [(e["effect"], e["key"]) for e in told["effects"] if e["phase"] == "done"]
            assert len(done) == len(set(done)), f"{folder.name}: an effect is done twice: {done}"
            if not told["complete"] and self.outcome.get("run_id") is None:
                self.trials.begin(self.found.case)  # it withdraws its bid when it can: the next start does
                told = self.trials.replay(self.found.case, folder.name)
            assert told["complete"], f"{folder.name} is not complete: it stands in {told['state']}"
