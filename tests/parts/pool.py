"""Many trials side by side: each lab takes the next point, until all are run or a signal stops it."""

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tests.parts.trials import Trials, Wrong

Point = TypeVar("Point", bound=Hashable)
Lab = TypeVar("Lab", bound=Trials)


@contextlib.contextmanager
def labs(kinds: Sequence[Callable[[Path], Lab]], folder: Path) -> Iterator[list[Lab]]:
    """A lab of each kind in a folder of its own, for the time of a `with`."""
    with contextlib.ExitStack() as stack:
        made = []
        for number, kind in enumerate(kinds):
            made.append(kind(folder / f"trials-{number}"))
            stack.callback(made[-1].close)
        yield made


def run_all(
    made: Sequence[Lab], points: Sequence[Point], trial: Callable[[Lab, Point], object]
) -> tuple[list[Point], dict[Point, str]]:
    """Run `trial` for every point, one lab a thread; the points that were run, and what was wrong at which.

    SIGINT or SIGTERM ends it early, after the trials that run. What is wrong is printed at once.
    """
    work: queue.SimpleQueue[Point] = queue.SimpleQueue()
    for point in points:
        work.put(point)
    run: list[Point] = []
    wrong: dict[Point, str] = {}
    stop, counting, started = threading.Event(), threading.Lock(), time.monotonic()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def one(lab: Lab) -> None:
        while not stop.is_set():
            try:
                point = work.get_nowait()
            except queue.Empty:
                return
            try:
                trial(lab, point)
            except Exception as problem:  # of the harness too: the others are still to be run
                wrong[point] = str(problem) if isinstance(problem, Wrong) else repr(problem)
                print(f"WRONG {wrong[point]}", flush=True)
            with counting:
                run.append(point)
                if len(run) % 25 == 0:
                    print(f"… {len(run)} of {len(points)} after {time.monotonic() - started:.0f} s", flush=True)

    threads = [threading.Thread(target=one, args=(lab,)) for lab in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return run, wrong
