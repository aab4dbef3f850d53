"""Asking a running lab: one request over its control socket. Standard library only, for light commands."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

from yt_fsm.lab.errors import LabError


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("lab", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def socket_of(folder: Path | None) -> str:
    """The control socket of the lab in `folder`, else of the lab we are in (YTFSM_LAB). Raises LabError."""
    if folder is None:
        path = os.environ.get("YTFSM_LAB", "")
        if not path:
            raise LabError("not inside a lab (YTFSM_LAB is not set): use `ytfsm lab run`, or name the lab with --dir")
        return path
    try:
        plan = json.loads((folder / "lab.json").read_text())
        return str(Path(plan["sockets"]) / "lab.sock")
    except (OSError, ValueError, KeyError):
        raise LabError(f"there is no lab in {folder}: start one with `ytfsm lab serve --dir {folder}`") from None


def ask(path: str, method: str, target: str, body: Any = None) -> Any:
    """The lab's JSON answer. Raises LabError when no lab answers, or with its own word for what is wrong."""
    connection = _Connection(path)
    try:
        connection.request(
            method, target, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as problem:
        raise LabError(f"no lab answers at {path} ({problem}): is `ytfsm lab serve` still running?") from None
    finally:
        connection.close()
    data = json.loads(text) if text else None
    if answer.status >= 400:
        said = data.get("error") or data.get("message") if isinstance(data, dict) else text
        raise LabError(str(said))
    return data
