"""Walls around the process that runs the model, made by the kernel (Landlock, Linux 5.13 and later).

They need no privilege and no program, hold for all that the process starts, and cannot be taken down again. A worker
has walls of its own around this process; these are for an evaluation that a person starts.
"""

import contextlib
import ctypes
import os
import stat
import struct
import sys
import tempfile

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
VERSION, PATH_BENEATH, NO_NEW_PRIVS = 1, 1, 38
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REFER, TRUNCATE = 1, 2, 4, 8, 1 << 13, 1 << 14
FIRST = (1 << 13) - 1  # what the first version knows
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
TCP, SCOPES = 3, 3  # bind and connect; abstract sockets and signals
SYSTEM = ("/dev", "/proc", "/sys", "/run", "/var/run", "/var/tmp")  # what drivers and runtimes write to


def enclose(hidden, guarded, writable):
    """From now on nothing below `hidden` is read, and nothing is written but below `writable` or where drivers do.

    Nothing below `guarded` or `hidden` is written anywhere. Only names, sizes and dates stay in sight. Call it before
    a thread is started: it holds for this one and all that begin later. Returns the kernel's version of Landlock, 0
    where it has none and nothing was done.
    """
    version = max(0, _call(CREATE_RULESET, None, 0, VERSION))
    if version == 0:
        return 0
    every = FIRST | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    words = (every, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)
    attributes = struct.pack("=QQQ", *words)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _call(CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    hidden, guarded = [_real(one) for one in hidden], [_real(one) for one in guarded]
    _allow(rules, "/", READ_DIR)
    for path in _around("/", hidden):
        _allow(rules, path, EXECUTE | READ_FILE | READ_DIR)
    for place in {_real(one) for one in (*writable, *SYSTEM)}:
        for path in _around(place, [*hidden, *guarded]):
            _allow(rules, path, every)
    ctypes.CDLL(None).prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    held = _call(RESTRICT_SELF, rules, 0)
    os.close(rules)
    return version if held == 0 else 0


def writable(folder):
    """Where a run of ttnn writes beside its task's `folder`: temp files, compiled kernels, its reports.

    Its caches are made where they are not there yet, because within the walls nobody can.
    """
    home = os.path.expanduser("~/.cache")
    metal = os.environ.get("TT_METAL_HOME")
    found = [str(folder), tempfile.gettempdir(), *filter(None, [os.environ.get("YT_PROGRESS_FILE")])]
    caches = [os.environ.get("TT_METAL_CACHE") or f"{home}/tt-metal-cache", f"{home}/ttnn"]
    for cache in caches:
        with contextlib.suppress(OSError):
            os.makedirs(cache, exist_ok=True)
    found += caches
    return [*found, *([f"{metal}/generated", f"{metal}/built"] if metal else [])]


def programs():
    """Where Python and its packages lie: what is written there runs in every later command."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.expanduser("~/.local/lib")}
    found |= {one for one in sys.path if os.path.isdir(one)}
    # Who imports from a folder that holds them all can be given no walls there.
    return sorted(one for one in found if not _within(_real(tempfile.gettempdir()), _real(one)))


def _around(place, left_out):
    """The paths that together hold all of `place` as it is now but what is below `left_out`."""
    if any(_within(place, one) for one in left_out):
        return
    if not any(_within(one, place) for one in left_out):
        yield place
        return
    try:
        entries = [entry.path for entry in os.scandir(place) if not entry.is_symlink()]
    except OSError:
        return
    for path in entries:
        yield from _around(path, left_out)


def _within(path, folder):
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _real(path):
    return os.path.realpath(path)


def _allow(rules, path, rights):
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there, or gone meanwhile
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= OF_FILES
        _call(ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    return library.syscall(ctypes.c_long(number), *arguments)
