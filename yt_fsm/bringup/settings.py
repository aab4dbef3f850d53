"""What can be set of a bringup: the thresholds, the budgets and the evaluation, beside what its rooms have."""

from typing import Any

from yt_fsm.engine import settings
from yt_fsm.engine.configuration import whole_path, whole_program
from yt_fsm.engine.settings import YEAR, setting
from yt_fsm.github.settings import GitHubSettings
from yt_fsm.tools.settings import BoardSettings, CodexSettings, HubSettings, IsolationSettings, SystemsSettings


class ProjectSettings(GitHubSettings, SystemsSettings):
    """What setting up labels and project needs: no board, so no system."""


class Settings(IsolationSettings, CodexSettings, HubSettings, GitHubSettings, BoardSettings):
    """Everything that can be set for the bringup machine."""

    top1_min: float = setting("YT_TOP1_MIN", 0.90, ge=0, le=1, description="the least top-1 agreement that passes")
    top5_min: float = setting("YT_TOP5_MIN", 0.97, ge=0, le=1, description="the least top-5 agreement that passes")
    kl_max: float | None = setting(
        "YT_KL_MAX", None, gt=0, le=1000, description="the largest mean KL that passes (default: only reported)"
    )
    max_attempts: int = setting(
        "YT_MAX_ATTEMPTS", 10, ge=1, le=1000, description="checks a run may fail before it gives up"
    )
    python: str = setting(
        "YT_PYTHON",
        "python3",
        whole=whole_program,
        description="the Python with ttnn that pytest and the evaluation run in",
    )
    eval_secs: float = setting(
        "YT_EVAL_SECS", 3600, gt=0, le=YEAR, description="seconds one evaluation command may take"
    )
    reference_cache: str | None = setting(
        "YT_REFERENCE_CACHE",
        None,
        whole=lambda text, base: str(whole_path(text, base)),
        description="where HF references are kept (default: beside the runs)",
    )


def load(**flags: Any) -> Settings:
    """The settings; `flags` that are None count as not given. Raises Usage naming the field and the value."""
    return settings.load(Settings, **flags)
