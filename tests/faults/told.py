"""What tests/README.md says of the fault matrix: written by `scripts/fault-matrix`, compared by a test."""

from collections import Counter
from collections.abc import Collection

from tests.parts.readme import Marks

from .table import FAULTS, POINTS, STATES, Point

MARKS = Marks("fault matrix: written by scripts/fault-matrix")


def table(run: Collection[Point], wrong: Collection[Point]) -> str:
    """Trials of each fault in each state (a duration is one) as a Markdown table, then the wrong ones by name."""
    trials, bad = Counter(_cell(point) for point in run), Counter(_cell(point) for point in wrong)
    lines = [f"| fault | {' | '.join(STATES)} | wrong |", f"|---|{'---:|' * (len(STATES) + 1)}"]
    for fault in FAULTS:
        cells = [str(trials[fault.name, state] or "") for state in STATES]
        amiss = sum(bad[fault.name, state] for state in STATES)
        lines.append(f"| {fault.name} | {' | '.join(cells)} | {amiss} |")
    return "\n".join([*lines, "", count(run, wrong)])


def count(run: Collection[Point], wrong: Collection[Point]) -> str:
    """How many trials were run, and which were wrong."""
    names = ", ".join(f"`{point.name}`" for point in sorted(wrong, key=lambda point: point.name))
    said = f"{len(FAULTS)} faults, {len(run)} trials of {len(POINTS)}, {len(wrong)} wrong"
    return f"{said}: {names}." if wrong else f"{said}."


def _cell(point: Point) -> tuple[str, str]:
    return point.fault.name, point.state


def written() -> str:
    """What README.md says now."""
    return MARKS.written()


def write(text: str) -> None:
    """Put `text` between the marks."""
    MARKS.write(text)
