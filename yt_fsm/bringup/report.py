"""What people read of a bringup: Markdown for comments and pull requests."""

import json
import re
import shlex
from pathlib import Path

from .evaluation import HF, TT0, TT1, eval_argv
from .metrics import Metrics, summary
from .run import BringupRun
from .unfinished import Kept


def reproduction(run: BringupRun, branch: str | None = None) -> str:
    """The commands that repeat the checks, as a fenced block."""
    lines = [f"git clone {run.settings.remote} && cd {run.settings.repo_models}"]
    if branch:
        lines.append(f"git checkout {branch}")
    lines.append("python -m pytest -q")
    revision = run.facts.revision or run.brief.hf_revision or "main"
    attempts = run.attempts()
    found = attempts[-1]["metrics"] if attempts else {}
    for case in (HF, TT0, TT1):
        seed = found.get(case.key, {}).get("seed") or 0
        lines.append(shlex.join(eval_argv("python", run.brief, revision, case, seed)))
    return fenced("\n".join(lines), "bash")


def table(found: dict[str, Metrics]) -> str:
    """The metrics of one check as a Markdown table."""
    names = {"hf": "HF reference", "tt0": "TT, trace off", "tt1": "TT, trace on"}
    lines = ["| evaluation | result |", "|---|---|"]
    lines += [f"| {names.get(key, key)} | {summary(data)} |" for key, data in found.items()]
    return "\n".join(lines)


def metrics_block(found: dict[str, Metrics]) -> str:
    """The whole metrics as a fenced JSON block."""
    return fenced(json.dumps(found, indent=2, sort_keys=True), "json")


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text, so that nothing in it can get out."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def kept(path: Path) -> str:
    """A file of the run's folder, as the operator finds it."""
    return f"`{path}`"


def unfinished(run: BringupRun) -> str:
    """Where the run's unfinished work is, as a sentence; "" where there is none. No name that codex chose is in it."""
    file = Kept(run.artifacts).file
    if file is None:
        return ""
    most = f", but for what `ytfsm replay {run.run_id}` names" if run.facts.kept.get("left_out") else ""
    return (
        f"The work so far is kept on the worker in {kept(file)}{most}; the next run of this issue there starts from it."
    )
