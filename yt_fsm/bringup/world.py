"""The world is asked before the model is blamed (faults W2): whether this machine is whole.

Asked are the board, by its listing, and the disks; with a reason to look closer also whether a mesh opens, and the
memory. Words in what a program printed, a kill from outside, and a failure where nothing of the model runs are such
reasons, and never a verdict.
"""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.removal import remove

from . import preflight
from .evaluation import CLOSED, HF
from .work import evaluation_of

if TYPE_CHECKING:
    from .evaluation import Evaluation, Report
    from .run import BringupRun

log = logging.getLogger("ytfsm")

MESH_SECS = 300.0
FULL_GB = 0.1  # of a disk on which nothing can be done any more, whatever should be free
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
# Of the kernel's and the C library's words, in lower case; those of drivers stand in the system's file.
WORDS = (
    "no space left on device",
    "disk quota exceeded",
    "cannot allocate memory",
    "device or resource busy",
    "input/output error",
    "no such device",
    "was killed by sigkill",  # what the harness says when the process that runs the model was
)
_OPEN = (
    "import sys\n"
    "import ttnn\n"
    "rows, columns = (int(part) for part in sys.argv[1].split('x'))\n"
    "if not hasattr(ttnn, 'open_mesh_device'):\n"
    "    sys.exit()\n"
    "fabric = ttnn.FabricConfig.FABRIC_2D if min(rows, columns) > 1 else ttnn.FabricConfig.FABRIC_1D\n"
    "try:\n"
    "    if rows * columns > 1:\n"
    "        ttnn.set_fabric_config(fabric)\n"
    "    ttnn.close_mesh_device(ttnn.open_mesh_device(ttnn.MeshShape(rows, columns)))\n"
    "except Exception as error:\n"
    "    sys.exit(f'{type(error).__name__}: {error}')\n"
)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the board; `listed`: it is listed whole, and no mesh opens on it."""

    words: str
    listed: bool

    def say(self, run: BringupRun, when: str) -> None:
        """Log it in a line: its first, and the last of what a program printed, which mostly says why."""
        first, *rest = self.words.strip().splitlines()
        log.warning("run_id=%s %s on a board that is not whole: %s", run.run_id, when, " ".join([first, *rest[-1:]]))


def have_board(run: BringupRun) -> None:
    """Hold the board, whole and fresh, unless it is held already. Raises Wait while another run has it, SetupError."""
    if not run.board.held:
        run.board.acquire()
        renew(run)


def renew(run: BringupRun) -> None:
    """Reset the board until it is listed whole and a mesh opens, twice at most. Raises SetupError."""
    run.board.reset()
    if _closed(run, evaluation_of(run)) is None:
        return
    run.board.reset()
    closed = _closed(run, evaluation_of(run))
    if closed is not None:
        raise SetupError(f"the board is listed whole after its reset, and {closed}")


def acquits(run: BringupRun, report: Report, again: bool) -> bool:
    """Whether a failed check says nothing about the model yet: the machine is mended now, and it is to be made again.

    `again`: it was made again already. Then the failure is the model's, also where the model leaves a board hanging
    that was whole before; but for one that loses its chips each time, or that no mesh opens on before the model runs,
    or where the reference itself fails, which runs nothing of the model: SetupError. It is raised too where the board
    stays as it is after its reset, and for a full disk or memory. A hang's listing is logged before the reset.
    """
    ended = report.ended
    hung = ended is not None and ended.code is None
    doubtful = report.case == HF.key or (ended is not None and _suspect(run, ended.code, ended.tail))
    evaluation = evaluation_of(run)
    remove(run.workspace.evaluation.folder)  # what the check itself wrote there is no full disk
    preflight.require_room(run.settings, least_gb=None if doubtful else FULL_GB)
    if ended is not None and ended.code in KILLED:
        preflight.require_memory(run.facts.bytes or 0)
    found = _trouble(run, evaluation, doubtful or hung, "hang" if hung else "failure")
    if found:
        found.say(run, "the check failed")
    if found or hung:
        renew(run)
    if not again:
        return found is not None or doubtful
    if report.case == HF.key:
        raise SetupError(f"the HF reference held before codex began, and fails now, twice: {report.error}")
    if found and (not found.listed or (ended is not None and ended.code == CLOSED)):
        raise SetupError(f"the board was whole before each of two checks, and not afterwards: {found.words}")
    if found:
        report.error = (
            f"{report.error}\nThe board was whole before this and hung afterwards, twice, so it is what the model runs "
            "that hangs it. It has been reset"
        )
    return False


def mended(run: BringupRun) -> bool:
    """After codex asked to stop: whether the board was not whole, which it is now. Raises SetupError when it is not."""
    found = _trouble(run, evaluation_of(run), closer=True, occasion="stopped")
    if found is None:
        return False
    found.say(run, "codex asked to stop")
    renew(run)
    return True


def _suspect(run: BringupRun, code: int | None, said: str) -> bool:
    """Whether a command that ended like this is a reason to look closer at the machine."""
    text = said.lower()
    known = run.board.system.trouble_in(text) is not None or any(words in text for words in WORDS)
    return known or code in (CLOSED, *KILLED)


def _trouble(run: BringupRun, evaluation: Evaluation, closer: bool, occasion: str) -> Trouble | None:
    """What is wrong with the board now; only a `closer` look opens a mesh."""
    if run.settings.skip_tt:
        return None
    try:
        run.board.verify(occasion)
    except SetupError as problem:
        return Trouble(str(problem), listed=False)
    closed = _closed(run, evaluation) if closer else None
    return Trouble(closed, listed=True) if closed else None


def _closed(run: BringupRun, evaluation: Evaluation) -> str | None:
    """Why no mesh opens on the board; None when one does, and where there is none to open."""
    if run.settings.skip_tt:
        return None
    mesh = "x".join(map(str, run.board.system.mesh))
    argv = [run.settings.python, "-c", _OPEN, mesh]
    result = evaluation.command(argv, "open-mesh", MESH_SECS, run.workspace.kernels)
    how = result.why or f"exit code {result.code}"
    return None if result.ok else f"no mesh of {mesh} opens on it ({how}; the log open-mesh has it all):\n{result.tail}"
