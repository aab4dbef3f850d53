"""What tests/README.md says of the fault matrix: written by `scripts/fault-matrix`, compared by a test."""

import re
from collections import Counter
from collections.abc import Collection

from tests.parts.readme import Marks

from .table import FAULTS, POINTS, STATES, Point

MARKS = Marks("fault matrix: written by scripts/fault-matrix")


def table(run: Collection[Point], wrong: Collection[Point], before: str) -> str:
    """Trials of each fault in each state (a duration is one) as a Markdown table, then the wrong ones by name.

    A fault of which not every trial was run keeps what `before` says of it.
    """
    trials = Counter((point.fault.name, point.state) for point in run)
    whole = {fault.name for fault in FAULTS if {p for p in POINTS if p.fault is fault} <= set(run)}
    named = set(re.findall(r"`([^`]+/[^`]+/[^`]+)`", before))
    amiss = [p for p in POINTS if (p in wrong if p.fault.name in whole else p.name in named)]
    lines = [f"| fault | {' | '.join(STATES)} | wrong |", f"|---|{'---:|' * (len(STATES) + 1)}"]
    for fault in FAULTS:
        if fault.name in whole:
            cells = [str(trials[fault.name, state] or "") for state in STATES]
            lines.append(f"| {fault.name} | {' | '.join(cells)} | {sum(p.fault is fault for p in amiss)} |")
        else:
            lines += [line for line in before.splitlines() if line.startswith(f"| {fault.name} |")]
    count = sum(int(cell) for line in lines[2:] for cell in line.split(" | ")[1:-1] if cell.strip())
    return "\n".join([*lines, "", told(count, amiss)])


def told(count: int, wrong: Collection[Point]) -> str:
    """How many trials were run, and which were wrong."""
    names = ", ".join(f"`{point.name}`" for point in sorted(wrong, key=lambda point: point.name))
    said = f"{len(FAULTS)} faults, {count} trials of {len(POINTS)}, {len(wrong)} wrong"
    return f"{said}: {names}." if wrong else f"{said}."


def written() -> str:
    """What README.md says now."""
    return MARKS.written()


def write(text: str) -> None:
    """Put `text` between the marks."""
    MARKS.write(text)
