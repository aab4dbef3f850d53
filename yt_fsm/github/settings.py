"""What can be set for machines whose runs are about issues."""

from pydantic import field_validator

from yt_fsm.engine.settings import Settings, setting

from .lease import ttl_range


class GitHubSettings(Settings):
    """The models repo, its project and the claims on its issues."""

    owner: str = setting(
        "YT_OWNER",
        "yieldthought",
        pattern=r"^\w[\w-]*$",
        max_length=100,
        description="who owns the models repo and the Project",
    )
    repo_models: str = setting(
        "YT_REPO_MODELS", "ttnn_models", pattern=r"^[\w.]*\w[\w.-]*$", max_length=100, description="the models repo"
    )
    project_number: int | None = setting(
        "YT_PROJECT_NUMBER", None, ge=1, le=2**31 - 1, description="the Project's number (preferred)"
    )
    project_title: str | None = setting(
        "YT_PROJECT_TITLE", None, max_length=256, description="the Project's title, when there is no number"
    )
    claim_ttl_secs: int = setting(
        "YT_CLAIM_TTL_SECS", 3600, description="seconds without a heartbeat after which a claim is dead: 60 to 86400"
    )
    write_gap_secs: float = setting(
        "YT_WRITE_GAP_SECS", 1, ge=0, le=86_400, description="seconds between two writes to GitHub, which asks for one"
    )

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
