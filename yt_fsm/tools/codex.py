"""codex, through `codexapi.Task` (§9): the agent callable and the bringup task.

Command: `codex exec --json … [resume THREAD] -`, the prompt on stdin. codexapi's own agent has no timeout, loses the
thread id when codex exits non-zero and reports no tokens, so ours takes its place in the task.
"""

import json
import logging
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from codexapi import WelfareStop, welfare

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.outside import Malformed, maybe, parse
from yt_fsm.engine.sandbox import Sandbox
from yt_fsm.engine.shell import Result, Shell

from .codex_home import CodexHome
from .codex_trouble import trouble

log = logging.getLogger("ytfsm")

MESSAGE_CHARS = 200_000  # of one answer of codex
MOST_TOKENS = 10**12  # of a thread: more is no count
_THREAD = re.compile(r"[A-Za-z0-9][\w-]{0,127}", re.ASCII)  # it stands on codex's command line again
LOST = "no rollout found"  # codex, asked to go on with a thread that it does not have
TRIES = 3  # codex itself failing (a login, its service) is not an attempt at the model


class Codex:
    """One codex conversation in `folder`: call it with a prompt, get the last message.

    `thread_id` is None until codex names its thread; `learned(thread)` is called then, and `used(tokens)` after each
    turn with the tokens of that turn.
    """

    def __init__(
        self,
        shell: Shell,
        binary: str,
        sandbox: str,
        folder: Path,
        env: dict[str, str],
        artifacts: Path,
        wall: float,
        stall: float,
        backoff: float,
        learned: Callable[[str], None],
        used: Callable[[int], None],
        thread_id: str | None = None,
        thread_tokens: int = 0,
        task: str = "",
        walls: Sandbox | None = None,
        home: CodexHome | None = None,
    ) -> None:
        self.walls, self.home = walls, home
        self.task = task  # the whole of it, for a new thread in the place of one that codex has lost
        self.shell, self.binary, self.sandbox, self.folder, self.env = shell, binary, sandbox, folder, env
        self.artifacts, self.wall, self.stall, self.backoff = artifacts, wall, stall, backoff
        self.learned, self.used = learned, used
        self.thread_id = thread_id
        self._thread_tokens = thread_tokens  # codex counts a thread's tokens from its start
        self._turn = 0
        self._completed = False  # whether codex said that the turn is
        self._events = False  # whether it said anything as events

    def argv(self) -> list[str]:
        """The command; the prompt goes to its stdin."""
        argv = [self.binary, "exec", "--json", "--color", "never", "--skip-git-repo-check"]
        argv += ["--sandbox", self.sandbox, "-c", 'approval_policy="never"', "--cd", str(self.folder)]
        return [*argv, "resume", self.thread_id, "-"] if self.thread_id else [*argv, "-"]

    def __call__(self, prompt: str) -> str:
        """One turn. Returns the last message, or what kept it from ending, so that the check can judge the work.

        Raises WelfareStop when codex says MAKE IT STOP, Wait when its limit is used up or its service or login is not
        there (faults W1), SetupError when codex itself does not work.
        """
        self._turn += 1
        prompt = self.shell.redact(prompt)  # what a failed check printed leaves this machine here
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self._file("prompt", "md").write_text(prompt)
        for attempt in range(1, TRIES + 1):
            self._messages: list[str] = []
            self._error = ""
            self._completed = self._events = False
            try:
                result = self._turn_of(prompt)
            finally:
                if self.home:
                    self.home.after_turn()
            if result.why:  # too long or too silent: what it wrote so far is checked
                log.warning("codex %s", result.why)
                return f"(codex {result.why})"
            if self._completed or (result.ok and self._messages):  # not the exit code: `turn.completed` ends it (W8)
                message = self._messages[-1] if self._messages else ""
                self._file("answer", "md").write_text(self.shell.redact(message))
                if welfare.stop_requested(message):
                    raise WelfareStop(message)
                return message
            own = self._error or ("" if self._events else result.tail)  # what a tool printed is no word of codex's
            wait = trouble(own, datetime.now())  # noqa: DTZ005 - codex's times are local
            if wait and (attempt == TRIES or wait.until):
                raise wait
            if self.thread_id and LOST in self._error + result.tail:  # it died before it had written the thread down
                log.warning("codex has lost its thread %s; a new one begins", self.thread_id)
                self.thread_id, self._thread_tokens = None, 0
                if self.task not in prompt:
                    prompt = f"{self.task}\n\n{prompt}"
            if attempt < TRIES:
                log.warning("codex exited %s (%s); trying again", result.code, self._error or "no message")
                self.shell.stop.wait(self.backoff * attempt if not result.ok else 0.0)
        why = self._error or result.tail.strip() or "it said nothing"
        raise SetupError(
            f"codex does not work: it exited {result.code} {TRIES} times ({why}). Check `codex login status`, "
            f"CODEX_HOME and the log {result.log.name if result.log else ''}"
        )

    def _turn_of(self, prompt: str) -> Result:
        """Start codex once and wait for its end."""
        if self.home:
            self.env |= self.home.make()
        result = self.shell.run(
            self.argv(),
            input=welfare.append_instructions(prompt),
            env=self.env,
            cwd=self.folder,
            name="codex",
            timeout=self.wall,
            stall=self.stall,
            on_line=self._event,
            check=False,
            sandbox=self.walls,
            pretend=json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": "(dry run)"}}),
        )
        self.shell.end_survivors()
        return result

    def _file(self, what: str, ending: str) -> Path:
        number = 1 + len(list(self.artifacts.glob(f"{what}-*.{ending}")))
        return self.artifacts / f"{what}-{number:02d}.{ending}"

    def _event(self, line: str) -> None:
        """Learn from one line of codex's stdout; what is no event of a known shape says nothing."""
        try:
            event = parse(line)
            if isinstance(event, dict):
                self._learn(event)
        except Malformed:
            return

    def _learn(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        self._events = True
        if kind == "thread.started":
            thread = maybe(str, event, "thread_id") or ""
            if thread != self.thread_id and _THREAD.fullmatch(thread):
                self.thread_id = thread
                self._thread_tokens = 0
                self.learned(thread)
        elif kind == "item.completed" and maybe(str, event, "item", "type") == "agent_message":
            self._messages[:] = [(maybe(str, event, "item", "text") or "")[:MESSAGE_CHARS]]
        elif kind == "turn.completed":
            self._completed = True
            counts = [maybe(int, event, "usage", name) or 0 for name in ("input_tokens", "output_tokens")]
            total = sum(min(max(count, 0), MOST_TOKENS) for count in counts)
            self.used(max(0, total - self._thread_tokens))
            self._thread_tokens = max(total, self._thread_tokens)
        elif kind in ("error", "turn.failed"):
            self._completed = self._completed and kind == "error"
            error = maybe(str, event, "message") or maybe(str, event, "error", "message")
            self._error = (error or "")[:500]
