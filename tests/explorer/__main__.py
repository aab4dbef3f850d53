"""Explore everything and write the counts into README.md: `scripts/explore`, or a part with words of the names.

`scripts/explore --random N --seed S` tells N random histories, of the seeds S, S+1 …; see `histories.py`.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .configurations import LARGE, QUICK
from .histories import Told, tell_many
from .search import Found, explore
from .world import Configuration

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- counts -->\n", "<!-- end of counts -->\n"
TOLD, END_TOLD = "<!-- histories -->\n", "<!-- end of histories -->\n"


def row(found: Found) -> str:
    """A line of the table."""
    quick = "yes" if found.configuration.name in {c.name for c in QUICK} else ""
    return f"| {found.configuration.name} | {found.states:,} | {found.moves:,} | {found.steps:,} | {quick} |"


def table(rows: list[str]) -> str:
    """The table as README.md has it."""
    head = "| explored | states | moves | steps of the lease | by the tests |\n|---|---:|---:|---:|---|\n"
    return head + "".join(f"{line}\n" for line in rows)


def between(begin: str, end: str, text: str) -> None:
    """Put `text` into README.md between two marks."""
    before, rest = README.read_text().split(begin)
    README.write_text(before + begin + text + end + rest.split(end)[1])


def histories(count: int, seed: int) -> int:
    """Tell random histories; prints what happened in all, and the first broken one. 1 when one was broken."""
    began = time.perf_counter()
    size = max(1, min(100, count // 2))
    starts = range(seed, seed + count, size)
    totals: Counter[str] = Counter()
    broken: list[Told] = []
    with ProcessPoolExecutor(2) as pool:
        for told in pool.map(_several, starts, [min(size, seed + count - start) for start in starts]):
            for one in told:
                totals.update(one.counts)
                broken += [one] if one.broken else []
            print(f"up to seed {told[-1].seed}: {len(broken)} broken", file=sys.stderr, flush=True)
    if broken:
        print("\n".join([f"seed {broken[0].seed}: {broken[0].broken}", *broken[0].story]))
    text = summary(count, seed, totals, broken)
    print(text, end="")
    print(f"in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if count >= 10_000:
        between(TOLD, END_TOLD, text)
    return 1 if broken else 0


def summary(count: int, seed: int, totals: Counter[str], broken: list[Told]) -> str:
    """The counts as README.md has them."""
    words = [one.broken for one in broken]
    kinds = {
        "fence broken": sum("fence broken" in w for w in words),
        "two owners": sum(" wins while " in w for w in words),
        "ended twice": sum("ended twice" in w for w in words),
        "stuck": sum("stuck" in w for w in words),
        "a person's `released:` written over": sum("written over" in w for w in words),
    }
    kinds["anything else"] = len(words) - sum(kinds.values())
    lines = ["| | |", "|---|---:|", f"| histories (seeds from {seed} on) | {count:,} |"]
    lines += [f"| {name} | {number:,} |" for name, number in kinds.items()]
    names = {
        "won": "bids won", "fences": "fences passed", "ended": "ends", "killed": "workers killed", "slept": "sleeps",
        "stopped": "signals", "persons": "persons' acts", "reads": "reads", "writes": "writes",
        "lost": "of them without an answer",
    }  # fmt: skip
    lines += [f"| {words} | {totals[name]:,} |" for name, words in names.items()]
    return "".join(f"{line}\n" for line in lines)


def _several(first: int, count: int) -> list[Told]:
    return [one if one.broken else Told(one.seed, "", one.counts, []) for one in tell_many(first, count)]


def main(given: list[str]) -> int:
    """Explore; 1 when a property was broken, and then nothing is written."""
    parser = argparse.ArgumentParser(prog="scripts/explore", description=__doc__)
    parser.add_argument("words", nargs="*", help="explore only what has these words in its name")
    parser.add_argument("--random", type=int, metavar="N", help="tell N random histories instead")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first history's seed")
    asked = parser.parse_args(given)
    if asked.random is not None:
        return histories(asked.random, asked.seed)
    words = asked.words
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
        between(BEGIN, END, table([rows[c.name] for c in chosen]))
    return broken


def _timed(configuration: Configuration) -> tuple[Found, float]:
    began = time.perf_counter()
    return explore(configuration), time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
