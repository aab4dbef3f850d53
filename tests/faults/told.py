"""What tests/README.md says of the fault matrix: written by `scripts/fault-matrix`, compared by a test."""

from collections import Counter
from collections.abc import Collection, Iterable

from tests.parts import readme

from .table import FAULTS, POINTS, STATES, Point

MARKS = readme.Marks("fault matrix: written by scripts/fault-matrix")


def table(run: Iterable[Point], wrong: Collection[Point]) -> str:
    """Trials of each fault in each state (a duration is one) as a Markdown table, then the wrong ones by name."""
    trials, bad = Counter(_cell(point) for point in run), Counter(_cell(point) for point in wrong)
    lines = [f"| fault | {' | '.join(STATES)} | wrong |", f"|---|{'---:|' * (len(STATES) + 1)}"]
    for fault in FAULTS:
        cells = [str(trials[fault.name, state] or "") for state in STATES]
        amiss = sum(bad[fault.name, state] for state in STATES)
        lines.append(f"| {fault.name} | {' | '.join(cells)} | {amiss} |")
    count = sum(trials.values())
    lines += ["", f"{len(FAULTS)} faults, {count} trials of {len(POINTS)}, {len(wrong)} wrong."]
    if wrong:
        lines += ["", "Wrong: " + ", ".join(f"`{point.name}`" for point in sorted(wrong, key=lambda p: p.name)) + "."]
    return "\n".join(lines)


def _cell(point: Point) -> tuple[str, str]:
    return point.fault.name, point.state


def written() -> str:
    """What README.md says now."""
    return MARKS.written()


def write(text: str) -> None:
    """Put `text` between the marks."""
    MARKS.write(text)
