"""The real `ytfsm`, struck by faults when its run is in certain states: `python tests/faults/worker.py ARGV…`.

STRIKES is a JSON list of strikes, each {"state", "do", "undo", "beat", "until"}. As soon as the journal has a run's way
into `state` (the header, for `ready`; the card's move done, for `marked`), and before the state's work begins, the
requests `do` go to the lab's control socket: [method, path, body]. `["POST", "hold", "board"]` takes the board's lock,
as another process has it, and `["POST", "leap", 60]` sets the clocks ahead. With `beat` the heartbeat then beats once,
before anything else happens. `undo` follows when the run has said `until` times that it waits; with `until` null never.

Time is virtual where the worker only waits: a wait is over at once, and all its clocks have gone on. The heartbeat
keeps up with them. Programs that do not answer are given up after PATIENCE real seconds. The product knows nothing of
this: its functions are replaced from here.
"""

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from yt_fsm.bringup import preflight
from yt_fsm.engine import outbox, walk
from yt_fsm.engine.journal import Journal, Record
from yt_fsm.engine.shell import Shell
from yt_fsm.engine.stop import StopFlag
from yt_fsm.github import client, heartbeat
from yt_fsm.github.heartbeat import Deadline, Heartbeat
from yt_fsm.lab.client import ask

PATIENCE = 3.0  # real seconds for a program that does not answer
GITHUB_SECS = 1.5  # the same for gh
TRIES = 3  # of what GitHub did not answer
BEAT_SECS = 5.0  # real seconds for one heartbeat
STEP_SECS = 60.0  # virtual seconds from one look at the heartbeat to the next
SHORT_SECS, SHORT_STEP_SECS = 5.0, 0.1  # a wait for GitHub's replicas: 20 x as fast, at most
OUTBOX_SECS = 0.3, 1.0  # real seconds between two tries of its thread's
LAST_SECS = 40.0  # real seconds after which a fault ends, said or not


class Time:
    """The clocks of this process, which go faster while it waits, and no program of it runs."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.running = 0  # programs, of all threads
        self._counting = threading.Lock()
        self.real = {"time": time.time, "monotonic": time.monotonic, "clock_gettime": time.clock_gettime}

    def begin(self) -> None:
        """Replace the clocks, and the waits."""
        real = self.real
        time.time = lambda: real["time"]() + self.ahead  # type: ignore[assignment]
        time.monotonic = lambda: real["monotonic"]() + self.ahead  # type: ignore[assignment]
        time.clock_gettime = lambda clock: real["clock_gettime"](clock) + self.ahead  # type: ignore[assignment]
        StopFlag.wait = lambda flag, seconds: self.wait(flag, seconds)  # type: ignore[method-assign, assignment]
        Deadline.wait = _wait_in_a_beat  # type: ignore[method-assign]
        run = Shell.run

        def running(shell: Shell, *given: Any, **more: Any) -> Any:
            self._count(1)
            try:
                return run(shell, *given, **more)
            finally:
                self._count(-1)

        Shell.run = running  # type: ignore[method-assign]

    def _count(self, more: int) -> None:
        with self._counting:
            self.running += more

    def wait(self, flag: StopFlag, seconds: float) -> None:
        """StopFlag.wait, in next to no time."""
        end, step = time.monotonic() + seconds, STEP_SECS if seconds > SHORT_SECS else SHORT_STEP_SECS
        while (left := end - time.monotonic()) > 0 and not flag:
            BEATS.rest()
            if not flag._event.wait(min(0.005, left)) and not self.running:  # which would run out of its time
                self.ahead += min(left, step)
        flag.obey()


def _wait_in_a_beat(deadline: Deadline, seconds: float) -> None:
    left = deadline._left()
    if deadline._over.wait(max(0.0, min(seconds, left, 0.05))) or seconds > left:
        raise client.GitHubError(
            f"GitHub wants {seconds:.0f} s of patience, and the claim has not that long", "SECONDARY"
        )


class Beats:
    """The heartbeat, which beats when it is asked to, and when it is time."""

    def __init__(self) -> None:
        self.asked, self.resting = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        """Replace the heartbeat's rest."""
        Heartbeat._rest = lambda beat, seconds: self._rest(beat, seconds)  # type: ignore[method-assign, assignment]

    def _rest(self, beat: Heartbeat, seconds: float) -> bool:
        self.thread = threading.current_thread()
        end = time.monotonic() + seconds
        self.resting.set()
        while not beat._over.is_set() and time.monotonic() < end and not self.asked.wait(0.01):
            continue
        self.asked.clear()
        self.resting.clear()
        return beat._over.is_set()

    def once(self) -> None:
        """Have it beat now; back when it has."""
        if self.thread is not None and self.thread.is_alive() and self.resting.wait(BEAT_SECS):
            self.resting.clear()
            self.asked.set()
            self.rest()

    def rest(self) -> None:
        """Back when it rests, or is no more."""
        end = TIME.real["monotonic"]() + BEAT_SECS
        me = threading.current_thread()
        while self.thread not in (None, me) and self.thread.is_alive() and TIME.real["monotonic"]() < end:
            if self.resting.wait(0.01):
                return


