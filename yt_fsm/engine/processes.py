"""Processes: the only module that signals any (faults S1).

What a run starts carries two variables: YTFSM_RUN_ID, which people read, and YTFSM_RUN_MARK, a hash of the resolved
YTFSM_HOME and the run's id. A process that carries both, is of our own user and began after its run did is the run's
own, and nothing else is ever signalled: no marker that is empty, cut short or another home's names a process, nor do
we end ourselves or what we descend from. The signal goes through a descriptor of the process that was looked at, so
it cannot reach another one that got its number meanwhile. All of this sees into PID namespaces below our own.
"""

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess

MARKER = "YTFSM_RUN_ID"
MARK = "YTFSM_RUN_MARK"
GRACE_SECS = 5.0  # between TERM and KILL
ROUNDS = 5  # a process may fork while it is being looked for

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_RUN_ID = re.compile(r"[A-Za-z0-9][\w.-]{3,127}", re.ASCII)
_ROLE = re.compile(r"([a-z]{1,32})?", re.ASCII)


@dataclass(frozen=True)
class Mark:
    """Whose a process is: a run of one YTFSM_HOME, which began at `since` (seconds of CLOCK_BOOTTIME).

    `role` tells gh of ours (`github`, `heartbeat`) from what codex may have started (""): ending the one spares the
    other. Raises ValueError for an id that could be anybody's.
    """

    home: Path
    run_id: str
    since: float
    role: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.run_id, str) and _RUN_ID.fullmatch(self.run_id) and _ROLE.fullmatch(self.role)):
            raise ValueError(f"no process can be marked by the run id {self.run_id!r} and role {self.role!r}")

    def __str__(self) -> str:
        return f"{self.run_id}:{self.role}" if self.role else self.run_id

    @property
    def hash(self) -> str:
        """Tells this run from one of the same id in another home."""
        import hashlib  # loads OpenSSL, which a drawing needs none of

        return hashlib.sha256(f"{os.path.realpath(self.home)}\0{self.run_id}".encode()).hexdigest()[:32]

    @property
    def variables(self) -> dict[str, str]:
        """What its processes carry in their environment."""
        return {MARKER: str(self), MARK: self.hash}

    def as_role(self, role: str) -> "Mark":
        """The same run's processes of another role."""
        return Mark(self.home, self.run_id, self.since, role)


class Seen(NamedTuple):
    """A process as /proc shows it."""

    pid: int
    parent: int
    state: str
    started: float
    user: int
    marker: str
    mark: str


def survivors(mark: Mark) -> list[int]:
    """The live processes of a run, wherever they went (codex's tools leave its group). Raises TypeError for no Mark."""
    if not isinstance(mark, Mark):
        raise TypeError(f"{mark!r} marks no process")
    return [seen.pid for seen in _everyone() if _is_of(seen, mark)]


def end_survivors(mark: Mark) -> list[int]:
    """Kill a run's processes of that role; returns the pids of those that were ended."""
    ended: list[int] = []
    for _ in range(ROUNDS):
        killed = [pid for pid in survivors(mark) if _kill(pid, mark)]
        if not killed:
            break
        ended += [pid for pid in killed if pid not in ended]
        time.sleep(0.05)
    return ended


def marked() -> dict[str, set[str]]:
    """The run ids that our own user's live processes carry beside a mark, each with the roles found."""
    found: dict[str, set[str]] = {}
    for seen in _everyone():
        run_id, _, role = seen.marker.partition(":")
        if seen.mark and seen.state != "Z" and _RUN_ID.fullmatch(run_id) and _ROLE.fullmatch(role):
            found.setdefault(run_id, set()).add(role)
    return found


def stop_group(process: "subprocess.Popen[bytes]") -> None:
    """TERM, then KILL, a child of ours and the group that it leads; returns when the child is gone.

    The child is not reaped before its group is ended, so its number is nobody else's as long as we signal.
    """
    import subprocess

    if process.returncode is not None:
        return  # reaped: its number may be another's by now; what it left behind is found by its mark
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_child(process.pid, number)
        if _over(process.pid, GRACE_SECS):
            break
    _signal_child(process.pid, signal.SIGKILL)  # the leader is gone; the rest of its group gets no grace of its own
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECS)


def _signal_child(pid: int, number: int) -> None:
    """Signal a child that is not reaped yet: its whole group when it leads one, never the group that we are in."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid > 1 and os.getpgid(pid) == pid and pid != os.getpgrp():
            os.killpg(pid, number)
        elif pid > 1:
            os.kill(pid, number)


def _over(pid: int, patience: float) -> bool:
    """Whether a child ends within `patience` seconds; it is left unreaped."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return True
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


def _kill(pid: int, mark: Mark) -> bool:
    """The one place that ends a process which is no child of ours: only when it still is `mark`'s own."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno not in (errno.ENOSYS, errno.EPERM):
            return False
        return _kill_by_number(pid, mark)
    try:
        seen = _look(pid)  # of the process that the descriptor holds, or it is gone and the signal goes nowhere
        if seen is None or not _is_of(seen, mark):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def _kill_by_number(pid: int, mark: Mark) -> bool:
    """Where the kernel has no descriptors of processes: looked at twice, the second time just before the signal."""
    first, second = _look(pid), _look(pid)
    if first is None or second is None or first.started != second.started or not _is_of(second, mark):
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _is_of(seen: Seen, mark: Mark) -> bool:
    """Whether a process is a run's own, beyond doubt, and may be ended."""
    return (
        isinstance(mark, Mark)
        and seen.pid > 1
        and seen.state != "Z"
        and seen.user == os.getuid()
        and (seen.marker, seen.mark) == (str(mark), mark.hash)
        and seen.started + 2 / _TICKS >= mark.since
        and seen.pid not in _lineage()
    )


def _lineage() -> set[int]:
    """Ourselves and everyone that we descend from."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        status = _stat(pid)
        pid = status[1] if status else 0
    return found


def _everyone() -> Iterator[Seen]:
    """Our own user's processes that carry a marker."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        seen = _look(int(name)) if name.isascii() and name.isdecimal() else None
        if seen and seen.marker and seen.user == os.getuid():
            yield seen


def _look(pid: int) -> Seen | None:
    """A process as it is now; None when it is gone, or not ours to look at."""
    status = _stat(pid)
    if status is None:
        return None
    try:
        told = Path(f"/proc/{pid}/status").read_bytes()
        user = next(int(line.split()[1]) for line in told.splitlines() if line.startswith(b"Uid:"))
        carried = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if user == os.getuid() else []
    except (OSError, StopIteration, ValueError):
        return None
    pairs = dict(entry.partition(b"=")[::2] for entry in reversed(carried) if entry.startswith(b"YTFSM_RUN_"))
    marker, mark = (pairs.get(name.encode(), b"").decode(errors="replace") for name in (MARKER, MARK))
    return Seen(pid, status[1], status[0], status[2], user, marker, mark)


def _stat(pid: int) -> tuple[str, int, float] | None:
    """A process's state, parent and start (seconds of CLOCK_BOOTTIME); None when it is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return words[0].decode(), int(words[1]), int(words[19]) / _TICKS
    except (OSError, IndexError, ValueError):
        return None
