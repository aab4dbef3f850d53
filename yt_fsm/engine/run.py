"""A run: one subject's walk through a machine, and what its states share."""

import json
import logging
import os
import platform
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .clock import Clock
from .effects import Effects
from .errors import SetupError, Verdict
from .facts import Facts
from .journal import Journal, Record
from .jsonable import clean
from .machine import LOSE, Definition
from .processes import Mark
from .replay import instant, refusal_of, state_of
from .shell import Shell
from .stop import StopFlag
from .subject import Subject
from .workspace import Workspace, prefix

if TYPE_CHECKING:
    from .redaction import Redactor
    from .settings import Settings

log = logging.getLogger("ytfsm")

ROLES = ("", "subject", "heartbeat")  # whose processes carry a run's mark


class Hold(NamedTuple):
    """Something that a run holds, and how it is let go of; `waits`: not before the outbox is empty.

    What can be had again by `back` is let go of while the run waits, too.
    """

    what: str
    let_go: Callable[[], object]
    waits: bool
    back: Callable[[], object] | None


class Pause(NamedTuple):
    """A wait that began: until when, by the wall's clock or else by the boot's, and what was let go of meanwhile."""

    until: float | None  # seconds since the epoch
    probe_at: float  # CLOCK_BOOTTIME, where `until` is None
    back: list[Hold]


class Run:
    """One run: the model that `transitions` moves; a machine's own kind of run is a subclass.

    `state` is always the journal's last transition; `next_event` is what the state's work left behind. States reach
    the outside world through `shell` and `effects`, and remember what they learned in `facts`.
    """

    facts: Facts
    workspace_kind: type[Workspace] = Workspace
    foreign: tuple[str, ...] = ()  # of its folder, what unreviewed code wrote: no artifacts

    def __init__(
        self,
        definition: Definition,
        settings: "Settings",
        journal: Journal,
        subject: Subject,
        shell: Shell,
    ) -> None:
        self.definition, self.settings, self.journal = definition, settings, journal
        self.subject, self.shell, self.stop = subject, shell, shell.stop
        self.folder = journal.path.parent
        self.header = journal.records[0]
        self.mark = mark_of(settings.home, self.header)
        self.run_id: str = self.header["run_id"]
        self.facts = definition.facts(journal)
        self.state: str = state_of(journal.records) or definition.initial
        self.next_event: str | None = None
        self.problem: Verdict | None = None  # why the run leaves its good path
        self.waiting: str | None = None  # why its outbox is not empty yet
        self.pause: Pause | None = None  # what its state's work waits for
        self.patient = True  # whether it is waited for when it has to wait
        self.probes = 0  # waits in a row of which nobody knew the end
        self.waits_since: float | None = None  # CLOCK_BOOTTIME of the first of them
        refusal = refusal_of(journal.records)
        self.refused: str | None = refusal["error"] if refusal else None  # why it is not published for good
        self.untold = bool(refusal and refusal.get("again"))  # nor was that said where people see it, as far as we know
        self.over = False  # its end is being written: nothing of it goes on
        self.holds: list[Hold] = []
        self.effects = Effects(journal, Clock(self.stop), settings.settle_secs)
        self.subject.join(self)
        self.hold("workspace", self.leave_workspace)
        build(definition, self)

    if TYPE_CHECKING:

        def trigger(self, event: str) -> bool:
            """Given by `transitions`; called by the engine only."""

    # --- what transitions calls

    def persist(self, event: Any) -> None:
        """Write the transition to the journal, and sync it, before the machine is in its new state."""
        source, dest = event.transition.source, event.transition.dest
        status = self.definition.status_of(event.event.name, source)
        self.journal.append("transition", event=event.event.name, source=source, dest=dest, status=status)
        log.info("run_id=%s %s %s --%s--> %s", self.run_id, self.subject.words, source, event.event.name, dest)

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

    def hold(
        self,
        what: str,
        let_go: Callable[[], object],
        waits: bool = False,
        back: Callable[[], object] | None = None,
    ) -> None:
        """Have the engine let go of something when the walk is over, the last held first, whatever became of the rest.

        `let_go` may be called when there is nothing to let go of, and returns something true when there was. With
        `waits` it is kept while the run's outbox is not empty. With `back` it is let go of while the state's work waits
        (a board), and `back()` has it again before that goes on.
        """
        self.holds.append(Hold(what, let_go, waits, back))

    @property
    def final(self) -> bool:
        """Whether no transition leads on."""
        return self.state in self.definition.final

    @property
    def at_start(self) -> bool:
        """Whether nothing was taken yet, so that whatever would end or hold up the run is `lose`."""
        return self.state == self.definition.initial and self.definition.allows(LOSE, self.state)

    @property
    def taken(self) -> bool:
        """Whether its subject ever was its own: a transition other than `lose` led out of the initial state."""
        return any(move["event"] != LOSE for move in self.journal.all("transition"))

    @property
    def arrived_by(self) -> str | None:
        """The event of the last transition."""
        move = self.journal.last("transition")
        return move["event"] if move else None

    @property
    def workspace(self) -> Workspace:
        """The run's temp folder, whether it exists or not. Raises SetupError when the journal names another place."""
        return self.workspace_kind.of(self.facts.workspace, self.settings.tmp_root, self.mark)

    def new_workspace(self) -> None:
        """Name a temp folder that nobody else has, and make it. Raises SetupError when there can be none."""
        import tempfile

        root = self.settings.tmp_root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.facts.workspace = tempfile.mkdtemp(prefix=prefix(self.mark), dir=root)
        except OSError as problem:
            raise SetupError(f"no workspace can be made in YT_TMP_ROOT = {root}: {problem.strerror}") from None

    def empty_workspace(self) -> Workspace:
        """Have a workspace with nothing in it: always the same folder in a run's life, so that programs find their
        paths again, but for one that cannot be deleted, which is left to the janitor (faults S3).
        """
        if not self.facts.workspace:
            self.new_workspace()
        try:
            self.workspace.delete()
        except SetupError as problem:
            log.error("run_id=%s %s; it goes on in a new one", self.run_id, problem)
            self.new_workspace()
        self.workspace.make()
        return self.workspace

    def leave_workspace(self) -> bool:
        """Delete the workspace; whether there was one. Raises SetupError where it cannot be deleted."""
        if not self.facts.workspace or not os.path.lexists(self.workspace.folder):
            return False
        self.workspace.delete()
        return True

    @property
    def artifacts(self) -> Path:
        """Where what a run makes is kept."""
        return self.folder / "artifacts"

    def shell_as(self, role: str) -> Shell:
        """The run's shell for programs that are not its states' own, so that ending those leaves these alone."""
        return self.shell.as_role(self.mark.as_role(role))

    def summary(self) -> dict[str, Any]:
        """What a machine's own `run_record.json` has beside what every run's has."""
        return {}

    @property
    def url(self) -> str | None:
        """Where a person sees what came of it."""
        return None


