"""Everything the lab's GitHub knows, in one dictionary of frozen objects, kept in one JSON file.

Each change makes a new dictionary, so an older one is a snapshot that costs nothing: that is how reads can lag.
The file is written before a request that changed anything is answered; a killed lab loses no answered change.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from yt_fsm.lab.github import ids
from yt_fsm.lab.github.errors import GitHubError, not_found, unresolved_node
from yt_fsm.lab.github.git import NOTHING, Git
from yt_fsm.lab.github.nodes import (
    Comment,
    Field,
    Issue,
    Item,
    Label,
    Node,
    Option,
    Owner,
    Project,
    PullRequest,
    Repo,
    from_json,
)
from yt_fsm.tools import systems

STATUSES = {
    "assessing": "GRAY", "ready": "BLUE", "in progress": "YELLOW", "setup error": "ORANGE",
    "failed": "RED", "in review": "PURPLE", "done": "GREEN", "reference error": "PINK",
}  # fmt: skip
BOT = "yt-bot"
PERSON = "yt-operator"  # who opens seeded issues and moves cards by hand
TOKEN = "ghp_lab0000000000000000000000000000000000"  # noqa: S105 (opens nothing but the lab)
SCOPES = ("repo", "project", "read:org")

# The fields that every new project has, as GitHub makes them.
_BUILT_IN = {
    "Title": "TITLE", "Assignees": "ASSIGNEES", "Status": "SINGLE_SELECT", "Labels": "LABELS",
    "Linked pull requests": "LINKED_PULL_REQUESTS", "Milestone": "MILESTONE", "Repository": "REPOSITORY",
    "Reviewers": "REVIEWERS",
}  # fmt: skip
_STATUS_OF_NEW_PROJECTS = {"Todo": "GREEN", "In Progress": "YELLOW", "Done": "PURPLE"}
_PREFIX = {"Issue": "I", "PullRequest": "PR", "Label": "LA", "Comment": "IC", "Status": "SC"}

N = TypeVar("N", bound=Node)


@dataclass(frozen=True)
class Token:
    """Who a token speaks for, and what it may do."""

    login: str
    scopes: tuple[str, ...] = SCOPES


class Store:
    """The lab's GitHub at rest: objects by global id, and who may come in with which token."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.git = Git(folder / "git")
        self.clock = clock
        self.nodes: dict[str, Any] = {}
        self.tokens: dict[str, Token] = {}
        self.last_id = 1000
        self.pushes: dict[str, int] = {}
        self.requests: list[dict[str, Any]] = []
        self._saved: tuple[Any, ...] = ()
        self._saved_nodes: dict[str, Any] | None = None
        self._texts: dict[str, tuple[Node, str]] = {}
        self._logins: dict[str, str] = {}
        self._names: dict[str, str] = {}

    # -- the file ---------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The file that holds it all, but for the repositories' own content."""
        return self.folder / "github.json"

    def load(self) -> bool:
        """Reads the file when there is one; says whether there was."""
        if not self.path.exists():
            return False
        data = json.loads(self.path.read_text())
        self.last_id = data["last_id"]
        self.pushes = data["pushes"]
        self.tokens = {t: Token(v["login"], tuple(v["scopes"])) for t, v in data["tokens"].items()}
        self.put(*(from_json(node) for node in data["nodes"]))
        return True

    def save(self) -> None:
        """Writes the file, if anything changed since the last time, in one atomic step."""
        state = (self.last_id, dict(self.pushes), dict(self.tokens))
        if self.nodes is self._saved_nodes and state == self._saved:
            return
        head = json.dumps(
            {"version": 1, "last_id": self.last_id, "pushes": self.pushes,
             "tokens": {token: vars(who) for token, who in self.tokens.items()}}
        )  # fmt: skip
        # Objects are frozen, so the text of one that is still the same object is still right.
        texts = {}
        for key, node in self.nodes.items():
            kept = self._texts.get(key)
            if kept is None or kept[0] is not node:
                kept = (node, json.dumps({"node": type(node).__name__, **vars(node)}, default=vars))
            texts[key] = kept
        self._texts = texts
        body = ",\n".join(text for _, text in texts.values())
        temporary = self.path.with_suffix(".json.new")
        temporary.write_text(f'{head[:-1]}, "nodes": [\n{body}\n]}}\n')
        os.replace(temporary, self.path)
        self._saved, self._saved_nodes = state, self.nodes

    # -- objects ----------------------------------------------------------------------------------

    def put(self, *nodes: Node) -> None:
        """Adds or replaces objects."""
        self.nodes = {**self.nodes, **{node.id: node for node in nodes}}
        for node in nodes:
            if isinstance(node, Owner):
                self._logins[node.login.lower()] = node.id
            elif isinstance(node, Repo):
                self._names[self.full_name(node).lower()] = node.id

    def drop(self, *gone: str) -> None:
        """Forgets objects."""
        self.nodes = {key: node for key, node in self.nodes.items() if key not in gone}

    def edit(self, node: N, **changes: Any) -> N:
        """Replaces an object by one with these changes, and returns it."""
        changed = replace(node, **{"updated_at": self.now(), **changes})
        self.put(changed)
        return changed

    def get(self, kind: type[N], key: str, nodes: Mapping[str, Any] | None = None) -> N:
        """The object of that kind and id. Raises GitHub's NOT_FOUND."""
        node = (self.nodes if nodes is None else nodes).get(key)
        if not isinstance(node, kind):
            raise unresolved_node(key)
        return node

    def now(self) -> str:
        """The server's time, to the second."""
        return datetime.fromtimestamp(self.clock(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def next_id(self) -> int:
        """A fresh database id."""
        self.last_id += 1
        return self.last_id

    def stamp(self, kind: str, *parents: int, at: str | None = None) -> dict[str, Any]:
        """What every new object starts with: its ids and its times."""
        number = self.next_id()
        at = at or self.now()
        key = ids.node_id(_PREFIX.get(kind, kind), *parents, number)
        return {"id": key, "database_id": number, "created_at": at, "updated_at": at}

    def owner(self, login: str) -> Owner | None:
        """The user, organization or App with that login, in any case."""
        key = self._logins.get(login.lower().removesuffix("[bot]"))
        return self.nodes.get(key) if key else None

    def repo(self, owner: str, name: str) -> Repo | None:
        """The repository `owner/name`, in any case."""
        key = self._names.get(f"{owner}/{name}".lower())
        return self.nodes.get(key) if key else None

    def full_name(self, repo: Repo) -> str:
        """`owner/name`, as the web shows it and as the bare repository's folder is called."""
        return f"{self.nodes[repo.owner].login}/{repo.name}"

    def numbered(self, repo: Repo, number: int, nodes: Mapping[str, Any] | None = None) -> Issue | None:
        """The issue or pull request with that number."""
        nodes = self.nodes if nodes is None else nodes
        for key in (*repo.issues, *repo.pulls):
            node = nodes.get(key)
            if node is not None and node.number == number:
                return node  # type: ignore[no-any-return]
        return None

    # -- making a world ---------------------------------------------------------------------------

    def add_owner(self, login: str, kind: str = "User", name: str = "") -> Owner:
        """A new user, organization or App."""
        number = self.next_id()
        at = self.now()
        key = ids.node_id({"Organization": "O", "Bot": "BOT"}.get(kind, "U"), number)
        owner = Owner(key, number, at, at, login, kind, name)
        self.put(owner)
        return owner

    def add_user(
        self,
        login: str,
        token: str | None = None,
        scopes: tuple[str, ...] = SCOPES,
        org: str | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> Owner:
        """A user, with a token when one is given; `roles` maps `owner/name` to READ … ADMIN, `org` makes a member."""
        user = self.owner(login) or self.add_owner(login)
        if token:
            self.tokens[token] = Token(login, scopes)
        if org and (home := self.owner(org)):
            self.edit(home, members={**home.members, login: home.members.get(login, "MEMBER")})
        for full_name, role in (roles or {}).items():
            repo = self.repo(*full_name.split("/"))
            if repo is None:
                raise not_found(f"there is no repository {full_name} to give {login} a role in")
            self.edit(repo, roles={**repo.roles, login: role})
        return user

    def add_repo(self, owner: Owner, name: str, template: Path | None = None) -> Repo:
        """A new repository with one commit on `main`, and its bare repository on disk."""
        repo = Repo(**self.stamp("R"), owner=owner.id, name=name)
        self.git.create(f"{owner.login}/{name}", repo.default_branch, template, repo.created_at)
        repo = replace(repo, pushed_at=repo.created_at)
        self.put(replace(owner, repos=(*owner.repos, repo.id)), repo)
        return repo

    def add_label(self, repo: Repo, name: str, color: str, description: str = "") -> Label:
        """A new label."""
        label = Label(**self.stamp("Label", repo.database_id), repo=repo.id, name=name, color=color,
                      description=description)  # fmt: skip
        repo = self.nodes[repo.id]
        self.put(label, replace(repo, labels=(*repo.labels, label.id)))
        return label

    def add_project(self, owner: Owner, title: str, creator: str, number: int | None = None) -> Project:
        """A new project with the fields that GitHub gives every project."""
        owner = self.nodes[owner.id]
        taken = [self.nodes[key].number for key in owner.projects]
        number = number or max(taken, default=0) + 1
        stamp = self.stamp("PVT", owner.database_id)
        project = Project(**stamp, owner=owner.id, number=number, title=title, creator=creator)
        self.put(project, replace(owner, projects=(*owner.projects, project.id)))
        for name, data_type in _BUILT_IN.items():
            options = _STATUS_OF_NEW_PROJECTS if name == "Status" else {}
            self.add_field(project, name, data_type, [(o, c, "") for o, c in options.items()])
        return self.get(Project, project.id)

    def add_field(self, project: Project, name: str, data_type: str, options: list[tuple[str, str, str]]) -> Field:
        """A new field; `options` are name, color and description of a single-select field's."""
        project = self.nodes[project.id]
        home = self.nodes[project.owner]
        prefix = "PVTSSF" if data_type == "SINGLE_SELECT" else "PVTF"
        stamp = self.stamp(prefix, home.database_id, project.database_id)
        made = Field(**stamp, project=project.id, name=name, data_type=data_type)
        made = replace(made, options=self.new_options(made, options))
        self.put(made, replace(project, fields=(*project.fields, made.id)))
        return made

    def new_options(self, of: Field, options: list[tuple[str, str, str]]) -> tuple[Option, ...]:
        """Options with ids that no option ever had before, as GitHub gives them at every change of a field."""
        serial = self.next_id()
        return tuple(
            Option(ids.option_id(of.id, serial, name), name, color, description) for name, color, description in options
        )

    def add_issue(self, repo: Repo, author: Owner, title: str, body: str = "", labels: tuple[str, ...] = ()) -> Issue:
        """A new issue; `labels` are ids."""
        repo = self.nodes[repo.id]
        number = repo.last_number + 1
        stamp = self.stamp("Issue", repo.database_id)
        issue = Issue(**stamp, repo=repo.id, number=number, author=author.id, title=title, body=body, labels=labels)
        self.put(issue, replace(repo, issues=(*repo.issues, issue.id), last_number=number))
        return issue

    def add_item(self, project: Project, content: Node, creator: Owner) -> Item:
        """The content's card on the project: a new one, or the one that it has."""
        project = self.nodes[project.id]
        for key in project.items:
            if self.nodes[key].content == content.id:
                return self.get(Item, key)
        home = self.nodes[project.owner]
        stamp = self.stamp("PVTI", home.database_id, project.database_id)
        item = Item(**stamp, project=project.id, content=content.id, creator=creator.id)
        self.put(item, replace(project, items=(*project.items, item.id)))
        if isinstance(content, Issue):
            content = self.nodes[content.id]
            assert isinstance(content, Issue)
            self.put(replace(content, items=(*content.items, item.id)))
        return item

    def set_value(self, item: Item, of: Field, value: dict[str, Any] | None) -> Item:
        """Sets (or, with None, clears) a card's value of a field."""
        item = self.nodes[item.id]
        values = {key: kept for key, kept in item.values.items() if key != of.id}
        if value is not None:
            values[of.id] = {**value, "at": self.now()}
        return self.edit(item, values=values)

    def status_field(self, project: Project, name: str = "Status") -> Field | None:
        """The project's field of that name, in any case."""
        for key in project.fields:
            if self.nodes[key].name.lower() == name.lower():
                return self.get(Field, key)
        return None

    def set_status(self, item: Item, status: str) -> Item:
        """Moves a card to the Status option of that name. Raises GitHubError when there is none."""
        of = self.status_field(self.nodes[item.project])
        options = {o.name: o.id for o in of.options} if of else {}
        if of is None or status not in options:
            raise GitHubError(f"the board has no Status {status!r}; it has: {', '.join(options) or 'none'}")
        return self.set_value(item, of, {"option": options[status]})

    def bootstrap(
        self,
        owner: str = "yieldthought",
        repo: str = "ttnn_models",
        project_number: int = 1,
        project_title: str = "TTNN Models Bringup",
        template: Path | None = None,
        kind: str = "Organization",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Makes the world of §3: owner, repository, labels, project with its Status options, bot and operator.

        `labels` are names and colours; those of our systems unless others are given.

        The bot `yt-bot` has write permission (as a member, or as a collaborator when `kind` is User) and a token with
        the scopes of §4.3; the operator `yt-operator` administers. The repository starts as one commit with the
        template's files.
        """
        home = self.add_owner(owner, kind, owner if kind == "Organization" else "")
        if kind == "Organization":
            home = self.edit(home, members={BOT: "MEMBER", PERSON: "ADMIN"})
        person = self.add_user(PERSON)
        models = self.add_repo(home, repo, template)
        self.add_user(BOT, TOKEN)
        self.edit(models, roles={BOT: "WRITE", PERSON: "ADMIN"})
        ours = {system.name: system.label.colour for system in systems.known()}
        for name, color in (ours if labels is None else labels).items():
            self.add_label(models, name, color)
        project = self.add_project(self.nodes[home.id], project_title, person.id, project_number)
        self.edit(project, repos=(models.id,), writers=(BOT, PERSON))
        status = self.status_field(project)
        assert status is not None
        self.edit(status, options=self.new_options(status, [(n, c, "") for n, c in STATUSES.items()]))
        self.save()

    def home(self) -> tuple[Repo, Project | None]:
        """The repository and the project that `seed_issue` and `state` speak of: the first of each."""
        repos = [node for node in self.nodes.values() if isinstance(node, Repo)]
        if not repos:
            raise GitHubError("this lab has no repository yet: bootstrap() makes one")
        projects = [node for node in self.nodes.values() if isinstance(node, Project)]
        return repos[0], projects[0] if projects else None

    def seed_issue(
        self,
        title: str,
        body: str = "",
        labels: list[str] | tuple[str, ...] = (),
        status: str | None = "ready",
        author: str = PERSON,
    ) -> int:
        """Opens an issue as the operator does, puts it on the board with that Status (None: not at all); its number.

        Labels that the repository lacks are made. The file is written by the next request, `save` or stop.
        Raises GitHubError when the board has no such Status.
        """
        repo, project = self.home()
        known = {self.nodes[key].name.lower(): key for key in repo.labels}
        for name in labels:
            if name.lower() not in known:
                known[name.lower()] = self.add_label(repo, name, "ededed").id
        who = self.owner(author) or self.add_owner(author)
        issue = self.add_issue(repo, who, title, body, tuple(known[name.lower()] for name in labels))
        if status is not None and project is not None:
            self.set_status(self.add_item(project, issue, who), status)
        return issue.number

    # -- looking at it ----------------------------------------------------------------------------

    def status_of(self, issue: Issue, project: Project | None = None) -> str | None:
        """The name of the Status of the issue's card (on that project, else on its first)."""
        for key in issue.items:
            item = self.nodes[key]
            if project is not None and item.project != project.id:
                continue
            of = self.status_field(self.nodes[item.project])
            value = item.values.get(of.id) if of else None
            if of is not None and value is not None:
                return next((o.name for o in of.options if o.id == value["option"]), None)
        return None

    def state(self) -> dict[str, Any]:
        """All of it as JSON for `ytfsm lab state`: issues, pull requests, branches and the requests so far."""
        repo, project = self.home()
        name = self.full_name(repo)
        main = self.git.branch(name, repo.default_branch) or NOTHING
        branches = []
        for branch, sha in self.git.branches(name).items():
            commits = [c.message for c in self.git.commits(name, main, sha)]
            branches.append({"name": branch, "sha": sha, "commits": commits})
        return {
            "repository": name,
            "issues": [self._issue_state(self.nodes[key], project) for key in repo.issues],
            "pull_requests": [self._pull_state(self.nodes[key], name) for key in repo.pulls],
            "branches": branches,
            "requests": self.requests,
        }

    def _issue_state(self, issue: Issue, project: Project | None) -> dict[str, Any]:
        return {
            "number": issue.number,
            "title": issue.title,
            "body": issue.body,
            "state": issue.state,
            "labels": [self.nodes[key].name for key in issue.labels],
            "status": self.status_of(issue, project),
            "comments": [self._comment_state(self.nodes[key]) for key in issue.comments],
        }

    def _comment_state(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.database_id,
            "author": self.nodes[comment.author].login,
            "body": comment.body,
            "createdAt": comment.created_at,
            "lastEditedAt": comment.last_edited_at,
        }

    def _pull_state(self, pull: PullRequest, name: str) -> dict[str, Any]:
        return {
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "head": pull.head,
            "base": pull.base,
            "state": pull.state,
            "merged": pull.merged_at is not None,
            "url": f"https://github.com/{name}/pull/{pull.number}",
            "comments": [self._comment_state(self.nodes[key]) for key in pull.comments],
        }
