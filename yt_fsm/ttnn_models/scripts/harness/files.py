"""A model's files: whether each is whole, and the sha256 of all of each, read once and remembered."""

import concurrent.futures
import hashlib
import json
import re
import struct

from .errors import EvalError

PIECE = 1 << 22
HEADER = 100_000_000  # bytes; safetensors itself refuses a longer one
MEMORY = ".hashes"
DIGEST = re.compile(r"[0-9a-f]{64}")


def hashes(paths, store):
    """{path: sha256 of all of it}.

    A file is read once: `store` remembers the hashes of files by their size, time of change and inode. The Hub's cache
    names a large file by its sha256; EvalError when the file is another by now, or when it is cut off.
    """
    paths = sorted(paths)
    known = hashlib.sha256(json.dumps([_identity(path) for path in paths]).encode()).hexdigest()
    kept = _recalled(store.recall(known + MEMORY), paths)
    if kept is not None:
        return kept
    for path in paths:
        check_whole(path)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        found = dict(zip(paths, threads.map(_sha256, paths)))
    for path, digest in found.items():
        real = path.resolve()
        if real.parent.name == "blobs" and DIGEST.fullmatch(real.name) and real.name != digest:
            raise _damaged(path, "its bytes are not those that the Hub gave it its name for")
    store.remember(known + MEMORY, json.dumps([found[path] for path in paths]).encode())
    return found


def check_whole(path):
    """EvalError when a safetensors file's header cannot be read or promises other bytes than there are."""
    if path.suffix != ".safetensors":
        return
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else HEADER + 1
            if length > min(HEADER, size - 8):
                raise _damaged(path, f"it has {size} bytes, fewer than its header needs")
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    except OSError as error:
        raise EvalError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise _damaged(path, f"its header is not that of a safetensors file ({type(error).__name__})") from error
    promised = 8 + length + max(ends, default=0)
    if size != promised:
        raise _damaged(path, f"it has {size} bytes and its header promises {promised}")


def _damaged(path, how):
    return EvalError(
        f"{path} is damaged: {how}. This says nothing about the model: remove the file ({path.resolve()}) and have it "
        "downloaded again"
    )


def _identity(path):
    found = path.stat()
    return [path.name, str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ino]


def _recalled(raw, paths):
    try:
        found = json.loads(raw or b"null")
    except ValueError:
        return None
    whole = isinstance(found, list) and len(found) == len(paths)
    if not whole or not all(isinstance(one, str) and DIGEST.fullmatch(one) for one in found):
        return None
    return dict(zip(paths, found))


def _sha256(path):
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                found.update(piece)
    except OSError as error:
        raise EvalError(f"{path} cannot be read: {error.strerror}") from error
    return found.hexdigest()
