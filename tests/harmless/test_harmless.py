"""No command harms anybody, whatever it finds: a seeded sample of what `scripts/harmless` tries at length."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WALLS = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]
HERE = Path(__file__).parent


def test_no_command_harms_a_bystander(tmp_path: Path) -> None:
    if not shutil.which("unshare") or subprocess.run([*WALLS, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make PID and mount namespaces, and nothing of this is tried outside")
    done = subprocess.run(
        [*WALLS, sys.executable, str(HERE / "bystanders.py"), str(tmp_path / "all"), "70", "1"], capture_output=True,
        text=True, check=False, cwd=HERE.parents[1], env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
