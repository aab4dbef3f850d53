"""The mutations: each reads its input, lets `acts` do it, and answers with what changed."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yt_fsm.lab.github import acts
from yt_fsm.lab.github.answers.commit import ref_of
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import GitHubError, not_found, not_implemented, unresolved_node
from yt_fsm.lab.github.executor import RESOLVERS
from yt_fsm.lab.github.nodes import Comment, Field, Issue, Item, Label, Owner, Project, PullRequest, Repo

Input = Asked
Act = Callable[[Context, Input], dict[str, Any]]


def mutation(name: str) -> Callable[[Act], Act]:
    """Registers what carries out a mutation; `clientMutationId` is echoed, as GitHub does, and means nothing."""

    def register(act: Act) -> Act:
        def resolve(_: Any, arguments: Asked, context: Context) -> dict[str, Any]:
            given, before = arguments["input"], context.store.nodes
            try:
                done = {"clientMutationId": given.get("clientMutationId"), **act(context, given)}
                if dropped := given.unread():
                    raise not_implemented(f"the input {', '.join(dropped)} of {name}")
                return done
            except GitHubError:
                context.store.nodes = before  # one mutation happens whole or not at all
                raise

        RESOLVERS[f"Mutation.{name}"] = resolve
        return act

    return register


# -- issues and comments --------------------------------------------------------------------------


@mutation("createIssue")
def create_issue(context: Context, given: Input) -> dict[str, Any]:
    store = context.store
    repo = store.get(Repo, given["repositoryId"])
    labels, assignees = given.get("labelIds") or (), given.get("assigneeIds") or ()
    issue = acts.open_issue(store, context.viewer, repo, given["title"], given.get("body") or "", labels, assignees)
    for key in given.get("projectIds") or ():
        acts.add_item(store, context.viewer, store.get(Project, key), issue)
    return {"issue": store.nodes[issue.id]}


def _issue_changes(context: Context, given: Input) -> dict[str, Any]:
    changes = {key: given[key] for key in ("title", "body") if given.get(key) is not None}
    for key, name, kind in (("labelIds", "labels", Label), ("assigneeIds", "assignees", Owner)):
        if given.get(key) is not None:
            changes[name] = tuple(context.store.get(kind, one).id for one in given[key])
    return changes


def _set_state(context: Context, issue: Any, state: str | None) -> Any:
    if state == "CLOSED":
        return acts.close(context.store, context.viewer, issue)
    if state == "OPEN":
        return acts.reopen(context.store, context.viewer, issue)
    return issue


@mutation("updateIssue")
def update_issue(context: Context, given: Input) -> dict[str, Any]:
    issue = context.store.get(Issue, given["id"])
    issue = acts.edit_issue(context.store, context.viewer, issue, **_issue_changes(context, given))
    return {"issue": _set_state(context, issue, given.get("state")), "actor": context.viewer}


@mutation("closeIssue")
def close_issue(context: Context, given: Input) -> dict[str, Any]:
    issue = context.store.get(Issue, given["issueId"])
    return {"issue": acts.close(context.store, context.viewer, issue, given.get("stateReason"))}


@mutation("reopenIssue")
def reopen_issue(context: Context, given: Input) -> dict[str, Any]:
    return {"issue": acts.reopen(context.store, context.viewer, context.store.get(Issue, given["issueId"]))}


@mutation("deleteIssue")
def delete_issue(context: Context, given: Input) -> dict[str, Any]:
    issue = context.store.get(Issue, given["issueId"])
    return {"repository": acts.delete_issue(context.store, context.viewer, issue)}


@mutation("addComment")
def add_comment(context: Context, given: Input) -> dict[str, Any]:
    store = context.store
    subject = store.get(Issue, given["subjectId"])
    made = acts.comment(store, context.viewer, subject, given["body"])
    subject = store.nodes[subject.id]
    return {"subject": subject, "commentEdge": Connection([made], {"first": 1}).edges[0]}


@mutation("updateIssueComment")
def update_issue_comment(context: Context, given: Input) -> dict[str, Any]:
    kept = context.store.get(Comment, given["id"])
    return {"issueComment": acts.edit_comment(context.store, context.viewer, kept, given["body"])}


@mutation("deleteIssueComment")
def delete_issue_comment(context: Context, given: Input) -> dict[str, Any]:
    acts.delete_comment(context.store, context.viewer, context.store.get(Comment, given["id"]))
    return {}


@mutation("lockLockable")
def lock(context: Context, given: Input) -> dict[str, Any]:
    issue = context.store.get(Issue, given["lockableId"])
    return {"lockedRecord": acts.edit_issue(context.store, context.viewer, issue, "LockLockable", locked=True)}


@mutation("unlockLockable")
def unlock(context: Context, given: Input) -> dict[str, Any]:
    issue = context.store.get(Issue, given["lockableId"])
    return {"unlockedRecord": acts.edit_issue(context.store, context.viewer, issue, "UnlockLockable", locked=False)}


# -- labels and assignees -------------------------------------------------------------------------


def _relabel(
    context: Context, key: str, change: Callable[[tuple[str, ...]], tuple[str, ...]], name: str = "labels"
) -> Any:
    issue = context.store.get(Issue, key)
    act = "AddLabelsToLabelable" if name == "labels" else "AddAssigneesToAssignable"
    kept = tuple(dict.fromkeys(change(getattr(issue, name))))
    return acts.edit_issue(context.store, context.viewer, issue, act, **{name: kept})


@mutation("addLabelsToLabelable")
def add_labels(context: Context, given: Input) -> dict[str, Any]:
    ids = tuple(context.store.get(Label, key).id for key in given["labelIds"])
    return {"labelable": _relabel(context, given["labelableId"], lambda kept: (*kept, *ids))}


@mutation("removeLabelsFromLabelable")
def remove_labels(context: Context, given: Input) -> dict[str, Any]:
    gone = set(given["labelIds"])
    return {"labelable": _relabel(context, given["labelableId"], lambda kept: tuple(k for k in kept if k not in gone))}


@mutation("clearLabelsFromLabelable")
def clear_labels(context: Context, given: Input) -> dict[str, Any]:
    return {"labelable": _relabel(context, given["labelableId"], lambda kept: ())}


@mutation("addAssigneesToAssignable")
def add_assignees(context: Context, given: Input) -> dict[str, Any]:
    ids = tuple(context.store.get(Owner, key).id for key in given["assigneeIds"])
    return {"assignable": _relabel(context, given["assignableId"], lambda kept: (*kept, *ids), "assignees")}


@mutation("removeAssigneesFromAssignable")
def remove_assignees(context: Context, given: Input) -> dict[str, Any]:
    gone = set(given["assigneeIds"])
    kept = _relabel(context, given["assignableId"], lambda ids: tuple(k for k in ids if k not in gone), "assignees")
    return {"assignable": kept}


@mutation("replaceActorsForAssignable")
def replace_actors(context: Context, given: Input) -> dict[str, Any]:
    ids = [context.store.get(Owner, key).id for key in given.get("actorIds") or ()]
    for login in given.get("actorLogins") or ():
        owner = context.store.owner(context.viewer.login if login == "@me" else login)
        if owner is None:
            raise not_found(f"Could not resolve to a User with the login of '{login}'.")
        ids.append(owner.id)
    return {"assignable": _relabel(context, given["assignableId"], lambda kept: tuple(ids), "assignees")}


@mutation("createLabel")
def create_label(context: Context, given: Input) -> dict[str, Any]:
    repo = context.store.get(Repo, given["repositoryId"])
    described = given.get("description") or ""
    return {"label": acts.create_label(context.store, context.viewer, repo, given["name"], given["color"], described)}


@mutation("updateLabel")
def update_label(context: Context, given: Input) -> dict[str, Any]:
    label = context.store.get(Label, given["id"])
    changes = {k: given[k] for k in ("name", "color", "description") if given.get(k) is not None}
    return {"label": acts.edit_label(context.store, context.viewer, label, **changes)}


@mutation("deleteLabel")
def delete_label(context: Context, given: Input) -> dict[str, Any]:
    acts.delete_label(context.store, context.viewer, context.store.get(Label, given["id"]))
    return {}


# -- branches and pull requests -------------------------------------------------------------------


@mutation("createPullRequest")
def create_pull_request(context: Context, given: Input) -> dict[str, Any]:
    repo = context.store.get(Repo, given["repositoryId"])
    given.means_nothing("maintainerCanModify", "headRepositoryId")  # branches of one repository
    base, head = (given[key].removeprefix("refs/heads/") for key in ("baseRefName", "headRefName"))
    pull = acts.open_pull(context.store, context.viewer, repo, base, head, given["title"], given.get("body") or "",
                          bool(given.get("draft")))  # fmt: skip
    return {"pullRequest": pull}


@mutation("updatePullRequest")
def update_pull_request(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    changes = _issue_changes(context, given)
    if given.get("baseRefName"):
        changes["base"] = given["baseRefName"]
    pull = acts.edit_issue(context.store, context.viewer, pull, "UpdatePullRequest", **changes)
    return {"pullRequest": _set_state(context, pull, given.get("state")), "actor": context.viewer}


@mutation("closePullRequest")
def close_pull_request(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    return {"pullRequest": acts.close(context.store, context.viewer, pull)}


@mutation("reopenPullRequest")
def reopen_pull_request(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    return {"pullRequest": acts.reopen(context.store, context.viewer, pull)}


@mutation("convertPullRequestToDraft")
def convert_to_draft(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    return {
        "pullRequest": acts.edit_issue(context.store, context.viewer, pull, "ConvertPullRequestToDraft", draft=True)
    }


@mutation("markPullRequestReadyForReview")
def mark_ready(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    act = "MarkPullRequestReadyForReview"
    return {"pullRequest": acts.edit_issue(context.store, context.viewer, pull, act, draft=False)}


@mutation("mergePullRequest")
def merge_pull_request(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    merged = acts.merge(context.store, context.viewer, pull, given.get("mergeMethod") or "MERGE",
                        given.get("commitHeadline"), given.get("commitBody"), given.get("expectedHeadOid"))  # fmt: skip
    return {"pullRequest": merged, "actor": context.viewer}


@mutation("enablePullRequestAutoMerge")
def enable_auto_merge(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    pull = acts.enable_auto_merge(context.store, context.viewer, pull, given.get("mergeMethod") or "MERGE",
                                  given.get("commitHeadline"), given.get("commitBody"))  # fmt: skip
    return {"pullRequest": pull, "actor": context.viewer}


@mutation("disablePullRequestAutoMerge")
def disable_auto_merge(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    if pull.auto_merge is None:
        raise GitHubError("Can't disable auto-merge for this pull request.")
    act = "DisablePullRequestAutoMerge"
    pull = acts.edit_issue(context.store, context.viewer, pull, act, auto_merge=None)
    return {"pullRequest": pull, "actor": context.viewer}


@mutation("updatePullRequestBranch")
def update_pull_request_branch(context: Context, given: Input) -> dict[str, Any]:
    pull = context.store.get(PullRequest, given["pullRequestId"])
    if (given.get("updateMethod") or "MERGE") != "MERGE":
        raise not_implemented("an update of a branch by rebase")
    if given.get("expectedHeadOid") not in (None, pull.head_sha):
        raise GitHubError("expected head oid does not match the pull request's head oid")
    return {"pullRequest": acts.update_branch(context.store, context.viewer, pull)}


@mutation("createRef")
def create_ref(context: Context, given: Input) -> dict[str, Any]:
    repo = context.store.get(Repo, given["repositoryId"])
    branch = given["name"].removeprefix("refs/heads/")
    acts.create_branch(context.store, context.viewer, repo, branch, given["oid"])
    return {"ref": ref_of(context, repo, branch)}


@mutation("deleteRef")
def delete_ref(context: Context, given: Input) -> dict[str, Any]:
    _, number, branch = [*given["refId"].split("_", 2), "", ""][:3]
    for repo in [n for n in context.nodes.values() if isinstance(n, Repo)]:
        if str(repo.database_id) == number:
            acts.delete_branch(context.store, context.viewer, repo, branch)
            return {}
    raise unresolved_node(given["refId"])


# -- projects -------------------------------------------------------------------------------------


def _options(given: Input) -> list[tuple[str, str, str]] | None:
    options = given.get("singleSelectOptions")
    return None if options is None else [(o["name"], o["color"], o["description"]) for o in options]


@mutation("createProjectV2")
def create_project(context: Context, given: Input) -> dict[str, Any]:
    home = context.store.get(Owner, given["ownerId"])
    project = acts.create_project(context.store, context.viewer, home, given["title"])
    if given.get("repositoryId"):
        project = context.store.edit(project, repos=(context.store.get(Repo, given["repositoryId"]).id,))
    return {"projectV2": project}


@mutation("updateProjectV2")
def update_project(context: Context, given: Input) -> dict[str, Any]:
    project = context.store.get(Project, given["projectId"])
    changes = {k: given[k] for k in ("title", "public", "closed", "readme") if given.get(k) is not None}
    if given.get("shortDescription") is not None:
        changes["description"] = given["shortDescription"]
    return {"projectV2": acts.edit_project(context.store, context.viewer, project, **changes)}


@mutation("deleteProjectV2")
def delete_project(context: Context, given: Input) -> dict[str, Any]:
    project = context.store.get(Project, given["projectId"])
    acts.delete_project(context.store, context.viewer, project)
    return {"projectV2": project}


@mutation("linkProjectV2ToRepository")
def link_project(context: Context, given: Input) -> dict[str, Any]:
    project, repo = context.store.get(Project, given["projectId"]), context.store.get(Repo, given["repositoryId"])
    repos = tuple(dict.fromkeys((*project.repos, repo.id)))
    acts.edit_project(context.store, context.viewer, project, "LinkProjectV2ToRepository", repos=repos)
    return {"repository": repo}


@mutation("unlinkProjectV2FromRepository")
def unlink_project(context: Context, given: Input) -> dict[str, Any]:
    project, repo = context.store.get(Project, given["projectId"]), context.store.get(Repo, given["repositoryId"])
    repos = tuple(key for key in project.repos if key != repo.id)
    acts.edit_project(context.store, context.viewer, project, "UnlinkProjectV2FromRepository", repos=repos)
    return {"repository": repo}


@mutation("createProjectV2Field")
def create_field(context: Context, given: Input) -> dict[str, Any]:
    project = context.store.get(Project, given["projectId"])
    options = _options(given) or []
    made = acts.create_field(context.store, context.viewer, project, given["name"], given["dataType"], options)
    return {"projectV2Field": made}


@mutation("updateProjectV2Field")
def update_field(context: Context, given: Input) -> dict[str, Any]:
    of = context.store.get(Field, given["fieldId"])
    return {"projectV2Field": acts.edit_field(context.store, context.viewer, of, given.get("name"), _options(given))}


@mutation("deleteProjectV2Field")
def delete_field(context: Context, given: Input) -> dict[str, Any]:
    of = context.store.get(Field, given["fieldId"])
    acts.delete_field(context.store, context.viewer, of)
    return {"projectV2Field": of}


@mutation("addProjectV2ItemById")
def add_item(context: Context, given: Input) -> dict[str, Any]:
    project, content = context.store.get(Project, given["projectId"]), context.store.get(Issue, given["contentId"])
    return {"item": acts.add_item(context.store, context.viewer, project, content)}


@mutation("addProjectV2DraftIssue")
def add_draft(context: Context, given: Input) -> dict[str, Any]:
    project = context.store.get(Project, given["projectId"])
    item = acts.add_draft(context.store, context.viewer, project, given["title"], given.get("body") or "")
    return {"projectItem": item}


def _item(context: Context, given: Input) -> Item:
    item = context.store.get(Item, given["itemId"])
    if item.project != context.store.get(Project, given["projectId"]).id:
        raise GitHubError("The item does not exist in the project", "NOT_FOUND", 404)
    return item


@mutation("deleteProjectV2Item")
def delete_item(context: Context, given: Input) -> dict[str, Any]:
    acts.delete_item(context.store, context.viewer, _item(context, given))
    return {"deletedItemId": given["itemId"]}


@mutation("archiveProjectV2Item")
def archive_item(context: Context, given: Input) -> dict[str, Any]:
    return {"item": acts.archive(context.store, context.viewer, _item(context, given), True)}


@mutation("unarchiveProjectV2Item")
def unarchive_item(context: Context, given: Input) -> dict[str, Any]:
    return {"item": acts.archive(context.store, context.viewer, _item(context, given), False)}


@mutation("updateProjectV2ItemFieldValue")
def update_value(context: Context, given: Input) -> dict[str, Any]:
    of = context.store.get(Field, given["fieldId"])
    item = acts.set_value(context.store, context.viewer, _item(context, given), of, given["value"])
    return {"projectV2Item": item}


@mutation("clearProjectV2ItemFieldValue")
def clear_value(context: Context, given: Input) -> dict[str, Any]:
    of = context.store.get(Field, given["fieldId"])
    return {"projectV2Item": acts.clear_value(context.store, context.viewer, _item(context, given), of)}
