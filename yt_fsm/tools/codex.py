"""codex, through `codexapi.Task` (§9): the agent callable and the bringup task.

Command: `codex exec --json … [resume THREAD] -`, the prompt on stdin. codexapi's own agent has no timeout, loses the
thread id when codex exits non-zero and reports no tokens, so ours takes its place in the task.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from codexapi import WelfareStop, welfare

from yt_fsm.engine.sandbox import Sandbox
from yt_fsm.engine.shell import Result, Shell

from .codex_home import CodexHome
from .codex_turn import TIMEZONE, Turn
from .errors import CodexLimited, CodexLoggedOut, CodexTrouble

log = logging.getLogger("ytfsm")

PRETEND = '{"type":"item.completed","item":{"type":"agent_message","text":"(dry run)"}}\n{"type":"turn.completed"}'
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

    def argv(self) -> list[str]:
        """The command; the prompt goes to its stdin."""
        argv = [self.binary, "exec", "--json", "--color", "never", "--skip-git-repo-check"]
        argv += ["--sandbox", self.sandbox, "-c", 'approval_policy="never"', "--cd", str(self.folder)]
        return [*argv, "resume", self.thread_id, "-"] if self.thread_id else [*argv, "-"]

    def __call__(self, prompt: str) -> str:
        """One turn. Returns the last message, or what kept it from ending, so that the check can judge the work.

        Raises WelfareStop when codex says MAKE IT STOP, CodexWait when its limit is used up or its service or login is
        not there (faults W1), CodexTrouble when codex itself does not work: at once where trying again is of no use,
        else after TRIES.
        """
        self._turn += 1
        prompt = self.shell.redact(prompt)  # what a failed check printed leaves this machine here
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self._file("prompt", "md").write_text(prompt)
        for attempt in range(1, TRIES + 1):
            turn = Turn(self._began, self._counted)
            try:
                result = self._turn_of(prompt, turn)
            finally:
                if self.home:
                    self.home.after_turn()
            if turn.completed:
                return self._answer(turn.message)
            if result.why and turn.worked and not turn.error:  # too long or too silent: what it wrote so far is checked
                log.warning("codex %s", result.why)
                return f"(codex {result.why})"
            trouble = turn.trouble(result.why or f"exited {result.code}", result.tail, self.thread_id)
            if result.why or isinstance(trouble, CodexLimited | CodexLoggedOut):
                break
            if self.thread_id and LOST in turn.error + result.tail:  # it died before it had written the thread down
                log.warning("codex has lost its thread %s; a new one begins", self.thread_id)
                self.thread_id, self._thread_tokens = None, 0
                if self.task not in prompt:
                    prompt = f"{self.task}\n\n{prompt}"
            if attempt < TRIES:
                log.warning("%s; trying again", trouble)
                self.shell.stop.wait(self.backoff * attempt if not result.ok else 0.0)
        if isinstance(trouble, CodexTrouble):
            name = result.log.name if result.log else ""
            more = f"Tried {attempt} times. Check `codex login status`, CODEX_HOME and the log {name}"
            trouble.args = (f"{trouble}. {more}",)
        raise trouble

    def _answer(self, message: str) -> str:
        """The message that ended a turn, kept; "" where there was none."""
        if message:
            self._file("answer", "md").write_text(self.shell.redact(message))
        if welfare.stop_requested(message):
            raise WelfareStop(message)
        return message

    def _turn_of(self, prompt: str, turn: Turn) -> Result:
        """Start codex once and wait for its end, which `turn.completed` is, whatever its process does."""
        if self.home:
            self.env |= self.home.make()
        result = self.shell.run(
            self.argv(),
            input=welfare.append_instructions(prompt),
            env={**self.env, "TZ": TIMEZONE},
            cwd=self.folder,
            name="codex",
            timeout=self.wall,
            stall=self.stall,
            on_line=turn.hear,
            finished=lambda: turn.completed,
            check=False,
            sandbox=self.walls,
            pretend=PRETEND,
        )
        self.shell.end_survivors()
        return result

    def _began(self, thread: str) -> None:
        if thread != self.thread_id:
            self.thread_id = thread
            self._thread_tokens = 0
            self.learned(thread)

    def _counted(self, total: int) -> None:
        self.used(max(0, total - self._thread_tokens))
        self._thread_tokens = max(total, self._thread_tokens)

    def _file(self, what: str, ending: str) -> Path:
        number = 1 + len(list(self.artifacts.glob(f"{what}-*.{ending}")))
        return self.artifacts / f"{what}-{number:02d}.{ending}"
