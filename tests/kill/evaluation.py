"""The evaluation's Python, warm: it answers what a run asks of YT_PYTHON at once, by what model.py says.

`-c …` and `-m pytest` pass. `scripts/run_eval.py` gives metrics that are a function of the model's text, so that two
runs which end with the same text end with the same numbers: a model that forgets to scale its attention is wrong, as
it is for the real evaluation. With a file `slow` beside this one the evaluation of a model hangs. A lab's board that is
wounded opens for nothing (yt_fsm/lab/bin/wounds.py).
"""

import hashlib
import json
import os
import sys
import time


def refuse_where_broken():
    """End as the harness does on a board that does not open."""
    path = os.environ.get("YTFSM_LAB_BOARD", "")
    if path and os.path.exists(path):
        with open(path) as file:
            wounds = json.load(file)
        if wounds.get("lost") or wounds.get("open"):
            print(f"error: a mesh does not open: {wounds}. Try resetting the board.", file=sys.stderr)
            sys.exit(4)


def main(argv):
    if "open_mesh_device" in " ".join(argv):
        refuse_where_broken()
    if "scripts/run_eval.py" not in argv:
        print("ttnn 0.81.1" if argv[0] == "-c" else "1 passed")
        return
    if "tt" in argv and os.path.exists(os.path.join(os.path.dirname(__file__), "slow")):
        time.sleep(300)
    asked = dict(zip(argv[1::2], argv[2::2], strict=False))
    found = {"top1": 1.0, "top5": 1.0}
    if asked["--mode"] == "tt":
        refuse_where_broken()
        model = os.path.join("models", asked["--hf-model"], os.environ["YT_SYSTEM"], "functional", "model.py")
        with open(model) as file:
            text = file.read()
        found = {
            "top1": 0.5 if "scale=1.0" in text else 1.0,
            "top5": 0.75 if "scale=1.0" in text else 1.0,
            "device": "cpu-standin",
            "text": hashlib.sha256(text.encode()).hexdigest(),
        }
    found |= {
        "mode": asked["--mode"],
        "trace": asked.get("--trace") == "1",
        "tokens": int(asked["--decode-len"]) * int(asked["--batch"]),
        "model": asked["--hf-model"],
        "revision": asked["--revision"],
        "timing": {"total_s": 0.0},
        "nonce": os.environ["YT_METRICS_NONCE"],
    }
    with open(os.environ["YT_METRICS_FILE"], "w") as file:
        json.dump({"nonce": os.environ["YT_METRICS_NONCE"], "metrics": found}, file)
    print("YT_METRICS=" + json.dumps(found))


main(sys.argv[1:])
