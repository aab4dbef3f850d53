"""Starting, watching and clearing away the process that imports model.py."""

import contextlib
import ctypes
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

from . import corpus, options, walls
from .errors import BoardClosed, EvalError

PR_SET_CHILD_SUBREAPER = 36
WORKER = "YT_DEVICE_FOLDER"  # where a worker starts the process itself, behind walls of its own
READY = "YT_DEVICE=ready"
LARGEST_REPORT = 1 << 20
HIDDEN = (WORKER, "YT_METRICS_FILE", "YT_METRICS_NONCE", "YT_REFERENCE_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
TILE = 32


@contextlib.contextmanager
def task_folder():
    """The folder of one run's task: all that its process writes, but for compiled kernels."""
    given = os.environ.get(WORKER)
    if given:
        yield pathlib.Path(given) / "task"
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="yt-eval-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(asked, file, found, folder, private):
    """Run model.py over the window; {"facts", "timing"} of the run, with logits.npy left in `folder`.

    `private` are the places that it may not read. What the process prints goes to our stderr. EvalError with its last
    words when it fails.
    """
    given = os.environ.get(WORKER)
    told = task(asked, file, found)
    if not given:
        told["walls"] = {"hidden": private, "guarded": [str(options.ROOT), *walls.programs()]}
    told["nonce"] = nonce = secrets.token_hex(16)
    (folder / "task.json").write_text(json.dumps(told))
    code = _by_worker(pathlib.Path(given) / "ended.json") if given else _by_us(folder)
    report = _report(folder / "report.json")
    if report and report.pop("nonce", None) != nonce:
        raise EvalError("the process that runs the model left a report that the harness in it did not write")
    if code != 0 or "error" in report:
        reason = report.get("error") or _death(code)
        raise (BoardClosed if report.get("closed") else EvalError)(reason)
    return report


def _by_worker(ended):
    """Have the worker start the process, in a sandbox that shows it neither us nor a reference; its exit code."""
    print(READY, flush=True)
    while not ended.exists():
        time.sleep(0.02)
    told = json.loads(ended.read_text())
    print(told["said"], file=sys.stderr, flush=True)
    return told["code"]


def _by_us(folder):
    environment = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    environment.update(TMPDIR=str(folder), HF_HUB_OFFLINE="1", PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    with contextlib.suppress(OSError):  # within its walls it can write to a file, and make none there
        pathlib.Path(environment.get("YT_PROGRESS_FILE", os.devnull)).touch()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = pathlib.Path(__file__).with_name("device_main.py")
    child = subprocess.Popen(
        [sys.executable, str(program), str(folder)],
        env=environment,
        cwd=folder,  # ttnn leaves its reports where it is started
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
    return code


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
        "probed": corpus.probed(asked.prefill_len),
        "mesh": list(asked.mesh),
        "order": _order(asked),
        "max_seq_len": max_seq_len(asked),
    }


def _order(asked):
    """In which order the users' prompts come: by number, or as the seed has it."""
    users = list(range(asked.batch))
    if asked.seed != 0:
        random.Random(f"{asked.seed}/users").shuffle(users)
    return users


def max_seq_len(asked):
    """Room for the padded prompt and all decoded tokens, in steps of 128 that attention kernels divide well."""
    padded = -(-asked.prefill_len // TILE) * TILE
    return -(-max(padded, asked.prefill_len + asked.decode_len) // 128) * 128


@contextlib.contextmanager
def plain(path):
    """A file that the process left, opened to read; OSError for a link, a pipe or a device in its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is no plain file")
        yield file


def _report(path):
    try:
        with plain(path) as file:
            found = json.loads(file.read(LARGEST_REPORT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _death(code):
    if code is None:
        return "the process that runs the model was ended by the worker"
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
