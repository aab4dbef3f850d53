"""The whole kill matrix, or a sample of it: what `scripts/kill-matrix` runs.

    scripts/kill-matrix                          # every point; writes the counts into tests/README.md
    scripts/kill-matrix --sample 60 --seed 7     # sixty points, as many of each family as its share is, by the seed
    scripts/kill-matrix --family disk --family child
    scripts/kill-matrix --point record:17:torn   # one point, to look at it again

SIGINT or SIGTERM ends it early; what was run until then is counted. Exit code 1 when something was wrong at some point;
what the run left is kept then, and said where. A sample is not written down.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kill import matrix, told
from tests.parts.pool import labs, run_all


def main() -> None:
    """Run the points that were asked for, two at a time, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", choices=list(matrix.FAMILIES))
    parser.add_argument("--sample", type=int, help="so many points, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--point", action="append")
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--list", action="store_true", help="only bring README.md's list of records up to date")
    asked = parser.parse_args()
    folder = asked.dir or Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    families = asked.family or list(matrix.FAMILIES)
    with labs([matrix.Trials] * asked.jobs, folder) as made:
        trace = made[0].trace()
        for trials in made[1:]:
            trials.know(trace)
        if asked.list:
            told.write(told.table(matrix.FAMILIES, trace, {}, {}, told.written()))
            return
        points = chosen(trace, families, asked)
        print(f"{len(points)} points in {folder}", flush=True)
        seen, amiss = run_all(made, points, lambda trials, point: trials.disturb(*point))
    run = {family: sum(of == family for of, _ in seen) for family in families}
    wrong = {family: [point for of, point in amiss if of == family] for family in families}
    table = told.table(matrix.FAMILIES, trace, run, wrong, told.written())
    print(table)
    if not asked.point and asked.sample is None:
        told.write(table)
    sys.exit(1 if amiss else 0)


def chosen(trace: matrix.Trace, families: list[str], asked: argparse.Namespace) -> list[tuple[str, str]]:
    """The points that the arguments name, families side by side: a run that is stopped has seen as much of each."""
    chance = random.Random(asked.seed)
    order: list[tuple[float, str, str]] = []
    for family in families:
        points = trace.points(family)
        if asked.point:
            points = [point for point in asked.point if point in points]
        chance.shuffle(points)
        order += [((nth + chance.random()) / len(points), family, point) for nth, point in enumerate(points)]
    return [(family, point) for _, family, point in sorted(order)][: asked.sample]


if __name__ == "__main__":
    main()
