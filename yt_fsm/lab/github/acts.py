"""What people and programs do on GitHub: each act checks who may, changes the store, and returns what changed.

The GraphQL mutations, the REST routes and the person of a fault (`yt_fsm.lab.github.faults`) all end up here.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from yt_fsm.lab.github.errors import GitHubError, forbidden, not_found
from yt_fsm.lab.github.git import NOTHING, PUSHED, MergeConflict, Person, StaleRef
from yt_fsm.lab.github.nodes import (
    Comment,
    Draft,
    Field,
    Issue,
    Item,
    Label,
    Owner,
    Project,
    PullRequest,
    Repo,
    Status,
)
from yt_fsm.lab.github.store import Store

Some = TypeVar("Some", bound=Issue)

RANK = {None: 0, "READ": 1, "TRIAGE": 2, "WRITE": 3, "MAINTAIN": 4, "ADMIN": 5}
LONGEST_BODY = 65536
LONGEST_TITLE = 256

_CLOSES = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+"
    r"(?:https://github\.com/(?P<u>[\w.-]+/[\w.-]+)/issues/|(?P<r>[\w.-]+/[\w.-]+)?#)(?P<n>\d+)\b",
    re.IGNORECASE,
)


# -- who may --------------------------------------------------------------------------------------


def permission(store: Store, repo: Repo, who: Owner) -> str | None:
    """What somebody may do in a repository: READ … ADMIN, or None when they can't see it."""
    home = store.nodes[repo.owner]
    if home.id == who.id or home.members.get(who.login) == "ADMIN":
        return "ADMIN"
    return repo.roles.get(who.login) or (None if repo.private else "READ")


def may_plan(store: Store, project: Project, who: Owner) -> bool:
    """Whether somebody may change a project: its owner, the organization's members, and who was let in."""
    home = store.nodes[project.owner]
    return home.id == who.id or who.login in home.members or who.login in project.writers


def association(store: Store, repo: Repo, who: Owner) -> str:
    """The authorAssociation of somebody's comments in a repository."""
    home = store.nodes[repo.owner]
    if home.id == who.id:
        return "OWNER"
    if who.login in home.members:
        return "MEMBER"
    if who.login in repo.roles:
        return "COLLABORATOR"
    merged = (store.nodes[key] for key in repo.pulls if key in store.nodes)
    return "CONTRIBUTOR" if any(p.merged_at and p.author == who.id for p in merged) else "NONE"


def _require(store: Store, repo: Repo, who: Owner, role: str, act: str) -> None:
    if RANK[permission(store, repo, who)] < RANK[role]:
        raise forbidden(f"{who.login} does not have the correct permissions to execute `{act}`")


def _require_plan(store: Store, project: Project, who: Owner, act: str) -> None:
    if not may_plan(store, project, who):
        raise forbidden(f"{who.login} does not have the correct permissions to execute `{act}`")


def _check_text(body: str | None, title: str | None = None) -> None:
    if body is not None and len(body) > LONGEST_BODY:
        raise GitHubError(f"Body is too long (maximum is {LONGEST_BODY} characters)")
    if title is not None and not title.strip():
        raise GitHubError("Title can't be blank")
    if title is not None and len(title) > LONGEST_TITLE:
        raise GitHubError(f"Title is too long (maximum is {LONGEST_TITLE} characters)")


# -- issues and comments --------------------------------------------------------------------------


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
    _check_text(body, title)
    _require(store, repo, who, "READ", "CreateIssue")
    if RANK[permission(store, repo, who)] < RANK["TRIAGE"]:
        labels = assignees = ()
    issue = store.add_issue(repo, who, title, body, tuple(labels))
    return store.edit(issue, assignees=tuple(assignees)) if assignees else issue


