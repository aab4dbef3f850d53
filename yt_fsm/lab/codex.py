"""The lab's model behind the real codex CLI: a Responses server that answers by a script.

Codex posts the whole thread each time, so the server keeps none: the thread's prompts say which turn it is,
the tool outputs since the last one which step. What the script wants run, codex runs for real.
"""

import asyncio
import json
import re
import shlex
import time
import uuid
from pathlib import Path
from typing import Any

from aiohttp import web

from yt_fsm.lab import troubles
from yt_fsm.lab.faults import Faults, Vocabulary
from yt_fsm.lab.request_log import RequestLog, now
from yt_fsm.lab.scripts import SCRIPTS, Step, Turn, script_of

TURN_KINDS = {name: f"a turn goes by the script `{name}`" for name in SCRIPTS if name not in troubles.KINDS}
FAULTS = Vocabulary(
    kinds=troubles.KINDS | TURN_KINDS,
    operations=("responses", "turn"),
    details=troubles.DETAILS,
    only=dict.fromkeys(troubles.KINDS, ("responses",)) | dict.fromkeys(TURN_KINDS, ("turn",)),
)
HEAD = 400  # characters of a text that the log keeps
OUTPUT = 4000  # characters of a tool's output that the log keeps


class CodexServer:
    """The Responses API on a port of the loopback interface.

    `script` is a script's name or the script itself; `by_model` overrides it for one hf_model_id. `faults` are FAULTS,
    kept in the file `kept`: a server's are met by requests (`responses`), a script's name by the next `turn`.
    """

    def __init__(self, log: Path, script: Any = "bringup", kept: Path | None = None) -> None:
        self.script = script
        self.by_model: dict[str, Any] = {}
        self.faults = Faults(FAULTS, kept)
        self._turns: dict[tuple[str, int], str] = {}  # which turns of which threads go by a fault's script
        self.log = RequestLog(log)
        self.url = ""
        self._runner: web.AppRunner | None = None
        script_of(script)

    async def start(self, port: int = 0) -> str:
        """Serve; the base URL for codex's provider."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self.url

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
        self.log.close()

    def state(self) -> dict[str, Any]:
        """The script in force and what was asked."""
        return {
            "url": self.url,
            "script": self.script,
            "by_model": self.by_model,
            "requests": self.log.entries,
            "faults": self.faults.listing(),
        }

    def config(self) -> str:
        """The config.toml of a CODEX_HOME that talks to this server; few retries, so that faults show."""
        return (
            'model = "lab"\n'
            'model_provider = "lab"\n'
            "check_for_update_on_startup = false\n"
            "\n"
            "[model_providers.lab]\n"
            'name = "lab"\n'
            f'base_url = "{self.url}"\n'
            'wire_api = "responses"\n'
            "request_max_retries = 1\n"
            "stream_max_retries = 1\n"
            "\n"
            "[analytics]\n"
            "enabled = false\n"
        )

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "lab", "object": "model", "owned_by": "lab"}]})

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        asked = await request.json()
        thread = Thread(asked.get("input", []))
        thread_id = str(request.headers.get("thread-id") or asked.get("prompt_cache_key"))
        turn = self._turn(thread, thread_id)
        step = turn.steps[thread.step % len(turn.steps) if turn.endless else min(thread.step, len(turn.steps) - 1)]
        fault = self.faults.due(
            "responses", never=TURN_KINDS, fits=lambda fault: troubles.meets(fault, thread.turn, thread.step)
        )
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(float(fault.detail.get("seconds", 1)))
        elif fault is not None:
            still = step if fault.kind in troubles.ANSWERED else {}
            step = {**still, fault.kind: 500 if fault.kind == "status" else True, **fault.detail}
        entry = {
            "at": now(),
            "client": request.headers.get("User-Agent", "").partition(" (")[0],
            "thread": thread_id,
            "turn": thread.turn,
            "step": thread.step,
            "model": thread.field("hf_model_id"),
            "prompt": thread.prompt[:HEAD],
            "output": thread.output[:OUTPUT],
            "answer": step,
            "tokens": None,
        }
        try:
            return await self._answer(request, asked, thread, step, entry)
        finally:
            self.log.add(entry | {"seconds": round(time.monotonic() - started, 4)})

    def _turn(self, thread: "Thread", thread_id: str) -> Turn:
        """What this prompt's answer goes by: a fault's script if one was due when it came, else the script in force."""
        here = (thread_id, thread.turn)
        if thread.step == 0 and here not in self._turns and (fault := self.faults.due("turn", never=troubles.KINDS)):
            self._turns[here] = fault.kind
        script = script_of(self._turns.get(here) or self.by_model.get(thread.field("hf_model_id"), self.script))
        return script[min(thread.turn, len(script)) - 1]

    async def _answer(
        self, request: web.Request, asked: dict[str, Any], thread: "Thread", step: Step, entry: dict[str, Any]
    ) -> web.StreamResponse:
        trouble = next((name for name in step if name in troubles.KINDS), "")
        if trouble == "no-answer":
            await asyncio.sleep(3600)
        if refused := troubles.refusal(trouble, step):
            status, headers, body = refused
            return web.json_response(body, status=status, headers=headers)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await stream.prepare(request)
        answer = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "model": "lab",
            "status": "in_progress",
        }
        await _event(stream, "response.created", response=answer)
        if trouble == "usage-limit":
            error = {"code": "usage_limit_reached", "message": troubles.USED_UP}
            await _event(stream, "response.failed", response=answer | {"status": "failed", "error": error})
            await stream.write_eof()
            return stream
        if trouble == "hang":
            await asyncio.sleep(3600)
        for kind, body in troubles.ODD if trouble == "odd" else ():
            await _send(stream, kind, body)
        if trouble == "cut" and not step.get("middle"):
            return _cut(request, stream)
        items = [] if trouble == "no-message" else [_item(asked, thread, step)]
        for item in items:
            await _event(stream, "response.output_item.done", output_index=0, item=item)
        if trouble == "cut":
            return _cut(request, stream)
        entry["tokens"] = usage(asked, items, thread.step > 0 or thread.turn > 1)
        done: dict[str, Any] = answer | {"status": "completed", "usage": entry["tokens"]}
        await _event(stream, "response.completed", response=done)
        if trouble == "hang-after":
            await asyncio.sleep(3600)
        await stream.write_eof()
        return stream


class Thread:
    """What a request's input items say: the prompts so far, and the tool outputs since the last one."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.prompts: list[str] = []
        outputs: list[str] = []
        for item in items:
            if item.get("type") == "message" and item.get("role") == "user":
                text = "".join(part.get("text", "") for part in item["content"])
                # codex's own preface: its environment, and the folder's AGENTS.md
                if not text.lstrip().startswith(("<", "# AGENTS.md")):
                    self.prompts.append(text)
                    outputs = []
            elif item.get("type") == "function_call_output":
                outputs.append(_text(item.get("output")))
        self.turn = max(1, len(self.prompts))
        self.step = len(outputs)
        self.prompt = self.prompts[-1] if self.prompts else ""
        self.output = outputs[-1] if outputs else ""

    def field(self, name: str) -> str:
        """The value of the newest `name: value` line of the prompts; empty when none has it."""
        for prompt in reversed(self.prompts):
            found = re.search(rf"^[\s*`-]*{re.escape(name)}[`*]*:[ `*]*([^\s`]+)", prompt, re.MULTILINE | re.IGNORECASE)
            if found:
                return found[1]
        return ""

    def shell(self, command: str) -> str:
        """The script's command, with what the prompts say about the task in its variables."""
        model, system = self.field("hf_model_id"), self.field("system")
        target = self.field("model file") or f"models/{model}/{system}/functional/model.py"
        values = {"target": target, "model": model, "system": system}
        return "; ".join([*(f"{name}={shlex.quote(value)}" for name, value in values.items()), command])


