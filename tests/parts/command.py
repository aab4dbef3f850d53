"""The installed `ytfsm`, run to its end or started in the background."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

YTFSM = shutil.which("ytfsm", path=sysconfig.get_path("scripts")) or str(Path(sys.executable).with_name("ytfsm"))


@dataclass
class Finished:
    """A command that ended: its exit code (-9: killed) and its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout, which is JSON."""
        assert self.out.strip(), self.err
        return json.loads(self.out.strip().splitlines()[-1])


def finish(argv: list[str], env: dict[str, str], timeout: float = 180) -> Finished:
    """Run a command to its end."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def renamed(host: str, argv: list[str]) -> list[str]:
    """The command on a host of that name: what `platform.node()` returns is the kernel's, so it gets one of its own."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--uts", "sh", "-c", f'hostname {shlex.quote(host)} && exec "$@"', "sh", *argv]


class Started:
    """`ytfsm run --once` for the next n300 issue, in the background."""

    def __init__(self, env: dict[str, str], *argv: str) -> None:
        self.env = env
        self.process = subprocess.Popen(
            [YTFSM, "run", "--system", "n300", "--once", "--json", *argv],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self) -> Finished:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=180)
        return Finished(self.process.returncode, out, err)
