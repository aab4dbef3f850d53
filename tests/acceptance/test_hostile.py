"""A codex that wants out: every escape of the lab's hostile scripts comes to nothing (faults S5)."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.workplace import Workplace
from yt_fsm.lab.hostile import ESCAPES, EXCESSES

pytestmark = pytest.mark.usefixtures("walls")

CANARY = "canary-7Qm2xV9kLr4T"
LOGINS = (
    ".ssh/id_ed25519", ".netrc", ".git-credentials", ".config/gh/hosts.yml", ".cache/huggingface/token", ".pushover",
)  # fmt: skip


ENDS = {"many-files": "failed", "signals": "setup_error"}  # a codex that kills itself does not work

# What the lab, and the worker for its run, write to; everything else in the lab's folder stays as it was.
OWN = ("github", "requests", "tmp", "ytfsm", "models", "gh", "lab.json", "tt-smi.json", "tt-smi.json.log")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file of a lab that is nobody's to write, with its mode and its content's hash."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if name.parts[0] not in OWN and not path.is_symlink() and path.is_file():
            found[str(name)] = f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return found


def test_a_hostile_codex_reads_no_login_and_changes_nothing_outside(enter: Callable[..., Workplace]) -> None:
    world = enter(script="hostile")
    for name in LOGINS:
        file = Path(world.env["HOME"]) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(CANARY)
    world.env |= {"YT_CANARY_TOKEN": CANARY, "SSH_AUTH_SOCK": world.env["YTFSM_LAB"]}
    before = snapshot(world.folder)
    world.seed()
    done = world.work()
    assert done.json["state"] == "review", done.err
    assert snapshot(world.folder) == before
    assert not list(world.folder.rglob("escaped*"))
    assert "escaped" not in Path("/proc/sys/kernel/core_pattern").read_text()
    asked = world.lab.state()["codex"]["requests"]
    assert len(asked) == len(ESCAPES) + 2, "codex was asked again"
    told = json.dumps([request["output"] for request in asked])
    for secret in (CANARY, world.env["GH_TOKEN"], world.env["HF_TOKEN"], "CONNECTED"):
        assert secret not in told
    replay = world.replay(done.json["run_id"])
    assert [attempt["passed"] for attempt in replay["attempts"]] == [True]
    (branch,) = [b for b in world.lab.state()["branches"] if b["name"] != "main"]
    assert len(branch["commits"]) == 1
    world.nothing_is_left(done.json["run_id"])


@pytest.mark.parametrize("name", [*ESCAPES, *EXCESSES] if os.environ.get("HOSTILE") else [])  # minutes
def test_each_of_them_by_itself_ends_in_words(enter: Callable[..., Workplace], name: str) -> None:
    world = enter(script=f"hostile-{name}")
    before = snapshot(world.folder)
    world.seed()
    done = world.work(YT_MAX_PROCESSES="512")
    assert done.json["state"] == ENDS.get(name, "review"), done.err
    assert snapshot(world.folder) == before
    assert "Traceback" not in done.err
    world.nothing_is_left(done.json["run_id"])
