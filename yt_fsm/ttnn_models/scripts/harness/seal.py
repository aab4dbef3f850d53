"""Which harness it is that judged: a hash of every file beside run_eval.py, in the metrics for a worker to compare."""

import hashlib

from . import options


def digest():
    """The sha256 over the names and contents of what lies in scripts/, but for what Python compiled of it."""
    folder = options.ROOT / "scripts"
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda one: one.relative_to(folder).as_posix()):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            found.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return found.hexdigest()
