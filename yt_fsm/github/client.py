"""GitHub, through `gh` only (§7): issues, comments, the Project's Status, pull requests.

Commands: `gh api -i graphql --input -` for queries and mutations (documents in `queries/*.graphql`),
`gh pr create` for pull requests, `gh auth status` and `gh api -i user` for the preflight.
gh has no timeout and no retries, so both are here: a read is tried again; a write is tried again only when GitHub
says that it did not land, and otherwise raises GitHubError with `landed=None`, for the effect to look first.
Strangers decide how long an answer is (comments): one that is too large is asked for in smaller pages, and what in an
answer is missing or of another kind than GitHub's schema says is a GitHubError.
"""

import json
import logging
import math
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from yt_fsm.engine.clock import boot_secs
from yt_fsm.engine.errors import Lost, NotFound, PreflightFailed
from yt_fsm.engine.outside import Malformed, at, maybe, parse, shown
from yt_fsm.engine.shell import Result, Shell

from .errors import GitHubError, kind_of, may_have_landed

log = logging.getLogger("ytfsm")

QUERIES = Path(__file__).parent / "queries"
STATUSES = (
    "assessing",
    "ready",
    "in progress",
    "setup error",
    "failed",
    "in review",
    "done",
    "reference error",
)
POLLED = 49  # issues a page: one point, where 50 would be two
_POLLS = ("poll", "poll_past")
COMMENTS = 100  # a page of the lease's query
TIMEOUT_SECS = 60.0
NOT_LOGGED_IN = 4  # gh's exit code for it; with CI set its words are others
TRIES = 6
LONGEST_WAIT_SECS = 900.0  # a primary rate limit resets within the hour; the stop flag is read while waiting

_SPREAD = re.compile(r"\.\.\.\s*(?!on\b)([a-z]\w*)")
_STATUS_LINE = re.compile(r"HTTP/[\d.]+ +(\d{3})(?!\d)", re.ASCII)
_PULL_REQUEST = re.compile(r"https?://[^\s/]+/[^\s/]+/[^\s/]+/pull/\d{1,12}", re.ASCII)
_TOO_LARGE = "TOO_LARGE"
_WORDS_CHARS = 2000  # of what GitHub says, in an error
_CLOSED = {"isArchived": "archived", "isDisabled": "disabled", "isLocked": "locked"}
_GONE = "The single select option Id does not belong to the field"

Fence = Callable[[], None]
"""Raises Lost when a write must not be sent any more."""


@dataclass(frozen=True)
class Comment:
    """An issue's comment; times are GitHub's, in seconds since the epoch."""

    id: str
    number: int
    body: str
    author: str
    association: str
    created: float
    edited: float  # = created when it never was

    @property
    def first_line(self) -> str:
        """The first line, as it stands."""
        return self.body.replace("\r\n", "\n").split("\n", 1)[0]


@dataclass(frozen=True)
class Issue:
    """An issue; `item` and `status` are None when it has no card in our project, or an archived one, which nobody can
    move. A poll finds it without its body.
    """

    id: str
    number: int
    title: str
    body: str
    url: str
    labels: tuple[str, ...]
    open: bool = True
    item: str | None = None
    status: str | None = None
    comments: tuple[Comment, ...] = ()
    comments_total: int = 0
    seen: float = 0.0  # when, by GitHub's clock
    archived: bool = False  # its card is


@dataclass(frozen=True)
class Snapshot:
    """One consistent read of an issue: where it stands, its newest comments, and GitHub's clock (epoch seconds)."""

    open: bool
    item: str | None
    status: str | None
    comments: tuple[Comment, ...]
    total: int
    now: float
    more: str | None = None  # cursor of the page before


