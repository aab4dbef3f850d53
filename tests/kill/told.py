"""What tests/README.md says of the kill matrix: written by `scripts/kill-matrix`, compared by a test."""

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .matrix import Trace

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- kill matrix: written by scripts/kill-matrix -->\n", "<!-- end -->"


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
    """What README.md says now. Raises AssertionError when its marks are not there once."""
    found = re.findall(re.escape(BEGIN) + "(.*?)" + re.escape(END), README.read_text(), re.DOTALL)
    assert len(found) == 1, f"{README} must have one part between {BEGIN.strip()} and {END}"
    return str(found[0]).rstrip("\n")


def write(text: str) -> None:
    """Put `text` between the marks."""
    whole = README.read_text()
    assert written() is not None
    before, rest = whole.split(BEGIN)
    README.write_text(before + BEGIN + text + "\n" + END + rest.split(END, 1)[1])
