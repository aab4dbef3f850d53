"""The rows as codex does them, against the lab's Responses server."""

import json
import os
import signal
import subprocess
from typing import Any

from .scene import Scene

SANDBOX = ("--skip-git-repo-check", "--sandbox", "danger-full-access")


class Codex:
    """The codex that the lab hands out; its prompts name a model of their own, whose script each row sets."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.model = f"conformance/{scene.name}"
        self.thread, self.tokens = "", 0

    def _turn(self, script: Any, *resume: str, patience: float = 60) -> tuple[int, list[dict[str, Any]]]:
        self.scene.lab.script(script, self.model)
        argv = [self.scene.lab.env["CODEX_BIN"], "exec", "--json", *SANDBOX, *resume, "-"]
        told = self.scene.folder / "events.jsonl"
        asked = self.scene.folder / "prompt.md"
        asked.write_text(f"hf_model_id: {self.model}\nsystem: n300\n")
        with asked.open() as stdin, told.open("w") as stdout:
            process = subprocess.Popen(
                argv, cwd=self.scene.folder, env=self.scene.lab.env, stdin=stdin, stdout=stdout, stderr=stdout,
                start_new_session=True,
            )  # fmt: skip
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        lines = told.read_text().splitlines()
        return code, [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def codex_turn(self) -> str:
        script = [[{"exec": "echo hello > written.txt"}, {"say": "done"}], [{"say": "more"}]]
        code, events = self._turn(script)
        self.thread = next(event["thread_id"] for event in events if event["type"] == "thread.started")
        self.tokens = events[-1]["usage"]["input_tokens"]
        text = (self.scene.folder / "written.txt").read_text()
        return f"exit {code}, {'written' if text == 'hello' + chr(10) else text}"

    def codex_resumed(self) -> str:
        code, events = self._turn([[{"say": "x"}], [{"say": "more"}]], "resume", self.thread)
        same = next(event["thread_id"] for event in events if event["type"] == "thread.started") == self.thread
        more = events[-1]["usage"]["input_tokens"] > self.tokens
        return "same thread, more tokens" if (code, same, more) == (0, True, True) else str(events)

    def codex_stop(self) -> str:
        code, events = self._turn("welfare")
        texts = [event["item"].get("text", "") for event in events if event["type"] == "item.completed"]
        return str(texts[-1]).splitlines()[0] if code == 0 else str(events)

    def codex_login(self) -> str:
        return self._failed("login", "401")

    def codex_limit(self) -> str:
        return self._failed("limit", "usage limit")

    def codex_cut(self) -> str:
        return self._failed("cut", "stream disconnected")

    def _failed(self, script: str, words: str) -> str:
        code, events = self._turn(script)
        problems = json.dumps([event for event in events if event["type"] in ("error", "turn.failed")])
        return f"exit {code}, {words if words in problems else problems}"

    def codex_silent(self) -> str:
        code, events = self._turn("silent", patience=2)
        ended = [event for event in events if event["type"] in ("turn.completed", "turn.failed")]
        return "no end" if code == -9 and not ended else str(events)
