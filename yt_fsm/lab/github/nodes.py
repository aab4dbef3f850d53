"""The things that the lab's GitHub keeps: frozen dataclasses that refer to one another by global id.

A change replaces an object, so a reader may hold an older version of the whole for as long as it likes.
Times are GitHub's texts (`2026-11-22T05:31:34Z`), which sort as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Node:
    """Whatever has a global id."""

    id: str
    database_id: int
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class Owner(Node):
    """A user, an organization or a bot (a GitHub App); `members` maps logins to ADMIN or MEMBER."""

    login: str
    kind: str = "User"
    name: str = ""
    email: str = ""
    description: str = ""
    members: dict[str, str] = field(default_factory=dict)
    repos: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repo(Node):
    """A repository; `roles` maps logins to READ, TRIAGE, WRITE, MAINTAIN or ADMIN, `statuses` commits to status ids.

    `associations` maps logins to the authorAssociation that they show, whatever follows from the rest.
    """

    owner: str
    name: str
    description: str = ""
    private: bool = False
    default_branch: str = "main"
    roles: dict[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    pulls: tuple[str, ...] = ()
    last_number: int = 0
    statuses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pushed_at: str | None = None
    has_issues_enabled: bool = True
    auto_merge_allowed: bool = True
    delete_branch_on_merge: bool = False
    merge_methods: tuple[str, ...] = ("MERGE", "SQUASH", "REBASE")
    required_checks: tuple[str, ...] = ()
    strict_checks: bool = False
    protected: tuple[str, ...] = ()
    associations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Label(Node):
    """A label of one repository."""

    repo: str
    name: str
    color: str = "ededed"
    description: str = ""


@dataclass(frozen=True)
class Comment(Node):
    """A comment on an issue or a pull request; `last_edited_at` is None until somebody edits it.

    `edits` are its versions once it was edited, the first one too, oldest first: each `{at, by, body}`.
    """

    subject: str
    author: str
    body: str
    last_edited_at: str | None = None
    edits: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Issue(Node):
    """An issue, and what a pull request shares with it."""

    repo: str
    number: int
    author: str
    title: str
    body: str = ""
    state: str = "OPEN"
    state_reason: str | None = None
    closed_at: str | None = None
    closed_by: str | None = None
    last_edited_at: str | None = None
    locked: bool = False
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class PullRequest(Issue):
    """A pull request between two branches of one repository; the shas are those of its last push or its merge."""

    head: str = ""
    base: str = ""
    head_sha: str = ""
    base_sha: str = ""
    draft: bool = False
    merged_at: str | None = None
    merged_by: str | None = None
    merge_commit: str | None = None
    auto_merge: dict[str, Any] | None = None


@dataclass(frozen=True)
class Status(Node):
    """A check of a commit: a commit status, or (with the name of a workflow) a check run as Actions reports it."""

    repo: str
    sha: str
    context: str
    state: str
    creator: str
    description: str = ""
    target_url: str | None = None
    workflow: str | None = None

    @property
    def run_status(self) -> str:
        """A check run's status: IN_PROGRESS or COMPLETED."""
        return "IN_PROGRESS" if self.state == "PENDING" else "COMPLETED"

    @property
    def conclusion(self) -> str | None:
        """A check run's conclusion; None while it runs."""
        return {"PENDING": None, "ERROR": "FAILURE"}.get(self.state, self.state)


@dataclass(frozen=True)
class Project(Node):
    """A project (Projects v2) of a user or an organization; `writers` are the logins that may change it beside them."""

    owner: str
    number: int
    title: str
    creator: str
    description: str | None = None
    readme: str | None = None
    public: bool = False
    closed: bool = False
    closed_at: str | None = None
    fields: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One option of a single-select field."""

    id: str
    name: str
    color: str = "GRAY"
    description: str = ""


@dataclass(frozen=True)
class Field(Node):
    """A project's field; `options` only when `data_type` is SINGLE_SELECT."""

    project: str
    name: str
    data_type: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Item(Node):
    """A card: an issue, a pull request or a draft on a project, and its values by field id."""

    project: str
    content: str
    creator: str
    archived: bool = False
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft(Node):
    """A draft issue: the content of a card that is nothing else."""

    title: str
    body: str
    creator: str
    assignees: tuple[str, ...] = ()


KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (Owner, Repo, Label, Comment, Issue, PullRequest, Status, Project, Field, Item, Draft)
}


def from_json(data: dict[str, Any]) -> Node:
    """The object that `{"node": its class, …}` describes, as the store's file keeps it."""
    kind = KINDS[data["node"]]
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items() if key != "node"}
    if kind is Field:
        values["options"] = tuple(Option(**option) for option in data["options"])
    if kind is Repo:
        values["statuses"] = {sha: tuple(ids) for sha, ids in data["statuses"].items()}
    return kind(**values)