def edit_issue(store: Store, who: Owner, issue: Some, act: str = "UpdateIssue", **changes: Any) -> Some:
    """Changes an issue's (or pull request's) title, body, labels, assignees, state."""
    _check_text(changes.get("body"), changes.get("title"))
    repo = store.get(Repo, issue.repo)
    if who.id != issue.author or set(changes) & {"labels", "assignees"}:
        _require(store, repo, who, "TRIAGE", act)
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
    _require(store, repo, who, "ADMIN", "DeleteIssue")
    for key in issue.items:
        delete_item(store, who, store.get(Item, key), checked=True)
    store.drop(issue.id, *issue.comments)
    return store.edit(repo, issues=tuple(key for key in repo.issues if key != issue.id))


def comment(store: Store, who: Owner, subject: Issue, body: str) -> Comment:
    """Comments on an issue or a pull request."""
    repo = store.get(Repo, subject.repo)
    _require(store, repo, who, "READ", "AddComment")
    if subject.locked and RANK[permission(store, repo, who)] < RANK["WRITE"]:
        raise forbidden("Unable to create comment because issue is locked.")
    if not body.strip():
        raise GitHubError("Body can't be blank")
    _check_text(body)
    made = Comment(**store.stamp("Comment", repo.database_id), subject=subject.id, author=who.id, body=body)
    subject = store.nodes[subject.id]
    store.put(made, replace(subject, comments=(*subject.comments, made.id), updated_at=made.created_at))
    return made


def edit_comment(store: Store, who: Owner, kept: Comment, body: str) -> Comment:
    """Changes a comment's text: its author may, and who may write."""
    repo = store.get(Repo, store.nodes[kept.subject].repo)
    if who.id != kept.author:
        _require(store, repo, who, "WRITE", "UpdateIssueComment")
    if not body.strip():
        raise GitHubError("Body can't be blank")
    _check_text(body)
    return store.edit(kept, body=body, last_edited_at=store.now())


def delete_comment(store: Store, who: Owner, kept: Comment) -> None:
    """Deletes a comment: its author may, and who may write."""
    subject = store.nodes[kept.subject]
    if who.id != kept.author:
        _require(store, store.get(Repo, subject.repo), who, "WRITE", "DeleteIssueComment")
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
    _require(store, repo, who, "WRITE", "CreateLabel")
    if find_label(store, repo, name):
        taken = {"resource": "Label", "code": "already_exists", "field": "name"}
        raise GitHubError("Name has already been taken", "UNPROCESSABLE", 422, [taken])
    if not re.fullmatch(r"[0-9a-fA-F]{6}", color):
        bad = {"resource": "Label", "code": "invalid", "field": "color"}
        raise GitHubError("Color must be a valid hex color", "UNPROCESSABLE", 422, [bad])
    return store.add_label(repo, name, color, description)


def edit_label(store: Store, who: Owner, label: Label, **changes: Any) -> Label:
    """Changes a label's name, color or description."""
    _require(store, store.get(Repo, label.repo), who, "WRITE", "UpdateLabel")
    return store.edit(label, **changes)


def delete_label(store: Store, who: Owner, label: Label) -> None:
    """Removes a label, from its issues too."""
    repo = store.get(Repo, label.repo)
    _require(store, repo, who, "WRITE", "DeleteLabel")
    for key in (*repo.issues, *repo.pulls):
        issue = store.nodes[key]
        if label.id in issue.labels:
            store.put(replace(issue, labels=tuple(i for i in issue.labels if i != label.id)))
    store.edit(repo, labels=tuple(i for i in repo.labels if i != label.id))
    store.drop(label.id)


# -- branches and pull requests -------------------------------------------------------------------


def person(who: Owner) -> Person:
    """Somebody as the author of a commit that GitHub makes for them."""
    return Person(who.name or who.login, who.email or f"{who.database_id}+{who.login}@users.noreply.github.com")


