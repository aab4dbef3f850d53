"""POST /graphql: reads the request, weighs it, carries it out, and words the answer as GitHub does."""

from __future__ import annotations

import json
import re
from typing import Any

from graphql import GraphQLError
from graphql.execution.values import get_variable_values
from graphql.language import ast, print_ast

from yt_fsm.lab.github import answers  # noqa: F401 (registers the resolvers)
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.cost import price
from yt_fsm.lab.github.errors import NOT_IMPLEMENTED
from yt_fsm.lab.github.exchange import Answer, Request, refusal
from yt_fsm.lab.github.executor import Execution
from yt_fsm.lab.github.limits import Limits
from yt_fsm.lab.github.schema import read, schema


def describe(request: Request) -> None:
    """Notes on the request what it is about: operation, names, variables, number of mutations."""
    request.kind = "query"
    request.names = ("POST /graphql",)
    try:
        given = json.loads(request.body)
        document, _ = read(given["query"])
        operation = _operation(document, given.get("operationName"))
    except (ValueError, KeyError, TypeError):
        return
    if document is None or operation is None:
        return
    roots = [n.name.value for n in operation.selection_set.selections if isinstance(n, ast.FieldNode)]
    request.kind = operation.operation.value
    request.operation = operation.name.value if operation.name else ",".join(roots)
    request.names = (request.operation, *roots, request.kind, "POST /graphql")
    request.variables = given.get("variables") or {}
    request.writes = len(roots) if request.kind == "mutation" else 0


def answer(request: Request, context: Context, limits: Limits) -> Answer:
    """Carries out one GraphQL request. Errors of the query are HTTP 200 with `errors`; a body that is none is 400."""
    try:
        given = json.loads(request.body)
    except ValueError:
        return refusal(400, "Problems parsing JSON")
    if not isinstance(given, dict) or not isinstance(given.get("query"), str):
        return refusal(400, "A query attribute must be specified and must be a string.")
    document, problems = read(given["query"])
    if problems or document is None:
        # GitHub's whole schema may have what ours lacks: it is refused in GitHub's words, and marked.
        lacking = [problem["message"] for problem in problems if "extensions" in problem]
        return Answer(200, {"errors": list(problems)}, not_implemented=lacking)
    operation = _operation(document, given.get("operationName"))
    if operation is None:
        return Answer(200, {"errors": [{"message": "An operation name is required"}]})
    raw = given.get("variables") or {}
    try:
        variables = get_variable_values(schema(), operation.variable_definitions or (), raw)
    except GraphQLError as error:
        variables = [error]
    if isinstance(variables, list):
        return Answer(200, {"errors": [_variable_error(error, operation, raw) for error in variables]})
    execution = Execution(schema(), document, operation, variables, context)
    weighed = price(execution, request.scopes)
    points = weighed.points
    if not limits.spend(request.login, "graphql", points):
        return rate_limited(request)
    if weighed.refusals:
        return Answer(200, {"errors": weighed.refusals}, cost=points)
    context.rate_limit = limits.shown(request.login, "graphql", points, weighed.nodes)
    done = Answer(200, execution.run(raw), cost=points)
    done.not_implemented = [error["message"] for error in execution.errors if error["type"] == NOT_IMPLEMENTED]
    return done


def rate_limited(request: Request, kind: str = "RATE_LIMITED") -> Answer:
    """The answer to a user who has no points left: HTTP 200."""
    number = request.viewer.database_id if request.viewer else 0
    message = f"API rate limit exceeded for user ID {number}."
    return Answer(200, {"errors": [{"type": kind, "message": message}]})


def _operation(document: Any, name: str | None) -> ast.OperationDefinitionNode | None:
    found = [d for d in document.definitions if isinstance(d, ast.OperationDefinitionNode)] if document else []
    if name:
        found = [d for d in found if d.name and d.name.value == name]
    return found[0] if len(found) == 1 else None


def _variable_error(error: GraphQLError, operation: ast.OperationDefinitionNode, raw: Any) -> dict[str, Any]:
    places = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    match = re.match(r"Variable '\$(\w+)'", error.message)
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if match and match[1] == name:
            value = raw.get(name)
            message = f"Variable ${name} of type {print_ast(definition.type)} was provided invalid value"
            problem = {"path": [], "explanation": error.message.partition("; ")[2] or error.message}
            extensions = {"value": value, "problems": [problem]}
            return {"message": message, "locations": places, "extensions": extensions}
    return {"message": error.message, "locations": places}
