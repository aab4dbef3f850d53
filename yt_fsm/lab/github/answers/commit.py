"""Commits, branches, comparisons and the checks on a commit."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any

from yt_fsm.lab.github import acts
from yt_fsm.lab.github.answers.owner import avatar_of
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, ordered
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_implemented
from yt_fsm.lab.github.executor import TYPES, answers
from yt_fsm.lab.github.git import Commit, Person
from yt_fsm.lab.github.nodes import Owner, PullRequest, Repo, Status

TYPES[Status] = lambda status: "CheckRun" if status.workflow else "StatusContext"


def commit_of(context: Context, repo: Repo, sha: str | None) -> dict[str, Any] | None:
    """A commit of the bare repository as GitHub shows it, or None when it is not there."""
    found = context.store.git.commit(context.store.full_name(repo), sha) if sha else None
    return shown(context, repo, found) if found else None


def shown(context: Context, repo: Repo, commit: Commit) -> dict[str, Any]:
    """One commit as the schema's fields."""
    path = f"/{context.store.full_name(repo)}/commit/{commit.sha}"
    return {
        "__typename": "Commit", "repo": repo, "commit": commit,
        "id": f"C_{repo.database_id}_{commit.sha}", "oid": commit.sha, "abbreviatedOid": commit.sha[:7],
        "message": commit.message, "messageHeadline": commit.headline, "messageBody": commit.body,
        "authoredDate": commit.authored, "committedDate": commit.committed, "resourcePath": path,
        "commitResourcePath": path, "url": f"https://github.com{path}", "commitUrl": f"https://github.com{path}",
        "author": _actor(context, commit.author, commit.authored),
        "committer": _actor(context, commit.committer, commit.committed), "repository": repo,
    }  # fmt: skip


def _actor(context: Context, who: Person, date: str) -> dict[str, Any]:
    login = (
        who.email.partition("+")[2].partition("@")[0] if who.email.endswith("users.noreply.github.com") else who.name
    )
    user = context.store.owner(login) if login else None
    user = user if user and user.kind == "User" else None
    return {
        "name": who.name,
        "email": who.email,
        "date": date,
        "user": user,
        "__typename": "GitActor",
    }


@answers("GitActor.avatarUrl")
def actor_avatar(actor: dict[str, Any], arguments: Asked, context: Context) -> str:
    return avatar_of(0, arguments)


def ref_of(context: Context, repo: Repo, branch: str) -> dict[str, Any] | None:
    """A branch, or None when there is none of that name."""
    sha = context.store.git.branch(context.store.full_name(repo), branch)
    if sha is None:
        return None
    key = f"REF_{repo.database_id}_{branch}"
    return {"__typename": "Ref", "id": key, "name": branch, "prefix": "refs/heads/", "repository": repo, "sha": sha}


@answers("Repository.defaultBranchRef")
def default_branch_ref(repo: Repo, arguments: Asked, context: Context) -> Any:
    return ref_of(context, repo, repo.default_branch)


@answers("Repository.ref")
def ref(repo: Repo, arguments: Asked, context: Context) -> Any:
    return ref_of(context, repo, arguments["qualifiedName"].removeprefix("refs/").removeprefix("heads/"))


@answers("Repository.refs")
def refs(repo: Repo, arguments: Asked, context: Context) -> Connection:
    if not arguments["refPrefix"].startswith("refs/heads"):
        raise not_implemented(f"refs other than branches ({arguments['refPrefix']})")
    names = context.store.git.branches(context.store.full_name(repo))
    start = arguments["refPrefix"].removeprefix("refs/heads").strip("/")
    wanted = arguments.get("query") or ""
    found = [n for n in (ref_of(context, repo, n) for n in names if n.startswith(start) and wanted in n) if n]
    found = ordered(found, arguments.get("orderBy"), {"ALPHABETICAL": lambda of: of["name"]})
    return Connection(found[::-1] if arguments.get("direction") == "DESC" else found, arguments)


@answers("Repository.object")
def git_object(repo: Repo, arguments: Asked, context: Context) -> Any:
    wanted = arguments.get("oid") or arguments.get("expression")
    name = context.store.full_name(repo)
    return commit_of(context, repo, context.store.git.resolve(name, wanted) if wanted else None)


@answers("Ref.target")
def target(of: dict[str, Any], arguments: Asked, context: Context) -> Any:
    return commit_of(context, of["repository"], of["sha"])


