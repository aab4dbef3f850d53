"""Settings: read once from flags, environment and `ytfsm.toml` (in that order of precedence), then frozen."""

import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from yt_fsm.github.lease import ttl_range

from . import configuration, credentials
from .errors import Usage
from .outside import shown
from .redaction import Redactor

if TYPE_CHECKING:
    from yt_fsm.tools.systems import Systems

YEAR = 365 * 86_400.0  # seconds: whoever asks for more has mistyped, and no clock of ours can wait for ever

ENVIRONMENT = {
    "systems_dir": "YT_SYSTEMS_DIR",
    "system": "YT_SYSTEM",
    "owner": "YT_OWNER",
    "repo_models": "YT_REPO_MODELS",
    "worker_name": "YT_WORKER_NAME",
    "project_number": "YT_PROJECT_NUMBER",
    "project_title": "YT_PROJECT_TITLE",
    "hf_token": "HF_TOKEN",
    "codex_bin": "CODEX_BIN",
    "codex_home": "CODEX_HOME",
    "top1_min": "YT_TOP1_MIN",
    "top5_min": "YT_TOP5_MIN",
    "max_attempts": "YT_MAX_ATTEMPTS",
    "sleep_secs": "YT_SLEEP_SECS",
    "tmp_root": "YT_TMP_ROOT",
    "claim_ttl_secs": "YT_CLAIM_TTL_SECS",
    "home": "YTFSM_HOME",
    "python": "YT_PYTHON",
    "device": "YT_DEVICE",
    "reference_cache": "YT_REFERENCE_CACHE",
    "kl_max": "YT_KL_MAX",
    "max_tokens": "YT_MAX_TOKENS",
    "codex_sandbox": "YT_CODEX_SANDBOX",
    "attempt_secs": "YT_ATTEMPT_SECS",
    "stall_secs": "YT_STALL_SECS",
    "eval_secs": "YT_EVAL_SECS",
    "download_secs": "YT_DOWNLOAD_SECS",
    "min_free_gb": "YT_MIN_FREE_GB",
    "skip_tt": "YT_SKIP_TT",
    "isolation": "YT_ISOLATION",
    "isolation_bind": "YT_ISOLATION_BIND",
    "max_processes": "YT_MAX_PROCESSES",
    "max_file_gb": "YT_MAX_FILE_GB",
    "max_memory_gb": "YT_MAX_MEMORY_GB",
    "backoff_secs": "YT_BACKOFF_SECS",
    "write_gap_secs": "YT_WRITE_GAP_SECS",
    "settle_secs": "YT_SETTLE_SECS",
}


