"""GraphQL as GitHub answers it: paging, cost, scopes, permissions, errors, mutations."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yt_fsm.lab.github import executor
from yt_fsm.lab.github.connections import Connection
from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.nodes import Node
from yt_fsm.lab.github.schema import schema

HOME = 'owner: "yieldthought", name: "ttnn_models"'
POLL = """
query Poll($label: String!, $first: Int!, $after: String) {
  repository(owner: "yieldthought", name: "ttnn_models") {
    issues(first: $first, after: $after, states: OPEN, labels: [$label], orderBy: {field: CREATED_AT, direction: ASC}) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes {
        id number title body createdAt author { login }
        labels(first: 20) { nodes { name } }
        projectItems(first: 10) { nodes { id project { id number } fieldValueByName(name: "Status") {
          ... on ProjectV2ItemFieldSingleSelectValue { name optionId } } } }
        comments(last: 10) { totalCount nodes {
          databaseId id createdAt lastEditedAt authorAssociation author { login } body } }
      }
    }
  }
  rateLimit { cost remaining resetAt }
}"""


def error(answer: Any) -> Any:
    """The one error of an answer."""
    assert len(answer["errors"]) == 1, answer
    return answer["errors"][0]


def test_a_poll_has_all_that_a_worker_looks_at_and_costs_one_point(lab: Any) -> None:
    first = lab.seed("Oldest", body="hf_model_id: a/b")
    lab.seed("Other machine", labels=["lb"])
    second = lab.seed("Newer")
    lab.act("comment", issue=first, body="[yt-claim]\nrun_id: x", by="yt-bot")
    data = lab.data(POLL, label="n300", first=49)
    issues = data["repository"]["issues"]
    assert [one["number"] for one in issues["nodes"]] == [first, second]
    assert issues["totalCount"] == 2
    oldest = issues["nodes"][0]
    assert oldest["author"] == {"login": "yt-operator"}
    assert oldest["projectItems"]["nodes"][0]["fieldValueByName"]["name"] == "ready"
    comment = oldest["comments"]["nodes"][0]
    assert (comment["author"]["login"], comment["authorAssociation"]) == ("yt-bot", "MEMBER")
    assert comment["lastEditedAt"] is None
    assert data["rateLimit"]["cost"] == 1


@pytest.mark.parametrize(("first", "points"), [(1, 1), (49, 1), (50, 2), (100, 3)])
def test_points_are_the_requests_that_fill_every_connection_by_a_hundred(lab: Any, first: int, points: int) -> None:
    before = lab.data("{rateLimit {remaining}}")["rateLimit"]["remaining"]
    data = lab.data(POLL, label="n300", first=first)
    assert data["rateLimit"]["cost"] == points
    assert data["rateLimit"]["remaining"] == before - points
    assert lab.state()["requests"][-1]["cost"] == points


def test_the_hourly_limit_holds_and_is_a_200(lab: Any) -> None:
    lab.http("POST", "/_lab/limits", {"points": 3})
    for _ in range(3):
        lab.data("{viewer {login}}")
    reply = lab.http("POST", "/graphql", {"query": "{viewer {login}}"})
    assert (reply.status, error(reply.body)["type"]) == (200, "RATE_LIMITED")
    assert reply.headers["x-ratelimit-remaining"] == "0"
    lab.http("POST", "/_lab/clock", {"offset": 3601})
    lab.data("{viewer {login}}")


def test_the_secondary_limit_stops_writes_only(lab: Any) -> None:
    number = lab.seed()
    lab.http("POST", "/_lab/limits", {"writes_a_minute": 2})
    path = f"/repos/yieldthought/ttnn_models/issues/{number}/comments"
    statuses = [lab.http("POST", path, {"body": "x"}).status for _ in range(3)]
    assert statuses == [201, 201, 403]
    reply = lab.http("POST", path, {"body": "x"})
    assert "secondary rate limit" in reply.body["message"]
    assert reply.headers["retry-after"] == "60"
    assert len(lab.http("GET", path).body) == 2


@settings(max_examples=60)
@given(
    size=st.integers(0, 30),
    page=st.integers(1, 7),
    backwards=st.booleans(),
)
def test_pages_of_any_size_either_way_show_everything_once(size: int, page: int, backwards: bool) -> None:
    whole = [Node(str(n), 1000 + n, "", "") for n in range(size)]
    seen: list[Any] = []
    cursor = None
    for _ in range(size + 1):
        arguments = {"last": page, "before": cursor} if backwards else {"first": page, "after": cursor}
        connection = Connection(whole, arguments)
        seen = [*connection.nodes, *seen] if backwards else [*seen, *connection.nodes]
        info = connection.page_info
        if not info["hasPreviousPage" if backwards else "hasNextPage"]:
            break
        cursor = info["startCursor" if backwards else "endCursor"]
    assert seen == whole


@settings(max_examples=60)
@given(data=st.data(), size=st.integers(2, 20), page=st.integers(1, 5))
def test_a_deletion_between_two_pages_hides_nothing_else(data: Any, size: int, page: int) -> None:
    whole = [Node(str(n), 1000 + n, "", "") for n in range(size)]
    first = Connection(whole, {"first": page})
    gone = data.draw(st.sampled_from(whole))
    left = [one for one in whole if one is not gone]
    second = Connection(left, {"first": size, "after": first.page_info["endCursor"]})
    assert set(first.nodes) | set(second.nodes) | {gone} == set(whole)


def test_a_cursor_that_is_none_is_refused() -> None:
    with pytest.raises(GitHubError, match="does not appear to be a valid cursor"):
        Connection([], {"first": 1, "after": "abc"})


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ("", "MISSING_PAGINATION_BOUNDARIES", "You must provide a `first` or `last` value"),
        ("first: 101", "EXCESSIVE_PAGINATION", "Requesting 101 records on the `issues` connection exceeds"),
        ("last: -1", "INVALID_PAGINATION_BOUNDARIES", "cannot be less than zero"),
    ],
)
def test_connections_want_a_bound_of_a_hundred_at_most(lab: Any, arguments: str, kind: str, words: str) -> None:
    brackets = f"({arguments})" if arguments else ""
    answer = lab.query(f"{{repository({HOME}) {{issues{brackets} {{nodes {{number}}}}}}}}")
    assert error(answer)["type"] == kind
    assert words in error(answer)["message"]
    assert error(answer)["path"] == ["repository", "issues"]
    assert answer["data"] == {"repository": None}


def test_a_count_needs_no_bound(lab: Any) -> None:
    lab.seed()
    assert lab.data(f"{{repository({HOME}) {{issues {{totalCount}}}}}}")["repository"]["issues"]["totalCount"] == 1


def test_a_request_for_too_many_nodes_is_refused(lab: Any) -> None:
    inner = (
        "issues(first: 100) {nodes {comments(first: 100) {nodes {reactionGroups {users(first: 100) {totalCount}}}}}}"
    )
    answer = lab.query(f"{{repository({HOME}) {{{inner}}}}}")
    assert error(answer)["type"] == "MAX_NODE_LIMIT_EXCEEDED"


def test_an_unknown_field_is_named_as_github_names_it(lab: Any) -> None:
    found = error(lab.query("{viewer {nope}}"))
    assert found["message"] == "Field 'nope' doesn't exist on type 'User'"
    assert found["extensions"]["code"] == "undefinedField"
    assert found["locations"] == [{"line": 1, "column": 10}]


def test_a_variable_of_the_wrong_type_is_named(lab: Any) -> None:
    query = f"query($n: Int!) {{repository({HOME}) {{issue(number: $n) {{id}}}}}}"
    found = error(lab.query(query, n="1"))
    assert found["message"] == "Variable $n of type Int! was provided invalid value"
    assert found["extensions"]["value"] == "1"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('{repository(owner: "a", name: "b") {id}}', "Could not resolve to a Repository with the name 'a/b'."),
        (
            f"{{repository({HOME}) {{issue(number: 99) {{id}}}}}}",
            "Could not resolve to an Issue with the number of 99.",
        ),
        ('{organization(login: "yieldthought") {projectV2(number: 9) {id}}}', "to a ProjectV2 with the number 9."),
        ('{user(login: "nobody") {id}}', "Could not resolve to a User with the login of 'nobody'."),
        ('{node(id: "I_x") {id}}', "Could not resolve to a node with the global id of 'I_x'"),
    ],
)
def test_what_is_not_there_is_not_found(lab: Any, query: str, words: str) -> None:
    found = error(lab.query(query))
    assert found["type"] == "NOT_FOUND"
    assert words in found["message"]


def test_without_the_project_scope_a_query_says_which_one_is_missing(lab: Any) -> None:
    lab.act(
        "add_user", login="narrow", token="ghp_narrow", scopes=["repo", "read:org"], org="yieldthought", role="write"
    )
    found = lab.query('{organization(login: "yieldthought") {projectV2(number: 1) {title}}}', token="ghp_narrow")
    assert "data" not in found
    assert found["errors"][0]["type"] == "INSUFFICIENT_SCOPES"
    assert found["errors"][0]["message"].startswith(
        "Your token has not been granted the required scopes to execute this query. The 'projectV2' field requires one "
        "of the following scopes: ['read:project'], but your token has only been granted the: ['read:org', 'repo'] "
    )
    done = lab.gh("project", "list", "--owner", "yieldthought", token="ghp_narrow")
    assert done.returncode == 1
    assert "missing required scopes [read:project]" in done.stderr


def test_a_stranger_may_comment_but_not_label_merge_or_plan(lab: Any) -> None:
    number = lab.seed()
    lab.act("add_user", login="stranger", token="ghp_stranger")
    issue = lab.issue_id(number)
    label = lab.store.home()[0].labels[0]
    said = lab.query(
        "mutation($s: ID!) {addComment(input: {subjectId: $s, body: \"hi\"}) {commentEdge {node {authorAssociation}}}}",
        token="ghp_stranger", s=issue,
    )  # fmt: skip
    assert said["data"]["addComment"]["commentEdge"]["node"]["authorAssociation"] == "NONE"
    refused = lab.query(
        "mutation($s: ID!, $l: ID!) {addLabelsToLabelable(input: {labelableId: $s, labelIds: [$l]}) "
        "{clientMutationId}}",
        token="ghp_stranger", s=issue, l=label,
    )  # fmt: skip
    assert error(refused)["type"] == "FORBIDDEN"
    assert error(refused)["message"].startswith("stranger does not have the correct permissions")
    hidden = lab.query('{organization(login: "yieldthought") {projectV2(number: 1) {id}}}', token="ghp_stranger")
    assert error(hidden)["type"] == "NOT_FOUND"
    project = lab.store.home()[1].id
    assert (
        error(lab.query("query($p: ID!) {node(id: $p) {id}}", token="ghp_stranger", p=project))["type"] == "NOT_FOUND"
    )


def test_author_associations_tell_members_collaborators_and_strangers_apart(lab: Any) -> None:
    number = lab.seed()
    lab.act("add_user", login="colleague", role="triage")
    lab.act("add_user", login="passer-by")
    for login in ("yt-bot", "yt-operator", "colleague", "passer-by"):
        lab.act("comment", issue=number, body="hi", by=login)
    nodes = lab.data(
        f"{{repository({HOME}) {{issue(number: {number}) {{comments(first: 9) {{nodes {{authorAssociation}}}}}}}}}}"
    )["repository"]["issue"]["comments"]["nodes"]
    assert [one["authorAssociation"] for one in nodes] == ["MEMBER", "MEMBER", "COLLABORATOR", "NONE"]


def test_a_comment_comes_back_in_the_request_that_posts_it(lab: Any) -> None:
    number = lab.seed()
    data = lab.data(
        """mutation($s: ID!) {addComment(input: {subjectId: $s, body: "[yt-claim]", clientMutationId: "m"}) {
            clientMutationId commentEdge {cursor node {databaseId createdAt}}
            subject {... on Issue {comments(last: 10) {totalCount nodes {databaseId}}}}}}""",
        s=lab.issue_id(number),
    )["addComment"]
    made = data["commentEdge"]["node"]
    assert data["clientMutationId"] == "m"
    assert data["subject"]["comments"] == {"totalCount": 1, "nodes": [{"databaseId": made["databaseId"]}]}
    assert lab.issue(number)["comments"][0]["id"] == made["databaseId"]


def test_comments_are_edited_and_deleted_by_id(lab: Any) -> None:
    number = lab.seed()
    ids = [lab.act("comment", issue=number, body=f"c{n}", by="yt-bot")["id"] for n in range(3)]
    keys = lab.store.numbered(lab.store.home()[0], number).comments
    edited = lab.data(
        'mutation($id: ID!) {updateIssueComment(input: {id: $id, body: "new"}) {issueComment {body lastEditedAt}}}',
        id=keys[1],
    )["updateIssueComment"]["issueComment"]
    assert edited["body"] == "new"
    assert edited["lastEditedAt"] is not None
    lab.data("mutation($id: ID!) {deleteIssueComment(input: {id: $id}) {clientMutationId}}", id=keys[0])
    assert [(one["id"], one["body"]) for one in lab.issue(number)["comments"]] == [(ids[1], "new"), (ids[2], "c2")]
    gone = lab.query("mutation($id: ID!) {deleteIssueComment(input: {id: $id}) {clientMutationId}}", id=keys[0])
    assert error(gone)["type"] == "NOT_FOUND"


def test_aliased_mutations_run_in_order_and_each_for_itself(lab: Any) -> None:
    number = lab.seed()
    answer = lab.query(
        """mutation($s: ID!) {
            a: addComment(input: {subjectId: $s, body: "one"}) {clientMutationId}
            b: addComment(input: {subjectId: $s, body: " "}) {clientMutationId}
            c: addComment(input: {subjectId: $s, body: "three"}) {clientMutationId}}""",
        s=lab.issue_id(number),
    )
    assert answer["data"]["b"] is None
    assert error(answer)["path"] == ["b"]
    assert [one["body"] for one in lab.issue(number)["comments"]] == ["one", "three"]


FIELD = """query {organization(login: "yieldthought") {projectV2(number: 1) {id field(name: "Status") {
    ... on ProjectV2SingleSelectField {id options {id name}}}}}}"""
SET = """mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {
    projectId: $p, itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {projectV2Item {
    fieldValueByName(name: "Status") {... on ProjectV2ItemFieldSingleSelectValue {name}}}}}"""


def board(lab: Any) -> Any:
    """Project id, field id and option ids by name."""
    project = lab.data(FIELD)["organization"]["projectV2"]
    return project["id"], project["field"]["id"], {o["name"]: o["id"] for o in project["field"]["options"]}


def card(lab: Any, number: int) -> str:
    """The issue's card."""
    return str(lab.store.nodes[lab.issue_id(number)].items[0])


