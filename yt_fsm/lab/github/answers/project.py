"""Projects (v2): fields, options, cards and their values."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

from typing import Any

from yt_fsm.lab.github import roles
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection, nothing, ordered
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_found, not_implemented
from yt_fsm.lab.github.executor import RESOLVERS, TYPES, answers
from yt_fsm.lab.github.nodes import Draft, Field, Issue, Item, Option, Owner, Project, PullRequest, Repo

_FIELD_TYPES = {"SINGLE_SELECT": "ProjectV2SingleSelectField", "ITERATION": "ProjectV2IterationField"}

TYPES[Project] = lambda project: "ProjectV2"
TYPES[Item] = lambda item: "ProjectV2Item"
TYPES[Draft] = lambda draft: "DraftIssue"
TYPES[Field] = lambda of: _FIELD_TYPES.get(of.data_type, "ProjectV2Field")
TYPES[Option] = lambda option: "ProjectV2SingleSelectFieldOption"


def every_field(name: str) -> list[str]:
    """This field of every kind of project field."""
    return [f"{kind}.{name}" for kind in ("ProjectV2Field", "ProjectV2SingleSelectField", "ProjectV2IterationField")]


def _visible(context: Context, project: Project | None) -> bool:
    return project is not None and (project.public or roles.may_plan(context.store, project, context.viewer))


# -- finding --------------------------------------------------------------------------------------


@answers("User.projectV2", "Organization.projectV2")
def owner_project(owner: Owner, arguments: Asked, context: Context) -> Project:
    for project in context.load(context.nodes[owner.id].projects):
        if project.number == arguments["number"] and _visible(context, project):
            return project  # type: ignore[no-any-return]
    raise not_found(f"Could not resolve to a ProjectV2 with the number {arguments['number']}.")


@answers("Repository.projectV2")
def repo_project(repo: Repo, arguments: Asked, context: Context) -> Project:
    for project in _linked(repo, context):
        if project.number == arguments["number"]:
            return project
    raise not_found(f"Could not resolve to a ProjectV2 with the number {arguments['number']}.")


def _linked(repo: Repo, context: Context) -> list[Project]:
    projects = context.load(context.nodes[repo.owner].projects)
    return [p for p in projects if repo.id in p.repos and _visible(context, p)]


def listed(found: list[Project], arguments: Asked) -> Connection:
    """The projects that `query` finds (a title, is:open, is:closed), in order."""
    if arguments.get("minPermissionLevel") not in (None, "READ"):
        raise not_implemented(f"a minPermissionLevel of {arguments['minPermissionLevel']}")
    wanted = (arguments.get("query") or "").lower()
    for word in ("is:open", "is:closed"):
        if word in wanted:
            found = [p for p in found if p.closed == (word == "is:closed")]
            wanted = wanted.replace(word, "")
    wanted = wanted.strip().strip('"')
    found = [p for p in found if wanted in p.title.lower()]
    keys = {
        "NUMBER": lambda p: p.number, "TITLE": lambda p: p.title.lower(),
        "CREATED_AT": lambda p: p.database_id, "UPDATED_AT": lambda p: p.updated_at,
    }  # fmt: skip
    return Connection(ordered(found, arguments.get("orderBy"), keys, "DESC"), arguments)


@answers("User.projectsV2", "Organization.projectsV2")
def owner_projects(owner: Owner, arguments: Asked, context: Context) -> Connection:
    projects = context.load(context.nodes[owner.id].projects)
    return listed([p for p in projects if _visible(context, p)], arguments)


@answers("Repository.projectsV2")
def repo_projects(repo: Repo, arguments: Asked, context: Context) -> Connection:
    return listed(_linked(repo, context), arguments)


# -- the project ----------------------------------------------------------------------------------


@answers("ProjectV2.owner")
def owner_of(project: Project, arguments: Asked, context: Context) -> Any:
    return context.nodes[project.owner]


@answers("ProjectV2.creator", "ProjectV2Item.creator", "DraftIssue.creator")
def creator(node: Any, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(node.creator)


@answers("ProjectV2.fullDatabaseId", "ProjectV2Item.fullDatabaseId")
def full_database_id(node: Any, arguments: Asked, context: Context) -> str:
    return str(node.database_id)


@answers("ProjectV2.shortDescription")
def short_description(project: Project, arguments: Asked, context: Context) -> str | None:
    return project.description


@answers("ProjectV2.template")
def is_template(project: Project, arguments: Asked, context: Context) -> bool:
    return False


@answers("ProjectV2.resourcePath")
def resource_path(project: Project, arguments: Asked, context: Context) -> str:
    owner = context.nodes[project.owner]
    return f"/{'orgs' if owner.kind == 'Organization' else 'users'}/{owner.login}/projects/{project.number}"


@answers("ProjectV2.url")
def url(project: Project, arguments: Asked, context: Context) -> str:
    return f"https://github.com{resource_path(project, arguments, context)}"


@answers("ProjectV2.viewerCanUpdate", "ProjectV2.viewerCanClose", "ProjectV2.viewerCanReopen")
def viewer_can_update(project: Project, arguments: Asked, context: Context) -> bool:
    return roles.may_plan(context.store, project, context.viewer)


@answers("ProjectV2.repositories")
def repositories(project: Project, arguments: Asked, context: Context) -> Connection:
    keys = {"CREATED_AT": lambda repo: repo.database_id, "NAME": lambda repo: repo.name.lower()}
    return Connection(ordered(context.load(project.repos), arguments.get("orderBy"), keys, "DESC"), arguments)


RESOLVERS["ProjectV2.workflows"] = nothing


@answers("ProjectV2.field")
def field(project: Project, arguments: Asked, context: Context) -> Field | None:
    wanted = arguments["name"].lower()
    return next((f for f in context.load(project.fields) if f.name.lower() == wanted), None)


@answers("ProjectV2.fields")
def fields(project: Project, arguments: Asked, context: Context) -> Connection:
    keys = {"POSITION": lambda of: 0, "CREATED_AT": lambda of: of.database_id, "NAME": lambda of: of.name.lower()}
    return Connection(ordered(context.load(project.fields), arguments.get("orderBy"), keys), arguments)


@answers("ProjectV2.items")
def items(project: Project, arguments: Asked, context: Context) -> Connection:
    found = ordered(context.load(project.items), arguments.get("orderBy"), {"POSITION": lambda item: 0})
    return Connection(found, arguments)


@answers(*every_field("project"), "ProjectV2Item.project")
def project_of(node: Any, arguments: Asked, context: Context) -> Any:
    return context.nodes[node.project]


@answers("ProjectV2SingleSelectField.options")
def options(of: Field, arguments: Asked, context: Context) -> Any:
    wanted = arguments.get("names")
    return [o for o in of.options if not wanted or o.name in wanted]


@answers("ProjectV2SingleSelectFieldOption.nameHTML")
def name_html(option: Option, arguments: Asked, context: Context) -> str:
    return option.name


@answers("ProjectV2SingleSelectFieldOption.descriptionHTML")
def description_html(option: Option, arguments: Asked, context: Context) -> str:
    return option.description


# -- cards ----------------------------------------------------------------------------------------


@answers("ProjectV2Item.content")
def content(item: Item, arguments: Asked, context: Context) -> Any:
    return context.nodes.get(item.content)


@answers("ProjectV2Item.isArchived")
def is_archived(item: Item, arguments: Asked, context: Context) -> bool:
    return item.archived


@answers("ProjectV2Item.type")
def item_type(item: Item, arguments: Asked, context: Context) -> str:
    found = context.nodes.get(item.content)
    if isinstance(found, PullRequest):
        return "PULL_REQUEST"
    return "ISSUE" if isinstance(found, Issue) else "DRAFT_ISSUE"


@answers("DraftIssue.bodyText")
def draft_text(draft: Draft, arguments: Asked, context: Context) -> str:
    return draft.body


@answers("DraftIssue.assignees")
def draft_assignees(draft: Draft, arguments: Asked, context: Context) -> Connection:
    return Connection(context.load(draft.assignees), arguments)


@answers("ProjectV2Item.fieldValueByName")
def field_value_by_name(item: Item, arguments: Asked, context: Context) -> Any:
    wanted = arguments["name"].lower()
    for of in context.load(context.nodes[item.project].fields):
        if of.name.lower() == wanted:
            return value_of(item, of, context)
    return None


@answers("ProjectV2Item.fieldValues")
def field_values(item: Item, arguments: Asked, context: Context) -> Connection:
    found = [value_of(item, of, context) for of in context.load(context.nodes[item.project].fields)]
    by_position = ordered([v for v in found if v], arguments.get("orderBy"), {"POSITION": lambda value: 0})
    return Connection(by_position, arguments)


def value_of(item: Item, of: Field, context: Context) -> dict[str, Any] | None:
    """A card's value of a field as the schema's union has it; None when it has none."""
    kept = item.values.get(of.id)
    if kept is None:
        return _built_in(item, of, context)
    if "option" in kept:
        for option in of.options:
            if option.id == kept["option"]:
                more = {"name": option.name, "nameHTML": option.name, "optionId": option.id, "color": option.color,
                        "description": option.description, "descriptionHTML": option.description}  # fmt: skip
                return _value("SingleSelect", item, of, kept["at"], **more)
        return None
    kind = "Text" if "text" in kept else "Number" if "number" in kept else "Date"
    return _value(kind, item, of, kept["at"], **{k: v for k, v in kept.items() if k != "at"})


def _value(kind: str, item: Item, of: Field, at: str, **more: Any) -> dict[str, Any]:
    return {
        "__typename": f"ProjectV2ItemField{kind}Value", "id": f"PVTF{kind[0]}V_{item.database_id}_{of.database_id}",
        "databaseId": item.database_id, "createdAt": item.created_at, "updatedAt": at, "field": of, "item": item,
        "creator": item.creator, **more,
    }  # fmt: skip


def _built_in(item: Item, of: Field, context: Context) -> dict[str, Any] | None:
    """The values that come from the card's content: title, labels, assignees, repository."""
    found = context.nodes.get(item.content)
    if found is None:
        return None
    if of.data_type == "TITLE":
        return _value("Text", item, of, found.updated_at, text=found.title)
    if not isinstance(found, Issue):
        return None
    if of.data_type == "LABELS" and found.labels:
        return _value("Label", item, of, found.updated_at, labels=context.load(found.labels))
    if of.data_type == "ASSIGNEES" and found.assignees:
        return _value("User", item, of, found.updated_at, users=context.load(found.assignees))
    if of.data_type == "REPOSITORY":
        return _value("Repository", item, of, found.updated_at, repository=context.nodes[found.repo])
    return None


@answers(
    *(f"ProjectV2ItemField{kind}Value.creator" for kind in ("SingleSelect", "Text", "Number", "Date", "Iteration"))
)
def value_creator(value: dict[str, Any], arguments: Asked, context: Context) -> Any:
    return context.nodes.get(value["creator"])


@answers("ProjectV2ItemFieldLabelValue.labels")
def value_labels(value: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    return Connection(value["labels"], arguments)


@answers("ProjectV2ItemFieldUserValue.users")
def value_users(value: dict[str, Any], arguments: Asked, context: Context) -> Connection:
    return Connection(value["users"], arguments)