def build(definition: Definition, run: Any) -> Any:
    """The `transitions.Machine` that moves `run`; its `run.trigger(event)` is called by the engine only.

    Before the state changes the journal has the transition on disk; entering a state does that state's work.
    """
    import transitions

    return transitions.Machine(
        model=run,
        states=[{"name": name, "on_enter": [run.on_enter]} for name in definition.states],
        transitions=[{"trigger": e.event, "source": e.source, "dest": e.dest} for e in definition.edges],
        initial=run.state,
        before_state_change=[run.persist],
        auto_transitions=False,  # no `to_*` jumps round the table
        send_event=True,
        queued=False,  # a queued trigger always says True and forgets its queue on an exception
    )


def new_id(tag: str) -> str:
    """A run id that sorts by time and names the subject: `20261122T034107Z-n300-i12-7f3c`."""
    now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return f"{now}-{tag}-{os.urandom(2).hex()}"


def create(
    definition: Definition, settings: "Settings", subject: Subject, shell: Shell, versions: dict[str, str]
) -> Any:
    """Start a run about `subject`: its folder, config.json and a journal with its header, all on disk."""
    run_id = new_id(subject.tag)
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
        worker=settings.worker_name,
        **subject.header(),
        subject={"kind": subject.kind, "words": subject.words, **subject.data()},
        settings=settings.public(),
        versions=versions,
        **owner(),
    )
    return assemble(definition, settings, journal, subject, shell, redact)


def assemble(
    definition: Definition,
    settings: "Settings",
    journal: Journal,
    subject: Subject,
    shell: Shell,
    redact: "Redactor",
) -> Any:
    """A run of the machine's own kind over an open journal; its commands are logged in its folder.

    It has a stop flag of its own: a signal stops the worker's run, and a heartbeat only its own.
    """
    mark = mark_of(settings.home, journal.records[0])

    def record(command: dict[str, object]) -> None:
        journal.append("command", **command)

    ours = shell.logged(mark, journal.path.parent / "logs", record, redact, StopFlag())
    return definition.run(definition, settings, journal, subject, ours)


def mark_of(home: Path, header: Record) -> Mark:
    """What the processes of a run carry: they began after its header was written."""
    if header.get("boot") == boot_id() != "":
        return Mark(home, header["run_id"], header["mono"])
    passed = time.time() - instant(header)  # in another boot, whose clock says nothing here
    return Mark(home, header["run_id"], max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - passed))


def owner() -> dict[str, Any]:
    """Who writes a journal: enough to tell, after a crash, that this process is dead, and that the machine is ours."""
    import psutil

    process = psutil.Process()
    return {
        "host": platform.node(),
        "machine_id": machine_id(),
        "pid": process.pid,
        "started": process.create_time(),
        "boot": boot_id(),
    }


def lives(told: dict[str, Any]) -> bool:
    """Whether the process that wrote its `owner()` down is there still."""
    import psutil

    try:
        return bool(told["boot"] == boot_id() and psutil.Process(told["pid"]).create_time() == told["started"])
    except (KeyError, TypeError, ValueError, psutil.Error):
        return False


def machine_id() -> str:
    """A hash of what a machine keeps when it is renamed (the id itself is not for others); "" without one."""
    import hashlib

    try:
        found = Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
    return hashlib.sha256(f"ytfsm\0{found}".encode()).hexdigest()[:16] if found else ""


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
