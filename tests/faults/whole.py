"""The whole fault matrix, or a sample of it: what `scripts/fault-matrix` runs.

    scripts/fault-matrix                          # every point; writes the counts into tests/README.md
    scripts/fault-matrix --sample 100 --seed 7    # a hundred points, chosen by the seed
    scripts/fault-matrix --fault "git away" --state review
    scripts/fault-matrix --point bad-gateway/claimed/lasting
    scripts/fault-matrix --list                   # the points, and how each must end; nothing is run

SIGINT or SIGTERM ends it early; what was run until then is counted. Exit code 1 when something was wrong at some point;
what the run left is kept then, and said where. A fault's line in tests/README.md is new unless an earlier run saw more.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults import table, told
from tests.faults.matrix import Faults
from tests.faults.points import STATES, Point
from tests.parts.pool import labs, run_all


def main() -> None:
    """Run the points that were asked for, two at a time, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="so many points, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", action="append", choices=[fault.name for fault in table.FAULTS], metavar="NAME")
    parser.add_argument("--state", action="append", choices=STATES)
    parser.add_argument("--point", action="append", choices=[point.name for point in table.POINTS], metavar="POINT")
    parser.add_argument("--list", action="store_true", help="only print the points")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--dir", type=Path)
    asked = parser.parse_args()
    points = chosen(asked)
    if asked.list:
        for point in points:
            print(f"{point.name:60} {point.end}")
        return
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="fault-matrix-"))
    print(f"{len(points)} points in {folder}", flush=True)
    with labs([Faults] * asked.jobs, folder) as made:
        run, wrong = run_all(made, points, lambda trials, point: trials.strike(point))
    print(told.told(len(run), [point.name for point in wrong]))
    told.write(told.table(run, wrong, told.written()))
    sys.exit(1 if wrong else 0)


def chosen(asked: argparse.Namespace) -> list[Point]:
    """The points that the arguments name, in an order of chance, so that a run that is stopped has seen of all."""
    points = [
        point
        for point in table.POINTS
        if (not asked.fault or point.fault.name in asked.fault)
        and (not asked.state or point.state in asked.state)
        and (not asked.point or point.name in asked.point)
    ]
    if asked.list and asked.sample is None:
        return points
    random.Random(asked.seed).shuffle(points)
    return points[: asked.sample]


if __name__ == "__main__":
    main()
