"""Pull requests: branches, commits, files, and whether they can be merged."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any

from yt_fsm.lab.github import acts, roles
from yt_fsm.lab.github.answers.commit import commit_of, ref_of, shown
from yt_fsm.lab.github.answers.issue import home, ordered, url
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, nothing
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_found
from yt_fsm.lab.github.executor import RESOLVERS, answers
from yt_fsm.lab.github.nodes import Label, PullRequest, Repo

_FIXED: dict[str, Any] = {
    "isCrossRepository": False, "isInMergeQueue": False, "isMergeQueueEnabled": False, "maintainerCanModify": False,
    "potentialMergeCommit": None, "reviewDecision": None,
}  # fmt: skip


def _fixed(value: Any) -> Any:
    return lambda parent, arguments, context: value


for _name, _value in _FIXED.items():
    RESOLVERS[f"PullRequest.{_name}"] = _fixed(_value)
for _name in ("reviews", "latestReviews", "reviewRequests"):
    RESOLVERS[f"PullRequest.{_name}"] = nothing


@answers("Repository.pullRequest")
def pull_request(repo: Repo, arguments: Asked, context: Context) -> PullRequest:
    found = context.store.numbered(repo, arguments["number"], context.nodes)
    if not isinstance(found, PullRequest):
        raise not_found(f"Could not resolve to a PullRequest with the number of {arguments['number']}.")
    return found


@answers("Repository.pullRequests")
def pull_requests(repo: Repo, arguments: Asked, context: Context) -> Connection:
    return _found(context.load(repo.pulls), arguments, context)


@answers("Label.pullRequests")
def label_pulls(of: Label, arguments: Asked, context: Context) -> Connection:
    repo = context.store.get(Repo, of.repo)
    return _found([p for p in context.load(repo.pulls) if of.id in p.labels], arguments, context)


@answers("Ref.associatedPullRequests")
def associated_with_ref(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    return _found([p for p in context.load(of["repository"].pulls) if p.head == of["name"]], arguments, context)


@answers("Commit.associatedPullRequests")
def associated_with_commit(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    pulls = context.load(of["repo"].pulls)
    return _found([p for p in pulls if of["oid"] in (p.head_sha, p.merge_commit)], arguments, context)


def _found(found: list[PullRequest], arguments: Asked, context: Context) -> Connection:
    """Those that the filters of a list of pull requests let through, in order."""
    if arguments.get("states"):
        found = [p for p in found if p.state in arguments["states"]]
    if arguments.get("headRefName"):
        found = [p for p in found if p.head == arguments["headRefName"]]
    if arguments.get("baseRefName"):
        found = [p for p in found if p.base == arguments["baseRefName"]]
    if arguments.get("labels"):
        names = {name.lower() for name in arguments["labels"]}
        found = [p for p in found if any(n.name.lower() in names for n in context.load(p.labels))]
    return Connection(ordered(found, arguments.get("orderBy")), arguments)


@answers("PullRequest.baseRefName")
def base_ref_name(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return pull.base


@answers("PullRequest.headRefName")
def head_ref_name(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return pull.head


@answers("PullRequest.baseRefOid")
def base_ref_oid(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return pull.base_sha


@answers("PullRequest.headRefOid")
def head_ref_oid(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return pull.head_sha


@answers("PullRequest.baseRef")
def base_ref(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return ref_of(context, context.nodes[pull.repo], pull.base)


@answers("PullRequest.headRef")
def head_ref(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return ref_of(context, context.nodes[pull.repo], pull.head)


@answers("PullRequest.baseRepository", "PullRequest.headRepository")
def repository_of(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return context.nodes[pull.repo]


@answers("PullRequest.headRepositoryOwner")
def head_repository_owner(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return home(context, pull)


@answers("PullRequest.isDraft")
def is_draft(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    return pull.draft


@answers("PullRequest.merged")
def merged(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    return pull.merged_at is not None


@answers("PullRequest.mergedBy")
def merged_by(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(pull.merged_by) if pull.merged_by else None


@answers("PullRequest.mergeCommit")
def merge_commit(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return commit_of(context, context.nodes[pull.repo], pull.merge_commit)


@answers("PullRequest.mergeable")
def mergeable(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return acts.merge_state(context.store, pull)[0]


@answers("PullRequest.mergeStateStatus")
def merge_state_status(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return acts.merge_state(context.store, pull)[1]


@answers("PullRequest.canBeRebased")
def can_be_rebased(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    return acts.merge_state(context.store, pull)[0] == "MERGEABLE"


@answers("PullRequest.permalink")
def permalink(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return url(pull, arguments, context)


@answers("PullRequest.checksUrl")
def checks_url(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return f"{url(pull, arguments, context)}/checks"


@answers("PullRequest.commits")
def commits(pull: PullRequest, arguments: Asked, context: Context) -> Connection:
    repo = context.nodes[pull.repo]
    found = context.store.git.commits(context.store.full_name(repo), pull.base_sha, pull.head_sha)
    page = url(pull, arguments, context)
    entries = [
        {"__typename": "PullRequestCommit", "id": f"PRC_{pull.number}_{c.sha}", "commit": shown(context, repo, c),
         "pullRequest": pull, "resourcePath": f"/commits/{c.sha}", "url": f"{page}/commits/{c.sha}"}
        for c in found
    ]  # fmt: skip
    return Connection(entries, arguments)


def changes(pull: PullRequest, context: Context) -> list[Any]:
    """The files that the pull request changes."""
    name = context.store.full_name(context.nodes[pull.repo])
    return context.store.git.changes(name, pull.base_sha, pull.head_sha)


@answers("PullRequest.files")
def files(pull: PullRequest, arguments: Asked, context: Context) -> Connection:
    found = [
        {"path": c.path, "additions": c.additions, "deletions": c.deletions, "changeType": c.kind}
        for c in changes(pull, context)
    ]
    return Connection(found, arguments)


@answers("PullRequest.additions")
def additions(pull: PullRequest, arguments: Asked, context: Context) -> int:
    return sum(c.additions for c in changes(pull, context))


@answers("PullRequest.deletions")
def deletions(pull: PullRequest, arguments: Asked, context: Context) -> int:
    return sum(c.deletions for c in changes(pull, context))


@answers("PullRequest.changedFiles")
def changed_files(pull: PullRequest, arguments: Asked, context: Context) -> int:
    return len(changes(pull, context))


@answers("PullRequest.closingIssuesReferences")
def closing_issues_references(pull: PullRequest, arguments: Asked, context: Context) -> Connection:
    repo = context.nodes[pull.repo]
    named = ordered(acts.closing_issues(context.store, repo, f"{pull.title}\n{pull.body}"), arguments.get("orderBy"))
    by_hand = arguments.get("userLinkedOnly")
    return Connection(named if pull.base == repo.default_branch and not by_hand else [], arguments)


@answers("PullRequest.totalCommentsCount")
def total_comments_count(pull: PullRequest, arguments: Asked, context: Context) -> int:
    return len(pull.comments)


@answers("PullRequest.autoMergeRequest")
def auto_merge_request(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    asked = pull.auto_merge
    if asked is None:
        return None
    who = context.nodes.get(asked["by"])
    return {
        "__typename": "AutoMergeRequest", "authorEmail": None, "commitBody": asked["body"],
        "commitHeadline": asked["headline"], "enabledAt": asked["at"], "enabledBy": who,
        "mergeMethod": asked["method"], "pullRequest": pull,
    }  # fmt: skip


@answers("PullRequest.viewerCanEnableAutoMerge")
def viewer_can_enable(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    return acts.merge_state(context.store, pull)[1] in ("BLOCKED", "BEHIND")


@answers("PullRequest.viewerCanDisableAutoMerge")
def viewer_can_disable(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    return pull.auto_merge is not None


@answers("PullRequest.viewerCanDeleteHeadRef")
def viewer_can_delete(pull: PullRequest, arguments: Asked, context: Context) -> bool:
    repo = context.nodes[pull.repo]
    may = roles.RANK[roles.permission(context.store, repo, context.viewer)] >= roles.RANK["WRITE"]
    return may and pull.state != "OPEN" and ref_of(context, repo, pull.head) is not None


@answers("PullRequest.viewerMergeHeadlineText")
def merge_headline(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return acts.merge_texts(context.store, pull, arguments.get("mergeType") or "MERGE")[0]


@answers("PullRequest.viewerMergeBodyText")
def merge_body(pull: PullRequest, arguments: Asked, context: Context) -> str:
    return acts.merge_texts(context.store, pull, arguments.get("mergeType") or "MERGE")[1]
