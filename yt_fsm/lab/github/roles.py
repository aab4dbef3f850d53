"""Who may do what: roles in repositories, membership, and the association that comments show."""

from __future__ import annotations

from yt_fsm.lab.github.errors import GitHubError, forbidden
from yt_fsm.lab.github.nodes import Owner, Project, Repo
from yt_fsm.lab.github.store import Store

RANK = {None: 0, "READ": 1, "TRIAGE": 2, "WRITE": 3, "MAINTAIN": 4, "ADMIN": 5}

ASSOCIATIONS = ("OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR", "FIRST_TIMER", "MANNEQUIN",
                "NONE")  # fmt: skip


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
    """The authorAssociation of somebody's comments in a repository: what the lab was told, else what follows."""
    if who.login in repo.associations:
        return repo.associations[who.login]
    if who.kind == "Bot":
        return "NONE"
    home = store.nodes[repo.owner]
    if home.id == who.id:
        return "OWNER"
    if who.login in home.members:
        return "MEMBER"
    if who.login in repo.roles:
        return "COLLABORATOR"
    merged = (store.nodes[key] for key in repo.pulls if key in store.nodes)
    return "CONTRIBUTOR" if any(p.merged_at and p.author == who.id for p in merged) else "NONE"


def require(store: Store, repo: Repo, who: Owner, role: str, act: str) -> None:
    """Raises GitHub's FORBIDDEN when somebody lacks the role for an act, which is named as the mutation."""
    if RANK[permission(store, repo, who)] < RANK[role]:
        raise _refused(who, act)


def require_plan(store: Store, project: Project, who: Owner, act: str) -> None:
    """Raises GitHub's FORBIDDEN when somebody may not change a project."""
    if not may_plan(store, project, who):
        raise _refused(who, act)


def _refused(who: Owner, act: str) -> GitHubError:
    if who.kind == "Bot":
        return forbidden("Resource not accessible by integration")
    return forbidden(f"{who.login} does not have the correct permissions to execute `{act}`")