def open_pull(
    store: Store, who: Owner, repo: Repo, base: str, head: str, title: str, body: str = "", draft: bool = False
) -> PullRequest:
    """Opens a pull request for a branch of the repository. Raises GitHub's errors for branches that don't do."""
    _check_text(body, title)
    _require(store, repo, who, "READ", "CreatePullRequest")
    name = store.full_name(repo)
    login = store.nodes[repo.owner].login
    head = head.removeprefix(f"{login}:")
    base_sha, head_sha = store.git.branch(name, base), store.git.branch(name, head)
    problems = []
    if head_sha is None:
        problems += ["Head sha can't be blank", "Base sha can't be blank"]
    if base_sha is None:
        problems.append("Base ref must be a branch")
    if head_sha is None:
        problems += [f"No commits between {base} and {head}", "Head ref must be a branch"]
    elif base_sha is not None and not store.git.commits(name, base_sha, head_sha):
        problems.append(f"No commits between {base} and {head}")
    for key in repo.pulls:
        if (p := store.nodes[key]).state == "OPEN" and (p.head, p.base) == (head, base):
            problems.append(f"A pull request already exists for {login}:{head}.")
    if problems:
        errors = [{"resource": "PullRequest", "code": "custom", "message": p} for p in problems]
        raise GitHubError(", ".join(problems), "UNPROCESSABLE", 422, errors)
    repo = store.get(Repo, repo.id)
    number = repo.last_number + 1
    pull = PullRequest(**store.stamp("PullRequest", repo.database_id), repo=repo.id, number=number, author=who.id,
                       title=title, body=body, head=head, base=base, head_sha=head_sha or "",
                       base_sha=base_sha or "", draft=draft)  # fmt: skip
    store.put(pull, replace(repo, pulls=(*repo.pulls, pull.id), last_number=number))
    return pull


def closing_issues(store: Store, repo: Repo, text: str) -> list[Issue]:
    """The issues of the repository that `Closes #12` and its like in a text name, each once."""
    found: dict[str, Issue] = {}
    for match in _CLOSES.finditer(text):
        where = match["u"] or match["r"]
        if where is None or where.lower() == store.full_name(repo).lower():
            issue = store.numbered(repo, int(match["n"]))
            if issue is not None and not isinstance(issue, PullRequest):
                found[issue.id] = issue
    return list(found.values())


def missing_checks(store: Store, pull: PullRequest) -> list[str]:
    """The required checks that are not green at the pull request's head."""
    repo = store.get(Repo, pull.repo)
    green = {s.context for s in statuses(store, repo, pull.head_sha) if s.state == "SUCCESS"}
    return [check for check in repo.required_checks if check not in green]


def merge_state(store: Store, pull: PullRequest) -> tuple[str, str]:
    """The pull request's `mergeable` and `mergeStateStatus`."""
    if pull.state != "OPEN":
        return "UNKNOWN", "UNKNOWN"
    repo = store.get(Repo, pull.repo)
    name = store.full_name(repo)
    base = store.git.branch(name, pull.base)
    if base is None or not store.git.mergeable(name, base, pull.head_sha):
        return "CONFLICTING", "DIRTY"
    if pull.draft:
        return "MERGEABLE", "DRAFT"
    if missing_checks(store, pull):
        return "MERGEABLE", "BLOCKED"
    if repo.strict_checks and store.git.ahead_behind(name, base, pull.head_sha)[1]:
        return "MERGEABLE", "BEHIND"
    states = {s.state for s in statuses(store, repo, pull.head_sha)}
    return "MERGEABLE", "UNSTABLE" if states - {"SUCCESS"} else "CLEAN"


def merge_texts(store: Store, pull: PullRequest, method: str) -> tuple[str, str]:
    """Headline and body that GitHub proposes for the merge's commit."""
    repo = store.get(Repo, pull.repo)
    name = store.full_name(repo)
    if method == "MERGE":
        return f"Merge pull request #{pull.number} from {name.partition('/')[0]}/{pull.head}", pull.title
    commits = store.git.commits(name, store.git.branch(name, pull.base) or pull.base_sha, pull.head_sha)
    if len(commits) == 1:
        return f"{commits[0].headline} (#{pull.number})", commits[0].body
    return f"{pull.title} (#{pull.number})", "\n\n".join(f"* {c.message}" for c in commits)


