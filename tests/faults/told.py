"""What tests/README.md says of the fault matrix: written by `scripts/fault-matrix`, compared by a test."""

import re
from collections import Counter
from collections.abc import Collection

from tests.parts.readme import Marks

from .points import STATES, Fault, Point
from .table import FAULTS, POINTS

MARKS = Marks("fault matrix: written by scripts/fault-matrix")
HEAD = [f"| fault | {' | '.join(STATES)} | run | wrong |", f"|---|{'---:|' * (len(STATES) + 2)}"]


def table(run: Collection[Point], wrong: Collection[Point], before: str) -> str:
    """The trials of each fault in each state (a duration is one), how many were run and were wrong, the wrong by name.

    A fault of which fewer trials were run now than `before` says keeps what is said there.
    """
    earlier = {name: (int(seen), int(bad)) for name, seen, bad in ROW.findall(before)}
    named = set(re.findall(r"`([^`/]+/[^`/]+/[^`/]+)`", before))
    now, bad = Counter(point.fault for point in run), Counter(point.fault for point in wrong)
    lines, amiss = list(HEAD), [point.name for point in wrong]
    for fault in FAULTS:
        seen, failed = now[fault], bad[fault]
        if seen < earlier.get(fault.name, (0, 0))[0]:
            seen, failed = earlier[fault.name]
            amiss += [point.name for point in of(fault) if point.name in named and point.name not in amiss]
        lines.append(f"{places(fault)} {seen} | {failed} |")
    counts = [(int(seen), int(failed)) for _, seen, failed in ROW.findall("\n".join(lines))]
    return "\n".join([*lines, "", told(sum(seen for seen, _ in counts), amiss)])


ROW = re.compile(r"^\| ([^|]+?) \|.* (\d+) \| (\d+) \|$", re.MULTILINE)


def of(fault: Fault) -> list[Point]:
    """A fault's points."""
    return [point for point in POINTS if point.fault is fault]


def places(fault: Fault) -> str:
    """A line's beginning: the fault's trials in each state."""
    count = Counter(point.state for point in of(fault))
    return f"| {fault.name} | {' | '.join(str(count[state] or '') for state in STATES)} |"


def told(count: int, wrong: Collection[str]) -> str:
    """How many trials were run, and which were wrong."""
    said = f"{len(FAULTS)} faults, {count} trials of {len(POINTS)} run, {len(wrong)} wrong"
    return f"{said}: {', '.join(f'`{name}`' for name in sorted(wrong))}." if wrong else f"{said}."


def written() -> str:
    """What README.md says now."""
    return MARKS.written()


def write(text: str) -> None:
    """Put `text` there."""
    MARKS.write(text)