def call(asked: dict[str, Any], command: str) -> dict[str, Any]:
    """A call of codex's shell tool, by the name and arguments that this codex offers."""
    offered = {tool.get("name") for tool in asked.get("tools", [])}
    if "exec_command" in offered or not offered & {"shell_command", "shell"}:
        name, arguments = "exec_command", {"cmd": command, "yield_time_ms": 30000}
    elif "shell_command" in offered:
        name, arguments = "shell_command", {"command": command}
    else:
        name, arguments = "shell", {"command": ["bash", "-lc", command]}
    return {
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "name": name,
        "arguments": json.dumps(arguments),
        "call_id": f"call_{uuid.uuid4().hex[:24]}",
    }


def message(text: str) -> dict[str, Any]:
    """The assistant's words, which end the turn."""
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


def _item(asked: dict[str, Any], thread: Thread, step: Step) -> dict[str, Any]:
    """What the script's step is in an answer."""
    return call(asked, thread.shell(step["exec"])) if "exec" in step else message(str(step.get("say", "")))


def _cut(request: web.Request, stream: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return stream


def usage(asked: dict[str, Any], answered: list[dict[str, Any]], cached: bool) -> dict[str, Any]:
    """Tokens at four characters each; all of a thread's earlier input is cached."""
    items = asked.get("input", [])
    before = len(asked.get("instructions") or "") + len(json.dumps(items[:-1] if cached else []))
    sent = len(asked.get("instructions") or "") + len(json.dumps(items))
    told = sum(len(json.dumps(item)) for item in answered) // 4
    return {
        "input_tokens": sent // 4,
        "input_tokens_details": {"cached_tokens": before // 4 if cached else 0},
        "output_tokens": told,
        "output_tokens_details": {"reasoning_tokens": told // 2},
        "total_tokens": sent // 4 + told,
    }


def _text(output: Any) -> str:
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "".join(part.get("text", "") for part in output if isinstance(part, dict))
    return json.dumps(output)


async def _event(stream: web.StreamResponse, kind: str, **fields: Any) -> None:
    await _send(stream, kind, {"type": kind, **fields})


async def _send(stream: web.StreamResponse, kind: str, body: Any) -> None:
    await stream.write(f"event: {kind}\ndata: {json.dumps(body)}\n\n".encode())