def test_a_card_moves_and_the_payload_says_where(lab: Any) -> None:
    number = lab.seed()
    project, field, options = board(lab)
    data = lab.data(SET, p=project, i=card(lab, number), f=field, o=options["in progress"])
    assert data["updateProjectV2ItemFieldValue"]["projectV2Item"]["fieldValueByName"] == {"name": "in progress"}
    assert lab.issue(number)["status"] == "in progress"


def test_changing_a_fields_options_gives_every_option_a_new_id(lab: Any) -> None:
    number = lab.seed()
    project, field, options = board(lab)
    new = [{"name": name, "color": "GRAY", "description": ""} for name in [*options, "parked"]]
    lab.data(
        "mutation($f: ID!, $o: [ProjectV2SingleSelectFieldOptionInput!]) {updateProjectV2Field(input: {fieldId: $f, "
        "singleSelectOptions: $o}) {projectV2Field {... on ProjectV2SingleSelectField {options {id}}}}}",
        f=field, o=new,
    )  # fmt: skip
    found = error(lab.query(SET, p=project, i=card(lab, number), f=field, o=options["done"]))
    assert found["message"] == "The single select option Id does not belong to the field"
    assert set(board(lab)[2].values()).isdisjoint(options.values())
    assert lab.issue(number)["status"] is None


