"""References on disk or behind an fsspec URL: one file an entry, checked when read, oldest out when there are too many."""

import hashlib
import io
import json
import os
import pathlib
import sys
import tempfile

import numpy

SUFFIX = ".ytref"
LIMIT = int(os.environ.get("YT_REFERENCE_CACHE_BYTES") or 4 * 2**30)


class Store:
    """Entries by key: each a JSON line with the checksum and the meta data, then the arrays as npz."""

    def __init__(self, place):
        self.remote = "://" in place and not place.startswith("file://")
        self.place = place.removeprefix("file://")

    def read(self, key):
        """(meta, arrays), or None when there is no entry; a damaged entry is dropped and said so."""
        raw = self._get(key + SUFFIX)
        if raw is None:
            return None
        try:
            head, _, payload = raw.partition(b"\n")
            head = json.loads(head)
            if head["key"] != key or head["sha256"] != _checksum(key, head["meta"], payload):
                raise ValueError("its checksum does not match")
            arrays = dict(numpy.load(io.BytesIO(payload), allow_pickle=False))
        except (ValueError, KeyError, OSError, EOFError, TypeError) as error:
            print(f"reference {key[:12]} is damaged ({error}); computing it again", file=sys.stderr)
            return None
        if not self.remote:
            try:
                os.utime(pathlib.Path(self.place) / (key + SUFFIX))  # "oldest out" means least recently used
            except OSError:
                pass
        return head["meta"], arrays

    def write(self, key, meta, arrays):
        """Store an entry; a reader or another writer never sees half of it. A full disk is reported, not fatal."""
        buffer = io.BytesIO()
        numpy.savez(buffer, **arrays)
        payload = buffer.getvalue()
        head = {"key": key, "sha256": _checksum(key, meta, payload), "meta": meta}
        raw = json.dumps(head, allow_nan=False).encode() + b"\n" + payload
        try:
            self._put(key + SUFFIX, raw)
        except OSError as error:
            print(f"the reference could not be stored in {self.place}: {error}", file=sys.stderr)

    def recall(self, name):
        """The bytes that `remember` kept under this name, or None."""
        try:
            return self._get(name)
        except OSError:
            return None

    def remember(self, name, raw):
        """Keep a few bytes that only save time; where they cannot be kept, the time is spent again."""
        try:
            self._put(name, raw)
        except OSError:
            pass

    def _get(self, name):
        if self.remote:
            import fsspec

            try:
                with fsspec.open(f"{self.place.rstrip('/')}/{name}", "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return None
        try:
            return (pathlib.Path(self.place) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _put(self, name, raw):
        if self.remote:
            import fsspec

            # Object stores replace a file at once when it is closed.
            with fsspec.open(f"{self.place.rstrip('/')}/{name}", "wb") as file:
                file.write(raw)
            return
        folder = pathlib.Path(self.place)
        folder.mkdir(parents=True, exist_ok=True)
        self._make_room(folder, len(raw))
        handle, draft = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, folder / name)
        except OSError:
            pathlib.Path(draft).unlink(missing_ok=True)
            raise

    @staticmethod
    def _make_room(folder, needed):
        entries = []
        for path in folder.glob("*" + SUFFIX):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            entries.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in entries) + needed
        for _, size, path in sorted(entries, key=lambda one: one[0]):
            if total <= LIMIT:
                return
            path.unlink(missing_ok=True)
            total -= size


def _checksum(key, meta, payload):
    """Of all that a reader believes."""
    found = hashlib.sha256(json.dumps([key, meta], sort_keys=True, allow_nan=False).encode())
    found.update(payload)
    return found.hexdigest()
