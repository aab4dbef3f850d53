"""The Hugging Face Hub: the model's weights (§9.1 C), downloaded by a child process.

Command: `python -m yt_fsm.tools.hub MODEL [REVISION]` in ytfsm's own Python. It is a child so that a download can be
timed out, stopped and logged like everything else, and it is the only one that gets the Hub's token. It prints
`PROGRESS=<json>` lines while it works and `HUB=<json>` at its end: {"sha", "path", "bytes"} or {"error", "fault"}.
A Hub that is away, or sends what it should not, is asked again for as long as there is time (faults W11).
"""

import contextlib
import glob
import json
import os
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_fsm.engine.clock import boot_secs
from yt_fsm.engine.errors import ServiceError, SetupError
from yt_fsm.engine.outside import Malformed, at, parse, read, shown
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
LONGEST_PAUSE_SECS = 60.0  # between two tries
PATIENCE_SECS = 120.0  # of a download that gets nowhere: then the run waits, which holds nothing (design §3)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")
_WEIGHTS = (".safetensors", ".bin", ".pt")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TOKENS = (("HF_TOKEN_PATH", ""), ("HF_HOME", "token"), ("XDG_CACHE_HOME", "huggingface/token"))


class NotOnTheHub(SetupError):
    """What the issue names is not to be had: no such model or revision, or a licence that nobody accepted."""

    fault = "issue"
    final = True


class TooLarge(SetupError):
    """The model has more `weights` than there is room for; nothing of it was downloaded."""

    fault = "issue"
    final = True

    def __init__(self, model: str, weights: int) -> None:
        super().__init__(f"{model} has {weights / 1e9:.1f} billion weights")
        self.weights = weights


class WeightsDamaged(SetupError):
    """A file is not the one that the Hub names by its sha256, also after it was fetched again."""


@dataclass(frozen=True)
class Download:
    """A model on this disk: its exact commit and its size in bytes."""

    sha: str
    bytes: int


def token_of(env: dict[str, str]) -> str:
    """The operator's token for the Hub: HF_TOKEN, else what `hf auth login` wrote; "" when there is none."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if env.get(name, "").strip():
            return env[name].strip()
    files = [Path(env[name]) / rest for name, rest in _TOKENS if env.get(name)]
    for file in (*files, Path(env.get("HOME") or Path.home()) / ".cache" / "huggingface" / "token"):
        with contextlib.suppress(OSError, Malformed):
            if found := read(file, 10_000, follow=True).strip():
                return found
    return ""


def require_online(env: dict[str, str]) -> str:
    """Where the Hub is asked. Raises SetupError where a variable keeps its client from asking at all."""
    for name in _OFFLINE:
        if env.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            raise SetupError(f"{name}={env[name]} keeps this machine from asking the Hub, which each download does")
    return env.get("HF_ENDPOINT") or "https://huggingface.co"


def download(
    shell: Shell,
    model: str,
    revision: str | None,
    env: dict[str, str],
    timeout: float,
    min_free: float,
    show: Callable[[int, int], None],
    most: int | None = None,
) -> Download:
    """Fetch a model into the cache that `env`'s HF_HOME names; `min_free` bytes must stay free beside it.

    `show(done, total)` is told the bytes. Raises NotOnTheHub for what the issue should not have asked for, TooLarge
    where the model has more than `most` weights, as far as the Hub's figures tell, ServiceError when the Hub stays away
    for `timeout` seconds, WeightsDamaged, and SetupError for this machine's own troubles.
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
    until = boot_secs() + max(timeout * 0.9, timeout - 60)  # so that it ends in words
    more = {"YTFSM_MIN_FREE": str(int(min_free)), "YTFSM_UNTIL": str(until), "HF_TOKEN": token_of(dict(os.environ))}
    more["YTFSM_MOST_WEIGHTS"] = "" if most is None else str(most)
    result = shell.run(
        argv,
        env={**env, **more},
        name="download",
        timeout=timeout,
        stall=STALL_SECS,
        on_line=on_line,
        check=False,
        pretend=pretend,
    )
    if result.why:  # it was killed, as nothing came any more
        raise ServiceError(f"the download of {model} did not come to its end: {result.failed()}", "TIMEOUT")
    if not last:
        raise result.failed()
    try:
        answer = at(dict, parse(last[0].removeprefix("HUB=")))
        if "weights" in answer:
            raise TooLarge(model, at(int, answer, "weights"))
        if "error" in answer:
            words = at(str, answer, "error").strip() or f"the download of {model} failed without a word"
            raise _error_of(at(str, answer, "fault") if "fault" in answer else "machine", words)
        sha, size = at(str, answer, "sha"), at(int, answer, "bytes")
        if not _REVISION.fullmatch(sha) or size < 0:
            raise Malformed(f"{shown(sha)} of {size} bytes is no download")
    except Malformed as problem:
        raise SetupError(f"the download of {model} did not say in its words what it fetched: {problem}") from None
    return Download(sha, size)


