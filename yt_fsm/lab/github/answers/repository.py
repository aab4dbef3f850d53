"""Repositories and their labels."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any

from yt_fsm.lab.github.acts import find_label
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, nothing, ordered
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_found
from yt_fsm.lab.github.executor import RESOLVERS, TYPES, answers
from yt_fsm.lab.github.nodes import Label, Owner, Repo
from yt_fsm.lab.github.roles import permission

TYPES[Repo] = lambda repo: "Repository"
TYPES[Label] = lambda label: "Label"

_FIXED: dict[str, Any] = {
    "archivedAt": None, "forkCount": 0, "hasDiscussionsEnabled": False, "hasProjectsEnabled": True,
    "hasWikiEnabled": False, "homepageUrl": None, "isArchived": False, "isBlankIssuesEnabled": True,
    "isDisabled": False, "isEmpty": False, "isFork": False, "isLocked": False, "isMirror": False,
    "isSecurityPolicyEnabled": False, "isTemplate": False, "isUserConfigurationRepository": False,
    "latestRelease": None, "licenseInfo": None, "milestone": None, "mirrorUrl": None, "parent": None,
    "primaryLanguage": None, "stargazerCount": 0, "templateRepository": None, "usesCustomOpenGraphImage": False,
    "viewerHasStarred": False, "viewerSubscription": "UNSUBSCRIBED", "issueTemplates": (), "pullRequestTemplates": (),
    "openGraphImageUrl": "https://opengraph.githubassets.com/lab",
}  # fmt: skip


def _fixed(value: Any) -> Any:
    def answer(parent: Any, arguments: Asked, context: Context) -> Any:
        arguments.means_nothing()
        return value

    return answer


for _name, _value in _FIXED.items():
    RESOLVERS[f"Repository.{_name}"] = _fixed(_value)
for _name in ("forks", "languages", "milestones", "projects", "repositoryTopics", "watchers", "issueTypes"):
    RESOLVERS[f"Repository.{_name}"] = nothing


def visible(context: Context, repo: Repo | None) -> bool:
    """Whether this viewer sees the repository at all."""
    return repo is not None and permission(context.store, repo, context.viewer) is not None


def url_of(context: Context, repo: Repo) -> str:
    """The repository's page."""
    return f"https://github.com/{context.store.full_name(repo)}"


@answers("Query.repository")
def repository(_: Any, arguments: Asked, context: Context) -> Any:
    arguments.means_nothing("followRenames")  # the lab renames nothing
    owner, name = arguments["owner"], arguments["name"]
    repo = context.store.repo(owner, name)
    if repo is None or not visible(context, repo):
        raise not_found(f"Could not resolve to a Repository with the name '{owner}/{name}'.")
    return context.nodes.get(repo.id, repo)


@answers("User.repository", "Organization.repository")
def repository_of(owner: Owner, arguments: Asked, context: Context) -> Repo | None:
    arguments.means_nothing("followRenames")
    repo = context.store.repo(owner.login, arguments["name"])
    return repo if visible(context, repo) else None


@answers("User.repositories", "Organization.repositories")
def repositories(owner: Owner, arguments: Asked, context: Context) -> Connection:
    found = [r for r in context.load(owner.repos) if visible(context, r) and _wanted(r, arguments)]
    keys = {
        "CREATED_AT": lambda r: r.database_id, "NAME": lambda r: r.name.lower(), "UPDATED_AT": lambda r: r.updated_at,
        "PUSHED_AT": lambda r: r.pushed_at or "", "STARGAZERS": lambda r: 0,
    }  # fmt: skip
    return Connection(ordered(found, arguments.get("orderBy"), keys), arguments)


def _wanted(repo: Repo, arguments: Asked) -> bool:
    """Whether the filters of a list of repositories let this one through."""
    visibility = "PRIVATE" if repo.private else "PUBLIC"
    said = {"privacy": visibility, "visibility": visibility, "isFork": False, "isArchived": False, "isLocked": False,
            "hasIssuesEnabled": repo.has_issues_enabled}  # fmt: skip
    owned = [arguments.get(name) for name in ("affiliations", "ownerAffiliations")]
    filters = [arguments.get(name) in (None, value) for name, value in said.items()]  # all are read
    return all(filters) and all(kinds is None or "OWNER" in kinds for kinds in owned)


@answers("RepositoryConnection.totalDiskUsage", "LanguageConnection.totalSize")
def total_size(_: Any, arguments: Asked, context: Context) -> int:
    return 0


@answers("Repository.owner")
def owner_of(repo: Repo, arguments: Asked, context: Context) -> Owner:
    return context.store.get(Owner, repo.owner)


@answers("Repository.nameWithOwner")
def name_with_owner(repo: Repo, arguments: Asked, context: Context) -> str:
    return context.store.full_name(repo)


@answers("Repository.url")
def url(repo: Repo, arguments: Asked, context: Context) -> str:
    return url_of(context, repo)


@answers("Repository.resourcePath")
def resource_path(repo: Repo, arguments: Asked, context: Context) -> str:
    return f"/{context.store.full_name(repo)}"


@answers("Repository.securityPolicyUrl")
def security_policy_url(repo: Repo, arguments: Asked, context: Context) -> str:
    return f"{url_of(context, repo)}/security/policy"


