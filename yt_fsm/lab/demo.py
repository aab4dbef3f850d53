"""The demo: a lab, one issue that is ready, one whole bringup by the installed `ytfsm`, and its replay."""

import json
import shlex
import sys
import time
from collections import defaultdict
from pathlib import Path

from yt_fsm.engine.journal import Record, read
from yt_fsm.lab.serving import Running, running_lab


def demo(folder: Path, model: str, as_json: bool) -> int:
    """Show it all in `folder`, which keeps the lab, its runs and their journals; the exit code is the run's.

    With `as_json`, stdout is the last line of `ytfsm run --json` and nothing else.
    """
    started = time.monotonic()
    folder = folder.absolute()
    _tell(f"starting a lab in {folder}: GitHub, the Hub, codex's model and a board, for the real clients to talk to")
    with running_lab(folder, model=model, script="bringup", quiet=False) as lab:
        issue = _ready_issue(lab)
        _tell(f"issue #{issue} is ready: {lab.model} on {lab.env['YT_SYSTEM']}. $ ytfsm run --once")
        done = lab.run("ytfsm", "run", "--once", "--json", stderr=None, capture_output=False, stdout=-1, timeout=None)
        last = done.stdout.strip().splitlines()[-1:] or ["{}"]
        found = json.loads(last[0])
        if as_json:
            print(last[0])
        if found.get("run_id"):
            _tell(f"what happened, from the journal alone. $ ytfsm replay {found['run_id']}")
            lab.run("ytfsm", "replay", found["run_id"], capture_output=False, stdout=sys.stderr if as_json else None)
            records = read(Path(lab.env["YTFSM_HOME"]) / "runs" / found["run_id"] / "journal.jsonl").records
            _tell("where the time went: " + phases(records, time.monotonic() - started))
            _tell("what GitHub has now. $ ytfsm lab state")
            lab.run("ytfsm", "lab", "state", capture_output=False, stdout=sys.stderr if as_json else None)
    where = shlex.quote(str(folder))
    _tell(f"all of it is in {where}; to go back in: ytfsm lab run --dir {where} -- ytfsm runs")
    return done.returncode


def phases(records: list[Record], whole: float) -> str:
    """How many of `whole` seconds went where, by the run's journal: `67 s: tt1 20 s, pytest 9 s, …, the rest 6 s`."""
    spent: dict[str, float] = defaultdict(float)
    for record in records:
        if record["kind"] == "command":
            spent[_phase(record["argv"])] += record["seconds"]
    spent.pop("", None)
    spent["the rest"] = whole - sum(spent.values())
    longest = sorted(spent.items(), key=lambda one: -one[1])
    return f"{whole:.0f} s: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in longest)


def _phase(argv: list[str]) -> str:
    """What a command is part of; "" for the short ones."""
    if "scripts/run_eval.py" in argv:
        mode = argv[argv.index("--mode") + 1]
        return mode + (argv[argv.index("--trace") + 1] if mode == "tt" else "")
    names = {"pytest": "pytest", "yt_fsm.tools.hub": "download", "exec": "codex"}
    return next((names[word] for word in argv if word in names), "")


def _ready_issue(lab: Running) -> int:
    """The lab's first issue that waits; a new one when an earlier demo in this folder took it."""
    for issue in lab.state()["issues"]:
        if issue["status"] == "ready" and issue["state"] == "OPEN":
            return int(issue["number"])
    return lab.seed()


def _tell(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)
