"""Random long histories of one issue: the real worker, engine, recovery, states, lease, effects and heartbeat.

Only the far ends are drawn from the seed: GitHub (`hub.py`), time and threads (`clockwork.py`), and the work of the
states between `claimed` and the end, which here is waiting. Kills, reboots, sleeping machines, stops, hand-backs, other
settings after a restart, and persons happen at random; then all is well again and the issue must come to an end.
"""

import dataclasses
import logging
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from machines.bringup import MACHINE, WORKING
from states.bringup import claimed
from yt_fsm.bringup import preflight
from yt_fsm.bringup.facts import BringupFacts
from yt_fsm.bringup.run import BringupRun
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine import breaker, clock, janitor, journal, outbox, processes, record, recovery, walk, worker
from yt_fsm.engine import run as run_module
from yt_fsm.engine.errors import SetupError, StopRequested
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.shell import Shell, StopFlag
from yt_fsm.github import heartbeat, lease, publishing, queue
from yt_fsm.github.lease import CLAIM, STATUS, fields_of

from . import clockwork as clocks
from .clockwork import Clockwork, Host, Killed, current
from .hub import FINAL, GitHub, Hub, Weather

TROUBLE_SECS = 3 * 3600.0  # how long things go wrong
CALM_SECS = 12 * 3600.0  # and how long the issue then may take to come to its end
TTLS = (60, 90, 300, 900)
SETTLES = (20.0, 60.0)


@dataclasses.dataclass
class Told:
    """What one history came to."""

    seed: int
    broken: str
    counts: dict[str, int]
    story: list[str]


class HistoryFacts(BringupFacts):
    """Those of a bringup, and whether the win was told of."""

    won: str = ""


class HistoryRun(BringupRun):
    """A bringup in a history."""

    facts: HistoryFacts


class NoPrograms(Shell):
    """Starts nothing."""

    def run(self, argv: list[str], **options: Any) -> Any:
        """No state of a history runs a program."""
        raise AssertionError(f"a history starts no programs: {argv}")