@answers("Ref.branchProtectionRule")
def protection(of: dict[str, Any], arguments: Asked, context: Context) -> Any:
    repo = context.nodes[of["repository"].id]
    found = acts.protection(context.store, repo, of["name"])
    return found and {
        "__typename": "BranchProtectionRule", "id": f"BPR_{repo.database_id}_{found.pattern}", "pattern": found.pattern,
        "requiredApprovingReviewCount": 0, "requiredStatusCheckContexts": list(found.checks),
        "requiresStatusChecks": bool(found.checks), "requiresStrictStatusChecks": found.strict,
    }  # fmt: skip


@answers("Ref.compare")
def compare(of: dict[str, Any], arguments: Asked, context: Context) -> Any:
    repo = of["repository"]
    name = context.store.full_name(repo)
    head = context.store.git.resolve(name, arguments["headRef"])
    if head is None:
        return None
    ahead, behind = context.store.git.ahead_behind(name, of["sha"], head)
    status = "DIVERGED" if ahead and behind else "AHEAD" if ahead else "BEHIND" if behind else "IDENTICAL"
    return {
        "__typename": "Comparison", "id": f"CMP_{of['sha']}_{head}", "aheadBy": ahead, "behindBy": behind,
        "status": status, "baseTarget": commit_of(context, repo, of["sha"]),
        "headTarget": commit_of(context, repo, head), "repo": repo, "base": of["sha"], "head": head,
    }  # fmt: skip