@answers("Repository.sshUrl")
def ssh_url(repo: Repo, arguments: Asked, context: Context) -> str:
    return f"git@github.com:{context.store.full_name(repo)}.git"


@answers("Repository.isPrivate")
def is_private(repo: Repo, arguments: Asked, context: Context) -> bool:
    return repo.private


@answers("Repository.visibility")
def visibility(repo: Repo, arguments: Asked, context: Context) -> str:
    return "PRIVATE" if repo.private else "PUBLIC"


@answers("Repository.isInOrganization")
def is_in_organization(repo: Repo, arguments: Asked, context: Context) -> bool:
    return context.store.get(Owner, repo.owner).kind == "Organization"


@answers("Repository.description")
def description(repo: Repo, arguments: Asked, context: Context) -> str | None:
    return repo.description or None


@answers("Repository.viewerPermission")
def viewer_permission(repo: Repo, arguments: Asked, context: Context) -> str | None:
    return permission(context.store, repo, context.viewer)


@answers("Repository.viewerCanAdminister")
def viewer_can_administer(repo: Repo, arguments: Asked, context: Context) -> bool:
    return permission(context.store, repo, context.viewer) == "ADMIN"


@answers("Repository.viewerDefaultCommitEmail")
def viewer_default_commit_email(repo: Repo, arguments: Asked, context: Context) -> str:
    who = context.viewer
    return who.email or f"{who.database_id}+{who.login}@users.noreply.github.com"


@answers("Repository.viewerPossibleCommitEmails")
def viewer_possible_commit_emails(repo: Repo, arguments: Asked, context: Context) -> list[str]:
    return [viewer_default_commit_email(repo, arguments, context)]


@answers("Repository.viewerDefaultMergeMethod")
def viewer_default_merge_method(repo: Repo, arguments: Asked, context: Context) -> str:
    return repo.merge_methods[0]


@answers("Repository.mergeCommitAllowed")
def merge_commit_allowed(repo: Repo, arguments: Asked, context: Context) -> bool:
    return "MERGE" in repo.merge_methods


@answers("Repository.squashMergeAllowed")
def squash_merge_allowed(repo: Repo, arguments: Asked, context: Context) -> bool:
    return "SQUASH" in repo.merge_methods


@answers("Repository.rebaseMergeAllowed")
def rebase_merge_allowed(repo: Repo, arguments: Asked, context: Context) -> bool:
    return "REBASE" in repo.merge_methods


@answers("Repository.assignableUsers", "Repository.mentionableUsers", "Repository.suggestedActors")
def assignable_users(repo: Repo, arguments: Asked, context: Context) -> Connection:
    logins = {**context.store.get(Owner, repo.owner).members, **repo.roles}
    users = [u for u in map(context.store.owner, sorted(logins)) if u and u.kind == "User"]
    wanted = (arguments.get("query") or "").lower()
    arguments.means_nothing("capabilities")  # whoever is assignable is an author too
    if names := (arguments.get("loginNames") or "").lower():
        users = [u for u in users if u.login.lower() in names.split(",")]
    return Connection([u for u in users if wanted in u.login.lower()], arguments)


@answers("Repository.collaborators")
def collaborators(repo: Repo, arguments: Asked, context: Context) -> Connection:
    login = (arguments.get("login") or "").lower()
    found = assignable_users(repo, arguments, context).whole
    return Connection([u for u in found if not login or u.login.lower() == login], arguments)


@answers("RepositoryCollaboratorEdge.permission")
def collaborator_permission(edge: Any, arguments: Asked, context: Context) -> str:
    return "WRITE"


LABEL_ORDERS: dict[str, Any] = {"CREATED_AT": lambda label: label.database_id, "NAME": lambda label: label.name.lower()}


# -- labels ---------------------------------------------------------------------------------------


@answers("Repository.label")
def label(repo: Repo, arguments: Asked, context: Context) -> Label | None:
    return find_label(context.store, repo, arguments["name"])


@answers("Repository.labels")
def labels(repo: Repo, arguments: Asked, context: Context) -> Connection:
    found = context.load(repo.labels)
    if wanted := (arguments.get("query") or "").lower():
        found = [n for n in found if wanted in n.name.lower() or wanted in n.description.lower()]
    return Connection(ordered(found, arguments.get("orderBy"), LABEL_ORDERS), arguments)


@answers("Label.isDefault")
def label_is_default(of: Label, arguments: Asked, context: Context) -> bool:
    return False


@answers("Label.description")
def label_description(of: Label, arguments: Asked, context: Context) -> str | None:
    return of.description or None


@answers("Label.repository")
def label_repository(of: Label, arguments: Asked, context: Context) -> Repo:
    return context.store.get(Repo, of.repo)


@answers("Label.resourcePath")
def label_resource_path(of: Label, arguments: Asked, context: Context) -> str:
    return f"/{context.store.full_name(context.store.get(Repo, of.repo))}/labels/{of.name}"


@answers("Label.url")
def label_url(of: Label, arguments: Asked, context: Context) -> str:
    return f"https://github.com{label_resource_path(of, arguments, context)}"