def merge(
    store: Store,
    who: Owner,
    pull: PullRequest,
    method: str = "MERGE",
    headline: str | None = None,
    body: str | None = None,
    expected: str | None = None,
) -> PullRequest:
    """Merges a pull request in the bare repository, and closes the issues that its text says it closes.

    Raises GitHub's refusals: conflicts, a required check, a branch that is behind, a method that is off, a moved head.
    """
    repo = store.get(Repo, pull.repo)
    name = store.full_name(repo)
    _require(store, repo, who, "WRITE", "MergePullRequest")
    if pull.state != "OPEN":
        raise GitHubError("Pull Request is not mergeable" if pull.state == "CLOSED" else "Already merged", status=405)
    if expected and expected != pull.head_sha:
        raise GitHubError("Head branch was modified. Review and try the merge again.", status=409)
    if method not in repo.merge_methods:
        words = {"MERGE": "Merge commits", "SQUASH": "Squash merges", "REBASE": "Rebase merges"}[method]
        raise GitHubError(f"{words} are not allowed on this repository.", status=405)
    state = merge_state(store, pull)[1]
    if state == "DRAFT":
        raise GitHubError("Pull Request is still a draft", status=405)
    if state == "BLOCKED":
        checks = missing_checks(store, pull)
        what = f'Required status check "{checks[0]}" is expected.'
        if len(checks) > 1:
            what = f"{len(checks)} of {len(repo.required_checks)} required status checks are expected."
        raise GitHubError(what, status=405)
    if state == "BEHIND":
        raise GitHubError("Head branch is out of date. Review and try the merge again.", status=405)
    if state == "DIRTY":
        raise GitHubError("Pull Request is not mergeable", status=405)
    proposed = merge_texts(store, pull, method)
    headline = headline or proposed[0]
    body = proposed[1] if body is None else body
    start = store.git.branch(name, pull.base)
    author = store.nodes[pull.author] if method == "SQUASH" else who
    try:
        message = f"{headline}\n\n{body}".strip()
        sha = store.git.merge(name, method, pull.base, pull.head_sha, message, person(author), store.now())
    except (MergeConflict, StaleRef) as error:
        raise GitHubError("Pull Request is not mergeable", status=405) from error
    pull = store.edit(pull, state="MERGED", merged_at=store.now(), closed_at=store.now(), merged_by=who.id,
                      merge_commit=sha, auto_merge=None, base_sha=start or pull.base_sha)  # fmt: skip
    _close_named(store, who, repo, f"{pull.title}\n{pull.body}\n{message}", pull.base)
    if repo.delete_branch_on_merge:
        delete_branch(store, who, repo, pull.head)
    return pull


def _close_named(store: Store, who: Owner, repo: Repo, text: str, branch: str) -> None:
    if branch != repo.default_branch:
        return
    for issue in closing_issues(store, repo, text):
        if issue.state == "OPEN":
            store.edit(issue, state="CLOSED", state_reason="COMPLETED", closed_at=store.now(), closed_by=who.id)


def enable_auto_merge(
    store: Store, who: Owner, pull: PullRequest, method: str, headline: str | None, body: str | None
) -> PullRequest:
    """Asks GitHub to merge as soon as the requirements are met; refused when they are met already."""
    repo = store.get(Repo, pull.repo)
    _require(store, repo, who, "WRITE", "EnablePullRequestAutoMerge")
    if not repo.auto_merge_allowed:
        raise GitHubError("Pull request Auto merge is not allowed for this repository")
    state = merge_state(store, pull)[1]
    if state in ("CLEAN", "UNSTABLE"):
        raise GitHubError(f"Pull request Pull request is in {state.lower()} status")
    asked = {"method": method, "headline": headline, "body": body, "by": who.id, "at": store.now()}
    return store.edit(pull, auto_merge=asked)


def merge_what_may(store: Store) -> None:
    """Merges the pull requests with auto-merge whose requirements are met by now."""
    for pull in [n for n in store.nodes.values() if isinstance(n, PullRequest) and n.auto_merge and n.state == "OPEN"]:
        asked = pull.auto_merge
        assert asked is not None
        if merge_state(store, pull)[1] in ("CLEAN", "UNSTABLE"):
            merge(store, store.nodes[asked["by"]], pull, asked["method"], asked["headline"], asked["body"])


