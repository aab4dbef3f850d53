"""Acts on issues, their comments and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from yt_fsm.lab.github.acts.project import delete_item
from yt_fsm.lab.github.errors import GitHubError, forbidden, not_found
from yt_fsm.lab.github.nodes import Comment, Issue, Item, Label, Owner, PullRequest, Repo
from yt_fsm.lab.github.roles import RANK, permission, require
from yt_fsm.lab.github.store import Store

Some = TypeVar("Some", bound=Issue)

LONGEST_BODY = 65536
LONGEST_TITLE = 256
KEPT_EDITS = 50  # versions of a comment that the lab remembers


def check_text(body: str | None, title: str | None = None) -> None:
    """Raises GitHub's validation errors for texts that are too long, and for a blank title."""
    if body is not None and len(body) > LONGEST_BODY:
        raise GitHubError(f"Body is too long (maximum is {LONGEST_BODY} characters)")
    if title is not None and not title.strip():
        raise GitHubError("Title can't be blank")
    if title is not None and len(title) > LONGEST_TITLE:
        raise GitHubError(f"Title is too long (maximum is {LONGEST_TITLE} characters)")


def open_issue(
    store: Store,
    who: Owner,
    repo: Repo,
    title: str,
    body: str = "",
    labels: Iterable[str] = (),
    assignees: Iterable[str] = (),
) -> Issue:
    """Opens an issue; labels and assignees (ids) count only for people who may triage."""
    check_text(body, title)
    require(store, repo, who, "READ", "CreateIssue")
    if RANK[permission(store, repo, who)] < RANK["TRIAGE"]:
        labels = assignees = ()
    issue = store.add_issue(repo, who, title, body, tuple(labels))
    return store.edit(issue, assignees=tuple(assignees)) if assignees else issue


def edit_issue(store: Store, who: Owner, issue: Some, act: str = "UpdateIssue", **changes: Any) -> Some:
    """Changes an issue's (or pull request's) title, body, labels, assignees, state."""
    check_text(changes.get("body"), changes.get("title"))
    repo = store.get(Repo, issue.repo)
    if who.id != issue.author or set(changes) & {"labels", "assignees"}:
        require(store, repo, who, "TRIAGE", act)
    if "body" in changes and changes["body"] != issue.body:
        changes["last_edited_at"] = store.now()
    return store.edit(issue, **changes)


def close(store: Store, who: Owner, issue: Some, reason: str | None = "COMPLETED") -> Some:
    """Closes an issue or a pull request; nothing changes when it is closed already."""
    if issue.state != "OPEN":
        return issue
    why = {} if isinstance(issue, PullRequest) else {"state_reason": reason or "COMPLETED"}
    return edit_issue(store, who, issue, "CloseIssue", state="CLOSED", closed_at=store.now(), closed_by=who.id, **why)


def reopen(store: Store, who: Owner, issue: Some) -> Some:
    """Opens a closed issue or pull request again."""
    if issue.state == "MERGED":
        raise GitHubError("Could not open the pull request.")
    why = {} if isinstance(issue, PullRequest) else {"state_reason": "REOPENED"}
    return edit_issue(store, who, issue, "ReopenIssue", state="OPEN", closed_at=None, closed_by=None, **why)


def delete_issue(store: Store, who: Owner, issue: Issue) -> Repo:
    """Removes an issue with its comments and cards."""
    repo = store.get(Repo, issue.repo)
    require(store, repo, who, "ADMIN", "DeleteIssue")
    for key in issue.items:
        delete_item(store, who, store.get(Item, key), checked=True)
    store.drop(issue.id, *issue.comments)
    return store.edit(repo, issues=tuple(key for key in repo.issues if key != issue.id))


