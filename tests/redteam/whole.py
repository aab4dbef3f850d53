"""The whole red team, or a sample of it: what `scripts/redteam` runs.

    scripts/redteam                          # every model; writes what became of them into tests/README.md
    scripts/redteam --sample 20 --seed 7     # twenty, chosen by the seed
    scripts/redteam --model "right/as it is" # one; what it says is printed
    scripts/redteam --list                   # the models; nothing is run
    scripts/redteam -- --prefill-len 512 --decode-len 64 --batch 3 --seed 5

What stands behind `--` goes to run_eval.py. Exit code 1 when a wrong model passes without a word, or a right one does
not pass without one. Only a run of all of them at the usual lengths is written down.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.redteam import team


def main() -> None:
    """Judge what was asked for, and print it."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = sys.argv[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="so many models, chosen by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", action="append", choices=team.NAMES, metavar="MODEL")
    parser.add_argument("--list", action="store_true", help="only print the models")
    asked = parser.parse_args(sys.argv[1:at])
    names = asked.model or list(team.NAMES)
    if asked.sample is not None:
        names = random.Random(asked.seed).sample(names, min(asked.sample, len(names)))
    if asked.list:
        print("\n".join(names))
        return
    with tempfile.TemporaryDirectory(prefix="redteam-") as folder:
        found = team.judge(Path(folder), names, *options)
    for one in found:
        print(f"{one.end:8} {one.model:60} {one.says}")
    text = team.table(found)
    print(f"\n{text}")
    if len(names) == len(team.NAMES) and not options:
        team.MARKS.write(text)
    sys.exit(1 if any(one.amiss for one in found) else 0)


if __name__ == "__main__":
    main()