def update_branch(store: Store, who: Owner, pull: PullRequest) -> PullRequest:
    """Merges the base branch into the pull request's branch."""
    repo = store.get(Repo, pull.repo)
    name = store.full_name(repo)
    _require(store, repo, who, "WRITE", "UpdatePullRequestBranch")
    base = store.git.branch(name, pull.base)
    message = f"Merge branch '{pull.base}' into {pull.head}"
    try:
        sha = store.git.merge(name, "MERGE", pull.head, base or pull.base_sha, message, person(who), store.now())
    except (MergeConflict, StaleRef) as error:
        raise GitHubError("merge conflict between base and head") from error
    return store.edit(pull, head_sha=sha, base_sha=base or pull.base_sha)


def create_branch(store: Store, who: Owner, repo: Repo, branch: str, sha: str) -> None:
    """Makes a branch at a commit."""
    _require(store, repo, who, "WRITE", "CreateRef")
    name = store.full_name(repo)
    if store.git.commit(name, sha) is None:
        raise GitHubError("Object does not exist")
    try:
        store.git.move(name, branch, sha, NOTHING)
    except StaleRef as error:
        raise GitHubError("Reference already exists") from error


def delete_branch(store: Store, who: Owner, repo: Repo, branch: str) -> None:
    """Deletes a branch; open pull requests from it are closed."""
    _require(store, repo, who, "WRITE", "DeleteRef")
    if branch == repo.default_branch:
        raise GitHubError("Cannot delete the default branch")
    if any(fnmatch.fnmatch(branch, pattern) for pattern in repo.protected):
        raise GitHubError("Cannot delete this protected branch")
    try:
        store.git.delete(store.full_name(repo), branch)
    except StaleRef as error:
        raise GitHubError("Reference does not exist") from error
    _close_orphans(store, repo)


def protect(store: Store, repo: Repo, patterns: Iterable[str]) -> Repo:
    """Protects branches: no push moves them from now on, only merged pull requests do."""
    repo = store.edit(repo, protected=tuple(patterns))
    store.git.protect(store.full_name(repo), repo.protected)
    return repo


def statuses(store: Store, repo: Repo, sha: str) -> list[Status]:
    """The newest status of each context at a commit."""
    newest: dict[str, Status] = {}
    for key in repo.statuses.get(sha, ()):
        status = store.get(Status, key)
        newest[status.context] = status
    return list(newest.values())


def set_check(
    store: Store,
    who: Owner,
    repo: Repo,
    sha: str,
    context: str,
    state: str,
    description: str = "",
    target_url: str | None = None,
    workflow: str | None = None,
) -> Status:
    """Reports a check at a commit: SUCCESS, FAILURE, ERROR or PENDING. Merges what waited for it.

    With `workflow`, it is a check run of that workflow, as GitHub Actions reports one.
    """
    _require(store, repo, who, "WRITE", "CreateStatus")
    made = Status(**store.stamp("Status", repo.database_id), repo=repo.id, sha=sha, context=context, state=state,
                  creator=who.id, description=description, target_url=target_url,
                  workflow=workflow)  # fmt: skip
    repo = store.get(Repo, repo.id)
    kept = {**repo.statuses, sha: (*repo.statuses.get(sha, ()), made.id)}
    store.put(made, replace(repo, statuses=kept))
    merge_what_may(store)
    return made


