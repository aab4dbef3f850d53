"""Runs of an earlier ytfsm, put into another home: their paths are replaced, and their chains made anew."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from yt_fsm.lab.github.git import Git

HERE = Path(__file__).parent
HOME, LAB = "/lab/ytfsm", "/lab"  # as the journals here have them
TINY = "eb352e00bd984de808236ec44d5bb604d6e41070"  # the lab's model, of which there is another by now


def mark(home: Path | str, run_id: str) -> str:
    """What stands in the names of a run's temp folders."""
    return hashlib.sha256(f"{home}\0{run_id}".encode()).hexdigest()[:12]


def rechain(text: str, run_id: str, lab: Path) -> str:
    """A journal's text as a lab in the folder `lab` would have it."""
    text = text.replace(mark(HOME, run_id), mark((lab / "ytfsm").resolve(), run_id))
    lines, prev = [], "0" * 16
    for line in text.replace(f'"{LAB}/', f'"{lab}/').splitlines():
        record = {**json.loads(line), "prev": prev}
        record.pop("hash")
        body = json.dumps(record, separators=(",", ":"))
        prev = hashlib.sha256(body.encode()).hexdigest()[:16]
        lines.append(f'{body[:-1]},"hash":"{prev}"}}\n')
    return "".join(lines)


def runs() -> list[str]:
    """The ids of the runs that are kept here, oldest first."""
    return sorted(path.parent.name for path in HERE.glob("*/journal.jsonl"))


def put(run_id: str, lab: Path, tiny: str = TINY) -> Path:
    """Put a run into the home of the lab in `lab`, whose model has the revision `tiny`; returns its folder."""
    folder = lab / "ytfsm" / "runs" / run_id
    shutil.copytree(HERE / run_id, folder)
    journal = folder / "journal.jsonl"
    journal.write_text(rechain(journal.read_text().replace(TINY, tiny), run_id, lab))
    return folder


def github(lab: Path) -> None:
    """Make the GitHub that these runs left behind, for a lab that is not running yet."""
    git = Git(lab / "github" / "git")
    git.create("yieldthought/ttnn_models", "main", None, "2026-11-25T17:39:50Z")
    bare = git.path("yieldthought/ttnn_models")
    fetch = ["git", "-C", bare, "fetch", "--quiet", "--force", HERE / "repository.bundle", "refs/*:refs/*"]
    subprocess.run(fetch, check=True)
    shutil.copy(HERE / "lab-pushed", bare / "lab-pushed")
    shutil.copy(HERE / "github.json", lab / "github" / "github.json")
