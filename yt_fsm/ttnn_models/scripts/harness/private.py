"""The private way back to whoever started the evaluation: a file and a nonce that no child of ours can see."""

import ctypes
import os

PR_SET_DUMPABLE = 4
NAMES = ("YT_METRICS_FILE", "YT_METRICS_NONCE", "YT_REFERENCE_CACHE")


def take():
    """(file, nonce, reference cache) from the environment, each None when unset.

    Afterwards none of them is in it, nor in /proc/self/environ.

    The process is also made undumpable, so that a process of the same user cannot read its memory.
    """
    found = tuple(os.environ.get(name) for name in NAMES)
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    library.getenv.argtypes = [ctypes.c_char_p]
    for name in NAMES:
        # unsetenv alone leaves the text where the kernel shows it.
        at = library.getenv(name.encode())
        if at:
            ctypes.memset(at, 0, len(os.environb[name.encode()]))
        os.environ.pop(name, None)
    if hasattr(library, "prctl"):
        library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    return found