def notice_pushes(store: Store) -> None:
    """Brings pull requests and issues up to date with what git clients pushed since the last look.

    Heads move, a deleted branch closes its pull request, commits that reached the base merge it, and messages with
    closing keywords that reach the default branch close their issues.
    """
    for repo in [n for n in store.nodes.values() if isinstance(n, Repo)]:
        name = store.full_name(repo)
        size, seen = store.git.pushes(name), store.pushes.get(name, 0)
        if size == seen:
            continue
        with (store.git.path(name) / PUSHED).open() as log:
            log.seek(seen)
            lines = [line.split(" ", 3) for line in log.read().splitlines()]
        store.pushes = {**store.pushes, name: size}
        home = store.get(Owner, repo.owner)
        repo = store.edit(repo, pushed_at=store.now())
        for _, old, new, ref in lines:
            if ref == f"refs/heads/{repo.default_branch}" and NOTHING not in (old, new):
                for commit in store.git.commits(name, old, new):
                    _close_named(store, home, repo, commit.message, repo.default_branch)
        _follow_heads(store, repo)
        _close_orphans(store, repo)
    merge_what_may(store)


def _follow_heads(store: Store, repo: Repo) -> None:
    name = store.full_name(repo)
    for key in repo.pulls:
        pull = store.get(PullRequest, key)
        head, base = store.git.branch(name, pull.head), store.git.branch(name, pull.base)
        if pull.state != "OPEN" or head is None or base is None:
            continue
        if store.git.contains(name, base, head):
            who = store.get(Owner, repo.owner)
            pull = store.edit(pull, state="MERGED", merged_at=store.now(), closed_at=store.now(), merged_by=who.id,
                              merge_commit=head, head_sha=head)  # fmt: skip
            _close_named(store, who, repo, f"{pull.title}\n{pull.body}", pull.base)
        elif head != pull.head_sha:
            store.edit(pull, head_sha=head)


def _close_orphans(store: Store, repo: Repo) -> None:
    branches = store.git.branches(store.full_name(repo))
    for key in repo.pulls:
        pull = store.get(PullRequest, key)
        if pull.state == "OPEN" and pull.head not in branches:
            store.edit(pull, state="CLOSED", closed_at=store.now(), auto_merge=None)


# -- projects -------------------------------------------------------------------------------------


def create_project(store: Store, who: Owner, home: Owner, title: str) -> Project:
    """Makes a project: for oneself, or for an organization that one is a member of."""
    if home.id != who.id and who.login not in home.members:
        raise forbidden(f"{who.login} does not have permission to create projects on the owner {home.login}")
    _check_text(None, title)
    return store.add_project(home, title, who.id)


def edit_project(store: Store, who: Owner, project: Project, act: str = "UpdateProjectV2", **changes: Any) -> Project:
    """Changes a project's title, texts, visibility, state, repositories."""
    _require_plan(store, project, who, act)
    if "closed" in changes:
        changes["closed_at"] = store.now() if changes["closed"] else None
    return store.edit(project, **changes)


def delete_project(store: Store, who: Owner, project: Project) -> None:
    """Removes a project with its cards and fields."""
    _require_plan(store, project, who, "DeleteProjectV2")
    for key in project.items:
        delete_item(store, who, store.get(Item, key))
    home = store.get(Owner, project.owner)
    store.edit(home, projects=tuple(key for key in home.projects if key != project.id))
    store.drop(project.id, *project.fields)


def create_field(
    store: Store, who: Owner, project: Project, name: str, data_type: str, options: list[tuple[str, str, str]]
) -> Field:
    """Makes a field; a name that the project has already is GitHub's validation error."""
    _require_plan(store, project, who, "CreateProjectV2Field")
    if store.status_field(project, name):
        raise GitHubError("Name has already been taken")
    if data_type == "SINGLE_SELECT" and not options:
        raise GitHubError("Single select options must be provided")
    return store.add_field(project, name, data_type, options)


def edit_field(
    store: Store, who: Owner, of: Field, name: str | None, options: list[tuple[str, str, str]] | None
) -> Field:
    """Renames a field, or replaces its options.

    As on GitHub, replacing makes every option anew, with a new id: cards lose their value of that field.
    """
    project = store.get(Project, of.project)
    _require_plan(store, project, who, "UpdateProjectV2Field")
    changes: dict[str, Any] = {"name": name} if name else {}
    if options is not None:
        changes["options"] = store.new_options(of, options)
        for key in project.items:
            item = store.get(Item, key)
            if of.id in item.values:
                store.set_value(item, of, None)
    return store.edit(of, **changes)


