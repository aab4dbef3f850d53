"""How codex can fail: a turn that did not end well is never the model's fault (faults W1, W8).

Wait
├── CodexLimited        the account's usage limit is reached, `until` a moment, or nobody knows when
├── CodexAway           its service is overloaded, fails, or cannot be reached
└── CodexLoggedOut      a person has to log in; the machine's fault
ServiceError
└── CodexTrouble        codex does not work, for a reason that no waiting mends
    └── CodexUnfinished codex itself ended without finishing its turn

Each has the turn's `thread`, where one began: what codex wrote so far is in its folder, and the thread can go on.
"""

from yt_fsm.engine.errors import ServiceError, Wait


class CodexWait(Wait):
    """Not now; `probe_secs` is how long it is not worth another try where `until` is None."""

    probe_secs: float = 60.0

    def __init__(self, text: str, thread: str | None = None, until: float | None = None) -> None:
        super().__init__(text, until)
        self.thread = thread


class CodexLimited(CodexWait):
    """The account may use no more `until` then (seconds since 1970), or nobody knows until when (None)."""

    def __init__(
        self, text: str, thread: str | None = None, until: float | None = None, probe_secs: float = CodexWait.probe_secs
    ) -> None:
        super().__init__(text, thread, until)
        self.probe_secs = probe_secs


class CodexAway(CodexWait):
    """codex's service is overloaded, fails, or cannot be reached."""


class CodexLoggedOut(CodexWait):
    """The login is not there, or counts no more: `codex login`."""

    fault = "machine"


class CodexTrouble(ServiceError):
    """codex did not finish a turn, and says nothing that passes by itself."""

    final = True

    def __init__(self, text: str, thread: str | None = None) -> None:
        super().__init__(text, type(self).__name__)
        self.thread = thread


class CodexUnfinished(CodexTrouble):
    """codex itself ended without finishing its turn."""