@dataclass(frozen=True)
class Written:
    """A comment and its issue in one answer: when it was edited, its versions newest first, where the issue stands.

    A version is who wrote it and the whole text. GitHub keeps them, so a text that was written over is still read.
    """

    at: float
    versions: tuple[tuple[str, str], ...] = ()
    open: bool = True
    status: str | None = None
    labels: tuple[str, ...] = ()
    comments: tuple[Comment, ...] = ()  # the issue's newest
    closed_by: str | None = None  # who closed it last


@dataclass
class Project:
    """The Project and the ids that moving a card takes (§7.2)."""

    id: str
    number: int
    title: str
    url: str
    items: int
    status_field: str | None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Permission:
    """What a login may do in a repo: its role (NONE, READ, TRIAGE, WRITE, MAINTAIN, ADMIN); why nobody may, or ""."""

    login: str
    role: str
    closed: str


@dataclass(frozen=True)
class Answer:
    """A GraphQL answer's data and its Date."""

    data: dict[str, Any]
    date: float | None

    @property
    def now(self) -> float:
        """GitHub's clock, which decides about claims; this machine's may be hours off. Raises Malformed without one."""
        if self.date is None:
            raise Malformed("it has no Date that can be read")
        return self.date


@contextmanager
def understood(landed: bool | None = False) -> Iterator[None]:
    """Around the reading of an answer: what it lacks is a GitHubError. `landed`: None for a write, it may have."""
    try:
        yield
    except Malformed as problem:
        raise GitHubError(f"GitHub's answer cannot be understood: {problem}", "MALFORMED", landed=landed) from None


def document(name: str) -> str:
    """The GraphQL document `name` with the fragments that it spreads."""
    text = (QUERIES / f"{name}.graphql").read_text()
    seen: set[str] = set()
    while wanted := set(_SPREAD.findall(text)) - seen:
        seen |= wanted
        text += "".join((QUERIES / "fragments" / f"{fragment}.graphql").read_text() for fragment in sorted(wanted))
    return text


