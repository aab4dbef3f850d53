"""Users, organizations and bots, and the roots that find them."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from yt_fsm.lab.github import roles
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, nothing, ordered
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_found, unresolved_node
from yt_fsm.lab.github.executor import RESOLVERS, TYPES, answers
from yt_fsm.lab.github.nodes import Comment, Owner, Project, Repo

TYPES[Owner] = lambda owner: owner.kind

_EVERY = ("User", "Organization", "Bot", "Mannequin")


def every(*names: str) -> list[str]:
    """These fields on every kind of owner."""
    return [f"{kind}.{name}" for kind in _EVERY for name in names]


@answers("Query.viewer")
def viewer(_: Any, arguments: Asked, context: Context) -> Owner:
    return context.viewer


@answers("Query.relay")
def relay(query: Any, arguments: Asked, context: Context) -> Any:
    return {"__typename": "Query"}


@answers("Query.id")
def query_id(_: Any, arguments: Asked, context: Context) -> str:
    return "MDU6UXVlcnk="


@answers("Query.rateLimit")
def rate_limit(_: Any, arguments: Asked, context: Context) -> dict[str, Any]:
    return context.rate_limit


@answers("Query.node")
def node(_: Any, arguments: Asked, context: Context) -> Any:
    found = context.nodes.get(arguments["id"])
    if found is None or not _may_see(found, context):
        raise unresolved_node(arguments["id"])
    return found


def _may_see(found: Any, context: Context) -> bool:
    """Whether the viewer may see this: private repositories and projects hide all that is in them."""
    if isinstance(found, Comment):
        found = context.nodes[found.subject]
    if (key := getattr(found, "repo", None)) or (key := getattr(found, "project", None)):
        found = context.nodes[key]
    if isinstance(found, Repo):
        return roles.permission(context.store, found, context.viewer) is not None
    if isinstance(found, Project):
        return found.public or roles.may_plan(context.store, found, context.viewer)
    return True


@answers("Query.nodes")
def nodes(_: Any, arguments: Asked, context: Context) -> Any:
    found = [context.nodes.get(key) for key in arguments["ids"]]
    return [one if one and _may_see(one, context) else None for one in found]


@answers("Query.resource")
def resource(_: Any, arguments: Asked, context: Context) -> Any:
    store = context.store
    parts = urlsplit(arguments["url"]).path.strip("/").split("/")
    if len(parts) == 1:
        return store.owner(parts[0])
    repo = store.repo(parts[0], parts[1])
    if repo is None or len(parts) == 2:
        return repo
    if len(parts) >= 4 and parts[2] in ("issues", "pull") and parts[3].isdigit():
        return store.numbered(repo, int(parts[3]), context.nodes)
    return None


@answers("Query.user")
def user(_: Any, arguments: Asked, context: Context) -> Owner:
    found = context.store.owner(arguments["login"])
    if found is None or found.kind != "User":
        raise not_found(f"Could not resolve to a User with the login of '{arguments['login']}'.")
    return found


@answers("Query.organization")
def organization(_: Any, arguments: Asked, context: Context) -> Owner:
    found = context.store.owner(arguments["login"])
    if found is None or found.kind != "Organization":
        raise not_found(f"Could not resolve to an Organization with the login of '{arguments['login']}'.")
    return found


@answers("Query.repositoryOwner")
def repository_owner(_: Any, arguments: Asked, context: Context) -> Owner | None:
    return context.store.owner(arguments["login"])


@answers(*every("url"))
def url(owner: Owner, arguments: Asked, context: Context) -> str:
    return f"https://github.com/{owner.login}"


@answers(*every("resourcePath"))
def resource_path(owner: Owner, arguments: Asked, context: Context) -> str:
    return f"/{owner.login}"


@answers(*every("avatarUrl"))
def avatar_url(owner: Owner, arguments: Asked, context: Context) -> str:
    return avatar_of(owner.database_id, arguments)


def avatar_of(number: int, arguments: Asked) -> str:
    """The picture of an account, in the size that is asked for."""
    size = arguments.get("size")
    return f"https://avatars.githubusercontent.com/u/{number}?{f's={size}&' if size else ''}v=4"


@answers(*every("name"))
def name(owner: Owner, arguments: Asked, context: Context) -> str | None:
    return owner.name or None


@answers(*every("description", "bio", "company", "location"))
def unset(owner: Owner, arguments: Asked, context: Context) -> str | None:
    return None


@answers("User.login")
def login(owner: Owner, arguments: Asked, context: Context) -> str:
    """An App is a User only as the viewer, and there its login ends in [bot]."""
    return f"{owner.login}[bot]" if owner.kind == "Bot" else owner.login


@answers("User.isViewer")
def is_viewer(owner: Owner, arguments: Asked, context: Context) -> bool:
    return owner.id == context.viewer.id


@answers("User.isEmployee")
def is_employee(owner: Owner, arguments: Asked, context: Context) -> bool:
    return False


@answers("Organization.viewerIsAMember")
def viewer_is_a_member(owner: Owner, arguments: Asked, context: Context) -> bool:
    return context.viewer.login in owner.members


@answers("Organization.viewerCanAdminister")
def viewer_can_administer(owner: Owner, arguments: Asked, context: Context) -> bool:
    return owner.members.get(context.viewer.login) == "ADMIN"


@answers(
    "Organization.viewerCanCreateProjects", "User.viewerCanCreateProjects", "Organization.viewerCanCreateRepositories"
)
def viewer_can_create(owner: Owner, arguments: Asked, context: Context) -> bool:
    return owner.id == context.viewer.id or context.viewer.login in owner.members


@answers("User.organizations")
def organizations(owner: Owner, arguments: Asked, context: Context) -> Connection:
    homes = [n for n in context.nodes.values() if isinstance(n, Owner) and owner.login in n.members]
    keys = {"CREATED_AT": lambda home: home.database_id, "LOGIN": lambda home: home.login.lower()}
    return Connection(ordered(homes, arguments.get("orderBy"), keys), arguments)


@answers("User.organization")
def user_organization(owner: Owner, arguments: Asked, context: Context) -> Owner | None:
    found = context.store.owner(arguments["login"])
    return found if found and owner.login in found.members else None


@answers("Organization.membersWithRole")
def members_with_role(owner: Owner, arguments: Asked, context: Context) -> Connection:
    members = [context.store.owner(login) for login in owner.members]
    return Connection([m for m in members if m], arguments)


@answers("OrganizationMemberEdge.role")
def member_role(edge: Any, arguments: Asked, context: Context) -> None:
    return None


for _field in ("Organization.teams", "Organization.projects", "User.projects"):
    RESOLVERS[_field] = nothing


@answers("Organization.team")
def team(owner: Owner, arguments: Asked, context: Context) -> None:
    arguments.means_nothing()
    return
