"""What GitHub says when it refuses: one exception that both the GraphQL and the REST half can word."""

from __future__ import annotations

from typing import Any


class GitHubError(Exception):
    """A refusal: GitHub's message, its GraphQL `type` and the REST status that goes with it.

    `errors` carries the `errors` list of a REST 422 answer.
    """

    def __init__(
        self, message: str, type_: str = "UNPROCESSABLE", status: int = 422, errors: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type_
        self.status = status
        self.errors = errors


NOT_IMPLEMENTED = "NOT_IMPLEMENTED"


def not_implemented(what: str) -> GitHubError:
    """What GitHub would do and the lab cannot: said in so many words, as it must not look like GitHub's answer."""
    return GitHubError(f"The lab's GitHub does not implement {what}.", NOT_IMPLEMENTED, 501)


def not_found(message: str) -> GitHubError:
    """Something that is not there, or that this viewer may not see."""
    return GitHubError(message, "NOT_FOUND", 404)


def forbidden(message: str) -> GitHubError:
    """Something that this viewer may see but not do."""
    return GitHubError(message, "FORBIDDEN", 403)


def unresolved_node(node_id: str) -> GitHubError:
    """A global id that names nothing."""
    return not_found(f"Could not resolve to a node with the global id of '{node_id}'")
