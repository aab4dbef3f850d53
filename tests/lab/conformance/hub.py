"""The rows as huggingface_hub does them, by its functions and by its `hf` command."""

import os
import warnings
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from .scene import Scene, run


class Hub:
    """The huggingface_hub that we use ourselves."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.model = scene, scene.lab.model
        self.url, self.token = scene.lab.env["HF_ENDPOINT"], scene.lab.env["HF_TOKEN"]
        self.api = HfApi(endpoint=self.url, token=self.token)
        self.served = Path(scene.lab.line["folder"]) / "models"

    def _download(self, cache: str, **options: Any) -> Path:
        asked = {"repo_id": self.model, "token": self.token, "cache_dir": self.scene.folder / cache, **options}
        return Path(snapshot_download(**asked, endpoint=self.url))

    def _same(self, found: Path, model: str = "") -> str:
        served = self.served / (model or self.model)
        wanted, here = (
            {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
            for top in (served, found)
        )
        here = {name: text for name, text in here.items() if not name.startswith(".cache/")}
        return "every byte" if here == wanted else f"{sorted(here)} instead of {sorted(wanted)}"

    def _sent(self) -> int:
        """How many files the Hub has sent so far."""
        requests = self.scene.lab.state()["hub"]["requests"]
        return sum(
            one["method"] == "GET" and one["status"] in (200, 206) and "/api/" not in one["path"] for one in requests
        )

    def hub_login(self) -> str:
        return str(self.api.whoami()["name"])

    def hub_model(self) -> str:
        info = self.api.model_info(self.model)
        return f"{info.pipeline_tag}, {(info.config or {}).get('model_type')}"

    def hub_tree(self) -> str:
        paths = {entry.path for entry in self.api.list_repo_tree(self.model, recursive=True)}
        return ", ".join(sorted(paths & {"config.json", "model.safetensors"}))

    def hub_snapshot(self) -> str:
        return self._same(self._download("cache"))

    def hub_cached(self) -> str:
        before = self._sent()
        self._download("cache")
        return "no file is sent" if self._sent() == before else f"{self._sent() - before} files were sent"

    def hub_command(self) -> str:
        done = run(self.scene, "hf", "download", self.model, "--local-dir", "model")
        return self._same(self.scene.folder / "model") if done.returncode == 0 else str(done.stderr)

    def hub_revision(self) -> str:
        return self._refused(revision="nope")

    def hub_missing(self) -> str:
        return self._refused(repo_id="lab/nope")

    def hub_gated(self) -> str:
        self.scene.lab.fault("hub", "gated", operation="resolve")
        return self._refused()

    def hub_token(self) -> str:
        said = self._refused(token="hf_wrong")
        return said.rpartition(", ")[2]

    def _refused(self, **options: str) -> str:
        try:
            self._download(f"other-{len(os.listdir(self.scene.folder))}", **options)
        except OSError as problem:
            # A download that has other reasons to go on wraps the answer that it did not expect.
            found = problem if isinstance(problem, HfHubHTTPError) else problem.__cause__
            if not isinstance(found, HfHubHTTPError):
                raise
            return f"{type(found).__name__}, {found.response.status_code}"
        return "let in"

    def _large(self) -> str:
        """A model whose weights come from the content store, as large ones do."""
        folder = self.served / "conformance" / "large"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text("{}")
        (folder / "weights.bin").write_bytes(bytes(range(256)) * 48 * 1024)
        return "conformance/large"

    def hub_broken(self) -> str:
        model = self._large()
        self.scene.lab.fault("hub", "reset", operation="content", bytes=11 << 20)  # it keeps 10 MiB at a time
        same = self._same(self._download("broken", repo_id=model), model)
        ranges = [one["range"] for one in self.scene.lab.state()["hub"]["requests"] if one["range"]]
        return "goes on from there" if (same, ranges) == ("every byte", [f"bytes={10 << 20}-"]) else f"{same}, {ranges}"

    def hub_short(self) -> str:
        model = self._large()
        self.scene.lab.fault("hub", "truncated", operation="content", bytes=1000)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._download("short", repo_id=model)
        except OSError as problem:
            words = "Consistency check failed"
            return words if words in str(problem) else str(problem)
        return "not noticed"
