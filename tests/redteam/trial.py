"""Judges models of the red team against one reference, many in one process, by the evaluation's Python.

    trial.py FOLDER [MODEL ...] -- OPTION ...     # options of run_eval.py

A model is `wrong/KIND/NAME` or `right/NAME`. Prints for each a JSON line {"model", "end", "says"}: `end` is `fails`
(below the gate, or refused), `flagged` (it passes, and is listed as suspect) or `passes`.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "harness")]

from checks_bench import Bench, changed  # noqa: E402
from harness.errors import EvalError  # noqa: E402

from tests.redteam.right import RIGHT  # noqa: E402
from tests.redteam.wrong import WRONG  # noqa: E402

TOP1, TOP5 = 0.90, 0.97  # the gate (§9.1 G)


def models():
    """The edits of each model, by name."""
    wrong = {f"wrong/{kind}/{name}": edits for kind, found in WRONG.items() for name, edits in found.items()}
    return {**wrong, **{f"right/{name}": edits for name, edits in RIGHT.items()}}


def judged(bench, edits, file):
    """(end, words) of one model."""
    try:
        found = bench.run(changed(*edits), file)
    except EvalError as error:
        return "fails", str(error)
    told = f"top1 {found['top1']:.4f}, top5 {found['top5']:.4f}, KL {found['kl']:.5f}"
    if found["top1"] < TOP1 or found["top5"] < TOP5:
        return "fails", told
    return ("flagged", "; ".join(found["suspect"])) if found["suspect"] else ("passes", told)


def main():
    """Judge those that were asked for, or all."""
    at = sys.argv.index("--")
    folder, asked = pathlib.Path(sys.argv[1]), sys.argv[2:at]
    bench, known = Bench(folder / "references", *sys.argv[at + 1 :]), models()
    for name in asked or known:
        end, says = judged(bench, known[name], folder / "model.py")
        print(json.dumps({"model": name, "end": end, "says": says}), flush=True)


if __name__ == "__main__":
    main()
