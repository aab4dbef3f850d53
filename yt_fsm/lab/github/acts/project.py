"""Acts on projects: fields, options, cards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from yt_fsm.lab.github.errors import GitHubError, forbidden
from yt_fsm.lab.github.nodes import Draft, Field, Issue, Item, Owner, Project
from yt_fsm.lab.github.roles import require_plan
from yt_fsm.lab.github.store import Store


def create_project(store: Store, who: Owner, home: Owner, title: str) -> Project:
    """Makes a project: for oneself, or for an organization that one is a member of."""
    if home.id != who.id and who.login not in home.members:
        raise forbidden(f"{who.login} does not have permission to create projects on the owner {home.login}")
    if not title.strip():
        raise GitHubError("Title can't be blank")
    return store.add_project(home, title, who.id)


def edit_project(store: Store, who: Owner, project: Project, act: str = "UpdateProjectV2", **changes: Any) -> Project:
    """Changes a project's title, texts, visibility, state, repositories."""
    require_plan(store, project, who, act)
    if "closed" in changes:
        changes["closed_at"] = store.now() if changes["closed"] else None
    return store.edit(project, **changes)


def delete_project(store: Store, who: Owner, project: Project) -> None:
    """Removes a project with its cards and fields."""
    require_plan(store, project, who, "DeleteProjectV2")
    for key in project.items:
        delete_item(store, who, store.get(Item, key))
    home = store.get(Owner, project.owner)
    store.edit(home, projects=tuple(key for key in home.projects if key != project.id))
    store.drop(project.id, *project.fields)


def create_field(
    store: Store, who: Owner, project: Project, name: str, data_type: str, options: list[tuple[str, str, str]]
) -> Field:
    """Makes a field; a name that the project has already is GitHub's validation error."""
    require_plan(store, project, who, "CreateProjectV2Field")
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
    require_plan(store, project, who, "UpdateProjectV2Field")
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
    require_plan(store, project, who, "DeleteProjectV2Field")
    store.edit(project, fields=tuple(key for key in project.fields if key != of.id))
    store.drop(of.id)


def add_item(store: Store, who: Owner, project: Project, content: Any) -> Item:
    """Puts an issue or a pull request on a project; the card that is there already when there is one."""
    require_plan(store, project, who, "AddProjectV2ItemById")
    if not isinstance(content, Issue):
        raise GitHubError("Content must be an issue or a pull request")
    return store.add_item(project, content, who)


def add_draft(store: Store, who: Owner, project: Project, title: str, body: str) -> Item:
    """Puts a draft issue on a project."""
    require_plan(store, project, who, "AddProjectV2DraftIssue")
    home = store.get(Owner, project.owner)
    draft = Draft(**store.stamp("DI", home.database_id), title=title, body=body, creator=who.id)
    store.put(draft)
    return store.add_item(project, draft, who)


def delete_item(store: Store, who: Owner, item: Item, checked: bool = False) -> None:
    """Takes a card off its project."""
    project = store.get(Project, item.project)
    if not checked:
        require_plan(store, project, who, "DeleteProjectV2Item")
    store.put(replace(project, items=tuple(key for key in project.items if key != item.id)))
    content = store.nodes.get(item.content)
    if isinstance(content, Issue):
        store.put(replace(content, items=tuple(key for key in content.items if key != item.id)))
    store.drop(item.id)


def unarchived(item: Item) -> Item:
    """The card. Raises GitHub's refusal when it was archived."""
    if item.archived:
        raise GitHubError("The item is archived and cannot be updated")
    return item


def archive(store: Store, who: Owner, item: Item, archived: bool, checked: bool = False) -> Item:
    """Puts a card into the project's archive, or takes it out; who may, unless that is `checked`."""
    if not checked:
        act = "ArchiveProjectV2Item" if archived else "UnarchiveProjectV2Item"
        require_plan(store, store.get(Project, item.project), who, act)
    return store.edit(item, archived=archived)


def set_value(store: Store, who: Owner, item: Item, of: Field, value: dict[str, Any]) -> Item:
    """Sets a card's value of a field: `value` is the mutation's (singleSelectOptionId, text, number, date)."""
    project = store.get(Project, item.project)
    require_plan(store, project, who, "UpdateProjectV2ItemFieldValue")
    unarchived(item)
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
    require_plan(store, store.get(Project, item.project), who, "ClearProjectV2ItemFieldValue")
    unarchived(item)
    return store.set_value(item, of, None)