class History:
    """One history: two or three machines, one issue, persons."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.dice = random.Random(seed)
        self.clockwork = Clockwork(self.dice)
        self.settle = self.dice.choice(SETTLES)
        self.hub = Hub(self.clockwork, self.settle)
        self.hub.weather = Weather.drawn(self.dice, self.settle)
        self.hosts = [Host(f"m{n}", self.dice.random() * 1e6) for n in range(self.dice.choice((2, 2, 3)))]
        self.workers: dict[str, worker.Worker | None] = {}
        self.journals: dict[str, list[Journal]] = {host.name: [] for host in self.hosts}
        self.ids = 0

    def tell(self) -> Told:
        """Let it happen."""
        clockwork, hub = self.clockwork, self.hub
        try:
            for host in self.hosts:
                self.start(host)
            for _ in range(self.dice.randint(2, 25)):
                clockwork.plan(self.dice.random() * TROUBLE_SECS, self.trouble)
            began = clockwork.now
            clockwork.run(began + TROUBLE_SECS, lambda: bool(hub.broken))
            if not hub.broken:
                self.calm()
                clockwork.run(clockwork.now + CALM_SECS, lambda: bool(hub.broken) or self.settled())
                self.judge()
        except Exception as bug:
            hub.wrong(f"a worker dies of {bug!r}")
        finally:
            for host in self.hosts:
                self.kill(host)
        return Told(self.seed, hub.broken, hub.counts, hub.told)

    # --- machines

    def start(self, host: Host) -> None:
        """A worker begins on the machine, which has none."""
        ttl = self.dice.choice(TTLS)
        self.hub.say(f"{host.name} starts a worker (claims live {ttl} s)")
        self.clockwork.start(host, lambda: self.work(host, ttl), host.name)

    def work(self, host: Host, ttl: int) -> None:
        """A worker's process, until it is stopped."""
        settings = Settings(
            system="n300", worker_name=host.name, home=self.folder / host.name, tmp_root=self.folder, project_number=1,
            claim_ttl_secs=ttl, settle_secs=self.settle, sleep_secs=120, write_gap_secs=0,
        )  # fmt: skip
        made = worker.Worker(self.machine(), settings, NoPrograms("history", Redactor()))
        made.queue.github = GitHub(self.hub, made.shell)  # type: ignore[attr-defined]
        self.workers[host.name] = made
        try:
            made.work()
        except (StopRequested, SetupError) as stop:  # a signal, or the breaker: GitHub refused three runs in a row
            self.hub.say(f"{host.name}: {stop}")
            self.workers[host.name] = None
            self.clockwork.plan(self.dice.random() * 300, lambda: self.restart(host, host.life))

    def restart(self, host: Host, life: int) -> None:
        """Start a worker, unless somebody did."""
        if host.life == life:
            host.life += 1
            self.start(host)

    def kill(self, host: Host) -> None:
        """`kill -9`: threads and locks go with the process."""
        self.workers[host.name] = None
        self.clockwork.end(host)
        for kept in self.journals[host.name]:
            kept.close()
        self.journals[host.name].clear()

    # --- what goes wrong

    def trouble(self) -> None:
        """Something happens to a machine, or a person does something."""
        host = self.dice.choice(self.hosts)
        {
            "kill": self.crash, "reboot": self.reboot, "sleep": self.fall_asleep, "stop": self.ask_to_stop,
            "person": self.person,
        }[self.dice.choice(("kill", "kill", "kill", "reboot", "sleep", "stop", "person"))](host)  # fmt: skip

    def crash(self, host: Host, after: float | None = None) -> None:
        """Its process dies, and is started again a second, or an hour later."""
        self.hub.say(f"{host.name} is killed")
        self.hub.count("killed")
        self.kill(host)
        life = host.life
        pause = self.dice.choice((1.0, 60.0, 400.0, 2000.0)) * (0.5 + self.dice.random()) if after is None else after
        self.clockwork.plan(pause, lambda: self.restart(host, life))

    def reboot(self, host: Host) -> None:
        """Its clock begins anew."""
        self.hub.say(f"{host.name} loses power")
        self.crash(host, 30 + self.dice.random() * 900)
        host.booted = self.clockwork.now

    def fall_asleep(self, host: Host) -> None:
        """The machine is suspended; not between a fence and what it allows."""
        if host.owed:
            self.clockwork.plan(1.0, lambda: self.fall_asleep(host))
            return
        pause = self.dice.choice((30.0, 100.0, 400.0, 2000.0)) * (0.5 + self.dice.random())
        self.hub.say(f"{host.name} sleeps for {pause:.0f} s")
        self.hub.count("slept")
        host.asleep_until = self.clockwork.now + pause

    def ask_to_stop(self, host: Host) -> None:
        """SIGTERM, and maybe a second one."""
        running = self.workers.get(host.name)
        if running is None:
            return
        self.hub.say(f"{host.name} gets SIGTERM")
        self.hub.count("stopped")
        running._on_signal(signal.SIGTERM, None)
        if self.dice.random() < 0.5:
            running._on_signal(signal.SIGTERM, None)

    def person(self, _: Host) -> None:
        """A person writes `released:`, closes, parks, takes the label, deletes a claim, or queues again."""
        hub = self.hub
        claims = [c for c in hub.now.comments if c.first_line == CLAIM]
        deed = self.dice.choice(("release", "release", "close", "park", "label", "delete", "queue", "queue"))
        hub.count("persons")
        if deed == "queue":
            if hub.now.status in FINAL:
                self.queue()
            return
        if hub.now.status in FINAL and deed != "release":
            return
        if deed in ("release", "delete"):
            if not claims:
                return
            claim = self.dice.choice(claims)
            run = fields_of(claim.body)["run_id"]
            hub.taken.add(run)
            if deed == "release":
                hub.say(f"a person writes `released:` into the claim of {run}")
                hub.edit(claim.id, claim.body + "released: by hand\n", "anna")
            else:
                hub.say(f"a person deletes the claim of {run}")
                hub.void.add(run)
                hub.delete(claim.id)
                self.clockwork.plan(self.dice.random() * 3600, self.queue)  # mends what that may leave behind
            return
        hub.taken.update(fields_of(claim.body)["run_id"] for claim in claims)
        hub.say(f"a person does this: {deed}")
        if deed == "close":
            hub.change(open=False)
        elif deed == "park":
            hub.move("assessing")
        else:
            hub.change(labels=())
        self.clockwork.plan(60 + self.dice.random() * 3600, self.queue)

    def queue(self) -> None:
        """A person gives the issue to the workers, once more."""
        hub = self.hub
        if hub.now.open and hub.now.status == "in progress" and hub.now.labels:
            claims = [c for c in hub.now.comments if c.first_line == CLAIM]
            if claims:
                return
        hub.say("a person sets the issue to ready")
        hub.ended.clear()
        hub.round.clear()
        hub.change(status="ready", open=True, labels=("n300",))

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.hub.say("all is well from here on")
        self.hub.weather = Weather()
        self.clockwork.planned = [item for item in self.clockwork.planned if item[2].__name__ != "trouble"]

    # --- how it ends

    def settled(self) -> bool:
        """Whether the issue has come to an end and nobody is at work."""
        busy = self.clockwork.planned or any(w is None or w._current or w.outbox for w in self.workers.values())
        return self.hub.now.status in FINAL and not busy

    def judge(self) -> None:
        """What must be true in the end."""
        hub = self.hub
        if hub.now.status not in FINAL:
            hub.wrong(f"stuck: its status is {hub.now.status!r}, open {hub.now.open}")
        said = Counter(fields_of(c.body)["run_id"] for c in hub.now.comments if c.first_line == STATUS)
        for run, times in said.items():
            if times > 1:
                hub.wrong(f"ended twice: {run} says so {times} times")
        for claim in hub.now.comments:
            texts = hub.edits.get(claim.id, [])
            freed = any(who == "anna" for who, _ in texts)
            if freed and "released" not in fields_of(claim.body) and fields_of(claim.body)["run_id"] not in said:
                hub.wrong(f"a person's `released:` in the claim of {fields_of(claim.body)['run_id']} was written over")

    # --- the machine

    def machine(self) -> Any:
        """The bringup machine; what it does to models takes some time here, and nothing else."""
        dice, hub = self.dice, self.hub

        def begin(run: HistoryRun) -> str:
            if not run.facts.won:
                run.facts.won = "yes"
                hub.won(run.run_id)
            return claimed.enter(run)

        def takes(event: str, *seconds: float) -> Callable[[HistoryRun], str]:
            def work(run: HistoryRun) -> str:
                run.stop.wait(dice.choice(seconds) * dice.random())
                return event

            return work

        def check(run: HistoryRun) -> str:
            run.stop.wait(dice.random() * 60)
            if dice.random() < 0.2:
                return "retry"
            return dice.choice(("accept", "give_up"))

        def end(status: str) -> Callable[[HistoryRun], None]:
            def work(run: HistoryRun) -> None:
                publishing.set_status(run, status, run.subject.mark)
                publishing.comment(run, status, "It is over.")

            return work

        work = {
            "claimed": begin,
            "setup": takes("fetch", 1.0),
            "download": takes("clear", 10.0, 300.0),
            "reset": takes("begin", 10.0),
            "bringup": takes("submit", 10.0, 600.0, 3000.0),
            "checking": check,
            "review": end("in review"),
            "failed": end("failed"),
            "setup_error": end("setup error"),
            "reference_error": end("reference error"),
        }
        assert set(WORKING) <= set(work)
        return dataclasses.replace(
            MACHINE,
            states={**MACHINE.states, **work},
            restore=lambda run, going_on: None,
            run=HistoryRun,
            facts=HistoryFacts,
        )


