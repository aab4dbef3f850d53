"""Starting, watching and clearing away the process that imports model.py."""

import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from . import options
from .errors import BoardClosed, EvalError

PR_SET_CHILD_SUBREAPER = 36
HIDDEN = ("YT_METRICS_FILE", "YT_METRICS_NONCE", "YT_REFERENCE_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TILE = 32


def run(asked, file, found, folder):
    """Run model.py over the window; {"facts", "timing"} of the run, with logits.npy left in `folder`.

    What the process prints goes to our stderr. EvalError with its last words when it fails.
    """
    (folder / "task.json").write_text(json.dumps(task(asked, file, found)))
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    environment.update(HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = pathlib.Path(__file__).with_name("device_main.py")
    child = subprocess.Popen(
        [sys.executable, str(program), str(folder)],
        env=environment,
        cwd=options.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
    )
    try:
        code = child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(10)  # time to close the device
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    finally:
        _clear()
    report = _report(folder / "report.json")
    if code != 0 or "error" in report:
        reason = report.get("error") or _death(code)
        raise (BoardClosed if report.get("closed") else EvalError)(reason)
    return report


def task(asked, file, found):
    """What the process is told. The last token is left out: nothing is predicted from it."""
    return {
        "model_file": str(file),
        "snapshot": str(found.snapshot.folder),
        "config": found.meta["config"],
        "weights": found.meta["weights"],
        "parameters": found.meta["parameters"],
        "vocab": found.logits.shape[2],
        "tokens": found.tokens[:, :-1].tolist(),
        "prefill": asked.prefill_len,
        "decode": asked.decode_len,
        "trace": asked.trace,
        "mesh": list(asked.mesh),
        "max_seq_len": max_seq_len(asked),
    }


def max_seq_len(asked):
    """Room for the padded prompt and all decoded tokens, in steps of 128 that attention kernels divide well."""
    padded = -(-asked.prefill_len // TILE) * TILE
    return -(-max(padded, asked.prefill_len + asked.decode_len) // 128) * 128


def _report(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _death(code):
    if code < 0:
        return f"the process that runs the model was killed by {signal.Signals(-code).name}"
    return f"the process that runs the model ended with code {code} and left no result; see its output above"


def _clear():
    """End whatever the process left behind: as subreaper, its orphans are our children."""
    for _ in range(200):
        left = _children()
        if not left:
            return
        for one in left:
            try:
                os.kill(one, signal.SIGKILL)
                os.waitpid(one, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        time.sleep(0.01)


def _children():
    try:
        return [int(one) for one in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []
