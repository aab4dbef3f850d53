"""A lab's board that fails when a mesh is opened, in the driver's words (YTFSM_LAB_BOARD: yt_fsm/lab/bin/wounds.py)."""

import errno
import json
import os
import signal
import sys

# As the driver and the library print them; the addresses and numbers are examples.
TIMEOUT = (
    "2026-11-22 09:37:27.352 | critical |          Always | Device 0: Timeout (10000 ms) waiting for physical cores to "
    "finish: (x=25,y=25), (x=24,y=25), (x=19,y=25)."
)
FIRMWARE = "Device 0 init: failed to initialize FW! Try resetting the board."
BUSY = "Waiting for lock 'CHIP_IN_USE_0_PCIe' which is currently held by thread TID: 4242, PID: 4242"
NO_CHIPS = "No chips detected in the cluster"


def refuse_where_broken(shape):
    """Fail as a real board does that has lost chips, is held by somebody else or does not wake."""
    path = os.environ.get("YTFSM_LAB_BOARD", "")
    if not path or not os.path.exists(path):
        return
    with open(path) as file:
        wounds = json.load(file)
    what, lost = wounds.get("open"), wounds.get("lost", 0)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.environ.get("TT_METAL_CACHE", "built"))
    if what == "busy":
        print(BUSY, file=sys.stderr, flush=True)
        raise _thrown("Timed out after waiting 60000 ms for the chip's lock")
    if what == "timeout":
        print(TIMEOUT, file=sys.stderr, flush=True)
        raise _thrown(FIRMWARE)
    rows, columns = (int(part) for part in os.environ.get("YT_MESH", "1x1").split("x"))
    chips = rows * columns
    left = max(0, chips - {"half": (chips + 1) // 2, "all": chips}.get(lost, lost))
    if what == "no-chips" or left == 0:
        raise _thrown(NO_CHIPS)
    if shape.mesh_size() > left:
        raise _thrown(f"Requested mesh {tuple(shape)} is larger than the system's mesh of {left} device(s)")


def _thrown(words):
    return RuntimeError(f"TT_THROW @ /tt-metal/tt_metal/impl/context/metal_context.cpp:1248: tt::exception\ninfo:\n{words}")
