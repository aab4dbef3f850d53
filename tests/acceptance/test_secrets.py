"""A codex that writes the worker's tokens into its work: they are in nothing that leaves, and in no file of the run."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.parts.workplace import Workplace
from yt_fsm.engine.credentials import of_environment
from yt_fsm.engine.redaction import Redactor
from yt_fsm.lab.scripts import RIGHT

CANARY = "q7RkZ2vT9xLmB4nYc8WsJ1hUd6FgE3aPo5Xi"


def test_a_secret_that_codex_writes_into_its_work_stays_on_the_machine(
    enter: Callable[..., Workplace], tmp_path: Path
) -> None:
    encoded = base64.b64encode(f"x{CANARY}".encode()).decode()
    steal = f'printf "\\n# %s\\n# %s\\n" {encoded[:30]} {encoded[30:]} >> "$target"; echo {CANARY}; echo {encoded}'
    steps = [{"exec": RIGHT}, {"exec": steal}, {"say": f"I found {CANARY} and {encoded}."}]
    world = enter(script="right")
    world.lab.script([steps])
    number = world.seed()
    done = world.work(OPERATOR_PASSWORD=CANARY, YT_MAX_ATTEMPTS="1")
    assert done.json["state"] == "failed", done.err
    assert world.branches() == []
    (told,) = world.comments(number, "[yt-status]")
    assert "model.py:" in told
    assert "the value of OPERATOR_PASSWORD (base64)" in told
    assert "artifacts/work.bundle" in told
    secrets = Redactor(of_environment({"OPERATOR_PASSWORD": CANARY}))
    assert secrets.leaks((done.out + done.err).encode()) == []
    seen = [world.lab.state()[part] for part in ("issues", "pull_requests", "branches")]
    assert secrets.leaks(str(seen).encode()) == []  # codex's own service has seen what its tools printed
    folder = world.run_folder(done.json["run_id"])
    for file in folder.rglob("*"):
        if file.is_file():
            assert secrets.leaks(file.read_bytes()) == [], file.relative_to(folder)
    replayed = world.ytfsm("replay", done.json["run_id"])
    assert secrets.leaks(replayed.out.encode()) == []
    assert (
        subprocess.run(["git", "bundle", "list-heads", folder / "artifacts" / "work.bundle"], check=False).returncode
        == 0
    )