@answers("Comparison.commits")
def compared_commits(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    commits = context.store.git.commits(context.store.full_name(of["repo"]), of["base"], of["head"])
    return Connection([shown(context, of["repo"], c) for c in commits], arguments)


@answers("ComparisonCommitConnection.authorCount")
def author_count(connection: Connection, arguments: Asked, context: Context) -> int:
    return len({c["author"]["email"] for c in connection.whole})


@answers("Commit.history")
def history(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    name = context.store.full_name(of["repo"])
    author = arguments.get("author") or {}
    narrowed = {"path": arguments.get("path"), "since": arguments.get("since"), "until": arguments.get("until"),
                "authors": tuple(author.get("emails") or ())}  # fmt: skip
    commits = context.store.git.history(name, of["oid"], 1000, **narrowed)
    return Connection([shown(context, of["repo"], c) for c in commits], arguments)


@answers("Commit.parents")
def parents(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    found = [commit_of(context, of["repo"], sha) for sha in of["commit"].parents]
    return Connection([n for n in found if n], arguments)


@answers("Commit.authors")
def authors(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    return Connection([of["author"]], arguments)


# -- checks ---------------------------------------------------------------------------------------


def rollup_of(context: Context, repo: Repo, sha: str) -> dict[str, Any] | None:
    """All checks of a commit and their verdict, or None when there are none."""
    found = acts.statuses(context.store, repo, sha)
    if not found:
        return None
    states = {s.state for s in found}
    verdict = next((s for s in ("ERROR", "FAILURE", "PENDING", "EXPECTED") if s in states), "SUCCESS")
    return {"__typename": "StatusCheckRollup", "id": f"SCR_{sha}", "state": verdict, "statuses": found, "repo": repo,
            "sha": sha}  # fmt: skip


@answers("Commit.statusCheckRollup")
def commit_rollup(of: dict[str, Any], arguments: Asked, context: Context) -> Any:
    return rollup_of(context, context.nodes[of["repo"].id], of["oid"])


@answers("PullRequest.statusCheckRollup")
def pull_rollup(pull: PullRequest, arguments: Asked, context: Context) -> Any:
    return rollup_of(context, context.nodes[pull.repo], pull.head_sha)


@answers("StatusCheckRollup.commit")
def rollup_commit(of: dict[str, Any], arguments: Asked, context: Context) -> Any:
    return commit_of(context, of["repo"], of["sha"])


@answers("StatusCheckRollup.contexts")
def contexts(of: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    return Connection(of["statuses"], arguments)


def _runs(connection: Connection) -> list[Status]:
    return [s for s in connection.whole if s.workflow]


def _contexts(connection: Connection) -> list[Status]:
    return [s for s in connection.whole if not s.workflow]


def _counted(states: list[str]) -> list[dict[str, Any]]:
    return [{"state": state, "count": states.count(state)} for state in dict.fromkeys(states)]


@answers("StatusCheckRollupContextConnection.checkRunCount")
def check_run_count(connection: Connection, arguments: Asked, context: Context) -> int:
    return len(_runs(connection))


@answers("StatusCheckRollupContextConnection.statusContextCount")
def status_context_count(connection: Connection, arguments: Asked, context: Context) -> int:
    return len(_contexts(connection))


@answers("StatusCheckRollupContextConnection.checkRunCountsByState")
def check_run_counts(connection: Connection, arguments: Asked, context: Context) -> list[Any]:
    return _counted(["IN_PROGRESS" if s.state == "PENDING" else s.state for s in _runs(connection)])


@answers("StatusCheckRollupContextConnection.statusContextCountsByState")
def status_context_counts(connection: Connection, arguments: Asked, context: Context) -> list[Any]:
    return _counted([s.state for s in _contexts(connection)])


@answers("StatusContext.commit")
def status_commit(of: Status, arguments: Asked, context: Context) -> Any:
    return commit_of(context, context.nodes[of.repo], of.sha)


@answers("StatusContext.creator")
def status_creator(of: Status, arguments: Asked, context: Context) -> Any:
    return context.store.get(Owner, of.creator)


@answers("StatusContext.avatarUrl")
def status_avatar(of: Status, arguments: Asked, context: Context) -> str:
    return avatar_of(context.store.get(Owner, of.creator).database_id, arguments)


@answers("StatusContext.isRequired", "CheckRun.isRequired")
def is_required(of: Status, arguments: Asked, context: Context) -> bool:
    repo = context.nodes[of.repo]
    key, number = arguments.get("pullRequestId"), arguments.get("pullRequestNumber")
    pull = context.nodes.get(key) if key else context.store.numbered(repo, number, context.nodes) if number else None
    protected = acts.protection(
        context.store, repo, pull.base if isinstance(pull, PullRequest) else repo.default_branch
    )
    return protected is not None and of.context in protected.checks


# -- check runs: a Status with a workflow, as Actions shows one ---------------------------------------


@answers("CheckRun.name", "CheckRun.title")
def run_name(of: Status, arguments: Asked, context: Context) -> str:
    return of.context


@answers("CheckRun.status")
def run_status(of: Status, arguments: Asked, context: Context) -> str:
    return of.run_status


@answers("CheckRun.conclusion")
def run_conclusion(of: Status, arguments: Asked, context: Context) -> str | None:
    return of.conclusion


@answers("CheckRun.startedAt")
def run_started(of: Status, arguments: Asked, context: Context) -> str:
    return of.created_at


@answers("CheckRun.completedAt")
def run_completed(of: Status, arguments: Asked, context: Context) -> str | None:
    return None if of.state == "PENDING" else of.created_at


@answers("CheckRun.repository")
def run_repository(of: Status, arguments: Asked, context: Context) -> Any:
    return context.nodes[of.repo]


@answers("CheckRun.summary", "CheckRun.text", "CheckRun.externalId")
def run_text(of: Status, arguments: Asked, context: Context) -> str:
    return of.description


@answers("CheckRun.resourcePath")
def run_path(of: Status, arguments: Asked, context: Context) -> str:
    return f"/{context.store.full_name(context.nodes[of.repo])}/runs/{of.database_id}"


@answers("CheckRun.url", "CheckRun.permalink", "CheckRun.detailsUrl")
def run_url(of: Status, arguments: Asked, context: Context) -> str:
    return of.target_url or f"https://github.com{run_path(of, arguments, context)}"


@answers("CheckRun.checkSuite")
def check_suite(of: Status, arguments: Asked, context: Context) -> dict[str, Any]:
    where = run_url(of, arguments, context)
    made = {"databaseId": of.database_id, "createdAt": of.created_at, "updatedAt": of.updated_at, "url": where,
            "resourcePath": run_path(of, arguments, context)}  # fmt: skip
    workflow = {"__typename": "Workflow", "id": f"W_{of.id}", "name": of.workflow, "state": "ACTIVE", **made}
    suite: dict[str, Any] = {
        "__typename": "CheckSuite", "id": f"CS_{of.id}", "status": run_status(of, arguments, context),
        "conclusion": run_conclusion(of, arguments, context), "repository": context.nodes[of.repo],
        "commit": status_commit(of, arguments, context), "branch": None, "app": None, **made,
    }  # fmt: skip
    suite["workflowRun"] = {"__typename": "WorkflowRun", "id": f"WFR_{of.id}", "event": "pull_request", "runNumber": 1,
                            "workflow": workflow, "checkSuite": suite, **made}  # fmt: skip
    return suite