def _error_of(fault: str, words: str) -> SetupError:
    """A child's error as one of ours."""
    if fault == "service":
        return ServiceError(words, "HUB")
    return {"issue": NotOnTheHub, "integrity": WeightsDamaged}.get(fault, SetupError)(words)


class _Trouble(Exception):
    """Why a try failed: whose `fault` it is (issue, machine, service, integrity), in words."""

    def __init__(self, fault: str, words: str) -> None:
        super().__init__(words)
        self.fault = fault


def main(model: str, revision: str | None = None) -> None:
    """The child: download, again and again while the Hub is at fault, and say so on stdout."""
    until = min(float(os.environ.get("YTFSM_UNTIL") or "inf"), boot_secs() + PATIENCE_SECS)
    pause, damaged = 1.0, 0
    while True:
        try:
            found = _fetch(model, revision, os.environ.get("HF_TOKEN") or None)
        except _Trouble as trouble:
            damaged += trouble.fault == "integrity"
            again = trouble.fault == "service" or (trouble.fault == "integrity" and damaged < 2)
            if not again or boot_secs() + pause > until:
                _end(error=str(trouble), fault=trouble.fault)
            print(f"{trouble}; again in {pause:.0f} s", flush=True)
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
            pause = min(2 * pause, LONGEST_PAUSE_SECS)
        else:
            _end(**found)


