"""The whole kill matrix, or a share of it: what `scripts/kill-matrix` runs.

    scripts/kill-matrix                          # every point; writes the counts into tests/README.md
    scripts/kill-matrix --share 0.1 --seed 7     # a tenth of each family, chosen by the seed
    scripts/kill-matrix --family disk --family child
    scripts/kill-matrix --point record:17:torn   # one point, to look at it again

SIGINT or SIGTERM ends it early; what was run until then is counted. Exit code 1 when something was wrong at some point;
what the run left is kept then, and said where.
"""

import argparse
import contextlib
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kill import matrix, told


def main() -> None:
    """Run the points that were asked for, two at a time, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", choices=list(matrix.FAMILIES))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--point", action="append")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--list", action="store_true", help="only bring README.md's list of records up to date")
    asked = parser.parse_args()
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    families = asked.family or list(matrix.FAMILIES)
    work: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    run = dict.fromkeys(families, 0)
    wrong: dict[str, list[str]] = {family: [] for family in families}
    stop, counting = threading.Event(), threading.Lock()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with contextlib.ExitStack() as stack:
        labs = []
        for number in range(asked.jobs):
            trials = matrix.Trials(folder / f"trials-{number}")
            stack.callback(trials.close)
            labs.append(trials)
        trace = labs[0].trace()
        for trials in labs[1:]:
            trials.know(trace)
        if asked.list:
            told.write(told.table(matrix.FAMILIES, trace, {}, {}, told.written()))
            return
        chance = random.Random(asked.seed)
        order: list[tuple[float, str, str]] = []
        for family in families:
            points = trace.points(family)
            if asked.point:
                points = [p for p in asked.point if p in points]
            chance.shuffle(points)
            points = points[: max(1, round(asked.share * len(points)))]
            # Side by side, so that a run that is stopped early has seen as much of every family.
            order += [(nth / len(points), family, point) for nth, point in enumerate(points)]
        for _, family, point in sorted(order):
            work.put((family, point))
        total, started = work.qsize(), time.monotonic()
        print(f"{total} points in {folder}", flush=True)

        def one(trials: matrix.Trials) -> None:
            while not stop.is_set():
                try:
                    family, point = work.get_nowait()
                except queue.Empty:
                    return
                try:
                    trials.disturb(family, point)
                except matrix.Wrong as problem:
                    wrong[family].append(point)
                    print(f"WRONG {problem}", flush=True)
                with counting:
                    run[family] += 1
                    if sum(run.values()) % 25 == 0:
                        print(f"… {sum(run.values())} of {total} after {time.monotonic() - started:.0f} s", flush=True)

        threads = [threading.Thread(target=one, args=(trials,)) for trials in labs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    table = told.table(matrix.FAMILIES, trace, run, wrong, told.written())
    print(table)
    if not asked.point:
        told.write(table)
    sys.exit(1 if any(wrong.values()) else 0)


if __name__ == "__main__":
    main()
