"""What can be set of the programs that machines use: the board, the Hub, codex, and the walls around all of it."""

from pathlib import Path

from pydantic import ValidationInfo, field_validator

from yt_fsm.engine.configuration import whole_paths, whole_program
from yt_fsm.engine.settings import YEAR, Settings, setting

from . import systems


class SystemsSettings(Settings):
    """Which types of machines there are."""

    systems_dir: Path | None = setting(
        "YT_SYSTEMS_DIR", None, description="a folder of systems of your own (default: ours only)"
    )


class BoardSettings(SystemsSettings):
    """The Tenstorrent machine, and which of its boards."""

    system: str = setting(
        "YT_SYSTEM", description="this machine's type: n150, n300, lb or one of your own (`--system`)"
    )
    device: int | None = setting(
        "YT_DEVICE", None, ge=0, le=255, description="the board to use and to reset (default: all)"
    )

    skip_tt: bool = setting(
        "YT_SKIP_TT", False, description="no TT evaluation: for a machine without a card (`--skip-tt`)"
    )

    @field_validator("system")
    @classmethod
    def _known_system(cls, value: str, info: ValidationInfo) -> str:
        if "systems_dir" not in info.data:
            return value  # that is wrong already
        return systems.known(info.data["systems_dir"]).find(value).name


class HubSettings(Settings):
    """The Hugging Face Hub."""

    hf_token: str | None = setting(
        "HF_TOKEN",
        None,
        secret=True,
        pattern="^[!-~]+$",
        max_length=1000,
        description="Hugging Face token, for gated models",
    )
    download_secs: float = setting(
        "YT_DOWNLOAD_SECS", 6 * 3600, gt=0, le=YEAR, description="seconds that one try of the download may take"
    )


class CodexSettings(Settings):
    """codex and its budgets."""

    codex_bin: str = setting("CODEX_BIN", "codex", whole=whole_program, description="the codex program")
    codex_home: Path | None = setting("CODEX_HOME", None, description="codex's own folder: login and configuration")
    codex_model: str | None = setting(
        "YT_CODEX_MODEL",
        None,
        pattern=r"^[\w./:-]+$",
        max_length=100,
        description="the model that codex uses (default: as codex is configured)",
    )
    codex_effort: str | None = setting(
        "YT_CODEX_EFFORT",
        None,
        pattern=r"^[a-z]{1,20}$",
        description="how hard it thinks: minimal, low, medium, high … (default: as codex is configured)",
    )
    codex_sandbox: str = setting(
        "YT_CODEX_SANDBOX",
        "danger-full-access",
        pattern="^(danger-full-access|workspace-write)$",
        description="codex's `--sandbox`: it drives the board itself, which workspace-write may forbid",
    )
    attempt_secs: float = setting(
        "YT_ATTEMPT_SECS", 4 * 3600, gt=0, le=YEAR, description="seconds codex may take for one attempt"
    )
    stall_secs: float = setting(
        "YT_STALL_SECS", 1800, gt=0, le=YEAR, description="seconds codex may say nothing before it is stopped"
    )
    backoff_secs: float = setting(
        "YT_BACKOFF_SECS", 15, ge=0, le=86_400, description="seconds before a codex that failed is started again"
    )
    max_tokens: int | None = setting(
        "YT_MAX_TOKENS", None, ge=1, le=10**12, description="tokens codex may use in a run's life (default: no limit)"
    )

    @property
    def codex_source(self) -> Path:
        """The operator's own CODEX_HOME, which has the login and the configuration."""
        return self.codex_home or Path.home() / ".codex"


class IsolationSettings(Settings):
    """The walls and limits around code that nobody reviewed."""

    isolation: str = setting(
        "YT_ISOLATION",
        "bwrap",
        pattern="^(bwrap|none)$",
        description="the walls around codex, pytest and the evaluation: `bwrap`, or `none`",
    )
    isolation_bind: str = setting(
        "YT_ISOLATION_BIND",
        "",
        whole=whole_paths,
        description="more that isolated programs may read, as paths with `:` between; `+` before one: write",
    )
    max_processes: int = setting(
        "YT_MAX_PROCESSES",
        2048,
        ge=64,
        le=4_194_304,
        description="processes and threads that one isolated program may have",
    )
    max_file_gb: float = setting(
        "YT_MAX_FILE_GB", 2, gt=0, le=10**6, description="gigabytes that one file of an isolated program may have"
    )
    max_memory_gb: float | None = setting(
        "YT_MAX_MEMORY_GB",
        None,
        gt=0,
        le=10**6,
        description="gigabytes that one isolated process may allocate (default: nine tenths of the memory)",
    )