class GitHub:
    """The models repo and its project, as one worker sees them. `project` is a number, a title, or both."""

    def __init__(self, shell: Shell, owner: str, repo: str, number: int | None, title: str | None, gap: float) -> None:
        self.shell = shell
        self.owner, self.name = owner, repo
        self.repo = f"{owner}/{repo}"
        self.number, self.title = number, title
        self._project: Project | None = None
        self._gap = gap  # seconds between two writes: GitHub asks for one
        self._last_write = float("-inf")
        self._passed_over: set[str] = set()

    def through(self, shell: Shell) -> "GitHub":
        """The same repo and project through another shell."""
        other = GitHub(shell, self.owner, self.name, self.number, self.title, self._gap)
        other._project = self._project
        return other

    # --- the project

    @property
    def project(self) -> Project:
        """The Project with its Status options, read once (§7.2's project cache).

        Raises PreflightFailed when there is no such Project or an option is missing.
        """
        if self._project is None:
            self._project = self.find_project()
            missing = [status for status in STATUSES if status not in self._project.options]
            if missing:
                raise PreflightFailed(
                    f"the Project {self._project.url} has no Status option {', '.join(map(repr, missing))}: "
                    "run `ytfsm init-board`, or add them to the Status field by hand"
                )
        return self._project

    @understood()
    def find_project(self) -> Project:
        """The Project by number, else by title, whatever its options are. Raises PreflightFailed if it is not there."""
        node: dict[str, Any] | None
        if self.number is not None:
            owner = self._owner(self.query("project", owner=self.owner, number=self.number, missing_is_null=True))
            node, asked = maybe(dict, owner, "projectV2"), f"number {self.number}"
        elif self.title:
            node, asked = self._titled(self.title), f"title {self.title!r}"
        else:
            raise PreflightFailed("no Project is named: set YT_PROJECT_NUMBER (or YT_PROJECT_TITLE)")
        if node is None:
            raise PreflightFailed(
                f"{self.owner} has no Project with {asked}, or this login may not see it: check YT_PROJECT_NUMBER, "
                "run `gh auth refresh -s project`, or make the project with `ytfsm init-board`"
            )
        if maybe(bool, node, "closed"):
            raise PreflightFailed(
                f"the Project {at(str, node, 'url')} is closed: reopen it, or set YT_PROJECT_NUMBER to another"
            )
        options = maybe(list, node, "field", "options") or []
        return Project(
            id=at(str, node, "id"),
            number=at(int, node, "number"),
            title=at(str, node, "title"),
            url=at(str, node, "url"),
            items=at(int, node, "items", "totalCount"),
            status_field=maybe(str, node, "field", "id"),
            options={at(str, option, "name").lower(): at(str, option, "id") for option in options},
        )

    def _titled(self, title: str) -> dict[str, Any] | None:
        """The owner's one open Project of that title, in any case (faults Q6). Raises PreflightFailed for several."""
        asked = {"owner": self.owner, "title": title}
        nodes = self._listed("projects", lambda answer: at(dict, self._owner(answer), "projectsV2"), **asked)
        found = [node for node in nodes if node is not None]
        named = [n for n in found if at(str, n, "title").lower() == title.lower() and not maybe(bool, n, "closed")]
        if len(named) > 1:
            numbers = " and ".join(str(number) for number in sorted(at(int, n, "number") for n in named))
            raise PreflightFailed(
                f"{self.owner} has {len(named)} open Projects with the title {title!r}: set YT_PROJECT_NUMBER to one "
                f"of {numbers}, or close the others"
            )
        return named[0] if named else None

    def _listed(self, document_name: str, of: Callable[[Answer], dict[str, Any]], **asked: Any) -> list[Any]:
        """All of a list that GitHub gives by pages; `of` finds a page in an answer."""
        found: list[Any] = []
        page: str | None = None
        while True:
            connection = of(self.query(document_name, after=page, **asked))
            found += at(list, connection, "nodes")
            page = _next_page(connection, page)
            if page is None:
                return found

    def _owner(self, answer: Answer) -> dict[str, Any]:
        owner: dict[str, Any] | None = maybe(dict, answer.data, "repositoryOwner")
        if owner is None:
            raise PreflightFailed(f"GitHub knows no user or organization {self.owner!r}: check YT_OWNER")
        return owner

    @understood(landed=None)
    def create_project(self, title: str) -> str:
        """Make a Project of the owner's, shown on the models repo's page; returns its URL."""
        owner = self._owner(self.query("projects", owner=self.owner, title=title, after=None))
        answer = self.mutate("create_project", owner=at(str, owner, "id"), title=title)
        made = at(dict, answer.data, "createProjectV2", "projectV2")
        repository = at(str, self.repository(), "id")
        self.mutate("link_project", project=at(str, made, "id"), repository=repository)
        self.number = at(int, made, "number")
        return at(str, made, "url")

    @understood()
    def repository(self) -> dict[str, Any]:
        """The models repo's id and all its labels."""
        found: dict[str, Any] = {}

        def labels(answer: Answer) -> dict[str, Any]:
            found.update(self._repository(answer))
            return at(dict, found, "labels")

        nodes = self._listed("labels", labels, owner=self.owner, repo=self.name, missing_is_null=True)
        for node in nodes:
            at(str, node, "name")
        return {"id": at(str, found, "id"), "labels": {"nodes": nodes}}

    @understood()
    def permission(self) -> Permission:
        """What this login may do in the models repo."""
        answer = self.query("permission", owner=self.owner, repo=self.name, missing_is_null=True)
        node = self._repository(answer)
        return Permission(
            login=at(str, answer.data, "viewer", "login"),
            role=maybe(str, node, "viewerPermission") or "NONE",
            closed=next((word for name, word in _CLOSED.items() if at(bool, node, name)), ""),
        )

    def rest(self, path: str) -> Any:
        """What GitHub has at a path below the models repo's, where only its REST API tells; None where it tells not."""
        argv = ["gh", "api", f"repos/{self.repo}/{path}"]
        result = self.shell.run(argv, name="gh-rest", timeout=TIMEOUT_SECS, check=False, pretend="[]")
        try:
            return parse(result.out) if result.ok else None
        except Malformed:
            return None

    # --- reading issues

    def candidates(self, label: str | None) -> Iterator[list[Issue]]:
        """Pages of open issues with `label` (None: any), oldest first.

        An issue that cannot be read, or whose comments alone are too large an answer, is named in the log, once, and
        passed over: it keeps nobody from the others.
        """
        asked: dict[str, Any] = {"owner": self.owner, "repo": self.name, "labels": [label] if label else None}
        page: str | None = None
        while True:
            try:
                answer = self._fitting("poll", POLLED, **asked, after=page)
                large = ""
            except GitHubError as problem:
                if problem.kind != _TOO_LARGE:
                    raise
                large = str(problem)
                answer = self.query("poll_past", **asked, after=page)
            with understood():
                issues = at(dict, self._repository(answer), "issues")
                nodes = at(list, issues, "nodes")
                if large:
                    for node in nodes:
                        self._pass_over(node, large)
                    nodes = []
                page = _next_page(issues, page)
                found = self._readable(nodes, answer.now)
            yield found
            if not page:
                return

    def _readable(self, nodes: list[Any], now: float) -> list[Issue]:
        found = []
        for node in nodes:
            try:
                found.append(self._issue(node, now))
            except Malformed as problem:
                self._pass_over(node, str(problem))
        return found

    def _pass_over(self, node: Any, why: str) -> None:
        number = node.get("number") if isinstance(node, dict) else None
        named = f"issue {shown(number)}" if number else "an issue that GitHub does not show"
        if named not in self._passed_over:
            self._passed_over.add(named)
            log.warning("%s of %s is passed over, look at it on GitHub: %s", named, self.repo, why)

    @understood()
    def issue(self, number: int) -> Issue:
        """One issue, with its body. Raises NotFound."""
        answer = self.query("issue", owner=self.owner, repo=self.name, number=number, missing_is_null=True)
        node = maybe(dict, self._repository(answer), "issue")
        if node is None:
            raise NotFound(f"{self.repo} has no issue {number}")
        return self._issue(node, answer.now, at(str, node, "body"))

    @understood()
    def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
        """The lease's query Q. Raises Lost when the issue was deleted."""
        answer = self._fitting("snapshot", COMMENTS, issue=issue, before=before, missing_is_null=True)
        node = maybe(dict, answer.data, "node")
        if not node:
            raise Lost("the issue is gone")
        item, status, _ = self._standing(node)
        comments = at(dict, node, "comments")
        more = None
        if at(bool, comments, "pageInfo", "hasPreviousPage"):
            more = at(str, comments, "pageInfo", "startCursor")
            if more == before:
                raise Malformed("the page before is the same page")
        return Snapshot(
            open=at(str, node, "state") == "OPEN",
            item=item,
            status=status,
            comments=tuple(_comment(c) for c in at(list, comments, "nodes")),
            total=at(int, comments, "totalCount"),
            now=answer.now,
            more=more,
        )

    def _fitting(self, document_name: str, count: int, **asked: Any) -> Answer:
        """Read a page of `count`, or of half as many whenever the answer is too large. Raises GitHubError."""
        while True:
            try:
                return self.query(document_name, count=count, **asked)
            except GitHubError as problem:
                if problem.kind != _TOO_LARGE or count == 1:
                    raise
                count //= 2

    def _repository(self, answer: Answer) -> dict[str, Any]:
        repository: dict[str, Any] | None = maybe(dict, answer.data, "repository")
        if repository is None:
            raise PreflightFailed(
                f"GitHub knows no repository {self.repo}, or this login may not see it: check YT_OWNER and "
                "YT_REPO_MODELS, and `gh auth status`"
            )
        return repository

    def _issue(self, node: Any, now: float, body: str = "") -> Issue:
        item, status, archived = self._standing(node)
        return Issue(
            id=at(str, node, "id"),
            number=at(int, node, "number"),
            title=at(str, node, "title"),
            body=body,
            url=at(str, node, "url"),
            labels=tuple(at(str, label, "name") for label in maybe(list, node, "labels", "nodes") or []),
            open=at(str, node, "state") == "OPEN",
            item=item,
            status=status,
            comments=tuple(_comment(c) for c in at(list, node, "comments", "nodes") if c is not None),
            comments_total=at(int, node, "comments", "totalCount"),
            seen=now,
            archived=archived,
        )

    def _standing(self, node: Any) -> tuple[str | None, str | None, bool]:
        """An issue's card in our project, its Status, and whether it is archived, which leaves neither."""
        for item in at(list, node, "projectItems", "nodes"):
            if maybe(str, item, "project", "id") == self.project.id:  # a card that we may not see is null
                if maybe(bool, item, "isArchived"):
                    return None, None, True
                status = maybe(str, item, "fieldValueByName", "name")
                return at(str, item, "id"), status.lower() if status else None, False
        return None, None, False

    # --- writing

    @understood(landed=None)
    def comment(self, issue: str, body: str, fence: Fence = lambda: None) -> Comment:
        """Post a comment; what comes back has its ids."""
        answer = self.mutate("add_comment", fence, issue=issue, body=body)
        node = at(dict, answer.data, "addComment", "commentEdge", "node")
        created = when(at(str, node, "createdAt"))
        counts = maybe(str, node, "authorAssociation") or ""
        return Comment(at(str, node, "id"), maybe(int, node, "databaseId") or 0, body, "", counts, created, created)

    @understood(landed=None)
    def edit_comment(self, comment: str, body: str) -> Written:
        """Replace a comment's text; the answer shows what it wrote over.

        Raises GitHubError of kind NOT_FOUND when somebody deleted it.
        """
        answer = self.mutate("edit_comment", comment=comment, body=body)
        return self._written(at(dict, answer.data, "updateIssueComment", "issueComment"), answer)

    @understood()
    def read_comment(self, comment: str) -> Written | None:
        """A comment as it stands, or None where this read shows none (it may lag: only an edit's answer is sure)."""
        answer = self.query("read_comment", comment=comment, missing_is_null=True)
        node = maybe(dict, answer.data, "node")
        return self._written(node, answer) if node else None

    def _written(self, node: dict[str, Any], answer: Answer) -> Written:
        edits = [edit for edit in maybe(list, node, "userContentEdits", "nodes") or [] if edit]
        texts = [(node, "body"), *((edit, "diff") for edit in edits)]
        issue = at(dict, node, "issue")
        closings = [event for event in maybe(list, issue, "timelineItems", "nodes") or [] if event]
        _, status, _ = self._standing(issue)
        edited = maybe(str, node, "lastEditedAt")
        return Written(
            at=when(edited) if edited else answer.now,
            versions=tuple((maybe(str, v, "editor", "login") or "ghost", maybe(str, v, key) or "") for v, key in texts),
            open=at(str, issue, "state") == "OPEN",
            status=status,
            labels=tuple(at(str, label, "name") for label in maybe(list, issue, "labels", "nodes") or []),
            comments=tuple(_comment(c) for c in maybe(list, issue, "comments", "nodes") or [] if c),
            closed_by=next((maybe(str, event, "actor", "login") for event in closings), None),
        )

    def delete_comment(self, comment: str) -> None:
        """Delete a comment by its id; one that is gone already is as good."""
        try:
            self.mutate("delete_comment", comment=comment)
        except GitHubError as problem:
            if problem.kind != "NOT_FOUND":
                raise

    def set_status(self, item: str, status: str, fence: Fence = lambda: None) -> None:
        """Move a card. The ids of the options are read again, once, when they went stale.

        Raises GitHubError; of kind NO_OPTION while the Project lacks what this takes: a person can mend that.
        """
        for last in (False, True):
            project = self.project
            option = project.options.get(status)
            try:
                if option is None or project.status_field is None:
                    raise GitHubError(
                        f"the Project {project.url} has no Status option {status!r} any more: add it to the field "
                        "Status, by hand in the project's settings; the card is moved then",
                        "NO_OPTION",
                    )
                self.mutate(
                    "set_status", fence, project=project.id, item=item, field=project.status_field, option=option
                )
                return
            except GitHubError as problem:
                if last or not (problem.kind == "NO_OPTION" or _GONE in str(problem)):
                    raise
            try:
                self._project = self.find_project()  # kept where it cannot be had: cards are known by its id
            except PreflightFailed as problem:
                raise GitHubError(f"the card cannot be moved to {status!r} for now: {problem}", "NO_OPTION") from None

    def create_pull_request(self, head: str, base: str, title: str, body: str) -> str:
        """Open a pull request and return its URL. Raises GitHubError; landed=None when it may be there now."""
        self.shell.redact.refuse(f"{title}\n{body}")
        self._pace()
        argv = ["gh", "pr", "create", "-R", self.repo, "--base", base, "--head", head, "--title", title]
        result = self.shell.run(
            [*argv, "--body-file", "-"],
            input=body,
            name="gh-pr-create",
            timeout=2 * TIMEOUT_SECS,
            check=False,
            pretend=f"https://github.com/{self.repo}/pull/0",
        )
        if result.ok:
            url = result.out.strip().rpartition("\n")[2].strip()
            if not _PULL_REQUEST.fullmatch(url):
                told = f"`gh pr create` printed {shown(repr(url))}, not where the pull request is"
                raise GitHubError(told, "MALFORMED", landed=None)
            return url
        if "already exists" in result.tail:  # with commits that are not ours, or are not shown yet
            raise GitHubError(f"a pull request of {head} is open already: {result.tail[:_WORDS_CHARS]}", "EXISTS")
        # gh's porcelain prints no headers: GitHub's own refusals are its lines with `GraphQL:`, others name a status.
        refusals = [line for line in result.tail.splitlines() if "GraphQL:" in line]
        named = re.search(r"\bHTTP (\d{3})\b", result.tail)
        errors = [{"message": line} for line in refusals]
        status = 200 if errors else int(named[1]) if named else None
        raise self._trouble(result, status, {}, write=True, body={"errors": errors})

    @understood()
    def pull_request(self, head: str, sha: str) -> dict[str, Any] | None:
        """The pull request of our branch `head` with the commit `sha`, open or merged (number, url), or None.

        One that is closed, comes from a fork's branch of that name, or has other commits is somebody's, or an earlier
        run's (faults P1).
        """
        answer = self.query("pull_requests", owner=self.owner, repo=self.name, head=head)
        for node in at(list, self._repository(answer), "pullRequests", "nodes"):
            at(int, node, "number")
            at(str, node, "url")
            ours = at(str, node, "headRefOid") == sha and not at(bool, node, "isCrossRepository")
            if ours and at(str, node, "state") in ("OPEN", "MERGED"):
                return at(dict, node)
        return None

    # --- gh

    def query(self, document_name: str, missing_is_null: bool = False, **variables: Any) -> Answer:
        """Read. Tried again, with backoff, through every error that passes. Raises GitHubError for the others."""
        return self._patiently(lambda: self._call(document_name, variables, missing_is_null, write=False))

    def mutate(self, document_name: str, fence: Fence = lambda: None, **variables: Any) -> Answer:
        """Write. Tried again only when GitHub says that it did not land; `fence` is asked before each try.

        Raises GitHubError; Leaked when a secret would be written; what `fence` raises.
        """
        self.shell.redact.refuse("\n".join(str(value) for value in variables.values()))
        self._pace()

        def write() -> Answer:
            fence()  # a rate limit may have been waited out since the last try, and the issue have another owner
            return self._call(document_name, variables, False, write=True)

        return self._patiently(write)

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        for attempt in range(TRIES):
            try:
                return call()
            except GitHubError as problem:
                if not problem.passing or problem.landed is None or attempt == TRIES - 1:
                    raise
                pause = problem.retry_after or random.uniform(0.5, 1) * 2**attempt  # noqa: S311 - jitter
                if pause > LONGEST_WAIT_SECS * 4:
                    raise
                log.warning("GitHub: %s; trying again in %.0f s", str(problem).splitlines()[0], pause)
                self.shell.stop.wait(pause)
        raise AssertionError

    def _pace(self) -> None:
        """GitHub asks for a second between writes. Raises what the stop flag carries."""
        wait = self._last_write + self._gap - boot_secs()
        if wait > 0 and not self.shell.dry:
            self.shell.stop.wait(wait)
        self._last_write = boot_secs()

    def _call(self, name: str, variables: dict[str, Any], missing_is_null: bool, write: bool) -> Answer:
        payload = json.dumps({"query": document(name), "variables": variables})
        argv = ["gh", "api", "-i", "graphql", "--input", "-"]
        result = self.shell.run(argv, input=payload, name=f"gh-{name}", timeout=TIMEOUT_SECS, check=False)
        if result.cut:
            raise GitHubError(
                f"GitHub's answer to `{name}` is longer than what is read of one (16 MiB): whoever wrote such long "
                "comments, or so many, hides the issue from this worker; shorten or delete them",
                _TOO_LARGE,
                landed=None if write else False,
            )
        status, headers, body = split_response(result.out)
        if result.ok or (status == 200 and body.get("errors")):
            errors = _errors(body)
            if missing_is_null and all(e.get("type") == "NOT_FOUND" for e in errors):
                errors = []
            if name in _POLLS and _has_issues(body):
                errors = []  # what could be read is readable; an issue that could not is null, and passed over
            if not errors and isinstance(body.get("data"), dict):
                return Answer(body["data"], _clock(headers))
        raise self._trouble(result, status, headers, write, body)

    def _said(self, result: Result) -> str:
        """What gh itself said of an error: never GitHub's answer, whose headers name the token's scopes."""
        answered = {self.shell.redact(line) for line in result.out.splitlines()}
        return "\n".join(line for line in result.tail.splitlines() if line not in answered).strip()

    def _trouble(
        self,
        result: Result,
        status: int | None,
        headers: dict[str, str],
        write: bool,
        body: dict[str, Any] | None = None,
    ) -> GitHubError:
        """GitHub's refusal in one error: what kind, whether a write may have landed, how long to wait."""
        errors = _errors(body or {})
        text = "; ".join(str(e["message"]) for e in errors if e.get("message"))
        text = text or (body or {}).get("message") or result.why or self._said(result) or _answer_of(status)
        what = f"GitHub, asked by `{' '.join(result.argv[:4])}`, says: {str(text)[:_WORDS_CHARS]}"
        retry_after = _seconds(headers.get("retry-after"))
        kinds = [kind_of(str(e.get("message", "")), _type_of(e)) for e in errors]
        if "RATE_LIMITED" in kinds:
            return GitHubError(what, "RATE_LIMITED", retry_after=retry_after or _until_reset(headers) or 60.0)
        if kinds and status == 200:
            # One refusal among others that pass is none yet.
            kind = next((kind for kind in kinds if not GitHubError("", kind).final), kinds[0])
            return GitHubError(what, kind, landed=None if write and may_have_landed(kind) else False)
        if status == 401 or (status is None and result.code == NOT_LOGGED_IN):
            return GitHubError(f"{what}: log in with `gh auth login`, or mend GH_TOKEN", "UNAUTHORIZED")
        if status in (403, 429):
            limited = status == 429 or retry_after or kind_of(what) == "RATE_LIMITED"
            if headers.get("x-ratelimit-remaining") == "0" and not retry_after:
                retry_after = _until_reset(headers)
            return GitHubError(what, "SECONDARY" if limited else "FORBIDDEN", retry_after=retry_after)
        if status is not None and 400 <= status < 500:
            kind = "PASSING" if kind_of(what, str(status)) == "PASSING" or status in (408, 425) else str(status)
            return GitHubError(what, kind, landed=None if write and may_have_landed(kind) else False)
        if status is None and result.code and not result.why and "error connecting" in result.tail:
            return GitHubError(f"{what}: check the network", "NETWORK", landed=None if write else False)
        kind = "5xx" if status else "NETWORK"
        return GitHubError(what, kind, landed=None if write else False)