def renew_options(store: Store, of: Field) -> Field:
    """Gives every option of a field a new id, as an edit of the board's settings does; cards keep their option."""
    options = store.new_options(of, [(o.name, o.color, o.description) for o in of.options])
    new = {old.id: fresh.id for old, fresh in zip(of.options, options, strict=True)}
    for key in store.get(Project, of.project).items:
        item = store.get(Item, key)
        if value := item.values.get(of.id):
            renewed = {**value, "option": new.get(value["option"], value["option"])}
            store.put(replace(item, values={**item.values, of.id: renewed}))
    return store.edit(of, options=options)


def delete_field(store: Store, who: Owner, of: Field) -> None:
    """Removes a field that somebody made."""
    project = store.get(Project, of.project)
    _require_plan(store, project, who, "DeleteProjectV2Field")
    store.edit(project, fields=tuple(key for key in project.fields if key != of.id))
    store.drop(of.id)


def add_item(store: Store, who: Owner, project: Project, content: Any) -> Item:
    """Puts an issue or a pull request on a project; the card that is there already when there is one."""
    _require_plan(store, project, who, "AddProjectV2ItemById")
    if not isinstance(content, Issue):
        raise GitHubError("Content must be an issue or a pull request")
    return store.add_item(project, content, who)


def add_draft(store: Store, who: Owner, project: Project, title: str, body: str) -> Item:
    """Puts a draft issue on a project."""
    _require_plan(store, project, who, "AddProjectV2DraftIssue")
    home = store.get(Owner, project.owner)
    draft = Draft(**store.stamp("DI", home.database_id), title=title, body=body, creator=who.id)
    store.put(draft)
    return store.add_item(project, draft, who)


def delete_item(store: Store, who: Owner, item: Item, checked: bool = False) -> None:
    """Takes a card off its project."""
    project = store.get(Project, item.project)
    if not checked:
        _require_plan(store, project, who, "DeleteProjectV2Item")
    store.put(replace(project, items=tuple(key for key in project.items if key != item.id)))
    content = store.nodes.get(item.content)
    if isinstance(content, Issue):
        store.put(replace(content, items=tuple(key for key in content.items if key != item.id)))
    store.drop(item.id)


def set_value(store: Store, who: Owner, item: Item, of: Field, value: dict[str, Any]) -> Item:
    """Sets a card's value of a field: `value` is the mutation's (singleSelectOptionId, text, number, date)."""
    project = store.get(Project, item.project)
    _require_plan(store, project, who, "UpdateProjectV2ItemFieldValue")
    if of.project != item.project:
        raise GitHubError("The field and the item must belong to the same project", "VALIDATION")
    kinds = {"SINGLE_SELECT": "singleSelectOptionId", "TEXT": "text", "NUMBER": "number", "DATE": "date"}
    wanted = kinds.get(of.data_type)
    if wanted is None:
        raise GitHubError(f"The field of type {of.data_type.lower()} is currently not supported.", "VALIDATION")
    if value.get(wanted) is None:
        words = of.data_type.lower().replace("_", " ")
        raise GitHubError(f"Did not receive a {words} value to update a field of type {words}", "VALIDATION")
    given = value[wanted]
    if wanted == "singleSelectOptionId" and given not in {o.id for o in of.options}:
        raise GitHubError("The single select option Id does not belong to the field", "VALIDATION")
    return store.set_value(item, of, {"option" if wanted == "singleSelectOptionId" else wanted: given})


def clear_value(store: Store, who: Owner, item: Item, of: Field) -> Item:
    """Empties a card's value of a field."""
    _require_plan(store, store.get(Project, item.project), who, "ClearProjectV2ItemFieldValue")
    return store.set_value(item, of, None)


def issue_of(store: Store, number: int) -> Issue:
    """The home repository's issue or pull request of that number. Raises GitHub's NOT_FOUND."""
    issue = store.numbered(store.home()[0], number)
    if issue is None:
        raise not_found(f"Could not resolve to an issue or pull request with the number of {number}.")
    return issue
