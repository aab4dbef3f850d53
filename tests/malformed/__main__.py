"""Many cases of the corpus: `scripts/corpus --cases 100000 --seed 7`; each fault is told with what gives it again."""

import argparse
import collections
import logging
import tempfile
import time
import traceback
from pathlib import Path

from .corpus import KINDS, Place, attempt


def main() -> int:
    """Try them; 1 when there was a fault."""
    parser = argparse.ArgumentParser(prog="scripts/corpus", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", default="1", help="with the same seed the same cases")
    parser.add_argument("--kind", choices=sorted(KINDS), help="only this kind")
    parser.add_argument("--only", type=int, metavar="N", help="only case N, with its traceback")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    kinds = [asked.kind] if asked.kind else list(KINDS)
    numbers = [asked.only] if asked.only is not None else range(asked.cases)
    tried: collections.Counter[str] = collections.Counter()
    taken: collections.Counter[str] = collections.Counter()
    seconds: collections.Counter[str] = collections.Counter()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="ytfsm-corpus-") as folder:
        place = Place(Path(folder))
        for number in numbers:
            kind = list(KINDS)[number % len(KINDS)] if asked.kind is None else asked.kind
            started = time.monotonic()
            try:
                taken[kind] += attempt(kind, f"{asked.seed}/{number}", place)
            except Exception as problem:
                faults += 1
                again = f"--seed {asked.seed} --kind {kind} --only {number}"
                print(f"FAULT {again}: {type(problem).__name__}: {str(problem)[:300]!r}", flush=True)
                if asked.only is not None:
                    traceback.print_exc()
            tried[kind] += 1
            seconds[kind] += time.monotonic() - started
    for kind in kinds:
        if tried[kind]:
            each = 1000 * seconds[kind] / tried[kind]
            print(f"{kind:<12} {tried[kind]:>7} cases, {taken[kind]:>7} taken, {each:>7.2f} ms each")
    print(f"{sum(tried.values())} cases, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
