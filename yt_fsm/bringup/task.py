"""The bringup task (§9): `codexapi.Task`'s retry loop, whose checks are the machine's."""

from collections.abc import Callable

from codexapi import Task, TaskResult

from yt_fsm.tools.codex import Codex

from .errors import AskedToStop, BringupError


class FunctionalBringupTask(Task):  # type: ignore[misc]
    """The retry loop of one bringup (§9.1): codex works, `submit` judges, codex is told, until it passes.

    `submit()` returns None or the error to fix; `again(error)` returns the next prompt. Both fire transitions, and
    nothing else about the run lives here. `verdict` is None after a pass, else the BringupError that ended it.
    """

    def __init__(
        self,
        prompt: str,
        attempts: int,
        codex: Codex,
        submit: Callable[[], str | None],
        again: Callable[[str], str],
    ) -> None:
        super().__init__(prompt, max_iterations=attempts, cwd=str(codex.folder))
        self.agent = _Quiet(codex)
        self._pushover = _NobodyElse()
        self._submit, self._again = submit, again
        self.verdict: BringupError | None = BringupError("codex never finished")

    def check(self, output: str | None = None) -> str | None:
        """Judge the work; None when it passes."""
        error = self._submit()
        self.verdict = BringupError(error) if error else None
        return error

    def fix_prompt(self, error: str) -> str:
        """What codex is told next."""
        return self._again(error)

    def success_prompt(self) -> str:
        """Answered here: a summary is no reason to lose a verdict."""
        return _Quiet.SUMMARY

    def failure_prompt(self, error: str) -> str:
        """Answered here, like `success_prompt`."""
        return _Quiet.SUMMARY

    def on_failure(self, result: TaskResult) -> None:
        """Keep the reason when codex itself asked to stop."""
        if self.verdict is None or "MAKE IT STOP" in str(result.errors):
            self.verdict = AskedToStop(f"codex asked to stop: {result.summary}")

    def run(self) -> None:
        """The whole loop. Raises BringupError when it ended without a pass, SetupError when codex does not work."""
        self()
        if self.verdict:
            raise self.verdict


class _NobodyElse:
    """In the place of codexapi's Pushover, which would send the prompt to a third party (faults E5)."""

    def ensure_ready(self, announce: bool = True) -> bool:
        """Nothing is read."""
        return False

    def send(self, title: str, message: str) -> bool:
        """Nothing is sent."""
        return False


class _Quiet:
    """The task's agent: codex, but for the two summaries that Task asks for at its end."""

    SUMMARY = "(summary)"

    def __init__(self, codex: Codex) -> None:
        self._codex = codex

    @property
    def thread_id(self) -> str | None:
        return self._codex.thread_id

    def __call__(self, prompt: str) -> str:
        return "" if prompt == self.SUMMARY else self._codex(prompt)
