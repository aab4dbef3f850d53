"""Everything that can go wrong, sorted by whose fault it is.

YtfsmError                  what the command line prints without a traceback; `exit_code` is its exit code
├── Usage                   bad flag, setting or file; names the field and the value
├── NotFound                no such run, subject or machine
├── Exists                  a thing that must not be overwritten is there already
├── Owned                   a live process holds the run or the board
├── PreflightFailed         this machine lacks something; nothing was taken
├── JournalDamaged          the journal does not verify
├── JournalBroken           the disk failed under the journal: this process must write no more
├── StopRequested           a signal asked for a stop; the run stays resumable
├── Wait                    nothing failed and nothing is decided: the state's work is entered again later
├── Refused                 publishing was refused for good; the run ends unpublished
│   └── Leaked              by us: what would be pushed or posted holds a secret of this machine
└── Verdict                 decides a run's next event
    ├── SetupError          abort: the world's fault (§9.1 H 1)
    │   ├── CommandFailed   a program exited badly
    │   ├── AnswerTooLarge  a program printed more than is read
    │   └── ServiceError    a service said no, or kept failing
    │       └── Unconfirmed  nobody says whether the subject is still this run's; no loss
    └── Lost                lose: the subject is no longer this run's, or a person acted

`fault` says whose it is: `issue` (what was asked for), `reference`, `model`, `machine`, `service` or `ours`. `final`
says that trying again changes nothing. The rooms above add their own: `github.errors`, `bringup.errors`.
A SetupError's `cause` is equal for two runs that met one trouble, whatever paths, numbers and ids their texts name.
"""

import shlex
from pathlib import Path
from typing import ClassVar


class YtfsmError(Exception):
    """Something an operator can understand and act on."""

    exit_code: int = 1
    fault: str = "ours"
    final: bool = False


class Usage(YtfsmError):
    """Bad input: the text names the field and the value."""

    exit_code = 2


class JournalDamaged(YtfsmError):
    """The journal does not verify; the text says at which line."""

    exit_code = 3


class JournalBroken(YtfsmError):
    """The journal's disk failed a sync or a truncate; nothing more may be written by this process."""

    exit_code = 3


class NotFound(YtfsmError):
    """No such run, subject or machine."""

    exit_code = 4


class Exists(YtfsmError):
    """It is there already and is not overwritten."""

    exit_code = 4


class Owned(YtfsmError):
    """A live process holds it."""

    exit_code = 4


class PreflightFailed(YtfsmError):
    """This machine cannot work: the text lists what is missing and how to mend it."""

    exit_code = 5


class StopRequested(YtfsmError):
    """A signal asked this process to stop; the run stays resumable. Ctrl-C is exit code 130, SIGTERM 0."""

    def __init__(self, text: str, exit_code: int = 130) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Wait(YtfsmError):
    """Not now, and nobody's failure: a limit, an overload, a service that is away (design §3).

    The state's work is entered again at `until` (seconds since the epoch), or where that is None, or past, after a
    while that grows.
    """

    fault = "service"

    def __init__(self, why: str, until: float | None = None) -> None:
        super().__init__(why)
        self.until = until


class Refused(YtfsmError):
    """A service refuses to publish and will go on refusing; a person has to act."""

    fault = "service"
    final = True


class Leaked(Refused):
    """What would be pushed or posted holds a secret of this machine; the text says where and whose, never the value."""


class Verdict(YtfsmError):
    """An error that decides a run's next event."""

    event: ClassVar[str]


class SetupError(Verdict):
    """The world's fault: a tool, a login, a disk, a network, a board (§9.1 H 1)."""

    event = "abort"
    fault = "machine"

    @property
    def cause(self) -> str:
        """What went wrong, without what only one run has: a key to compare setup errors by (faults Q4)."""
        words = str(self).partition("\n")[0].split()  # paths, numbers, run ids and hashes are of one run
        return f"{type(self).__name__}: {' '.join('…' if any(c in '/0123456789' for c in w) else w for w in words)}"


class Lost(Verdict):
    """The subject is no longer this run's, or a person acted on it; it is left as it is."""

    event = "lose"
    fault = "service"
    final = True


class ServiceError(SetupError):
    """A service answered with an error; `kind` is its own word for it (NOT_FOUND, RATE_LIMITED, 502 …)."""

    fault = "service"

    def __init__(self, text: str, kind: str = "", *, landed: bool | None = False, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        self.landed = landed  # None: the write may have landed, look before you write again
        self.retry_after = retry_after  # seconds

    @property
    def cause(self) -> str:
        """The class and the service's word for it."""
        return f"{type(self).__name__}: {self.kind}" if self.kind else super().cause


class Unconfirmed(ServiceError):
    """Nobody says whether the subject is still this run's, `since` that time (CLOCK_BOOTTIME, seconds).

    No loss: what the run does meanwhile must stop, its work be kept, and the subject be taken up again (faults W6).
    """

    def __init__(self, text: str, since: float) -> None:
        super().__init__(text, "UNCONFIRMED")
        self.since = since


class AnswerTooLarge(SetupError):
    """A program printed more than is kept of its output, and all of it was needed: nothing is read from a part."""

    def __init__(self, argv: list[str], mebibytes: int, log: Path | None) -> None:
        super().__init__(
            f"`{shlex.join(argv)[:300]}` printed more than {mebibytes} MiB, and only so much is read"
            + (f" (log: {log.name})" if log else "")
            + ": find out what makes its answer so large, and make that smaller"
        )
        self.program = Path(argv[0]).name

    @property
    def cause(self) -> str:
        """The class and the program."""
        return f"{type(self).__name__}: {self.program}"


class CommandFailed(SetupError):
    """A program exited badly, was killed, or ran out of time; words itself from argv, exit code and tail."""

    def __init__(
        self, argv: list[str], code: int | None, tail: str, log: Path | None, why: str = "", limit: str = ""
    ) -> None:
        self.argv, self.code, self.tail, self.log, self.why = argv, code, tail, log, why
        how = why or ("was killed by signal " + str(-code) if code is not None and code < 0 else f"exited {code}")
        text = f"`{shlex.join(argv)}` {how}"
        if limit:
            text += f", as {limit}"
        if log:
            text += f" (log: {log.name})"
        super().__init__(f"{text}\n{tail}".rstrip())

    @property
    def cause(self) -> str:
        """The class, the program and how it ended."""
        how = "killed" if self.code is None else f"exit {self.code}"
        return f"{type(self).__name__}: {Path(self.argv[0]).name} {how}"


def in_a_line(problem: Exception) -> str:
    """An error's first line; of a failed command also the last that it printed, which mostly says why."""
    first, _, rest = str(problem).strip().partition("\n")
    last = rest.strip().splitlines()[-1:] if isinstance(problem, CommandFailed) else []
    return ": ".join([first, *(line.strip() for line in last)])
