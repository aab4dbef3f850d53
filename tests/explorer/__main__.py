"""Explore everything and write the counts into README.md: `scripts/explore`, or a part with words of the names."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .configurations import LARGE, QUICK
from .search import Found, explore
from .world import Configuration

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- counts -->\n", "<!-- end of counts -->\n"


def row(found: Found) -> str:
    """A line of the table."""
    quick = "yes" if found.configuration.name in {c.name for c in QUICK} else ""
    return f"| {found.configuration.name} | {found.states:,} | {found.moves:,} | {found.steps:,} | {quick} |"


def table(rows: list[str]) -> str:
    """The table as README.md has it."""
    head = "| explored | states | moves | steps of the lease | by the tests |\n|---|---:|---:|---:|---|\n"
    return head + "".join(f"{line}\n" for line in rows)


def main(words: list[str]) -> int:
    """Explore; 1 when a property was broken, and then nothing is written."""
    chosen = [c for c in QUICK + LARGE if all(word in c.name for word in words)]
    order = sorted(chosen, key=lambda c: -(c.workers + 2 * sum(c.left)))  # the large ones first
    rows: dict[str, str] = {}
    broken = 0
    with ProcessPoolExecutor(2) as pool:
        for found, seconds in pool.map(_timed, order):
            rows[found.configuration.name] = row(found)
            print(f"{rows[found.configuration.name]} {seconds:.0f} s", flush=True)
            if found.broken:
                broken = 1
                print(f"BROKEN: {found.broken}\n  " + "\n  ".join(found.way), flush=True)
    if not broken and not words:
        before, rest = README.read_text().split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(before + BEGIN + table([rows[c.name] for c in chosen]) + END + after)
    return broken


def _timed(configuration: Configuration) -> tuple[Found, float]:
    began = time.perf_counter()
    return explore(configuration), time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
