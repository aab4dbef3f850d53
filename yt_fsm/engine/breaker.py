"""The breaker: equal causes in a row keep a worker from spoiling a whole queue, until a look finds the cause gone.

An open breaker takes nothing. From time to time it looks whether the machine has what a worker needs, which claims
nothing; if so it is half open: one subject is taken, and what becomes of that decides. Its file under YTFSM_HOME tells
`ytfsm doctor`; it goes with the worker, and one that a killed worker left counts for nothing.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .clock import boot_secs
from .errors import YtfsmError, in_a_line
from .outside import Malformed, at, parse, read
from .run import lives, owner
from .store import stamp

log = logging.getLogger("ytfsm")

EQUAL = 3  # causes in a row
FIRST_SECS, LAST_SECS = 60.0, 1800.0  # between two looks
FOLDER = "breakers"
_LARGEST = 10_000  # bytes of a file


class Breaker:
    """The breaker of one worker process of one machine."""

    def __init__(self, home: Path, machine: str, worker: str) -> None:
        self._path = home / FOLDER / f"{machine}-{os.getpid()}.json"
        self._machine, self._worker = machine, worker
        self._causes: list[str] = []
        self._pause, self._next = 0.0, 0.0
        self.why = ""  # it is open; "" when it is not
        self._since = ""

    def count(self, cause: str, problem: YtfsmError) -> None:
        """A run ended for a cause that is the machine's, or a service's."""
        self._causes = [*self._causes, cause][-EQUAL:]
        if self.why or (len(self._causes) == EQUAL and len(set(self._causes)) == 1):
            self.put_off(in_a_line(problem))

    def close(self) -> None:
        """A run came to an end of its own, or the worker goes: nothing is the matter with this machine."""
        if self.why:
            log.warning("the breaker is closed: this worker takes work again")
        self._causes, self.why, self._pause = [], "", 0.0
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def put_off(self, why: str) -> None:
        """Open it, or leave it open, until the next look."""
        self._pause = min(2 * self._pause, LAST_SECS) or FIRST_SECS
        self._next = boot_secs() + self._pause
        self._since = self._since if self.why else _now(0)
        self.why = why
        log.error(
            "%d runs in a row ended in the same setup error, so this worker stops claiming: %s\n"
            "Mend the machine (`ytfsm doctor` tells what is missing); it is looked at again in %.0f s, or start the "
            "worker again",
            len(self._causes), why, self._pause,
        )  # fmt: skip
        told = {
            "machine": self._machine, "worker": self._worker, "why": why, "since": self._since,
            "next": _now(self._pause), **owner(),
        }  # fmt: skip
        with contextlib.suppress(OSError):  # it is for people; the breaker works without
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(told))
            os.replace(fresh, self._path)

    def left(self) -> float:
        """Seconds until the next look; 0 when it is due, or the breaker is not open."""
        return max(0.0, self._next - boot_secs()) if self.why else 0.0


def opened(home: Path) -> Iterator[dict[str, Any]]:
    """What the open breakers of living workers say: machine, worker, why, since, next."""
    for file in sorted((home / FOLDER).glob("*.json")):
        try:
            told = parse(read(file, _LARGEST))
            if lives(at(dict, told)):
                yield {name: at(str, told, name) for name in ("machine", "worker", "why", "since", "next")}
        except (OSError, Malformed) as problem:
            log.warning("%s cannot be read: %s", file, problem)


def _now(later: float) -> str:
    return stamp(time.time() + later)
