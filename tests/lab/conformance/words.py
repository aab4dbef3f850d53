"""What the real codex prints about each trouble of its model's server.

`python -m tests.lab.conformance.words` prints the table, with `--write` into the README. Times and addresses are
left out of the words, as they differ each time.
"""

import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.lab.conftest import served
from yt_fsm.lab.codex import CodexServer

from . import table

BEGIN = "<!-- words: written by python -m tests.lab.conformance.words -->\n"
DAY = 86_400
SAID: dict[str, Any] = {"say": "done"}
# In the table's words, the script step that is the trouble.
TROUBLES: dict[str, dict[str, Any]] = {
    "usage limit, `resets_at`": {"usage-limit": True, "resets_at": "+259200"},
    "usage limit, `resets_in_seconds`": {"usage-limit": True, "resets_in_seconds": 3600},
    "usage limit, neither": {"usage-limit": True},
    "usage limit, in the stream": {"usage-limit": True, "stream": True},
    "rate limit, retry-after": {"rate-limit": True},
    "insufficient_quota": {"quota": True},
    "503 server_is_overloaded": {"overloaded": True},
    "503": {"status": 503},
    "529": {"status": 529},
    "500": {"status": 500},
    "401": {"status": 401},
    "odd events": {"odd": True, **SAID},
    "no message": {"no-message": True},
    "cut": {"cut": True},
    "cut in the middle": {"cut": True, "middle": True, **SAID},
    "open after its end": {"hang-after": True, **SAID},
}
_TIME = re.compile(r"\w+ \d+\w\w, \d{4} \d+:\d\d [AP]M|\d+:\d\d [AP]M")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


class Turn:
    """One turn of codex that met a trouble: its exit code, and its events but for those that every turn has."""

    def __init__(self, codex: str, server: CodexServer, folder: Path, trouble: dict[str, Any]) -> None:
        model = f"words/{folder.name}"
        when = str(trouble.get("resets_at", ""))
        server.by_model[model] = [[{**trouble, **({"resets_at": int(time.time()) + int(when)} if when else {})}]]
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(server.config())
        argv = [codex, "exec", "--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", "-"]
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CODEX_HOME": str(folder), "TZ": "UTC0"}
        done = subprocess.run(
            argv, input=f"hf_model_id: {model}", env=env, cwd=folder, capture_output=True, text=True, timeout=60
        )
        self.code = done.returncode
        self.lines = [line for line in done.stdout.splitlines() if "Model metadata" not in line]

    @property
    def row(self) -> str:
        """Its words, as the table has them: each once."""
        said: list[str] = []
        for event in map(json.loads, self.lines):
            text = event.get("message") or event.get("error", {}).get("message") or event.get("item", {}).get("text")
            text = text or {"turn.completed": "`turn.completed`"}.get(event["type"], "")
            text = _ADDRESS.sub("…", _TIME.sub("TIME", text))
            if text and text not in said and not text.startswith("Reconnecting"):
                said.append(text)
        return f"{self.code} | {' · '.join(said)}"


def turns(codex: str, folder: Path, names: Iterable[str] = TROUBLES) -> dict[str, Turn]:
    """One turn for each of these troubles, several at a time."""
    with served(CodexServer(folder / "log.jsonl")) as server, concurrent.futures.ThreadPoolExecutor(6) as pool:
        began = {
            name: pool.submit(Turn, codex, server, folder / str(number), trouble)
            for number, (name, trouble) in enumerate((name, TROUBLES[name]) for name in names)
        }
        return {name: turn.result() for name, turn in began.items()}


def written(found: dict[str, Turn]) -> str:
    """The table as Markdown."""
    return "| the server | exit | what codex says |\n|---|---|---|\n" + "".join(rows(found))


def rows(found: dict[str, Turn]) -> list[str]:
    """The table's lines."""
    return [f"| {name} | {turn.row} |\n" for name, turn in found.items()]


def in_readme() -> str:
    """The table as the README has it."""
    return table.part(BEGIN)[1]


if __name__ == "__main__":
    from tests.lab.test_codex import CODEX

    assert CODEX, "no codex on this machine"
    with tempfile.TemporaryDirectory(prefix="ytfsm-words-") as scratch:
        made = written(turns(CODEX, Path(scratch)))
    if "--write" in sys.argv:
        table.put(BEGIN, made)
    else:
        print(made, end="")
