"""What a GraphQL request costs by GitHub's documented formula, and what its token's scopes don't allow.

Points: the requests that it takes to fill every connection, assuming each is as long as `first` or `last` says,
divided by 100 and rounded, at least 1. A request may ask for 500,000 nodes at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type
from graphql.execution.values import get_argument_values
from graphql.language import ast

from yt_fsm.lab.github.executor import Execution

MOST_NODES = 500_000

# What each scope brings along.
_IMPLIED = {
    "repo": {"public_repo", "repo:status"}, "project": {"read:project"}, "admin:org": {"write:org", "read:org"},
    "write:org": {"read:org"}, "user": {"read:user", "user:email"},
}  # fmt: skip
_ORGANIZATION_FIELDS = {"organizations", "membersWithRole", "teams", "team"}


@dataclass
class Price:
    """Points and nodes of one request, and the errors that refuse it as a whole."""

    requests: int = 0
    nodes: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def points(self) -> int:
        """Points of the hourly limit."""
        return max(1, round(self.requests / 100))


def granted(scopes: tuple[str, ...]) -> set[str]:
    """The scopes and all that they bring along."""
    found = set(scopes)
    for _ in range(2):
        found |= {more for scope in found for more in _IMPLIED.get(scope, ())}
    return found


def price(execution: Execution, scopes: tuple[str, ...]) -> Price:
    """Walks the operation once, without any object, and adds it up."""
    found = Price()
    walk = _Walk(execution, scopes, found)
    mutation = execution.operation.operation.value == "mutation"
    root = execution.schema.mutation_type if mutation else execution.schema.query_type
    walk.selections(root, execution.operation.selection_set, 1, mutation)
    if found.nodes > MOST_NODES:
        message = f"This query requests up to {found.nodes:,} possible nodes which exceeds the maximum limit of "
        message += f"{MOST_NODES:,}."
        found.refusals.append({"type": "MAX_NODE_LIMIT_EXCEEDED", "message": message})
    return found


def _plans(kind: str) -> bool:
    return kind.startswith("ProjectV2")


class _Walk:
    def __init__(self, execution: Execution, scopes: tuple[str, ...], found: Price) -> None:
        self.execution = execution
        self.scopes = scopes
        self.granted = granted(scopes)
        self.found = found

    def selections(self, parent: Any, selections: ast.SelectionSetNode, times: int, mutation: bool = False) -> None:
        for node in selections.selections:
            if not self.execution.included(node):
                continue
            if isinstance(node, ast.FieldNode):
                if not node.name.value.startswith("__"):
                    self.field(parent, node, times, mutation)
                continue
            fragment: Any = node
            if isinstance(node, ast.FragmentSpreadNode):
                fragment = self.execution.fragments[node.name.value]
            condition = fragment.type_condition
            kind = self.execution.schema.type_map[condition.name.value] if condition else parent
            self.selections(kind, fragment.selection_set, times, mutation)

    def field(self, parent: Any, node: ast.FieldNode, times: int, mutation: bool) -> None:
        name = node.name.value
        definition = parent.fields[name]
        kind = get_named_type(definition.type)
        self.require(parent.name, name, kind.name, node, mutation)
        if node.selection_set is None or not isinstance(
            kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
        ):
            return
        if kind.name.endswith("Connection"):
            arguments = get_argument_values(definition, node, self.execution.variables)
            size = arguments.get("first") or arguments.get("last") or 0
            self.found.requests += times
            self.found.nodes += times * size
            times *= max(1, size)
        self.selections(kind, node.selection_set, times)

    def require(self, parent: str, name: str, kind: str, node: ast.FieldNode, mutation: bool) -> None:
        """Notes the refusal when the token lacks every scope that would do."""
        if mutation:
            wanted = ["project"] if "ProjectV2" in kind else ["public_repo"]
        elif name in _ORGANIZATION_FIELDS and parent in ("User", "Organization"):
            wanted = ["read:org"]
        elif _plans(kind) or (_plans(parent) and name != "id"):
            wanted = ["read:project"]
        else:
            return
        if not self.granted.isdisjoint(wanted):
            return
        place = node.loc.start_token if node.loc else None
        message = (
            "Your token has not been granted the required scopes to execute this query. "
            f"The '{name}' field requires one of the following scopes: {wanted!r}, "
            f"but your token has only been granted the: {sorted(self.scopes)!r} scopes. "
            "Please modify your token's scopes at: https://github.com/settings/tokens."
        )
        locations = [{"line": place.line, "column": place.column}] if place else []
        self.found.refusals.append({"type": "INSUFFICIENT_SCOPES", "locations": locations, "message": message})
