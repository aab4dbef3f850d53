"""What can go wrong with GitHub.

SetupError
├── ServiceError
│   └── GitHubError         GitHub said no, or kept failing
├── ClaimsIgnored           what this login claims does not count
└── NoWay                   what a run would publish would be refused; known before codex is paid

GitHub has outages in which it answers 200 with an error that has a message and no type, and kinds of errors that it
names nowhere. So only what is known as a refusal is one; everything else passes, however long that takes (faults W5).
"""

import re

from yt_fsm.engine.errors import ServiceError, SetupError

# What no patience mends: GitHub's types and statuses, and INVALID for refusals that have words only.
_REFUSALS = ("FORBIDDEN", "INSUFFICIENT_SCOPES", "NOT_FOUND", "UNPROCESSABLE", "VALIDATION", "INVALID")
_REFUSING_STATUSES = ("400", "404", "410", "422")
# Somebody has to act before the same request can do any good, so it is not asked again at once.
_NOT_AT_ONCE = ("UNAUTHORIZED", "TOO_LARGE", "MALFORMED", "NO_OPTION")

_REFUSING_WORDS = re.compile(
    r"no commits between|resource not accessible|could not resolve to|\barchived\b|is too long|is locked"
    r"|must be a collaborator|correct permissions|not have permission|not authorized|correct authorization"
    r"|saml enforcement|does not belong to the field|validation failed|doesn't exist on type|invalid value",
    re.IGNORECASE,
)
_PASSING_WORDS = re.compile(
    r"something went wrong|submitted too quickly|already exists|timedout|timeout", re.IGNORECASE
)
# A branch that was pushed a moment ago may not be known everywhere yet.
_EARLY_WORDS = re.compile(r"must be a branch|sha can't be blank", re.IGNORECASE)
_LIMIT_WORDS = re.compile(r"rate limit|abuse detection", re.IGNORECASE)


class GitHubError(ServiceError):
    """GitHub answered with an error; `kind` is GitHub's own word for it (NOT_FOUND, RATE_LIMITED, 502 …)."""

    @property
    def final(self) -> bool:  # type: ignore[override]
        """Whether no patience mends it."""
        return self.kind in _REFUSALS or self.kind in _REFUSING_STATUSES

    @property
    def passing(self) -> bool:
        """Whether the same request may do better in a while."""
        return not self.final and self.kind not in _NOT_AT_ONCE


def kind_of(message: str, named: str = "") -> str:
    """The kind of an error for which GitHub has these words, and the type `named`, if any."""
    if named in ("RATE_LIMITED", "RATE_LIMIT") or _LIMIT_WORDS.search(message):
        return "RATE_LIMITED"
    if _EARLY_WORDS.search(message):
        return "EARLY"
    if _PASSING_WORDS.search(message):
        return "PASSING"
    return named or ("INVALID" if _REFUSING_WORDS.search(message) else "PASSING")


def may_have_landed(kind: str) -> bool:
    """Whether a write that was answered so may have been carried out all the same."""
    refused = kind in _REFUSALS or kind in _REFUSING_STATUSES
    return not refused and kind not in ("RATE_LIMITED", "SECONDARY", "UNAUTHORIZED", "EARLY")


class ClaimsIgnored(SetupError):
    """GitHub shows this login as neither owner, member nor collaborator: its claims are nobody's (faults Q7)."""

    final = True

    def __init__(self, association: str, repo: str) -> None:
        super().__init__(
            f"this login's claims do not count: GitHub shows its comments as {association}, and only those of an "
            f"OWNER, a MEMBER or a COLLABORATOR of {repo} do. Invite it as a collaborator, or make its membership of "
            "the organization public; a GitHub App cannot be one"
        )


class NoWay(SetupError):
    """What is sure to refuse the branch or the pull request of every run here; a person has to mend it (faults W12)."""

    final = True
