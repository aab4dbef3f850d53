"""A run: one issue's walk through a machine, and what its states share."""

import json
import logging
import os
import platform
import time
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.bringup.workspace import Workspace, prefix
from yt_fsm.github import lease as leases
from yt_fsm.github.heartbeat import Heartbeat
from yt_fsm.tools.board import board_of

from .effects import Effects
from .errors import Lost, SetupError, Verdict
from .journal import Journal, Record, clean
from .machine import Definition
from .processes import Mark
from .replay import facts_of, instant, state_of
from .shell import Shell, StopFlag

if TYPE_CHECKING:
    from yt_fsm.bringup.brief import Brief
    from yt_fsm.bringup.evaluation import Report
    from yt_fsm.github.client import GitHub, Issue
    from yt_fsm.tools.codex import FunctionalBringupTask

    from .redaction import Redactor
    from .settings import Settings

log = logging.getLogger("ytfsm")


def boot_secs() -> float:
    """CLOCK_BOOTTIME: seconds that go on in suspend, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class BootClock:
    """Seconds that go on in suspend, and a sleep that a stop ends."""

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop

    def now(self) -> float:
        """CLOCK_BOOTTIME."""
        return boot_secs()

    def wait(self, seconds: float) -> None:
        """Sleep; raises what the stop flag carries."""
        self._stop.wait(seconds)


class Run:
    """One issue run: the model that `transitions` moves.

    `state` is always the journal's last transition; `next_event` is what the state's work left behind. A state's
    callbacks reach the outside world through the collaborators here, and remember what they learned with `fact`.
    """

    def __init__(
        self,
        definition: Definition,
        settings: "Settings",
        journal: Journal,
        issue: "Issue",
        shell: Shell,
        github: "GitHub",
        stop: StopFlag,
    ) -> None:
        self.definition, self.settings, self.journal, self.issue = definition, settings, journal, issue
        self.shell, self.github, self.stop = shell, github, stop
        self.folder = journal.path.parent
        self.header = journal.records[0]
        self.mark = mark_of(settings.home, self.header)
        self.run_id: str = self.header["run_id"]
        self.facts: dict[str, Any] = facts_of(journal.records)
        self.state: str = state_of(journal.records) or definition.initial
        self.next_event: str | None = None
        self.problem: Verdict | None = None  # why the run leaves its good path
        self.waiting: str | None = None  # why its outbox is not empty yet
        refusals = [r["error"] for r in journal.records if r["kind"] == "refused"]
        self.refused: str | None = refusals[-1] if refusals else None  # why it will never be published
        clock, ttl, settle = BootClock(stop), settings.claim_ttl_secs, settings.settle_secs
        self.effects = Effects(journal, clock, settle)
        self.lease = leases.Lease(github, clock, issue.id, self.run_id, ttl, settle)
        bid = self.effects.done("claim", leases.CLAIM)
        self.lease.comment = bid["comment"] if bid else None
        self.heartbeat = Heartbeat(self)
        self.board = board_of(settings, shell)
        self.task: FunctionalBringupTask | None = None
        self.report: Report | None = None  # the last check's
        definition.build(self)

    if TYPE_CHECKING:

        def trigger(self, event: str) -> bool:
            """Given by `transitions`; called by the engine only."""

    # --- what transitions calls

    def persist(self, event: Any) -> None:
        """Write the transition to the journal, and sync it, before the machine is in its new state."""
        source, dest = event.transition.source, event.transition.dest
        status = self.definition.status_of(event.event.name, source)
        self.journal.append("transition", event=event.event.name, source=source, dest=dest, status=status)
        log.info("run_id=%s issue=%s %s --%s--> %s", self.run_id, self.issue.number, source, event.event.name, dest)

    def on_enter(self, event: Any) -> None:
        """Do the new state's work."""
        self.work()

    def work(self) -> None:
        """Do the current state's work and keep the event that it leaves behind."""
        self.next_event = None
        left = self.definition.states[self.state](self)
        if left is not None:
            self.next_event = left

    # --- what states use

    @property
    def final(self) -> bool:
        """Whether no transition leads on."""
        return self.state in self.definition.final

    @property
    def arrived_by(self) -> str | None:
        """The event of the last transition."""
        return next((r["event"] for r in reversed(self.journal.records) if r["kind"] == "transition"), None)

    @cached_property
    def brief(self) -> "Brief":
        """What the issue asks for. Raises SetupError naming a bad field."""
        from yt_fsm.bringup import brief

        return brief.parse(self.issue.body, self.issue.labels, self.settings.systems_dir)

    @property
    def workspace(self) -> Workspace:
        """The run's temp folder, whether it exists or not. Raises SetupError when the journal names another place."""
        return Workspace.of(self.facts["workspace"], self.settings.tmp_root, self.mark)

    def new_workspace(self) -> None:
        """Name a temp folder that nobody else has, and make it. Raises SetupError when there can be none."""
        import tempfile

        root = self.settings.tmp_root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.fact("workspace", tempfile.mkdtemp(prefix=prefix(self.mark), dir=root))
        except OSError as problem:
            raise SetupError(f"no workspace can be made in YT_TMP_ROOT = {root}: {problem.strerror}") from None

    def empty_workspace(self) -> Workspace:
        """The workspace with nothing in it: always the same folder in a run's life, so that codex finds its thread's
        paths again, but for one that cannot be deleted, which is left to the janitor (faults S3).
        """
        if "workspace" not in self.facts:
            self.new_workspace()
        try:
            self.workspace.delete()
        except SetupError as problem:
            log.error("run_id=%s %s; it goes on in a new one", self.run_id, problem)
            self.new_workspace()
        self.workspace.make()
        return self.workspace

    @property
    def artifacts(self) -> Path:
        """Where metrics, prompts, events and diffs are kept."""
        return self.folder / "artifacts"

    @property
    def bundle(self) -> Path:
        """The commit that is, or was, to be pushed, as a file that outlives the workspace."""
        return self.artifacts / "work.bundle"

    def fact(self, name: str, value: Any) -> None:
        """Remember something over crashes."""
        if self.facts.get(name) != value or name not in self.facts:
            self.journal.append("fact", name=name, value=value)
            self.facts[name] = value

    def attempts(self) -> list[Record]:
        """The checks so far, over the run's whole life."""
        return [r for r in self.journal.records if r["kind"] == "attempt"]

    def tokens(self) -> int:
        """What codex used so far, over the run's whole life."""
        return sum(r["tokens"] for r in self.journal.records if r["kind"] == "tokens")

    def claim_text(self, **more: str) -> str:
        """The run's claim comment (§6.1)."""
        return leases.text(
            self.shell.redact(self.settings.worker_name),
            self.settings.system,
            self.run_id,
            self.header["at"],
            self.settings.claim_ttl_secs,
            **more,
        )

    def found_bid(self, _: Record) -> dict[str, Any] | None:
        """The run's bid as GitHub shows it: how the effect `claim` is observed."""
        comment = self.lease.find_bid()
        return {"comment": comment} if comment else None

    def let_go(self) -> None:
        """RELEASE: edit the own claim with `released:`, once; the heartbeat is over by then (faults T3)."""
        self.heartbeat.stop()
        if self.stop and isinstance(self.stop.error, Lost):
            self.stop.clear()  # a loss that the heartbeat found meanwhile is no news

        def apply(_: Record) -> dict[str, Any]:
            self.lease.release(self.claim_text(released=leases.stamp()))
            return {}

        # Never looked for: an old read may show what a heartbeat has written over since, and twice is as good as once.
        self.effects.once("release", leases.CLAIM, apply, lambda _: None)

    def is_dead(self, run_id: str) -> bool:
        """Whether another run of this issue has ended, or its claim has died."""
        page = self.github.snapshot(self.issue.id)
        comments, now = page.comments, page.now
        while page.more:
            page = self.github.snapshot(self.issue.id, page.more)
            comments = page.comments + comments
        found = [claim for claim in leases.claims(comments, self.settings.claim_ttl_secs) if claim.run_id == run_id]
        return bool(found) and all(claim.dead(now) for claim in found)

    def fence(self, *statuses: str | None) -> None:
        """Before an outward step: raises Lost unless the claim is ours, alive, and the card is where we left it."""
        self.lease.fence(statuses or (self.definition.base, self.definition.mark))