class Settings(BaseModel):
    """Everything that can be set; each field's description is the README's row for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # First, because the system is looked for there.
    systems_dir: Path | None = Field(None, description="a folder of systems of your own (default: ours only)")
    system: str = Field(description="this machine's type: n150, n300, lb or one of your own (`--system`)")
    owner: str = Field(
        "yieldthought", pattern=r"^\w[\w-]*$", max_length=100, description="who owns the models repo and the Project"
    )
    repo_models: str = Field("ttnn_models", pattern=r"^[\w.]*\w[\w.-]*$", max_length=100, description="the models repo")
    worker_name: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^\S+$",
        max_length=100,
        description="who this worker is (default: host name)",
    )
    project_number: int | None = Field(None, ge=1, le=2**31 - 1, description="the Project's number (preferred)")
    project_title: str | None = Field(None, max_length=256, description="the Project's title, when there is no number")
    hf_token: str | None = Field(
        None, repr=False, pattern="^[!-~]+$", max_length=1000, description="Hugging Face token, for gated models"
    )
    codex_bin: str = Field("codex", description="the codex program")
    codex_home: Path | None = Field(None, description="codex's own folder: login and configuration")
    top1_min: float = Field(0.90, ge=0, le=1, description="the least top-1 agreement that passes")
    top5_min: float = Field(0.97, ge=0, le=1, description="the least top-5 agreement that passes")
    max_attempts: int = Field(10, ge=1, le=1000, description="checks a run may fail before it gives up")
    sleep_secs: float = Field(
        20, ge=0.01, le=86_400, description="seconds between two polls; grows to three times that when idle"
    )
    tmp_root: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="where workspaces are made and deleted",
    )
    claim_ttl_secs: int = Field(
        3600, description="seconds without a heartbeat after which a claim is dead: 60 to 86400"
    )
    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_state_dir("ytfsm")),
        description="where runs are kept (journals, logs, artifacts)",
    )
    python: str = Field("python3", description="the Python with ttnn that pytest and the evaluation run in")
    device: int | None = Field(None, ge=0, le=255, description="the board to use and to reset (default: all)")
    reference_cache: str | None = Field(None, description="where HF references are kept (default: beside the runs)")
    kl_max: float | None = Field(
        None, gt=0, le=1000, description="the largest mean KL that passes (default: only reported)"
    )
    max_tokens: int | None = Field(
        None, ge=1, le=10**12, description="tokens codex may use in a run's life (default: no limit)"
    )
    codex_sandbox: str = Field(
        "danger-full-access",
        pattern="^(danger-full-access|workspace-write)$",
        description="codex's `--sandbox`: it drives the board itself, which workspace-write may forbid",
    )
    attempt_secs: float = Field(4 * 3600, gt=0, le=YEAR, description="seconds codex may take for one attempt")
    stall_secs: float = Field(1800, gt=0, le=YEAR, description="seconds codex may say nothing before it is stopped")
    eval_secs: float = Field(3600, gt=0, le=YEAR, description="seconds one evaluation command may take")
    download_secs: float = Field(6 * 3600, gt=0, le=YEAR, description="seconds the download may take")
    min_free_gb: float = Field(1, ge=0, le=10**9, description="gigabytes that must stay free beside the weights")
    skip_tt: bool = Field(False, description="no TT evaluation: for a machine without a card (`--skip-tt`)")
    isolation: str = Field(
        "bwrap",
        pattern="^(bwrap|none)$",
        description="the walls around codex, pytest and the evaluation: `bwrap`, or `none`",
    )
    isolation_bind: str = Field(
        "",
        description="more that isolated programs may read, as absolute paths with `:` between; `+` before one: write",
    )
    max_processes: int = Field(
        2048, ge=64, le=4_194_304, description="processes and threads that one isolated program may have"
    )
    max_file_gb: float = Field(2, gt=0, le=10**6, description="gigabytes that one file of an isolated program may have")
    max_memory_gb: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="gigabytes that one isolated process may allocate (default: nine tenths of the memory)",
    )
    backoff_secs: float = Field(15, ge=0, le=86_400, description="seconds before a codex that failed is started again")
    write_gap_secs: float = Field(
        1, ge=0, le=86_400, description="seconds between two writes to GitHub, which asks for one"
    )
    settle_secs: float = Field(
        60, ge=0, le=86_400, description="seconds until a write that GitHub does not show has not happened"
    )

    @field_validator("system")
    @classmethod
    def _known_system(cls, value: str, info: ValidationInfo) -> str:
        return value if "systems_dir" not in info.data else _systems(info.data["systems_dir"]).find(value).name

    @field_validator("isolation_bind")
    @classmethod
    def _absolute(cls, value: str) -> str:
        for path in filter(None, value.split(":")):
            if not path.removeprefix("+").startswith("/"):
                raise ValueError(f"{path!r} is no absolute path")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _sound(cls, value: Any) -> Any:
        if isinstance(value, str):
            configuration.check_text(value)
            if len(value) > configuration.LONGEST_PATH:
                raise ValueError(f"is {len(value):,} characters long")
        return value

    @field_validator("home", "tmp_root", "codex_home", "systems_dir")
    @classmethod
    def _whole_path(cls, value: Path | None) -> Path | None:
        return configuration.whole_path(str(value)) if value else None

    @field_validator("claim_ttl_secs")
    @classmethod
    def _sound_ttl(cls, value: int) -> int:
        shortest, longest = ttl_range()
        if not shortest <= value <= longest:
            raise ValueError(f"must be between {shortest} and {longest} seconds")
        return value

    @property
    def repo(self) -> str:
        """`OWNER/REPO` of the models repo."""
        return f"{self.owner}/{self.repo_models}"

    @property
    def remote(self) -> str:
        """The models repo as git clones it (§8.2)."""
        return f"git@github.com:{self.repo}.git"

    @property
    def runs(self) -> Path:
        """The folder of all runs of this machine."""
        return self.home / "runs"

    @property
    def systems_named(self) -> Mapping[str, str]:
        """Every word that names a system, in lower case (a label, a field of an issue), with the system's name."""
        return _systems(self.systems_dir).named

    def public(self) -> dict[str, Any]:
        """The settings without secrets, as the journal's header and config.json carry them."""
        data = self.model_dump(mode="json", exclude={"hf_token"})
        return {**data, "hf_token": "set" if self.hf_token else None}

    def redactor(self) -> Redactor:
        """Knows every secret that this process can know; those in files are read again when the files change."""
        stamp: tuple[object, ...] | None = None

        def reread() -> dict[str, str] | None:
            nonlocal stamp
            environment = dict(os.environ)
            if self.codex_home:
                environment["CODEX_HOME"] = str(self.codex_home)
            if stamp == credentials.stamp(environment, Path.cwd()):
                return None
            known = credentials.read(environment, Path.cwd())
            stamp = known.stamp
            if self.hf_token:
                known.add(self.hf_token, "HF_TOKEN")
            return known.values

        return Redactor(reread() or {}, reread)


def _systems(folder: Path | None) -> "Systems":
    from yt_fsm.tools import systems  # an arrow out of the engine, which goes when the bringup owns this setting

    return systems.known(folder)


def load(**flags: Any) -> Settings:
    """The settings; `flags` that are None count as not given. Raises Usage naming the field and the value."""
    values = configuration.read()
    for field, variable in ENVIRONMENT.items():
        if os.environ.get(variable, "") != "":
            values[field] = os.environ[variable]
    values.update({field: value for field, value in flags.items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as problem:
        raise Usage("\n".join(_words(error) for error in problem.errors())) from None


def _words(error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else "settings"
    variable = ENVIRONMENT.get(field, field)
    if error["type"] == "missing":
        return f"{variable} is not set: give --{field.replace('_', '-')}, or set {variable} or `{field}` in ytfsm.toml"
    if error["type"] == "extra_forbidden":
        return f"ytfsm.toml: `{shown(field, 60)}` is not a setting"
    redact = Redactor(credentials.of_environment(os.environ))
    value = "[redacted]" if field == "hf_token" else shown(redact(repr(error["input"])), 100)
    return f"{variable} = {value}: {error['msg'].removeprefix('Value error, ')}"
