"""Acts on branches, pull requests and checks, and what GitHub makes of a push."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from yt_fsm.lab.github.acts.issue import check_text
from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.git import NOTHING, MergeConflict, Person, StaleRef
from yt_fsm.lab.github.hooks import PUSHED
from yt_fsm.lab.github.nodes import Issue, Owner, PullRequest, Repo, Status
from yt_fsm.lab.github.roles import require
from yt_fsm.lab.github.store import Store

_CLOSES = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+"
    r"(?:https://github\.com/(?P<u>[\w.-]+/[\w.-]+)/issues/|(?P<r>[\w.-]+/[\w.-]+)?#)(?P<n>\d+)\b",
    re.IGNORECASE,
)


def person(who: Owner) -> Person:
    """Somebody as the author of a commit that GitHub makes for them."""
    return Person(who.name or who.login, who.email or f"{who.database_id}+{who.login}@users.noreply.github.com")


def open_pull(
    store: Store, who: Owner, repo: Repo, base: str, head: str, title: str, body: str = "", draft: bool = False
) -> PullRequest:
    """Opens a pull request for a branch of the repository. Raises GitHub's errors for branches that don't do."""
    check_text(body, title)
    require(store, repo, who, "READ", "CreatePullRequest")
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
    store.git.propose(name, number, pull.head_sha)
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
    found = protection(store, repo, pull.base)
    green = {s.context for s in statuses(store, repo, pull.head_sha) if s.state == "SUCCESS"}
    return [check for check in found.checks if check not in green] if found else []


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
    if (
        (found := protection(store, repo, pull.base))
        and found.strict
        and store.git.ahead_behind(name, base, pull.head_sha)[1]
    ):
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
    require(store, repo, who, "WRITE", "MergePullRequest")
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
    require(store, repo, who, "WRITE", "EnablePullRequestAutoMerge")
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
    require(store, repo, who, "WRITE", "UpdatePullRequestBranch")
    base = store.git.branch(name, pull.base)
    message = f"Merge branch '{pull.base}' into {pull.head}"
    try:
        sha = store.git.merge(name, "MERGE", pull.head, base or pull.base_sha, message, person(who), store.now())
    except (MergeConflict, StaleRef) as error:
        raise GitHubError("merge conflict between base and head") from error
    store.git.propose(name, pull.number, sha)
    return store.edit(pull, head_sha=sha, base_sha=base or pull.base_sha)


def create_branch(store: Store, who: Owner, repo: Repo, branch: str, sha: str) -> None:
    """Makes a branch at a commit."""
    require(store, repo, who, "WRITE", "CreateRef")
    name = store.full_name(repo)
    if store.git.commit(name, sha) is None:
        raise GitHubError("Object does not exist")
    try:
        store.git.move(name, branch, sha, NOTHING)
    except StaleRef as error:
        raise GitHubError("Reference already exists") from error


def delete_branch(store: Store, who: Owner, repo: Repo, branch: str) -> None:
    """Deletes a branch; open pull requests from it are closed."""
    require(store, repo, who, "WRITE", "DeleteRef")
    if branch == repo.default_branch:
        raise GitHubError("Cannot delete the default branch")
    if protection(store, repo, branch):
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


@dataclass(frozen=True)
class Protection:
    """What protects a branch: the pattern that names it, the checks that a merge needs, whether it must be up to date.

    Required checks are the default branch's.
    """

    pattern: str
    checks: tuple[str, ...] = ()
    strict: bool = False


def protection(store: Store, repo: Repo, branch: str) -> Protection | None:
    """What protects a branch, as REST and GraphQL both show it and a merge obeys it; None when nothing does."""
    repo = store.get(Repo, repo.id)
    pattern = next((one for one in repo.protected if fnmatch.fnmatchcase(branch, one)), None)
    if branch == repo.default_branch and (repo.required_checks or repo.strict_checks):
        return Protection(pattern or branch, repo.required_checks, repo.strict_checks)
    return Protection(pattern) if pattern else None


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
    require(store, repo, who, "WRITE", "CreateStatus")
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
        if head != pull.head_sha:
            store.git.propose(name, pull.number, head)
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