def _fetch(model: str, revision: str | None, token: str | None) -> dict[str, Any]:
    """One try. Raises _Trouble."""
    from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download

    named = f"{model} at revision {revision}" if revision else model
    hint = "" if token else " (no HF_TOKEN is set, and nobody did `hf auth login` here)"
    try:
        info = HfApi(token=token).model_info(model, revision=revision, files_metadata=True)
        siblings = {s.rfilename: s for s in info.siblings or []}

        def shards(index: str) -> set[str]:
            path = hf_hub_download(model, index, revision=info.sha, token=token)
            found = at(dict, parse(Path(path).read_text()), "weight_map")
            return {shard for shard in found.values() if isinstance(shard, str)}

        ignore = IGNORED + [glob.escape(name) for name in unneeded(siblings, shards)]
        wanted = {name: s.size or 0 for name, s in siblings.items() if not _ignored(name, ignore)}
        assert info.sha
        weights, most = _weights(info, wanted), os.environ.get("YTFSM_MOST_WEIGHTS")
        if most and weights > int(most):
            _end(error="too large", weights=weights)
        _require_space(model, info.sha, wanted)
        with _Progress(sum(wanted.values()), model):
            path = Path(snapshot_download(model, revision=info.sha, token=token, ignore_patterns=ignore))
        for name in wanted:
            large: Any = siblings[name].lfs
            _verify(path / name, name, large["sha256"] if large else None)
    except _Trouble:
        raise
    except errors.GatedRepoError:
        words = f"{model} is gated: accept its licence with the account that HF_TOKEN belongs to{hint}"
        raise _Trouble("issue", words) from None
    except errors.RevisionNotFoundError:
        raise _Trouble("issue", f"the Hub has no {named}: mend `hf_revision` in the issue") from None
    except (errors.RepositoryNotFoundError, errors.DisabledRepoError):
        if hint:
            hint = f"{hint[:-1]}: a private or gated model looks the same)"
        raise _Trouble("issue", f"the Hub has no model {model}{hint}: mend `hf_model_id` in the issue") from None
    except Exception as problem:  # whatever the network, the disk and the Hub come up with, in words
        words = f"the download of {named} failed: {type(problem).__name__}: {problem}"
        raise _Trouble(_fault_of(problem), words) from None
    return {"sha": info.sha, "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file())}


def _fault_of(problem: BaseException) -> str:
    """Whose fault what a client of the Hub raised is."""
    status = getattr(getattr(problem, "response", None), "status_code", None)
    if status is not None:
        return "service" if status >= 500 or status in (408, 429) else "machine"
    kinds = {kind.__name__ for kind in type(problem).__mro__}
    away = {"TransportError", "RequestError", "ConnectionError", "TimeoutError", "LocalEntryNotFoundError",
            "FileMetadataError", "IncompleteSnapshotError", "XetDownloadError", "JSONDecodeError"}  # fmt: skip
    if "OfflineModeIsEnabled" in kinds:
        return "machine"
    return "service" if kinds & away or "Consistency check failed" in str(problem) else "machine"


def unneeded(names: Iterable[str], shards: Callable[[str], set[str]]) -> list[str]:
    """The weights among a repository's files that transformers would not load: it takes those of the index, else the
    one file beside the configuration (faults W11). `shards` tells what an index names.
    """
    here = set(names)
    weights = [name for name in here if name.endswith(_WEIGHTS)]
    for index, single in zip(_INDEXES, _SINGLES, strict=True):
        if index in here or single in here:
            loaded = shards(index) if index in here else {single}
            if "adapter_config.json" in here:
                loaded |= {name for name in weights if name.startswith("adapter_model.")}
            return sorted(set(weights) - loaded)
    pickled = any(name.endswith(".safetensors") for name in here)
    return sorted(name for name in weights if pickled and _ignored(name, PICKLED))


def _weights(info: Any, wanted: dict[str, int]) -> int:
    """The least number of weights that a model can have: what the Hub has counted, else what its files can hold.

    Packed integers are not counted, as they may hold several weights or none.
    """
    counted = info.safetensors.parameters if info.safetensors else {}
    if counted:
        return sum(count for sort, count in counted.items() if "F" in sort.upper())
    return sum(size for name, size in wanted.items() if name.endswith(_WEIGHTS)) // 4  # float32, the widest


def _verify(file: Path, name: str, sha256: str | None) -> None:
    """Raise _Trouble where a file is missing, or not the one of that sha256: it is removed, to be fetched again."""
    import hashlib

    if not file.exists():  # the Hub was away, and the client took what was there
        raise _Trouble("service", f"{name} did not arrive")
    if not sha256:
        return
    found = hashlib.sha256()
    print(f"comparing {name} with the Hub's sha256", flush=True)
    with file.open("rb") as source:
        while part := source.read(1 << 22):
            found.update(part)
    if found.hexdigest() != sha256:
        file.resolve().unlink()
        file.unlink(missing_ok=True)
        raise _Trouble(
            "integrity",
            f"{name} has the sha256 {found.hexdigest()}, and the Hub names {sha256}: the disk or the way from the Hub "
            "changes files; look at this machine's disk, memory and proxy",
        )


def _ignored(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatch

    return any(fnmatch(name, pattern) for pattern in patterns)


def _require_space(model: str, sha: str, wanted: dict[str, int]) -> None:
    """Raise _Trouble when the disk would be left with too little."""
    from huggingface_hub import try_to_load_from_cache

    missing = sum(
        size for name, size in wanted.items() if not isinstance(try_to_load_from_cache(model, name, revision=sha), str)
    )
    home = _cache()
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    keep = int(os.environ.get("YTFSM_MIN_FREE", "0"))
    if missing and free - missing < keep:
        raise _Trouble(
            "machine",
            f"{home} has {free / 1e9:.1f} GB free; {missing / 1e9:.1f} GB are to come and "
            f"{keep / 1e9:.1f} GB must stay free: make room, or point HF_HOME at a larger disk",
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
