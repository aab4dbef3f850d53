"""What can go wrong with GitHub.

ServiceError
└── GitHubError             GitHub said no, or kept failing
"""

from yt_fsm.engine.errors import ServiceError

# GitHub's refusals that no patience mends.
_FINAL = ("FORBIDDEN", "UNPROCESSABLE", "NOT_FOUND", "INVALID", "400", "404", "410", "422")


class GitHubError(ServiceError):
    """GitHub answered with an error; `kind` is GitHub's own word for it (NOT_FOUND, RATE_LIMITED, 502 …)."""

    @property
    def final(self) -> bool:  # type: ignore[override]
        """Whether no patience mends it."""
        return self.kind in _FINAL
