"""Prints the table, or with --write puts it into tests/lab/README.md; exit code 1 when a client saw something else."""

import sys
import tempfile
from pathlib import Path

from yt_fsm.lab.serving import running_lab

from . import table
from .clients import NotHere


def main(arguments: list[str]) -> int:
    """All columns, one after the other, in one lab."""
    columns, problems = {}, []
    with (
        tempfile.TemporaryDirectory(prefix="ytfsm-conformance-") as scratch,
        running_lab(Path(scratch) / "lab", quiet=False) as lab,
    ):
        for name in table.COLUMNS:
            try:
                seen = table.outcomes(lab, name, Path(scratch) / "clients")
            except NotHere as reason:
                print(f"{name}: not run: {reason}", file=sys.stderr)
                columns[name] = table.cells(name, None)
                continue
            columns[name] = table.cells(name, seen)
            problems += [f"{name}: {problem}" for problem in table.wrong(seen)]
    made = table.written(columns)
    if "--write" in arguments:
        table.put_in_readme(made)
    else:
        print(made)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
