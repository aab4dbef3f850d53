"""Issues and their comments, and what pull requests share with them."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any

from yt_fsm.lab.github import ids
from yt_fsm.lab.github.acts import closing_issues
from yt_fsm.lab.github.answers.project import listed
from yt_fsm.lab.github.answers.repository import LABEL_ORDERS
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, nothing
from yt_fsm.lab.github.connections import ordered as arranged
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_found, not_implemented
from yt_fsm.lab.github.executor import RESOLVERS, TYPES, answers
from yt_fsm.lab.github.nodes import Comment, Issue, Item, Label, Owner, Project, PullRequest, Repo
from yt_fsm.lab.github.roles import RANK, association, permission

TYPES[Issue] = lambda issue: "Issue"
TYPES[PullRequest] = lambda pull: "PullRequest"
TYPES[Comment] = lambda comment: "IssueComment"

_FIXED: dict[str, Any] = {
    "activeLockReason": None, "createdViaEmail": False, "isPinned": False, "milestone": None, "parent": None,
    "reactionGroups": (), "subIssuesSummary": {"completed": 0, "percentCompleted": 0, "total": 0},
    "isMinimized": False, "minimizedReason": None, "issueType": None,
}  # fmt: skip
_ORDERS: dict[str, Any] = {
    "CREATED_AT": lambda node: (node.created_at, node.database_id),
    "UPDATED_AT": lambda node: (node.updated_at, node.database_id),
    "COMMENTS": lambda node: (len(node.comments), node.database_id),
}


def both(*names: str) -> list[str]:
    """These fields of issues and of pull requests."""
    return [f"{kind}.{name}" for kind in ("Issue", "PullRequest") for name in names]


def _fixed(value: Any) -> Any:
    return lambda parent, arguments, context: value


for _name, _value in _FIXED.items():
    for _kind in ("Issue", "PullRequest", "IssueComment"):
        RESOLVERS[f"{_kind}.{_name}"] = _fixed(_value)


def ordered(found: list[Any], order: Any, default: str = "ASC") -> list[Any]:
    """Sorted as `orderBy` says; objects of the same second in the order in which they were made."""
    return arranged(found, order, _ORDERS, default)


def matching(context: Context, found: list[Any], arguments: Asked) -> list[Any]:
    """Those that `states`, `labels` and `filterBy` let through."""
    wanted = arguments.get("filterBy") or {}
    for states in (arguments.get("states"), wanted.get("states")):
        found = [n for n in found if not states or n.state in states]
    for labels in (arguments.get("labels"), wanted.get("labels")):
        names = {name.lower() for name in labels or ()}
        found = [n for n in found if not names or any(one.name.lower() in names for one in context.load(n.labels))]
    for argument, attribute in (("createdBy", "author"), ("assignee", "assignees")):
        login = wanted.get(argument)
        if login is not None:
            owner = context.viewer if login == "@me" else context.store.owner(login)
            key = owner.id if owner else ""
            found = [n for n in found if _has(getattr(n, attribute), key, login)]
    if mentioned := wanted.get("mentioned"):
        found = [n for n in found if f"@{mentioned}".lower() in n.body.lower()]
    if since := wanted.get("since"):
        found = [n for n in found if n.updated_at >= since]
    if wanted.get("viewerSubscribed"):
        raise not_implemented("subscriptions to issues")
    for name in ("milestone", "milestoneNumber"):
        found = found if wanted.get(name) in (None, "null") else []  # there are none
    return found


def _has(value: Any, key: str, login: str) -> bool:
    if isinstance(value, tuple):
        return bool(value) if login == "*" else key in value
    return bool(value == key)


# -- finding --------------------------------------------------------------------------------------


@answers("Repository.issue")
def issue(repo: Repo, arguments: Asked, context: Context) -> Issue:
    found = context.store.numbered(repo, arguments["number"], context.nodes)
    if found is None or isinstance(found, PullRequest):
        raise not_found(f"Could not resolve to an Issue with the number of {arguments['number']}.")
    return found


@answers("Repository.issueOrPullRequest")
def issue_or_pull_request(repo: Repo, arguments: Asked, context: Context) -> Issue:
    found = context.store.numbered(repo, arguments["number"], context.nodes)
    if found is None:
        raise not_found(f"Could not resolve to an issue or pull request with the number of {arguments['number']}.")
    return found


@answers("Repository.issues")
def issues(repo: Repo, arguments: Asked, context: Context) -> Connection:
    found = matching(context, context.load(repo.issues), arguments)
    return Connection(ordered(found, arguments.get("orderBy")), arguments)


# -- what an issue, a pull request and a comment say ------------------------------------------------


@answers(*both("author"), "IssueComment.author")
def author(node: Any, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(node.author)


@answers(*both("editor"))
def editor(node: Any, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(node.author) if node.last_edited_at else None


@answers("IssueComment.editor")
def comment_editor(node: Comment, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(node.edits[-1]["by"]) if node.edits else None


@answers(*both("authorAssociation"))
def author_association(node: Issue, arguments: Asked, context: Context) -> str:
    return association(context.store, context.nodes[node.repo], context.nodes[node.author])


@answers("IssueComment.authorAssociation")
def comment_association(node: Comment, arguments: Asked, context: Context) -> str:
    repo = context.nodes[context.nodes[node.subject].repo]
    return association(context.store, repo, context.nodes[node.author])


@answers(*both("bodyText"), "IssueComment.bodyText")
def body_text(node: Any, arguments: Asked, context: Context) -> Any:
    return node.body


@answers(*both("fullDatabaseId"), "IssueComment.fullDatabaseId")
def full_database_id(node: Any, arguments: Asked, context: Context) -> str:
    return str(node.database_id)


@answers(*both("includesCreatedEdit"), "IssueComment.includesCreatedEdit")
def includes_created_edit(node: Any, arguments: Asked, context: Context) -> bool:
    return node.last_edited_at is not None


@answers(*both("publishedAt"), "IssueComment.publishedAt")
def published_at(node: Any, arguments: Asked, context: Context) -> Any:
    return node.created_at


@answers(*both("viewerDidAuthor"), "IssueComment.viewerDidAuthor")
def viewer_did_author(node: Any, arguments: Asked, context: Context) -> bool:
    return bool(node.author == context.viewer.id)


def _may(node: Any, context: Context, role: str) -> bool:
    subject = context.nodes[node.subject] if isinstance(node, Comment) else node
    rank = RANK[permission(context.store, context.nodes[subject.repo], context.viewer)]
    return rank >= RANK[role] or bool(node.author == context.viewer.id)


@answers(*both("viewerCanUpdate", "viewerCanClose", "viewerCanReopen"), "IssueComment.viewerCanUpdate",
         "IssueComment.viewerCanDelete")  # fmt: skip
def viewer_can_update(node: Any, arguments: Asked, context: Context) -> bool:
    return _may(node, context, "TRIAGE")


@answers(*both("viewerCanLabel"))
def viewer_can_label(node: Any, arguments: Asked, context: Context) -> bool:
    return RANK[permission(context.store, context.nodes[node.repo], context.viewer)] >= RANK["TRIAGE"]


@answers(*both("viewerCanDelete"))
def viewer_can_delete(node: Any, arguments: Asked, context: Context) -> bool:
    return permission(context.store, context.nodes[node.repo], context.viewer) == "ADMIN"


@answers(*both("repository"))
def repository(node: Issue, arguments: Asked, context: Context) -> Any:
    return context.nodes[node.repo]


@answers(*both("closed"))
def closed(node: Issue, arguments: Asked, context: Context) -> bool:
    return node.state != "OPEN"


@answers(*both("resourcePath"))
def resource_path(node: Issue, arguments: Asked, context: Context) -> str:
    kind = "pull" if isinstance(node, PullRequest) else "issues"
    return f"/{context.store.full_name(context.nodes[node.repo])}/{kind}/{node.number}"


@answers(*both("url"))
def url(node: Issue, arguments: Asked, context: Context) -> str:
    return f"https://github.com{resource_path(node, arguments, context)}"


@answers("Issue.bodyUrl")
def body_url(node: Issue, arguments: Asked, context: Context) -> str:
    return f"{url(node, arguments, context)}#issue-{node.database_id}"


@answers(*both("labels"))
def labels(node: Issue, arguments: Asked, context: Context) -> Connection:
    return Connection(arranged(context.load(node.labels), arguments.get("orderBy"), LABEL_ORDERS), arguments)


@answers("Label.issues")
def label_issues(of: Label, arguments: Asked, context: Context) -> Connection:
    repo = context.store.get(Repo, of.repo)
    found = [n for n in context.load(repo.issues) if of.id in n.labels]
    return Connection(ordered(matching(context, found, arguments), arguments.get("orderBy")), arguments)


@answers(*both("assignees", "assignedActors"))
def assignees(node: Issue, arguments: Asked, context: Context) -> Connection:
    return Connection(context.load(node.assignees), arguments)


@answers(*both("participants"))
def participants(node: Issue, arguments: Asked, context: Context) -> Connection:
    who = dict.fromkeys([node.author, *(c.author for c in context.load(node.comments)), *node.assignees])
    return Connection(context.load(who), arguments)


@answers(*both("comments"))
def comments(node: Issue, arguments: Asked, context: Context) -> Connection:
    found = context.load(node.comments)
    if arguments.get("orderBy"):
        found = ordered(found, arguments["orderBy"])
    return Connection(found, arguments)


@answers(*both("projectItems"))
def project_items(node: Issue, arguments: Asked, context: Context) -> Connection:
    with_archived = arguments.get("includeArchived", True)
    found = [item for item in context.load(node.items) if with_archived or not item.archived]
    return Connection(found, arguments)


@answers(*both("projectsV2"))
def projects(node: Issue, arguments: Asked, context: Context) -> Connection:
    return listed(_projects(node, context), arguments)


def _projects(node: Issue, context: Context) -> list[Project]:
    return [context.nodes[item.project] for item in context.load(node.items) if isinstance(item, Item)]


@answers(*both("projectV2"))
def project(node: Issue, arguments: Asked, context: Context) -> Project | None:
    number = arguments["number"]
    return next((one for one in _projects(node, context) if one.number == number), None)


for _field in ("Issue.subIssues", "Issue.blockedBy", "Issue.blocking", *both("projectCards")):
    RESOLVERS[_field] = nothing


@answers("Issue.closedByPullRequestsReferences")
def closed_by_pull_requests(node: Issue, arguments: Asked, context: Context) -> Connection:
    repo = context.nodes[node.repo]
    found = []
    closed_too = arguments.get("includeClosedPrs")
    for pull in [] if arguments.get("userLinkedOnly") else context.load(repo.pulls):
        named = closing_issues(context.store, repo, f"{pull.title}\n{pull.body}")
        shown = pull.state != "CLOSED" or closed_too
        if shown and pull.base == repo.default_branch and any(n.id == node.id for n in named):
            found.append(pull)
    if arguments.get("orderByState"):
        found.sort(key=lambda pull: ("OPEN", "MERGED", "CLOSED").index(pull.state))
    return Connection(found, arguments)


@answers("Issue.stateReason")
def state_reason(node: Issue, arguments: Asked, context: Context) -> str | None:
    told = arguments.get("enableDuplicate") or node.state_reason != "DUPLICATE"
    return node.state_reason if told else "NOT_PLANNED"


# -- comments -------------------------------------------------------------------------------------


@answers("IssueComment.issue")
def comment_issue(node: Comment, arguments: Asked, context: Context) -> Any:
    return context.nodes[node.subject]


@answers("IssueComment.pullRequest")
def comment_pull(node: Comment, arguments: Asked, context: Context) -> Any:
    subject = context.nodes[node.subject]
    return subject if isinstance(subject, PullRequest) else None


@answers("IssueComment.repository")
def comment_repository(node: Comment, arguments: Asked, context: Context) -> Any:
    return context.nodes[context.nodes[node.subject].repo]


@answers("IssueComment.resourcePath")
def comment_path(node: Comment, arguments: Asked, context: Context) -> str:
    subject = context.nodes[node.subject]
    return f"{resource_path(subject, arguments, context)}#issuecomment-{node.database_id}"


@answers("IssueComment.userContentEdits")
def comment_edits(node: Comment, arguments: Asked, context: Context) -> Connection:
    """Newest first, each with the whole text as it then was."""
    found = [
        {"__typename": "UserContentEdit", "id": ids.node_id("UCE", node.database_id, number), "diff": edit["body"],
         "createdAt": edit["at"], "editedAt": edit["at"], "updatedAt": edit["at"], "deletedAt": None,
         "deletedBy": None, "editor": context.nodes.get(edit["by"])}
        for number, edit in enumerate(node.edits)
    ]  # fmt: skip
    return Connection(found[::-1], arguments)


@answers("IssueComment.url")
def comment_url(node: Comment, arguments: Asked, context: Context) -> str:
    return f"https://github.com{comment_path(node, arguments, context)}"


# -- what happened --------------------------------------------------------------------------------


def happened(node: Issue, context: Context) -> list[dict[str, Any]]:
    """The events of an issue or pull request that the lab keeps: closed, merged, mentioned by a pull request."""
    repo = context.nodes[node.repo]
    path = resource_path(node, Asked({}), context)
    found: list[dict[str, Any]] = []

    def event(kind: str, at: str | None, who: str | None, **more: Any) -> None:
        actor = context.nodes.get(who) if who else None
        found.append({"__typename": kind, "id": f"{kind}_{node.id}_{len(found)}", "createdAt": at, "actor": actor,
                      "resourcePath": path, "url": f"https://github.com{path}", **more})  # fmt: skip

    if not isinstance(node, PullRequest):
        for pull in context.load(repo.pulls):
            text = f"{pull.title}\n{pull.body}"
            if f"#{node.number}" in text.split() or f"#{node.number}" in text:
                closes = any(n.id == node.id for n in closing_issues(context.store, repo, text))
                event("CrossReferencedEvent", pull.created_at, pull.author, source=pull, target=node,
                      isCrossRepository=False, willCloseTarget=closes)  # fmt: skip
    if isinstance(node, PullRequest) and node.merged_at:
        event("MergedEvent", node.merged_at, node.merged_by, pullRequest=node, mergeRefName=node.base, commit=None)
    if node.closed_at:
        event("ClosedEvent", node.closed_at, node.closed_by, closable=node, closer=None)
    return found


@answers(*both("timelineItems"))
def timeline_items(node: Issue, arguments: Asked, context: Context) -> Connection:
    kinds = {
        "ISSUE_COMMENT": "IssueComment",
        "CLOSED_EVENT": "ClosedEvent",
        "MERGED_EVENT": "MergedEvent",
        "CROSS_REFERENCED_EVENT": "CrossReferencedEvent",
    }
    found: list[Any] = [*context.load(node.comments), *happened(node, context)]
    wanted = arguments.get("itemTypes")
    if unknown := set(wanted or ()) - set(kinds):
        raise not_implemented(f"the timeline's {', '.join(sorted(unknown))}")
    if wanted:
        names = {kinds[kind] for kind in wanted}
        found = [n for n in found if (n["__typename"] if isinstance(n, dict) else "IssueComment") in names]
    found.sort(key=_when)
    if since := arguments.get("since"):
        found = [n for n in found if _when(n) >= since]
    return Connection(found[arguments.get("skip") or 0 :], arguments)


def _when(entry: Any) -> str:
    return str(entry["createdAt"] if isinstance(entry, dict) else entry.created_at)


@answers("IssueTimelineItemsConnection.updatedAt", "PullRequestTimelineItemsConnection.updatedAt")
def timeline_updated_at(connection: Connection, arguments: Asked, context: Context) -> str:
    return context.store.now()


def home(context: Context, node: Issue) -> Owner:
    """The owner of the repository that an issue belongs to."""
    return context.store.get(Owner, context.nodes[node.repo].owner)
