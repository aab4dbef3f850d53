"""What tests/README.md says of the kill matrix: written by `scripts/kill-matrix`, compared by a test."""

from itertools import groupby
from typing import TYPE_CHECKING

from tests.parts.readme import Marks

if TYPE_CHECKING:
    from .matrix import Trace

MARKS = Marks("kill matrix: written by scripts/kill-matrix")


def table(
    families: dict[str, str], trace: "Trace", run: dict[str, int], wrong: dict[str, list[str]], before: str
) -> str:
    """The counts as a Markdown table, then the undisturbed run's records; families not run keep `before`'s line."""
    lines = ["| what happens | points | run | wrong |", "|---|---:|---:|---:|"]
    for family, words in families.items():
        if family in run:
            lines.append(f"| {words} | {len(trace.points(family))} | {run[family]} | {len(wrong[family])} |")
        else:
            lines += [line for line in before.splitlines() if line.startswith(f"| {words} |")]
    return "\n".join([*lines, "", records(trace)])


def records(trace: "Trace") -> str:
    """The records of the undisturbed run in order, repeated kinds counted."""
    kinds = [(kind, len(list(same))) for kind, same in groupby(trace.of("record"))]
    words = [f"{kind} ×{count}" if count > 1 else kind for kind, count in kinds]
    return f"The undisturbed run's {len(trace.of('record'))} records: {', '.join(words)}."


def written() -> str:
    """What README.md says now."""
    return MARKS.written()


def write(text: str) -> None:
    """Put `text` there."""
    MARKS.write(text)
