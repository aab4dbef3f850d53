"""Time and threads that a seed decides: one task runs at a time, and time passes only when all of them wait.

Tasks are real threads, so the code under test blocks where it always does; which one goes on is drawn.
"""

import random
import threading
from collections.abc import Callable

Ready = Callable[[], bool]

_current = threading.local()


class Killed(BaseException):
    """The process of this task is dead: nothing that it still does has an effect."""


class Stalled(Exception):
    """The history goes on for ever without time passing."""


class Host:
    """A machine: its clock since boot, whether it sleeps, and the tasks of the one process that runs there."""

    def __init__(self, name: str, booted: float) -> None:
        self.name, self.booted = name, booted
        self.life = 0  # the number of its current process
        self.asleep_until = 0.0
        self.owed = 0  # writes whose fence was passed a moment ago: no machine falls asleep there


class Task:
    """One thread of a host's process."""

    def __init__(self, clockwork: "Clockwork", host: Host, work: Callable[[], object], name: str) -> None:
        self.clockwork, self.host, self.life, self.name = clockwork, host, host.life, name
        self.until, self.ready = clockwork.now, _never
        self.over = False
        self.turn = threading.Semaphore(0)
        self.read = 0.0  # when the version was current that its last read showed
        self._work = work
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def dead(self) -> bool:
        """Whether its process was killed."""
        return self.life != self.host.life

    def due(self) -> float:
        """When it goes on, at the latest."""
        if self.dead:
            return self.clockwork.now
        _current.task = self  # what it waits for may read its machine's clock
        try:
            ready = self.ready()
        finally:
            del _current.task
        return max(self.clockwork.now if ready else self.until, self.host.asleep_until)

    def _run(self) -> None:
        _current.task = self
        self.turn.acquire()
        try:
            if not self.dead:
                self._work()
        except Killed:
            pass
        except BaseException as bug:
            self.clockwork.failed = self.clockwork.failed or bug
        finally:
            self.over = True
            self.clockwork.back.release()


def _never() -> bool:
    return False


def current() -> Task:
    """The task that runs."""
    task: Task = _current.task
    return task


class Clockwork:
    """The tasks of one history and what happens at which time."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now = 1_790_000_000.0
        self.tasks: list[Task] = []
        self.planned: list[tuple[float, int, Callable[[], None]]] = []
        self.back = threading.Semaphore(0)
        self.failed: BaseException | None = None
        self._count = 0

    def start(self, host: Host, work: Callable[[], object], name: str) -> Task:
        """A thread of the host's process."""
        task = Task(self, host, work, name)
        self.tasks.append(task)
        return task

    def plan(self, seconds: float, deed: Callable[[], None]) -> None:
        """Have something happen later."""
        self._count += 1
        self.planned.append((self.now + seconds, self._count, deed))

    def sleep(self, seconds: float, ready: Ready = _never) -> None:
        """Let the others go on; returns after so long, or once `ready`. Raises Killed in a dead process."""
        task = current()
        if task.dead:
            raise Killed
        task.until, task.ready = self.now + max(seconds, 0.001), ready  # a float may be too coarse for less
        self.back.release()
        task.turn.acquire()
        if task.dead:
            raise Killed

    def run(self, until: float, over: Ready = _never) -> None:
        """Go on until that time, or until `over`. Raises what a task raised."""
        steps = 0
        while not over():
            steps += 1
            if steps > 200_000:
                raise Stalled("200,000 steps")
            self.tasks = [task for task in self.tasks if not task.over]
            times = [(task.due(), place, task) for place, task in enumerate(self.tasks)]
            first = min([time for time, _, _ in times] + [time for time, _, _ in self.planned], default=until)
            if first > until:
                break
            self.now = max(self.now, first)
            happens = [item for item in self.planned if item[0] <= self.now]
            if happens:
                chosen = min(happens)
                self.planned.remove(chosen)
                chosen[2]()
                continue
            self._turn(self.dice.choice([task for time, _, task in times if time <= self.now]))
            if self.failed:
                raise self.failed
        else:
            return
        self.now = max(self.now, until)

    def end(self, host: Host) -> None:
        """Kill the host's process: its tasks unwind without effect."""
        host.life += 1
        host.owed = 0
        for task in [task for task in self.tasks if task.host is host]:
            while not task.over:
                self._turn(task)

    def _turn(self, task: Task) -> None:
        task.turn.release()
        self.back.acquire()


class Event:
    """As threading's."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        """Let those who wait go on."""
        self._set = True

    def clear(self) -> None:
        """Have them wait again."""
        self._set = False

    def is_set(self) -> bool:
        """Whether it is."""
        return self._set

    def wait(self, seconds: float) -> bool:
        """Wait for it."""
        if not self._set:
            current().clockwork.sleep(seconds, self.is_set)
        return self._set


class Thread:
    """As threading's, on the current task's host."""

    def __init__(self, target: Callable[[], None], name: str, daemon: bool) -> None:
        self._target, self._name = target, name
        self._task: Task | None = None

    def start(self) -> None:
        """Begin."""
        task = current()
        self._task = task.clockwork.start(task.host, self._target, self._name)

    def join(self) -> None:
        """Wait for its end."""
        task = self._task
        if task is not None and not task.over:
            current().clockwork.sleep(float("inf"), lambda: task.over)