def new_id(system: str, issue: int) -> str:
    """A run id that sorts by time and names the issue: `20261122T034107Z-n300-i12-7f3c`."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return f"{now}-{system}-i{issue}-{os.urandom(2).hex()}"


def create(
    definition: Definition,
    settings: "Settings",
    issue: "Issue",
    github: "GitHub",
    stop: StopFlag,
    versions: dict[str, str],
) -> Run:
    """Start a run of `issue`: its folder, config.json and a journal with its header, all on disk."""
    run_id = new_id(settings.system, issue.number)
    folder = settings.runs / run_id
    folder.mkdir(parents=True)
    redact = settings.redactor()
    _write_config(clean(settings.public(), redact, ours=False), folder)
    journal = Journal.create(
        folder / "journal.jsonl",
        redact,
        run_id=run_id,
        machine=definition.name,
        machine_table=definition.table(),
        machine_hash=definition.hash,
        system=settings.system,
        worker=settings.worker_name,
        issue={
            "number": issue.number,
            "id": issue.id,
            "title": issue.title,
            "body": issue.body,
            "url": issue.url,
            "labels": list(issue.labels),
            "item": issue.item,
            "status": issue.status,
        },
        settings=settings.public(),
        versions=versions,
        **owner(),
    )
    return assemble(definition, settings, journal, issue, github, stop, redact)


def assemble(
    definition: Definition,
    settings: "Settings",
    journal: Journal,
    issue: "Issue",
    github: "GitHub",
    stop: StopFlag,
    redact: "Redactor",
) -> Run:
    """A Run over an open journal, its commands logged in the run's folder."""
    folder = journal.path.parent

    def record(command: dict[str, object]) -> None:
        journal.append("command", **command)

    mark = mark_of(settings.home, journal.records[0])
    shell = github.shell.logged(mark, folder / "logs", record, redact, stop)
    # gh is ours, not codex's: another role, so that ending codex's survivors leaves a heartbeat alone.
    ours = github.through(github.shell.logged(mark.as_role("github"), folder / "logs", record, redact, stop))
    return Run(definition, settings, journal, issue, shell, ours, stop)


ROLES = ("", "github", "heartbeat")  # whose processes carry a run's mark


def mark_of(home: Path, header: Record) -> Mark:
    """What the processes of a run carry: they began after its header was written."""
    if header.get("boot") == boot_id() != "":
        return Mark(home, header["run_id"], header["mono"])
    passed = time.time() - instant(header)  # in another boot, whose clock says nothing here
    return Mark(home, header["run_id"], max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - passed))


def owner() -> dict[str, Any]:
    """Who writes a journal: enough to tell, after a crash, that this process is dead."""
    import psutil

    process = psutil.Process()
    return {
        "host": platform.node(),
        "pid": process.pid,
        "started": process.create_time(),
        "boot": boot_id(),
    }


def boot_id() -> str:
    """This boot's id; "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _write_config(public: dict[str, Any], folder: Path) -> None:
    """`config.json`: the resolved settings without secrets, and their sha256."""
    import hashlib

    text = json.dumps(public, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "config.json").write_text(json.dumps({"settings": public, "sha256": digest}, indent=2) + "\n")