def _next_page(connection: dict[str, Any], page: str | None) -> str | None:
    """The cursor of the page after `page`, None after the last. Raises Malformed where pages lead nowhere."""
    if not at(bool, connection, "pageInfo", "hasNextPage"):
        return None
    after = maybe(str, connection, "pageInfo", "endCursor")
    if after in (None, page):
        raise Malformed("it names no page that follows")
    return after


def _answer_of(status: int | None) -> str:
    return f"HTTP {status}" if status else "no answer"


def _errors(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The `errors` of an answer, whatever stands there."""
    errors = body.get("errors") or []
    listed = errors if isinstance(errors, list) else [errors]
    return [e if isinstance(e, dict) else {"message": shown(repr(e))} for e in listed]


def _has_issues(body: dict[str, Any]) -> bool:
    """Whether a poll's answer has a page of issues, whatever errors stand beside it (faults Q1)."""
    try:
        return at(bool, body, "data", "repository", "issues", "pageInfo", "hasNextPage") is not None
    except Malformed:
        return False


def _type_of(error: dict[str, Any]) -> str:
    """GitHub's type of an error; INVALID for a query that its schema refuses, which has a code instead."""
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    return str(error.get("type") or ("INVALID" if code else ""))[:100]


def split_response(text: str) -> tuple[int | None, dict[str, str], dict[str, Any]]:
    """Status, headers (lower-case names) and JSON body of what `gh api -i` prints; None, {}, {} where it has none."""
    head, _, rest = text.replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    status = _STATUS_LINE.match(lines[0])
    if not status:
        return None, {}, {}
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    try:
        body = parse(rest)
    except Malformed:
        body = {}
    return int(status[1]), headers, body if isinstance(body, dict) else {}


def when(text: str) -> float:
    """GitHub's timestamp as seconds since the epoch. Raises Malformed."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        raise Malformed(f"{shown(repr(text))} is no time") from None


def _clock(headers: dict[str, str]) -> float | None:
    """GitHub's clock from the Date header; None when there is none that can be read."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return None


def _until_reset(headers: dict[str, str]) -> float:
    """Seconds until a primary rate limit is over, by GitHub's clock; 0 where the answer does not say."""
    reset, now = _seconds(headers.get("x-ratelimit-reset")), _clock(headers)
    return max(1.0, reset - now) if reset and now is not None else 0.0


def _seconds(text: str | None) -> float:
    """A header's seconds; 0 for what is no time to wait for."""
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _comment(node: Any) -> Comment:
    created = when(at(str, node, "createdAt"))
    edited = maybe(str, node, "lastEditedAt")
    return Comment(
        id=at(str, node, "id"),
        number=maybe(int, node, "databaseId") or 0,
        body=at(str, node, "body"),
        author=maybe(str, node, "author", "login") or "ghost",
        association=at(str, node, "authorAssociation"),
        created=created,
        edited=when(edited) if edited else created,
    )
