"""The model repositories that the lab's Hub serves: folders, with the hashes clients check them by."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGE = 1 << 20  # bytes; from here on a file lies in the content store, as LFS files do
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".model")
# … and these whatever their size: so says the .gitattributes of every repository that the Hub makes
CHUNK = 1 << 18


@dataclass(frozen=True)
class File:
    """One file of a repository: its path in it, where it lies, and what a client may check it by."""

    path: str
    source: Path
    size: int
    sha256: str
    oid: str

    @property
    def large(self) -> bool:
        """Whether the Hub would keep it in its content store."""
        return self.size >= LARGE or self.path.endswith(WEIGHTS)

    @property
    def etag(self) -> str:
        """What `resolve` calls it: sha256 when large, the git blob's id otherwise."""
        return self.sha256 if self.large else self.oid

    def entry(self) -> dict[str, Any]:
        """How `tree` lists it."""
        entry: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.large:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Revision:
    """One commit of a repository: its sha (40 hex, a hash of its files) and the files."""

    sha: str
    files: dict[str, File]


class Models:
    """The folders that are served. Hashes are kept beside them, so a second start reads no weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = folder / ".index.json"
        try:
            self._known: dict[str, list[Any]] = json.loads(self._index.read_text())
        except (OSError, ValueError):
            self._known = {}

    def names(self) -> list[str]:
        """The repositories, sorted, as ORG/NAME."""
        found = {
            f"{path.parent.name}/{path.name.partition('@')[0]}" for path in self.folder.glob("*/*") if path.is_dir()
        }
        return sorted(found)

    def revisions(self, repo: str) -> dict[str, Revision]:
        """The repository's branches by name; empty when there is no such repository."""
        org, _, name = repo.partition("/")
        found: dict[str, Revision] = {}
        if (self.folder / org / name).is_dir():
            found["main"] = self._read(self.folder / org / name)
        for other in sorted(self.folder.glob(f"{org}/{name}@*")):
            found[other.name.partition("@")[2]] = self._read(other)
        return found

    def revision(self, repo: str, wanted: str) -> Revision | None:
        """The commit that a branch, a tag or a sha (of at least 7 digits) names; None when nothing does."""
        branches = self.revisions(repo)
        if wanted in branches:
            return branches[wanted]
        for revision in branches.values():
            if len(wanted) >= 7 and revision.sha.startswith(wanted):
                return revision
        return None

    def _read(self, folder: Path) -> Revision:
        files = {}
        for source in sorted(folder.rglob("*")):
            path = source.relative_to(folder)
            if source.is_file() and not any(part.startswith(".") for part in path.parts if part != ".gitattributes"):
                files[str(path)] = self._hashed(str(path), source)
        digest = hashlib.sha1(usedforsecurity=False)
        for file in files.values():
            digest.update(f"{file.path} {file.sha256}\n".encode())
        return Revision(digest.hexdigest(), files)

    def _hashed(self, path: str, source: Path) -> File:
        status = source.stat()
        key = str(source.resolve())
        known = self._known.get(key)
        if known is None or known[:2] != [status.st_size, status.st_mtime_ns]:
            sha256 = hashlib.sha256()
            blob = hashlib.sha1(f"blob {status.st_size}\0".encode(), usedforsecurity=False)
            with source.open("rb") as file:
                while chunk := file.read(CHUNK):
                    sha256.update(chunk)
                    blob.update(chunk)
            known = [status.st_size, status.st_mtime_ns, sha256.hexdigest(), blob.hexdigest()]
            self._known[key] = known
            self._index.write_text(json.dumps(self._known))
        return File(path, source, status.st_size, known[2], known[3])


def parameters(revision: Revision) -> dict[str, int]:
    """Parameter counts by dtype, from the headers of the safetensors files."""
    counts: dict[str, int] = {}
    for file in revision.files.values():
        if not file.path.endswith(".safetensors"):
            continue
        with file.source.open("rb") as source:
            header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            total = 1
            for size in tensor["shape"]:
                total *= size
            counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + total
    return counts
