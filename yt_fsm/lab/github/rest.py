"""GitHub's REST API, as far as gh, octokit's basics and the lab need it: a table of routes over the same acts."""

# ruff: noqa: D103 (a route names what its function answers)

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from yt_fsm.lab.github import acts, roles, shapes
from yt_fsm.lab.github.answers.issue import ordered
from yt_fsm.lab.github.answers.pull import changes
from yt_fsm.lab.github.answers.search import search_issues
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.cost import granted
from yt_fsm.lab.github.errors import NOT_IMPLEMENTED, GitHubError, not_implemented
from yt_fsm.lab.github.exchange import Answer, Request, refusal
from yt_fsm.lab.github.git import NOTHING, Commit
from yt_fsm.lab.github.nodes import Comment, Issue, Label, Owner, PullRequest, Repo


@dataclass
class Call:
    """One REST call: the request, its view of the store, and the variable parts of its path."""

    request: Request
    context: Context
    parts: dict[str, str]

    def __post_init__(self) -> None:
        self.query = Asked(self.request.query)
        self._body: Asked | None = None

    @property
    def store(self) -> Any:
        """The store, as it is now."""
        return self.context.store

    def repo(self) -> Repo:
        """The repository of the path. Raises NOT_FOUND, also when this viewer must not see it."""
        repo = self.store.repo(self.parts["owner"], self.parts["repo"])
        if repo is None or roles.permission(self.store, repo, self.context.viewer) is None:
            raise GitHubError("Not Found", "NOT_FOUND", 404)
        found = self.context.nodes.get(repo.id, repo)
        assert isinstance(found, Repo)
        return found

    def issue(self) -> Issue:
        """The issue or pull request of the path."""
        found = self.store.numbered(self.repo(), int(self.parts["number"]), self.context.nodes)
        if found is None:
            raise GitHubError("Not Found", "NOT_FOUND", 404)
        assert isinstance(found, Issue)
        return found

    def pull(self) -> PullRequest:
        """The pull request of the path."""
        found = self.issue()
        if not isinstance(found, PullRequest):
            raise GitHubError("Not Found", "NOT_FOUND", 404)
        return found

    def comment(self) -> Comment:
        """The comment of the path, by its database id."""
        for key in self.context.nodes:
            node = self.context.nodes[key]
            if isinstance(node, Comment) and node.database_id == int(self.parts["id"]):
                return node
        raise GitHubError("Not Found", "NOT_FOUND", 404)

    def label(self) -> Label:
        """The label of the path, by its name."""
        found = acts.find_label(self.store, self.repo(), self.parts["name"])
        if found is None:
            raise GitHubError("Not Found", "NOT_FOUND", 404)
        return found

    def given(self) -> Asked:
        """The body's JSON object."""
        if self._body is None:
            found = self.request.json()
            self._body = Asked(found if isinstance(found, dict) else {"labels": found})
        return self._body

    def unread(self) -> list[str]:
        """The parameters that the client gave and the route did not look at."""
        return [*self.query.unread(), *(self._body.unread() if self._body else ())]


Handler = Callable[[Call], Answer]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Registers a handler; `:name` is one segment of the path, `*name` all that is left."""
    pattern = re.sub(r":(number|id)\b", r"(?P<\1>[0-9]+)", path)
    pattern = re.sub(r":(\w+)", r"(?P<\1>[^/]+)", pattern)
    pattern = re.sub(r"\*(\w+)", r"(?P<\1>.+)", pattern)

    def register(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern), handler))
        return handler

    return register


def describe(request: Request) -> None:
    """Names the request by its route, for faults and the record."""
    request.kind = "rest"
    path = unquote(request.path)
    request.operation = f"{request.method} {path}"
    request.names = (request.operation, "rest")
    request.writes = 0 if request.method in ("GET", "HEAD") else 1
    if request.body:
        try:
            request.variables = request.json()
        except ValueError:
            request.variables = None


def answer(request: Request, context: Context) -> Answer:
    """Carries out one REST request; GitHub's refusals come back as answers."""
    if request.writes and granted(request.scopes).isdisjoint(("repo", "public_repo")):
        return refusal(404, "Not Found")  # what GitHub says to a token that lacks the scope
    method = "GET" if request.method == "HEAD" else request.method
    for wanted, pattern, handler in _ROUTES:
        if wanted != method or (match := pattern.fullmatch(request.path)) is None:
            continue
        parts = {name: unquote(value) for name, value in match.groupdict().items()}
        before = context.store.nodes
        call = Call(request, context, parts)
        try:
            done = handler(call)
            if dropped := call.unread():
                raise not_implemented(f"the parameter {', '.join(dropped)} of {method} {request.path}")
        except GitHubError as error:
            context.store.nodes = before
            if error.type == NOT_IMPLEMENTED:
                return _refused(error)
            more = {"errors": error.errors} if error.errors else {}
            status = error.status
            message = "Validation Failed" if status == 422 and error.errors else error.message
            if status == 404:
                message = "Not Found"
            return refusal(status, message, **more)
        except ValueError:
            context.store.nodes = before
            return refusal(400, "Problems parsing JSON")
        return done
    return _refused(not_implemented(f"{method} {request.path}"))


