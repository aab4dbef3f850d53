"""The Hugging Face Hub: the model's weights (§9.1 C), downloaded by a child process.

Command: `python -m yt_fsm.tools.hub MODEL [REVISION]` in ytfsm's own Python. It is a child so that a download can be
timed out, stopped and logged like everything else, and it is the only one that gets HF_TOKEN. It prints
`PROGRESS=<json>` lines while it works and `HUB=<json>` at its end: {"sha", "path", "bytes"} or {"error"}.
"""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.outside import Malformed, at, parse, shown
from yt_fsm.engine.shell import Shell

# Copies of the weights in formats that transformers does not read here.
IGNORED = [
    "*.gguf",
    "*.onnx",
    "onnx/*",
    "*.msgpack",
    "*.h5",
    "*.ot",
    "*.tflite",
    "original/*",
    "*.pth",
    "coreml/*",
]
PICKLED = ["*.bin", "*.pt"]  # ignored too where safetensors are there
STALL_SECS = 900.0
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)


@dataclass(frozen=True)
class Download:
    """A model on this disk: its exact commit and its size in bytes."""

    sha: str
    bytes: int


def download(
    shell: Shell,
    model: str,
    revision: str | None,
    env: dict[str, str],
    timeout: float,
    min_free: float,
    show: Callable[[int, int], None],
) -> Download:
    """Fetch a model into the cache that `env`'s HF_HOME names; `min_free` bytes must stay free beside it.

    `show(done, total)` is told the bytes. Raises SetupError in words for a gated, unknown or oversized model.
    """

    last: list[str] = []

    def on_line(line: str) -> None:
        if line.startswith("HUB="):
            last[:] = [line]
        elif line.startswith("PROGRESS="):
            with contextlib.suppress(Malformed):  # a bar is no reason to fail
                told = parse(line.removeprefix("PROGRESS="))
                show(at(int, told, 0), at(int, told, 1))

    argv = [sys.executable, "-m", "yt_fsm.tools.hub", model, *([revision] if revision else [])]
    pretend = "HUB=" + json.dumps({"sha": revision or "0" * 40, "bytes": 0})
    result = shell.run(
        argv,
        env={**env, "YTFSM_MIN_FREE": str(int(min_free))},
        name="download",
        timeout=timeout,
        stall=STALL_SECS,
        on_line=on_line,
        check=False,
        pretend=pretend,
    )
    if not last or result.why:
        raise result.failed()
    try:
        answer = at(dict, parse(last[0].removeprefix("HUB=")))
        if "error" in answer:
            raise SetupError(at(str, answer, "error").strip() or f"the download of {model} failed without a word")
        sha, size = at(str, answer, "sha"), at(int, answer, "bytes")
        if not _REVISION.fullmatch(sha) or size < 0:
            raise Malformed(f"{shown(sha)} of {size} bytes is no download")
    except Malformed as problem:
        raise SetupError(f"the download of {model} did not say in its words what it fetched: {problem}") from None
    return Download(sha, size)


def main(model: str, revision: str | None = None) -> None:
    """The child: download and say so on stdout."""
    from huggingface_hub import HfApi, errors, snapshot_download

    token = os.environ.get("HF_TOKEN") or None
    named = f"{model} at revision {revision}" if revision else model
    try:
        info = HfApi(token=token).model_info(model, revision=revision, files_metadata=True)
        names = [s.rfilename for s in info.siblings or []]
        ignore = IGNORED + (PICKLED if any(n.endswith(".safetensors") for n in names) else [])
        wanted = {s.rfilename: s.size or 0 for s in info.siblings or [] if not _ignored(s.rfilename, ignore)}
        total = sum(wanted.values())
        assert info.sha
        _require_space(model, info.sha, wanted)
        with _Progress(total, model):
            path = snapshot_download(model, revision=info.sha, token=token, ignore_patterns=ignore)
    except errors.GatedRepoError:
        _end(error=f"{model} is gated: accept its licence with the account that HF_TOKEN belongs to")
    except errors.RevisionNotFoundError:
        _end(error=f"the Hub has no {named}: mend `hf_revision` in the issue")
    except errors.RepositoryNotFoundError:
        hint = "" if token else " (no HF_TOKEN is set: a private or gated model looks the same)"
        _end(error=f"the Hub has no model {model}{hint}: mend `hf_model_id` in the issue")
    except Exception as problem:  # whatever the network, the disk and the Hub come up with, in words
        _end(error=f"the download of {named} failed: {type(problem).__name__}: {problem}")
    else:
        size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
        _end(sha=info.sha, bytes=size)


def _ignored(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatch

    return any(fnmatch(name, pattern) for pattern in patterns)


def _require_space(model: str, sha: str, wanted: dict[str, int]) -> None:
    """Raise OSError when the disk would be left with too little."""
    from huggingface_hub import try_to_load_from_cache

    missing = sum(
        size for name, size in wanted.items() if not isinstance(try_to_load_from_cache(model, name, revision=sha), str)
    )
    home = _cache()
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    keep = int(os.environ.get("YTFSM_MIN_FREE", "0"))
    if missing and free - missing < keep:
        raise OSError(
            f"{home} has {free / 1e9:.1f} GB free; {missing / 1e9:.1f} GB are to come and "
            f"{keep / 1e9:.1f} GB must stay free: make room, or point HF_HOME at a larger disk"
        )


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


class _Progress:
    """Says once a second how many bytes of the model are on disk."""

    def __init__(self, total: int, model: str) -> None:
        self._total = total
        self._folder = _cache() / ("models--" + model.replace("/", "--")) / "blobs"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        said = -1
        while not self._over.wait(1.0):
            done = min(self._total, sum(f.stat().st_blocks * 512 for f in self._folder.glob("*")))
            if done != said:
                said = done
                print("PROGRESS=" + json.dumps([done, self._total]), flush=True)


def _end(**answer: Any) -> None:
    print("HUB=" + json.dumps(answer), flush=True)
    os._exit(1 if "error" in answer else 0)  # its own threads may linger


if __name__ == "__main__":
    main(*sys.argv[1:3])
