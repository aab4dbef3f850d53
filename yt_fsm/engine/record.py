"""run_record.json: a summary of a run, derived from its journal and files, replaced whole each time."""

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .journal import Reading
from .jsonable import clean
from .replay import replay

if TYPE_CHECKING:
    from .run import Run

_DERIVED = {"run_record.json", "ballast", "heartbeat"}


def write(run: "Run") -> None:
    """Replace the run's record. It is a convenience: a disk too full to hold it does not stop the run."""
    try:
        path = run.folder / "run_record.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(clean(summarize(run), run.shell.redact), indent=2) + "\n")
        os.replace(fresh, path)
    except OSError:
        return


def summarize(run: "Run") -> dict[str, Any]:
    """The record: where the run stands, what it measured, with what versions, and every file it left."""
    records = run.journal.records
    told = replay(Reading(records=records), run.definition)
    return {
        **{key: told[key] for key in ("run_id", "machine", "subject", "issue", "model", "system", "units")},
        "worker": run.header.get("worker"),
        "state": run.state,
        "complete": told["complete"],
        "stages": [
            {"state": t["dest"], "entered": t["at"], "seconds": t["seconds"], "by": t["event"]}
            for t in told["transitions"]
        ],
        "problem": str(run.problem) if run.problem else None,
        "versions": run.header.get("versions"),
        "journal": {"records": len(records), "last": f"{records[-1]['seq']}:{records[-1]['hash']}"},
        **run.summary(),
        "artifact_index": [_entry(run.folder, file) for file in _files(run)],
    }


def _files(run: "Run") -> list[Path]:
    own = (file for file in run.folder.rglob("*") if file.relative_to(run.folder).parts[0] not in run.foreign)
    return sorted(f for f in own if f.is_file() and f.name not in _DERIVED and f.suffix != ".new")


_KNOWN: dict[tuple[str, int, int], str] = {}  # a file that did not change is not read again


def _entry(folder: Path, file: Path) -> dict[str, Any]:
    import hashlib

    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _KNOWN:
        _KNOWN[key] = hashlib.sha256(file.read_bytes()).hexdigest()
    created = datetime.fromtimestamp(stat.st_mtime, timezone.utc)
    return {
        "path": str(file.relative_to(folder)),
        "sha256": _KNOWN[key],
        "bytes": stat.st_size,
        "created_utc": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
