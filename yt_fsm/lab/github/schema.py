"""GitHub's published schema, cut to what the lab answers, and the checking of a request against it.

schema.graphql is made by scripts/prune-schema; additions.graphql holds what gh asks for and that schema lacks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    parse,
    specified_rules,
    validate,
)

# GitHub is laxer than the specification about fields that share a response key, and gh relies on it.
_RULES = [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]

# graphql-core's words for what a client gets wrong most often, and GitHub's.
_WORDS = [
    (
        r"Cannot query field '(?P<fieldName>\w+)' on type '(?P<typeName>\w+)'.*",
        "Field '{fieldName}' doesn't exist on type '{typeName}'",
        "undefinedField",
    ),
    (
        r"Unknown argument '(?P<argumentName>\w+)' on field '(?P<typeName>\w+)\.(?P<name>\w+)'.*",
        "Field '{name}' doesn't accept argument '{argumentName}'",
        "argumentNotAccepted",
    ),
    (
        r"Field '(?P<name>\w+)' argument '(?P<arguments>\w+)' of type '.*' is required.*",
        "Field '{name}' is missing required arguments: {arguments}",
        "missingRequiredArguments",
    ),
    (
        r"Unknown type '(?P<typeName>\w+)'.*",
        "No such type {typeName}, so it can't be a fragment condition",
        "undefinedType",
    ),
]


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """The schema, built once a process."""
    folder = Path(__file__).parent
    text = "".join((folder / name).read_text() for name in ("schema.graphql", "additions.graphql"))
    return build_schema(text, assume_valid=True, assume_valid_sdl=True)


@lru_cache(maxsize=512)
def read(query: str) -> tuple[DocumentNode | None, tuple[dict[str, Any], ...]]:
    """The parsed query and what GitHub would say is wrong with it; the document is None when it does not parse."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, ({"message": f"Parse error: {error.message}", "locations": _places(error)},)
    return document, tuple(_worded(error) for error in validate(schema(), document, _RULES))


def _worded(error: GraphQLError) -> dict[str, Any]:
    for pattern, words, code in _WORDS:
        if match := re.fullmatch(pattern, error.message, re.DOTALL):
            found = match.groupdict()
            message = words.format(**found)
            return {"message": message, "locations": _places(error), "extensions": {"code": code, **found}}
    return {"message": error.message, "locations": _places(error)}


def _places(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": place.line, "column": place.column} for place in error.locations or ()]
