"""The schema that ships: cut from GitHub's by the tool, with every query of the product within it."""

import subprocess
import sys
from pathlib import Path

import pytest
from graphql import validate_schema

from yt_fsm.lab.github import answers  # noqa: F401 (registers the resolvers)
from yt_fsm.lab.github.executor import RESOLVERS
from yt_fsm.lab.github.schema import read, schema

ROOT = Path(__file__).parents[3]
WHOLE = """
directive @requiredCapabilities(requiredCapabilities: [String!]) on FIELD_DEFINITION
"A root" type Query { "kept" viewer(size: Size, order: Order = {by: NAME}): User! gone: Gone }
type Mutation { rename(input: RenameInput!): RenamePayload other(input: RenameInput!): OtherPayload }
"A user" type User implements Node & Extra { id: ID! extra: Int login: String! gone: Gone }
interface Node { id: ID! }
interface Extra { extra: Int }
type Gone { id: ID! }
enum Size { SMALL LARGE }
enum Letter { NAME DATE }
input Order { by: Letter! then: Order }
input RenameInput { clientMutationId: String login: Login! }
scalar Login
type RenamePayload { clientMutationId: String user: User gone: Gone }
type OtherPayload { clientMutationId: String }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with the tool alone."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "yt_fsm" / "lab" / "github").mkdir(parents=True)
    (tmp_path / "scripts" / "prune-schema").write_text((ROOT / "scripts" / "prune-schema").read_text())
    (tmp_path / "whole.graphql").write_text(WHOLE)
    return tmp_path


def prune(folder: Path, kept: str) -> subprocess.CompletedProcess[str]:
    """Runs the tool."""
    (folder / "yt_fsm" / "lab" / "github" / "schema.kept").write_text(kept)
    argv = [sys.executable, str(folder / "scripts" / "prune-schema"), str(folder / "whole.graphql")]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_what_is_kept_brings_its_arguments_along_and_nothing_else(folder: Path) -> None:
    done = prune(folder, "Query: viewer\nMutation: rename\nUser: id login\nNode: id\n")
    assert done.returncode == 0, done.stderr
    text = (folder / "yt_fsm" / "lab" / "github" / "schema.graphql").read_text()
    for there in ("type User implements Node {", "input Order", "enum Letter", "scalar Login", "type RenamePayload"):
        assert there in text
    for gone in ("Gone", "Extra", "OtherPayload", "requiredCapabilities", '"A user"'):
        assert gone not in text


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ("Query: viewer", "Query.viewer is a User, which is not kept"),
        ("Query: nope", "Query has no nope"),
        ("Nope: id", "GitHub's schema has no type Nope"),
        ("Query: viewer\nUser: login\nNode: id", "User lacks its interfaces' id"),
    ],
)
def test_a_mistake_in_the_list_is_named(folder: Path, kept: str, words: str) -> None:
    done = prune(folder, kept + "\nMutation: rename\n")
    assert done.returncode == 1
    assert words in done.stderr


def test_the_shipped_schema_is_valid() -> None:
    assert validate_schema(schema()) == []


def test_every_registered_answer_belongs_to_a_field() -> None:
    known = {f"{name}.{field}" for name, kind in schema().type_map.items() for field in getattr(kind, "fields", {})}
    spare = {"Bot", "Mannequin", "IssueComment", "PullRequest", "Issue", "Organization", "User"}
    unknown = {name for name in RESOLVERS if name not in known and name.partition(".")[0] not in spare}
    assert unknown == set()


def test_every_mutation_of_the_schema_has_an_answer() -> None:
    mutation = schema().mutation_type
    assert mutation is not None
    assert [name for name in mutation.fields if f"Mutation.{name}" not in RESOLVERS] == []


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("yt_fsm/github/queries/*.graphql")))
def test_every_query_of_the_product_fits_the_schema(name: str) -> None:
    from yt_fsm.github.client import document

    assert read(document(name))[1] == ()