# --- the real code in a drawn world


@contextmanager
def patched(given: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """These attributes, for a while."""
    before = [(where, name, getattr(where, name)) for where, name, _ in given]
    for where, name, value in given:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in before:
            setattr(where, name, value)


def boot_secs() -> float:
    """The clock of the current task's machine."""
    task = current()
    return task.clockwork.now - task.host.booted + 1e6


def wait(flag: StopFlag, seconds: float) -> None:
    """StopFlag's, in drawn time."""
    if not flag:
        current().clockwork.sleep(seconds, lambda: bool(flag))
    flag.obey()


def drawn(history: History) -> list[tuple[Any, str, Any]]:
    """What stands for the world outside while a history is told."""
    append, create, fence = Journal.append, Journal.__init__, BringupRun.fence

    def appended(self: Journal, kind: str, **fields: Any) -> Any:
        if current().dead:
            raise Killed
        if kind == "transition" and fields["event"] == "lose":
            history.hub.left.add(self.records[0]["run_id"])
        return append(self, kind, **fields)

    def made(self: Journal, *given: Any, **more: Any) -> None:
        create(self, *given, **more)
        history.journals[current().host.name].append(self)

    def passed(self: BringupRun, *statuses: str | None) -> None:
        fence(self, *statuses)
        history.hub.passed(self.run_id)
        current().host.owed = 1

    def named(tag: str) -> str:
        history.ids += 1
        return f"20261122T034107Z-n300-i1-{history.ids:04x}"

    def owner() -> dict[str, Any]:
        host = current().host
        return {
            "host": host.name,
            "machine_id": host.name,
            "pid": host.life,
            "started": 0.0,
            "boot": f"{host.booted:.3f}",
        }

    timing = SimpleNamespace(
        clock_gettime=lambda _: boot_secs(), CLOCK_BOOTTIME=0, monotonic=boot_secs, time=lambda: 0.0, sleep=None
    )
    return [
        (Journal, "append", appended),
        (Journal, "__init__", made),
        (BringupRun, "fence", passed),
        (StopFlag, "wait", wait),
        (journal, "time", timing),
        (journal, "BALLAST_BYTES", 0),
        (clock, "boot_secs", boot_secs),
        (queue, "boot_secs", boot_secs),
        (run_module, "new_id", named),
        (run_module, "owner", owner),
        (recovery, "owner", owner),
        (run_module, "_write_config", lambda settings, folder: None),
        (worker, "time", timing),
        (worker, "boot_secs", boot_secs),
        (breaker, "boot_secs", boot_secs),
        (breaker, "time", timing),
        (outbox, "threading", clocks),
        (worker, "random", history.dice),
        (lease, "random", history.dice),
        (heartbeat, "threading", clocks),
        (preflight, "needs", lambda shell, github, settings: []),
        (record, "write", lambda run: None),
        # No process of this machine is looked for, and none is ended.
        (walk, "end_survivors", lambda marker: []),
        (recovery, "end_survivors", lambda marker: []),
        (janitor, "end_survivors", lambda marker: []),
        (processes, "marked", lambda: iter(())),
    ]


def tell(seed: int, folder: Path) -> Told:
    """One history, told from its seed alone."""
    place = folder / str(seed)
    place.mkdir()
    history = History(seed, place)
    log = logging.getLogger("ytfsm")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with patched(drawn(history)):
            return history.tell()
    finally:
        log.setLevel(level)
        shutil.rmtree(place, ignore_errors=True)


def tell_many(first: int, count: int) -> Iterator[Told]:
    """Histories of the seeds from `first` on; their journals are on a disk that is memory, where there is one."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="histories-", dir=memory) as folder:
        for seed in range(first, first + count):
            yield tell(seed, Path(folder))
