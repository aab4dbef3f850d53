"""The model's files on this machine: where they are, which commit, and a fingerprint of the weights."""

import hashlib
import json
import os
import pathlib

from . import files
from .errors import EvalError

# What the weights are run with: the config, and the tokenizer in its several formats.
SMALL = ("config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt")


class Snapshot:
    """A folder with a model's files; `commit` is the resolved one, or "local" for a plain folder."""

    def __init__(self, folder, commit):
        self.folder, self.commit = pathlib.Path(folder), commit

    def config(self):
        return json.loads((self.folder / "config.json").read_text())

    def weight_files(self):
        """The safetensors files, or those of older formats, or none."""
        for pattern in ("*.safetensors", "*.bin", "*.gguf"):
            found = sorted(self.folder.glob(pattern))
            if found:
                return found
        raise EvalError(f"no weights (*.safetensors, *.bin) in {self.folder}; download the model again")

    def fingerprint(self, store):
        """Changes when any byte of the weights, the config or the tokenizer changes; `store` remembers files' hashes.

        EvalError for a file that is damaged.
        """
        small = {one for pattern in SMALL for one in self.folder.glob(pattern)}
        found = files.hashes([*self.weight_files(), *small], store)
        return hashlib.sha256(json.dumps({path.name: one for path, one in found.items()}).encode()).hexdigest()


def find(model, revision):
    """The snapshot of a local folder or of a model id, downloading what is missing unless offline.

    A complete snapshot in the hub's cache is found without importing huggingface_hub.
    """
    folder = pathlib.Path(model)
    if (folder / "config.json").is_file():
        return Snapshot(folder.resolve(), "local")
    if folder.is_dir():
        raise EvalError(f"{model} is a folder without config.json")
    cached = _in_hub_cache(model, revision or "main")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if cached is not None and (offline or cached.commit == revision):
        return cached
    return _through_hub(model, revision)


def _in_hub_cache(model, revision):
    home = pathlib.Path(os.environ.get("HF_HOME") or pathlib.Path.home() / ".cache" / "huggingface")
    hub = pathlib.Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    repo = hub / ("models--" + model.replace("/", "--"))
    ref = repo / "refs" / revision
    commit = ref.read_text().strip() if ref.is_file() else revision
    folder = repo / "snapshots" / commit
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        return None
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = set(json.loads(index.read_text())["weight_map"].values())
        if not all((folder / name).is_file() for name in wanted):
            return None
    return Snapshot(folder, commit)


def _through_hub(model, revision):
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise EvalError(f"{model} is not a local folder and huggingface_hub is missing: {error}") from error
    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        folder = snapshot_download(model, revision=revision, allow_patterns=wanted)
        if not any(pathlib.Path(folder).glob("*.safetensors")):
            folder = snapshot_download(model, revision=revision, allow_patterns=[*wanted, "*.bin"])
    except errors.GatedRepoError as error:  # a subclass of "not found": first
        raise EvalError(f"{model} is gated: accept its terms on Hugging Face and set HF_TOKEN") from error
    except errors.RepositoryNotFoundError as error:
        raise EvalError(f"{model} does not exist on Hugging Face, or HF_TOKEN may not see it") from error
    except errors.RevisionNotFoundError as error:
        raise EvalError(f"{model} has no revision {revision!r}") from error
    except Exception as error:
        where = f" at revision {revision}" if revision else ""
        raise EvalError(f"{model}{where} could not be fetched: {type(error).__name__}: {error}") from error
    return Snapshot(folder, pathlib.Path(folder).name)