TIME, BEATS = Time(), Beats()


class Strike:
    """What happens in one state, and when it is over."""

    def __init__(self, state: str, do: list[Any], undo: list[Any], beat: bool, until: int | None) -> None:
        self.state, self.do, self.undo, self.beat, self.until = state, do, undo, beat, until
        self.on = self.over = False
        self._held: list[int] = []

    def come(self) -> None:
        """Strike."""
        self.on = True
        for one in self.do:
            self._ask(*one)
        if self.until is not None:
            timer = threading.Timer(LAST_SECS, self.go)
            timer.daemon = True
            timer.start()
        if self.beat:
            BEATS.once()

    def waits(self) -> None:
        """The run said that it waits."""
        if self.on and self.until is not None:
            self.until -= 1
            if self.until <= 0:
                self.go()

    def go(self) -> None:
        """It is over."""
        if not self.over:
            self.over = True
            for one in self.undo:
                self._ask(*one)
            while self._held:
                os.close(self._held.pop())

    def _ask(self, method: str, path: str, body: Any = None) -> None:
        if path == "hold":
            lock = Path(os.environ["YTFSM_HOME"]) / "locks" / f"{body}-all.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            self._held.append(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            fcntl.flock(self._held[-1], fcntl.LOCK_EX)
            os.write(self._held[-1], b"pid 4242")
        elif path == "leap":
            TIME.ahead += body
        else:
            ask(os.environ["YTFSM_LAB"], method, path, body)


def arm(strikes: list[Strike]) -> None:
    """Have them strike, one after the other."""
    append, unpublished = Journal.append, walk.unpublished
    left = list(strikes)

    def appending(self: Journal, kind: str, **fields: Any) -> Record:
        record = append(self, kind, **fields)
        if kind in ("waiting", "stopped"):
            for strike in strikes:
                strike.waits()
        moved = "marked" if record.get("effect") == "status" else None
        state = {"header": "ready", "transition": record.get("dest"), "effect.done": moved}.get(kind)
        if left and left[0].state == state:
            left.pop(0).come()
        return record

    def undelivered(*given: Any, **more: Any) -> None:
        unpublished(*given, **more)
        for strike in strikes:
            strike.waits()

    Journal.append = appending  # type: ignore[method-assign]
    walk.unpublished = undelivered


def hurry() -> None:
    """Nobody is waited for as long as in earnest."""
    client.TIMEOUT_SECS, preflight.TOOL_SECS = GITHUB_SECS, PATIENCE
    preflight.IMPORT_SECS = 2 * PATIENCE
    client.TRIES = TRIES
    heartbeat._NAP_SECS = 0.01
    outbox.FIRST_SECS, outbox.LAST_SECS = OUTBOX_SECS
    TIME.begin()
    BEATS.begin()


if __name__ == "__main__":
    from machines.__main__ import main

    with contextlib.suppress(KeyError):
        arm([Strike(**one) for one in json.loads(os.environ.pop("STRIKES"))])
    hurry()
    sys.argv[0] = "ytfsm"
    main()