def test_every_answer_carries_the_servers_clock(lab: Any) -> None:
    lab.http("POST", "/_lab/clock", {"offset": 7200})
    number = lab.seed()
    reply = lab.http("POST", "/graphql", {"query": "{viewer {login}}"})
    made = lab.data(f"{{repository({HOME}) {{issue(number: {number}) {{createdAt}}}}}}")["repository"]["issue"]
    from datetime import datetime, timedelta, timezone
    from email.utils import parsedate_to_datetime

    now = datetime.now(timezone.utc)
    assert parsedate_to_datetime(reply.headers["date"]) - now > timedelta(hours=1, minutes=59)
    assert datetime.fromisoformat(made["createdAt"].replace("Z", "+00:00")) - now > timedelta(hours=1, minutes=59)


def test_introspection_tells_gh_which_fields_there_are(lab: Any) -> None:
    data = lab.data('{Issue: __type(name: "Issue") {fields(includeDeprecated: true) {name}} viewer {login}}')
    assert {"name": "stateReason"} in data["Issue"]["fields"]
    assert data["viewer"] == {"login": "yt-bot"}


def test_fragments_directives_and_aliases_mean_what_they_mean(lab: Any) -> None:
    number = lab.seed()
    data = lab.data(
        f"""query($yes: Boolean!, $no: Boolean!) {{repository({HOME}) {{
            one: issueOrPullRequest(number: {number}) {{__typename ...F ... on PullRequest {{merged}}}}}}}}
        fragment F on Issue {{number @include(if: $yes) title @skip(if: $yes) state @include(if: $no)}}""",
        yes=True, no=False,
    )  # fmt: skip
    assert data == {"repository": {"one": {"__typename": "Issue", "number": number}}}