def comment(store: Store, who: Owner, subject: Issue, body: str) -> Comment:
    """Comments on an issue or a pull request."""
    repo = store.get(Repo, subject.repo)
    require(store, repo, who, "READ", "AddComment")
    if subject.locked and RANK[permission(store, repo, who)] < RANK["WRITE"]:
        raise forbidden("Unable to create comment because issue is locked.")
    if not body.strip():
        raise GitHubError("Body can't be blank")
    check_text(body)
    made = Comment(**store.stamp("Comment", repo.database_id), subject=subject.id, author=who.id, body=body)
    subject = store.nodes[subject.id]
    store.put(made, replace(subject, comments=(*subject.comments, made.id), updated_at=made.created_at))
    return made


def edit_comment(store: Store, who: Owner, kept: Comment, body: str) -> Comment:
    """Changes a comment's text: its author may, and who may write."""
    repo = store.get(Repo, store.nodes[kept.subject].repo)
    if who.id != kept.author:
        require(store, repo, who, "WRITE", "UpdateIssueComment")
    if not body.strip():
        raise GitHubError("Body can't be blank")
    check_text(body)
    now = store.now()
    before = kept.edits or ({"at": kept.created_at, "by": kept.author, "body": kept.body},)
    edits = (*before, {"at": now, "by": who.id, "body": body})[-KEPT_EDITS:]
    return store.edit(kept, body=body, last_edited_at=now, edits=edits)


def delete_comment(store: Store, who: Owner, kept: Comment) -> None:
    """Deletes a comment: its author may, and who may write."""
    subject = store.nodes[kept.subject]
    if who.id != kept.author:
        require(store, store.get(Repo, subject.repo), who, "WRITE", "DeleteIssueComment")
    store.put(replace(subject, comments=tuple(key for key in subject.comments if key != kept.id)))
    store.drop(kept.id)


# -- labels ---------------------------------------------------------------------------------------


def find_label(store: Store, repo: Repo, name: str) -> Label | None:
    """The repository's label of that name, in any case."""
    for key in repo.labels:
        label = store.nodes.get(key)
        if label is not None and label.name.lower() == name.lower():
            return store.get(Label, key)
    return None


def create_label(store: Store, who: Owner, repo: Repo, name: str, color: str, description: str = "") -> Label:
    """Makes a label. Raises GitHub's validation error when there is one of that name."""
    require(store, repo, who, "WRITE", "CreateLabel")
    _require_free(store, repo, name)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", color):
        bad = {"resource": "Label", "code": "invalid", "field": "color"}
        raise GitHubError("Color must be a valid hex color", "UNPROCESSABLE", 422, [bad])
    return store.add_label(repo, name, color, description)


def _require_free(store: Store, repo: Repo, name: str) -> None:
    if find_label(store, repo, name):
        taken = {"resource": "Label", "code": "already_exists", "field": "name"}
        raise GitHubError("Name has already been taken", "UNPROCESSABLE", 422, [taken])


def edit_label(store: Store, who: Owner, label: Label, **changes: Any) -> Label:
    """Changes a label's name, color or description. Raises GitHub's validation error for the name of another."""
    repo = store.get(Repo, label.repo)
    require(store, repo, who, "WRITE", "UpdateLabel")
    if changes.get("name", label.name).lower() != label.name.lower():
        _require_free(store, repo, changes["name"])
    return store.edit(label, **changes)


def delete_label(store: Store, who: Owner, label: Label) -> None:
    """Removes a label, from its issues too."""
    repo = store.get(Repo, label.repo)
    require(store, repo, who, "WRITE", "DeleteLabel")
    for key in (*repo.issues, *repo.pulls):
        issue = store.nodes[key]
        if label.id in issue.labels:
            store.put(replace(issue, labels=tuple(i for i in issue.labels if i != label.id)))
    store.edit(repo, labels=tuple(i for i in repo.labels if i != label.id))
    store.drop(label.id)


def issue_of(store: Store, number: int) -> Issue:
    """The home repository's issue or pull request of that number. Raises GitHub's NOT_FOUND."""
    issue = store.numbered(store.home()[0], number)
    if issue is None:
        raise not_found(f"Could not resolve to an issue or pull request with the number of {number}.")
    return issue