def _refused(error: GitHubError) -> Answer:
    """What the lab cannot do is 501, and marked for the record."""
    done = refusal(error.status, error.message)
    done.not_implemented = [error.message]
    return done


def tagged(request: Request, done: Answer) -> Answer:
    """Gives a GET's answer its ETag, and turns it into a 304 when the client has it already."""
    if request.method not in ("GET", "HEAD") or done.status != 200:
        return done
    tag = f'W/"{hashlib.sha256(done.body()).hexdigest()}"'
    done.headers["ETag"] = tag
    if request.headers.get("if-none-match") == tag:
        return Answer(304, None, done.headers)
    return done


def paged(
    call: Call, found: list[Any], shown: Callable[[Any], Any], wrap: Callable[[list[Any]], Any] | None = None
) -> Answer:
    """One page of a list, with GitHub's Link header for the others."""
    size = min(100, max(1, _number(call.query.get("per_page"), 30)))
    page = max(1, _number(call.query.get("page"), 1))
    last = max(1, -(-len(found) // size))
    links = {"prev": page - 1, "first": 1} if page > 1 else {}
    links |= {"next": page + 1, "last": last} if page < last else {}
    query = {k: v for k, v in call.request.query.items() if k != "page"}
    written = ", ".join(
        f'<{shapes.API}{call.request.path}?{urlencode({**query, "page": n})}>; rel="{name}"'
        for name, n in links.items()
    )
    entries = [shown(one) for one in found[(page - 1) * size : page * size]]
    return Answer(200, wrap(entries) if wrap else entries, {"Link": written} if written else {})


def _number(text: str | None, default: int) -> int:
    """A parameter as a number; GitHub takes one that is none for one that was not given."""
    return int(text) if text and text.isdecimal() else default


def _order(call: Call, fields: dict[str, str]) -> dict[str, str]:
    """What `sort` and `direction` say, as GraphQL's orderBy."""
    sort, direction = call.query.get("sort") or "created", (call.query.get("direction") or "desc").upper()
    if sort not in fields:
        raise not_implemented(f"a sort by {sort}")
    return {"field": fields[sort], "direction": direction}


def read_query(text: str) -> dict[str, str]:
    """A URL's query as a dictionary."""
    return dict(parse_qsl(text, keep_blank_values=True))


# -- who and how much -----------------------------------------------------------------------------


@route("GET", "/")
def root(call: Call) -> Answer:
    return Answer(200, shapes.root())


@route("GET", "/meta")
def meta(call: Call) -> Answer:
    return Answer(200, {"verifiable_password_authentication": False})


def _account(call: Call) -> Owner:
    """Who asks; an installation of an App is nobody. Raises GitHub's refusal."""
    if call.context.viewer.kind == "Bot":
        raise GitHubError("Resource not accessible by integration", "FORBIDDEN", 403)
    return call.context.viewer


@route("GET", "/user")
def user(call: Call) -> Answer:
    return Answer(200, shapes.viewer(_account(call)))


@route("GET", "/user/orgs")
def user_orgs(call: Call) -> Answer:
    login = _account(call).login
    homes = [n for n in call.context.nodes.values() if isinstance(n, Owner) and login in n.members]
    return paged(call, homes, shapes.user)


@route("GET", "/users/:login")
@route("GET", "/orgs/:login")
def one_user(call: Call) -> Answer:
    found = call.store.owner(call.parts["login"])
    if found is None:
        raise GitHubError("Not Found", "NOT_FOUND", 404)
    return Answer(200, shapes.whole_user(found))


# -- repositories ---------------------------------------------------------------------------------


@route("GET", "/repos/:owner/:repo")
def one_repo(call: Call) -> Answer:
    return Answer(200, shapes.repository(call.context, call.repo()))


@route("GET", "/repos/:owner/:repo/collaborators/:login/permission")
def collaborator(call: Call) -> Answer:
    who = call.store.owner(call.parts["login"])
    if who is None:
        raise GitHubError("Not Found", "NOT_FOUND", 404)
    role = roles.permission(call.store, call.repo(), who) or "none"
    shown = {"TRIAGE": "read", "MAINTAIN": "write"}.get(role, role.lower())
    user = {**shapes.user(who), "permissions": shapes.permissions(role), "role_name": role.lower()}
    return Answer(200, {"permission": shown, "role_name": role.lower(), "user": user})


@route("GET", "/repos/:owner/:repo/labels")
def labels(call: Call) -> Answer:
    return paged(call, call.context.load(call.repo().labels), lambda one: shapes.label(call.context, one))


@route("POST", "/repos/:owner/:repo/labels")
def new_label(call: Call) -> Answer:
    given = call.given()
    made = acts.create_label(call.store, call.context.viewer, call.repo(), given.get("name", ""),
                             given.get("color", "ededed").lstrip("#"), given.get("description") or "")  # fmt: skip
    return Answer(201, shapes.label(call.context, made))


@route("GET", "/repos/:owner/:repo/labels/:name")
def one_label(call: Call) -> Answer:
    return Answer(200, shapes.label(call.context, call.label()))


@route("PATCH", "/repos/:owner/:repo/labels/:name")
def change_label(call: Call) -> Answer:
    given = call.given()
    wanted = {"new_name": "name", "name": "name", "color": "color", "description": "description"}
    edits = {name: given[key] for key, name in wanted.items() if given.get(key) is not None}
    return Answer(
        200, shapes.label(call.context, acts.edit_label(call.store, call.context.viewer, call.label(), **edits))
    )


@route("DELETE", "/repos/:owner/:repo/labels/:name")
def remove_label(call: Call) -> Answer:
    acts.delete_label(call.store, call.context.viewer, call.label())
    return Answer(204)


# -- issues ---------------------------------------------------------------------------------------


@route("GET", "/repos/:owner/:repo/issues")
def issues(call: Call) -> Answer:
    repo, query = call.repo(), call.query
    found = call.context.load((*repo.issues, *repo.pulls))
    state = query.get("state", "open")
    found = [n for n in found if state in ("all", shapes.open_or_closed(n))]
    for name in filter(None, query.get("labels", "").split(",")):
        found = [n for n in found if any(one.name.lower() == name.lower() for one in call.context.load(n.labels))]
    if creator := query.get("creator"):
        found = [n for n in found if call.store.nodes[n.author].login.lower() == creator.lower()]
    if assignee := query.get("assignee", "").lower():
        logins = {n.id: {one.login.lower() for one in call.context.load(n.assignees)} for n in found}
        found = [n for n in found if _named(logins[n.id], assignee)]
    if mentioned := query.get("mentioned"):
        found = [n for n in found if f"@{mentioned}".lower() in n.body.lower()]
    if milestone := query.get("milestone"):
        found = found if milestone == "none" else []  # there are none
    if since := query.get("since"):
        found = [n for n in found if n.updated_at >= since]
    fields = {"created": "CREATED_AT", "updated": "UPDATED_AT", "comments": "COMMENTS"}
    return paged(call, ordered(found, _order(call, fields)), lambda one: shapes.issue(call.context, one))


def _named(logins: set[str], asked: str) -> bool:
    return bool(logins) if asked == "*" else not logins if asked == "none" else asked in logins


def _label_ids(call: Call, names: list[Any]) -> tuple[str, ...]:
    """The ids of labels by name; GitHub makes those that are not there yet."""
    found = []
    for entry in names:
        name = entry["name"] if isinstance(entry, dict) else entry
        label = acts.find_label(call.store, call.repo(), name)
        label = label or acts.create_label(call.store, call.context.viewer, call.repo(), name, "ededed")
        found.append(label.id)
    return tuple(found)


def _user_ids(call: Call, logins: list[str]) -> tuple[str, ...]:
    found = [call.store.owner(login) for login in logins]
    return tuple(one.id for one in found if one)


@route("POST", "/repos/:owner/:repo/issues")
def new_issue(call: Call) -> Answer:
    given = call.given()
    made = acts.open_issue(call.store, call.context.viewer, call.repo(), given.get("title", ""),
                           given.get("body") or "", _label_ids(call, given.get("labels") or []),
                           _user_ids(call, given.get("assignees") or []))  # fmt: skip
    return Answer(201, shapes.issue(call.context, made))


@route("GET", "/repos/:owner/:repo/issues/:number")
def one_issue(call: Call) -> Answer:
    return Answer(200, shapes.issue(call.context, call.issue()))


@route("PATCH", "/repos/:owner/:repo/issues/:number")
def change_issue(call: Call) -> Answer:
    given, issue, viewer = call.given(), call.issue(), call.context.viewer
    edits: dict[str, Any] = {k: given[k] or "" for k in ("title", "body") if k in given}
    if "labels" in given:
        edits["labels"] = _label_ids(call, given["labels"])
    if "assignees" in given:
        edits["assignees"] = _user_ids(call, given["assignees"])
    if edits:
        issue = acts.edit_issue(call.store, viewer, issue, **edits)
    if given.get("state") == "closed":
        reason = (given.get("state_reason") or "completed").upper()
        issue = acts.close(call.store, viewer, issue, reason)
    elif given.get("state") == "open" and issue.state != "OPEN":
        issue = acts.reopen(call.store, viewer, issue)
    return Answer(200, shapes.issue(call.context, issue))


@route("GET", "/repos/:owner/:repo/issues/:number/labels")
def issue_labels(call: Call) -> Answer:
    return paged(call, call.context.load(call.issue().labels), lambda one: shapes.label(call.context, one))


@route("POST", "/repos/:owner/:repo/issues/:number/labels")
def add_labels(call: Call) -> Answer:
    issue = call.issue()
    kept = tuple(dict.fromkeys((*issue.labels, *_label_ids(call, call.given()["labels"]))))
    issue = acts.edit_issue(call.store, call.context.viewer, issue, labels=kept)
    return Answer(200, [shapes.label(call.context, one) for one in call.context.load(issue.labels)])


@route("PUT", "/repos/:owner/:repo/issues/:number/labels")
def set_labels(call: Call) -> Answer:
    ids = _label_ids(call, call.given()["labels"])
    issue = acts.edit_issue(call.store, call.context.viewer, call.issue(), labels=ids)
    return Answer(200, [shapes.label(call.context, one) for one in call.context.load(issue.labels)])


@route("DELETE", "/repos/:owner/:repo/issues/:number/labels/:name")
def take_label(call: Call) -> Answer:
    issue, label = call.issue(), call.label()
    if label.id not in issue.labels:
        raise GitHubError("Label does not exist", "NOT_FOUND", 404)
    kept = tuple(key for key in issue.labels if key != label.id)
    issue = acts.edit_issue(call.store, call.context.viewer, issue, labels=kept)
    return Answer(200, [shapes.label(call.context, one) for one in call.context.load(issue.labels)])


@route("GET", "/repos/:owner/:repo/issues/:number/comments")
def comments(call: Call) -> Answer:
    found = call.context.load(call.issue().comments)
    if since := call.query.get("since"):
        found = [one for one in found if one.updated_at >= since]
    return paged(call, found, lambda one: shapes.comment(call.context, one))


@route("POST", "/repos/:owner/:repo/issues/:number/comments")
def new_comment(call: Call) -> Answer:
    made = acts.comment(call.store, call.context.viewer, call.issue(), call.given().get("body") or "")
    return Answer(201, shapes.comment(call.context, made))


@route("GET", "/repos/:owner/:repo/issues/comments/:id")
def one_comment(call: Call) -> Answer:
    return Answer(200, shapes.comment(call.context, call.comment()))


@route("PATCH", "/repos/:owner/:repo/issues/comments/:id")
def change_comment(call: Call) -> Answer:
    body = call.given().get("body") or ""
    return Answer(
        200, shapes.comment(call.context, acts.edit_comment(call.store, call.context.viewer, call.comment(), body))
    )


@route("DELETE", "/repos/:owner/:repo/issues/comments/:id")
def remove_comment(call: Call) -> Answer:
    acts.delete_comment(call.store, call.context.viewer, call.comment())
    return Answer(204)


@route("GET", "/search/issues")
def find_issues(call: Call) -> Answer:
    text = call.query.get("q", "")
    if sort := call.query.get("sort"):
        text += f" sort:{sort}-{call.query.get('order') or 'desc'}"
    found = search_issues(text, call.context)
    total = {"total_count": len(found), "incomplete_results": False, "search_type": "lexical"}
    return paged(
        call,
        found,
        lambda one: {**shapes.issue(call.context, one), "score": 1.0},
        lambda page: {**total, "items": page},
    )


# -- branches, commits, checks ----------------------------------------------------------------------


def _ref(call: Call, kind: str = "name") -> tuple[Repo, str, str]:
    repo, branch = call.repo(), call.parts[kind].removeprefix("heads/")
    sha = call.store.git.branch(call.store.full_name(repo), branch)
    if sha is None:
        raise GitHubError("Not Found", "NOT_FOUND", 404)
    return repo, branch, sha


@route("GET", "/repos/:owner/:repo/git/ref/*name")
def one_ref(call: Call) -> Answer:
    return Answer(200, shapes.ref(call.context, *_ref(call)))


@route("GET", "/repos/:owner/:repo/git/matching-refs/*name")
def matching_refs(call: Call) -> Answer:
    repo = call.repo()
    start = call.parts["name"].removeprefix("heads/")
    found = call.store.git.branches(call.store.full_name(repo)).items()
    return paged(
        call, [(n, s) for n, s in found if n.startswith(start)], lambda one: shapes.ref(call.context, repo, *one)
    )


@route("POST", "/repos/:owner/:repo/git/refs")
def new_ref(call: Call) -> Answer:
    given, repo = call.given(), call.repo()
    if not given.get("ref", "").startswith("refs/heads/"):
        raise GitHubError("Reference name must start with 'refs/heads/'")
    branch = given["ref"].removeprefix("refs/heads/")
    acts.create_branch(call.store, call.context.viewer, repo, branch, given.get("sha", NOTHING))
    return Answer(201, shapes.ref(call.context, repo, branch, given["sha"]))


@route("DELETE", "/repos/:owner/:repo/git/refs/*name")
def remove_ref(call: Call) -> Answer:
    acts.delete_branch(call.store, call.context.viewer, call.repo(), call.parts["name"].removeprefix("heads/"))
    return Answer(204)


@route("GET", "/repos/:owner/:repo/branches")
def branches(call: Call) -> Answer:
    repo = call.repo()
    found = call.store.git.branches(call.store.full_name(repo)).items()
    return paged(call, list(found), lambda one: shapes.short_branch(call.context, repo, *one))


@route("GET", "/repos/:owner/:repo/branches/*name/protection")
def branch_protection(call: Call) -> Answer:
    repo, branch, _ = _ref(call)
    if roles.permission(call.store, repo, call.context.viewer) != "ADMIN":
        raise GitHubError("Not Found", "NOT_FOUND", 404)  # GitHub shows it to administrators only
    found = acts.protection(call.store, repo, branch)
    if found is None:
        return refusal(404, "Branch not protected")
    return Answer(200, shapes.protection(call.context, repo, branch, found))


@route("GET", "/repos/:owner/:repo/branches/*name")
def one_branch(call: Call) -> Answer:
    repo, branch, sha = _ref(call)
    commit = call.store.git.commit(call.store.full_name(repo), sha)
    return Answer(200, shapes.branch(call.context, repo, branch, commit))


def _commit(call: Call) -> tuple[Repo, Commit]:
    repo = call.repo()
    name = call.store.full_name(repo)
    sha = call.store.git.resolve(name, call.parts["sha"])
    if sha is None:
        raise GitHubError(f"No commit found for SHA: {call.parts['sha']}")
    return repo, call.store.git.commit(name, sha)


@route("GET", "/repos/:owner/:repo/commits")
def commits(call: Call) -> Answer:
    repo = call.repo()
    name = call.store.full_name(repo)
    query = call.query
    sha = call.store.git.resolve(name, query.get("sha", repo.default_branch))
    narrowed = {"path": query.get("path"), "since": query.get("since"), "until": query.get("until"),
                "authors": tuple(filter(None, [query.get("author")]))}  # fmt: skip
    found = call.store.git.history(name, sha, 1000, **narrowed) if sha else []
    return paged(call, found, lambda one: shapes.commit(call.context, repo, one))


@route("GET", "/repos/:owner/:repo/commits/:sha")
def one_commit(call: Call) -> Answer:
    return Answer(200, shapes.commit(call.context, *_commit(call)))


@route("GET", "/repos/:owner/:repo/commits/:sha/status")
def combined_status(call: Call) -> Answer:
    repo, commit = _commit(call)
    found = [one for one in acts.statuses(call.store, repo, commit.sha) if not one.workflow]
    states = {one.state for one in found}
    verdict = "failure" if states & {"FAILURE", "ERROR"} else "success" if states == {"SUCCESS"} else "pending"
    return Answer(200, shapes.combined_status(call.context, repo, commit.sha, verdict, found))


@route("GET", "/repos/:owner/:repo/commits/:sha/statuses")
def commit_statuses(call: Call) -> Answer:
    repo, commit = _commit(call)
    found = [one for one in call.context.load(repo.statuses.get(commit.sha, ())) if not one.workflow][::-1]
    return paged(call, found, lambda one: shapes.status(call.context, one))


@route("GET", "/repos/:owner/:repo/commits/:sha/check-runs")
def check_runs(call: Call) -> Answer:
    repo, commit = _commit(call)
    if call.query.get("filter") == "all":
        found = call.context.load(repo.statuses.get(commit.sha, ()))
    else:
        found = acts.statuses(call.store, repo, commit.sha)
    found = [one for one in found if one.workflow]
    if name := call.query.get("check_name"):
        found = [one for one in found if one.context == name]
    if status := call.query.get("status"):
        found = [one for one in found if one.run_status.lower() == status]
    return paged(
        call,
        found,
        lambda one: shapes.check_run(call.context, one),
        lambda page: {"total_count": len(found), "check_runs": page},
    )


@route("POST", "/repos/:owner/:repo/statuses/:sha")
def new_status(call: Call) -> Answer:
    given = call.given()
    repo, commit = _commit(call)
    state = given.get("state", "").upper()
    if state not in ("SUCCESS", "FAILURE", "ERROR", "PENDING"):
        bad = {"resource": "Status", "code": "custom", "field": "state", "message": "state is not included in the list"}
        raise GitHubError("Validation Failed", "UNPROCESSABLE", 422, [bad])
    made = acts.set_check(call.store, call.context.viewer, repo, commit.sha, given.get("context") or "default", state,
                          given.get("description") or "", given.get("target_url"))  # fmt: skip
    return Answer(201, shapes.status(call.context, made))


@route("GET", "/repos/:owner/:repo/compare/*range")
def compare(call: Call) -> Answer:
    repo = call.repo()
    name = call.store.full_name(repo)
    base, _, head = call.parts["range"].partition("...")
    shas = [call.store.git.resolve(name, ref.rpartition(":")[2]) for ref in (base, head)]
    if None in shas:
        raise GitHubError("Not Found", "NOT_FOUND", 404)
    ahead, behind = call.store.git.ahead_behind(name, *shas)
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    found = call.store.git.commits(name, *shas)
    start = call.store.git.merge_base(name, *shas) or shas[0]
    return Answer(200, {
        "status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": len(found),
        "commits": [shapes.commit(call.context, repo, c) for c in found],
        "files": [shapes.change(call.context, repo, c, shas[1]) for c in call.store.git.changes(name, *shas)],
        "base_commit": shapes.commit(call.context, repo, call.store.git.commit(name, shas[0])),
        "merge_base_commit": shapes.commit(call.context, repo, call.store.git.commit(name, start)),
        **shapes.comparison_links(name, call.parts["range"]),
    })  # fmt: skip


@route("GET", "/repos/:owner/:repo/readme")
def readme(call: Call) -> Answer:
    call.parts["path"] = "README.md"
    return contents(call)


@route("GET", "/repos/:owner/:repo/contents/*path")
def contents(call: Call) -> Answer:
    repo, path = call.repo(), call.parts["path"]
    name = call.store.full_name(repo)
    sha = call.store.git.resolve(name, call.query.get("ref", repo.default_branch))
    text = call.store.git.file(name, sha, path) if sha else None
    if sha and text is None and call.store.git.has(name, sha, path):
        raise not_implemented("the content of a folder")
    if text is None:
        raise GitHubError("Not Found", "NOT_FOUND", 404)
    if "raw" in call.request.headers.get("accept", ""):
        return Answer(200, text)
    return Answer(200, shapes.file(call.context, repo, path, text, sha))


# -- pull requests ----------------------------------------------------------------------------------


@route("GET", "/repos/:owner/:repo/pulls")
def pulls(call: Call) -> Answer:
    repo, query = call.repo(), call.query
    found = call.context.load(repo.pulls)
    state = query.get("state", "open")
    found = [p for p in found if state in ("all", shapes.open_or_closed(p))]
    if head := query.get("head"):
        found = [p for p in found if p.head == head.rpartition(":")[2]]
    if base := query.get("base"):
        found = [p for p in found if p.base == base]
    order = _order(call, {"created": "CREATED_AT", "updated": "UPDATED_AT"})
    return paged(call, ordered(found, order), lambda one: shapes.pull(call.context, one))


@route("POST", "/repos/:owner/:repo/pulls")
def new_pull(call: Call) -> Answer:
    given = call.given()
    made = acts.open_pull(call.store, call.context.viewer, call.repo(), given.get("base", ""), given.get("head", ""),
                          given.get("title", ""), given.get("body") or "", bool(given.get("draft")))  # fmt: skip
    return Answer(201, shapes.pull(call.context, made))


@route("GET", "/repos/:owner/:repo/pulls/:number")
def one_pull(call: Call) -> Answer:
    if "diff" in call.request.headers.get("accept", "") or "patch" in call.request.headers.get("accept", ""):
        pull = call.pull()
        return Answer(200, call.store.git.diff(call.store.full_name(call.repo()), pull.base_sha, pull.head_sha))
    return Answer(200, shapes.pull(call.context, call.pull()))


@route("PATCH", "/repos/:owner/:repo/pulls/:number")
def change_pull(call: Call) -> Answer:
    call.pull()
    change_issue(call)
    return Answer(200, shapes.pull(call.context, call.pull()))


@route("GET", "/repos/:owner/:repo/pulls/:number/merge")
def is_merged(call: Call) -> Answer:
    return Answer(204) if call.pull().merged_at else refusal(404, "Not Found")


@route("PUT", "/repos/:owner/:repo/pulls/:number/merge")
def merge(call: Call) -> Answer:
    given = call.given()
    method = (given.get("merge_method") or "merge").upper()
    done = acts.merge(call.store, call.context.viewer, call.pull(), method, given.get("commit_title"),
                      given.get("commit_message"), given.get("sha"))  # fmt: skip
    return Answer(200, {"sha": done.merge_commit, "merged": True, "message": "Pull Request successfully merged"})


@route("GET", "/repos/:owner/:repo/pulls/:number/commits")
def pull_commits(call: Call) -> Answer:
    pull = call.pull()
    name = call.store.full_name(call.repo())
    found = call.store.git.commits(name, pull.base_sha, pull.head_sha)
    return paged(call, found, lambda one: shapes.commit(call.context, call.repo(), one))


@route("GET", "/repos/:owner/:repo/pulls/:number/files")
def pull_files(call: Call) -> Answer:
    pull = call.pull()
    found = changes(pull, call.context)
    return paged(call, found, lambda one: shapes.change(call.context, call.repo(), one, pull.head_sha))
