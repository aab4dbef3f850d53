"""The evaluation's Python, warm: it answers what a run asks of YT_PYTHON at once, by what model.py says.

`-c …` and `-m pytest` pass. `scripts/run_eval.py` gives metrics that are a function of the model's text, so that two
runs which end with the same text end with the same numbers: a model that forgets to scale its attention is wrong, as
it is for the real evaluation. With a file `slow` beside this one the evaluation of a model hangs. On a lab's broken
board (YTFSM_LAB_BOARD) it fails as the lab's ttnn does where a mesh is opened.
"""

import hashlib
import json
import os
import sys
import time


def open_mesh():
    """What the lab's stand-in of ttnn does; it is not imported where the board is whole."""
    board = os.environ.get("YTFSM_LAB_BOARD", "")
    if not os.path.exists(board):
        return
    sys.path[:0] = [os.path.join(part, "ttnn") for part in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    import board as standin

    class Shape(tuple):
        def mesh_size(self):
            return self[0] * self[1]

    standin.refuse_where_broken(Shape(int(part) for part in os.environ.get("YT_MESH", "1x1").split("x")))


def main(argv):
    if "open_mesh_device" in argv[1]:  # the worker's own look at the board
        open_mesh()
    if "scripts/run_eval.py" not in argv:
        print("ttnn 0.81.1" if argv[0] == "-c" else "1 passed")
        return
    if "tt" in argv and os.path.exists(os.path.join(os.path.dirname(__file__), "slow")):
        time.sleep(300)
    asked = dict(zip(argv[1::2], argv[2::2], strict=False))
    found = {"top1": 1.0, "top5": 1.0}
    if "tt" in argv:
        open_mesh()
    if asked["--mode"] == "tt":
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