def test_every_field_of_the_schema_that_needs_no_argument_has_an_answer(lab: Any) -> None:
    """Walks every type of which the lab has an object and asks it for all it has: no field may break the server."""
    issue = lab.seed("Bring up a/b")
    lab.push("work", {"a": "a\n"})
    number = lab.pull("work", body=f"Closes #{issue}")
    lab.act("set_check", issue=number, check="unit", state="success")
    lab.act("set_check", issue=number, check="pytest", state="success", workflow="CI")
    for one in (issue, number):
        lab.act("comment", issue=one, body="hello")
    lab.act("add_label", issue=number, label="n300")
    lab.act("move_card", issue=number, status="in review")
    types = schema().type_map

    def selection(name: str, depth: int) -> str:
        fields = []
        for field, definition in getattr(types[name], "fields", {}).items():
            if any(a.type.__class__.__name__ == "GraphQLNonNull" for a in definition.args.values()):
                continue
            kind = definition.type
            while hasattr(kind, "of_type"):
                kind = kind.of_type
            inner = ""
            if hasattr(kind, "fields") or hasattr(kind, "types"):
                if depth == 0:
                    continue
                members = schema().get_possible_types(kind) if hasattr(kind, "types") else [kind]
                parts = [f"... on {m.name} {{ __typename {selection(m.name, depth - 1)} }}" for m in members]
                inner = f"{{ __typename {' '.join(parts)} }}"
            bound = "(first: 2)" if "first" in definition.args else ""
            fields.append(f"{field}{bound}{inner}")
        return " ".join(fields)

    objects: dict[str, str] = {}
    for key, node in lab.store.nodes.items():
        objects.setdefault(executor.typename(node), key)
    assert {"Issue", "PullRequest", "ProjectV2", "ProjectV2Item", "Repository", "User", "CheckRun"} <= set(objects)
    for name, key in objects.items():
        depth = 1 if name in ("Repository", "Organization", "User", "PullRequest", "Issue", "ProjectV2") else 2
        answer = lab.query(
            f"query($id: ID!) {{node(id: $id) {{... on {name} {{ {selection(name, depth)} }}}}}}", id=key
        )
        assert "errors" not in answer, (name, json.dumps(answer["errors"])[:600])
        assert answer["data"]["node"], name
