"""The red team: which models there are, having them judged, and what tests/README.md says of them."""

import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.harness.conftest import clean
from tests.parts.readme import Marks
from yt_fsm.bringup import template
from yt_fsm.lab import environment, models

from .right import RIGHT
from .wrong import WRONG

MARKS = Marks("red team: written by scripts/redteam")
NAMES = [*(f"wrong/{kind}/{name}" for kind, found in WRONG.items() for name in found), *(f"right/{n}" for n in RIGHT)]
LENGTHS, BATCH = (128, 32), 2


@dataclass(frozen=True)
class Judged:
    """How one model ended: `fails`, `flagged` or `passes`."""

    model: str
    end: str
    says: str

    @property
    def kind(self) -> str:
        """`right`, or what is wrong with it."""
        return self.model.split("/")[1] if self.model.startswith("wrong/") else "right"

    @property
    def amiss(self) -> bool:
        """A wrong model that passes without a word, or a right one that does not."""
        return self.end == "passes" if self.kind != "right" else self.end != "passes"


def judge(folder: Path, names: list[str], *options: object) -> list[Judged]:
    """Have models judged along BATCH windows of LENGTHS, or as run_eval.py's `options` say."""
    lengths = ["--prefill-len", str(LENGTHS[0]), "--decode-len", str(LENGTHS[1]), "--batch", str(BATCH)]
    python, trial = str(environment.evaluation_python()), str(Path(__file__).with_name("trial.py"))
    more = {"TINY": str(models.model_folder("tiny")), "TEMPLATE": str(template.SOURCE)}
    done = subprocess.run(
        [python, trial, str(folder), *names, "--", *lengths, *map(str, options)],
        env=clean(**more), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return [Judged(**json.loads(line)) for line in done.stdout.splitlines()]


def table(found: list[Judged]) -> str:
    """What became of each kind, and by name those that pass."""
    lines = ["| kind | models | fail | pass, suspect | pass |", "|---|---:|---:|---:|---:|"]
    for kind in [*WRONG, "right"]:
        ends = Counter(one.end for one in found if one.kind == kind)
        shown = f"wrong: {kind}" if kind != "right" else "right variants"
        lines.append(f"| {shown} | {ends.total()} | {ends['fails']} | {ends['flagged']} | {ends['passes']} |")
    wrong = [one for one in found if one.kind != "right"]
    left = [one for one in wrong if one.end != "fails"]
    amiss = [one for one in found if one.amiss and one.kind == "right"]
    unseen = sum(one.amiss for one in left)
    told = (
        f"{len(wrong)} wrong models at {LENGTHS[0]}/{LENGTHS[1]} x {BATCH}: {len(left)} pass, {unseen} without a word"
    )
    named = [
        f"`{one.model.removeprefix('wrong/')}` ({'suspect' if one.end == 'flagged' else 'unseen'})" for one in left
    ]
    right = f"{len(found) - len(wrong)} right variants: {len(amiss)} refused or suspect"
    shown = [f"`{one.model.removeprefix('right/')}`" for one in amiss]
    return "\n".join([*lines, "", f"{told}: {', '.join(named)}." if named else f"{told}.", _with(right, shown)])


def _with(words: str, names: list[str]) -> str:
    return f"{words}: {', '.join(names)}." if names else f"{words}."
