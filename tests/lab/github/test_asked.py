"""Nothing that a client asks for is dropped: an argument, a filter, an order is honoured, or refused by its name."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    get_named_type,
)

from yt_fsm.lab.github import acts, graphql, person
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.exchange import Request
from yt_fsm.lab.github.nodes import Issue, PullRequest
from yt_fsm.lab.github.schema import schema
from yt_fsm.lab.github.server import GitHubServer
from yt_fsm.lab.github.store import TOKEN

REPO = "yieldthought/ttnn_models"
PAGING = {"first", "last", "after", "before"}
HOME = 'repository(owner: "yieldthought", name: "ttnn_models") {%s}'
# How an object of each type that the lab hands out is reached; types that are not here it never hands out.
WAYS = {
    "Query": "%s",
    "User": "viewer {%s}",
    "Organization": 'organization(login: "yieldthought") {%s}',
    "Repository": HOME,
    "Issue": HOME % "issue(number: 1) {%s}",
    "PullRequest": HOME % "pullRequest(number: 3) {%s}",
    "Label": HOME % 'label(name: "n300") {%s}',
    "Ref": HOME % 'ref(qualifiedName: "refs/heads/work") {%s}',
    "Commit": HOME % 'object(expression: "work") {... on Commit {%s}}',
    "GitActor": HOME % 'object(expression: "work") {... on Commit {author {%s}}}',
    "StatusContext": HOME % "pullRequest(number: 3) {statusCheckRollup {contexts(first: 1) "
    "{nodes {... on StatusContext {%s}}}}}",
    "CheckRun": HOME % "pullRequest(number: 3) {statusCheckRollup {contexts(last: 1) {nodes {... on CheckRun {%s}}}}}",
    "ProjectV2": 'organization(login: "yieldthought") {projectV2(number: 1) {%s}}',
    "ProjectV2Item": HOME % "issue(number: 1) {projectItems(first: 1) {nodes {%s}}}",
    "ProjectV2SingleSelectField": 'organization(login: "yieldthought") {projectV2(number: 1) {field(name: "Status") '
    "{... on ProjectV2SingleSelectField {%s}}}}",
    "Bot": HOME % "issue(number: 2) {author {... on Bot {%s}}}",
}  # fmt: skip
UNREACHED = {"App", "IssueTemplate", "Mannequin", "ProjectV2ItemFieldPullRequestValue", "Team"}
# Read, and the same whatever they say: there is nothing here that they would change, or they name what there is not.
THE_SAME = {
    "Query.repository.followRenames", "User.repository.followRenames",
    "Organization.repository.followRenames", "Repository.suggestedActors.capabilities",
    "CheckRun.isRequired.pullRequestNumber", "StatusContext.isRequired.pullRequestNumber",
    "CheckRun.isRequired.pullRequestId", "StatusContext.isRequired.pullRequestId",
    "Issue.closedByPullRequestsReferences.orderByState", "Repository.object.oid",
}  # fmt: skip
# Of what the lab has nothing, nothing can be left out.
NOTHING = {
    "Issue.blockedBy", "Issue.blocking", "Issue.projectCards", "PullRequest.projectCards", "PullRequest.reviews",
    "Organization.projects", "User.projects", "Organization.teams", "Organization.team", "Repository.forks",
    "Repository.languages", "Repository.milestone", "Repository.milestones", "Repository.projects",
    "ProjectV2.workflows",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A GitHub in which every filter and order that is honoured makes a difference."""
    clock = itertools.count(1_800_000_000)
    server = GitHubServer(tmp_path_factory.mktemp("github"), lambda: float(next(clock)))
    store = server.store
    store.bootstrap()
    repo, project = store.home()
    bot = store.owner("yt-bot")
    assert bot is not None
    assert project is not None
    app = store.owner(person.act(store, {"do": "add_app", "login": "yt-app"})["login"])
    store.add_repo(store.nodes[repo.owner], "a_repository")
    store.edit(store.add_project(store.nodes[repo.owner], "A board", bot.id), repos=(repo.id,))
    for name in ("Z last", "alpha"):
        store.add_label(store.nodes[repo.id], name, "ededed")
    person.act(store, {"do": "add_user", "login": "ada", "org": "yieldthought", "role": "WRITE"})
    for title, author in (("One", "yt-operator"), ("Two @ada", app.login if app else "")):
        store.seed_issue(title, f"hello @{'ada' if 'ada' in title else 'nobody'}", ["n300"], author=author)
    first, second = (store.numbered(store.home()[0], number) for number in (1, 2))
    assert isinstance(first, Issue)
    assert isinstance(second, Issue)
    acts.edit_issue(store, store.owner("yt-operator"), first, labels=(*first.labels, *store.home()[0].labels[-2:]))  # type: ignore[arg-type]
    for n in range(3):
        acts.comment(store, bot, store.nodes[first.id], f"comment {n}")
    acts.edit_comment(store, bot, store.nodes[store.nodes[first.id].comments[0]], "edited")
    acts.close(store, bot, store.nodes[second.id], "DUPLICATE")
    acts.close(store, bot, store.nodes[first.id], "DUPLICATE")
    acts.reopen(store, bot, store.nodes[second.id])
    main = store.git.branch(REPO, "main") or ""
    for branch, text in (("work", "Closes #1, closes #2"), ("other", "Closes #1")):
        with store.git._worktree(REPO, main) as tree:
            (tree / branch).write_text(branch)
            store.git._tree(tree, "add", "--all", person=acts.person(bot))
            store.git._must(tree, "commit", "-q", "-m", branch, author=acts.person(bot), at="2026-01-01T00:00:00Z")
            sha = store.git._tree(tree, "rev-parse", "HEAD", person=acts.person(bot)).stdout.strip()
        acts.create_branch(store, bot, store.home()[0], branch, sha)
        pull = acts.open_pull(store, bot, store.home()[0], "main", branch, f"Pull {branch}", text)
        acts.edit_issue(store, bot, pull, labels=store.home()[0].labels[1:2])
        store.add_item(store.nodes[project.id], pull, bot)
    pull = next(n for n in store.nodes.values() if isinstance(n, PullRequest) and n.number == 3)
    acts.comment(store, bot, pull, "one")
    acts.edit_comment(store, bot, acts.comment(store, bot, store.nodes[pull.id], "two"), "three")
    acts.comment(store, bot, store.nodes[pull.id], "four")
    acts.edit_issue(store, bot, store.nodes[pull.id], labels=store.home()[0].labels[1:])
    acts.open_pull(store, bot, store.home()[0], "other", "work", "Pull work once more")
    second_board = store.nodes[store.nodes[repo.owner].projects[1]]
    for content in (first, pull):
        person.act(store, {"do": "archive_card", "issue": content.number})
        store.add_item(second_board, store.nodes[content.id], bot)
    store.add_repo(store.nodes[bot.id], "mine")
    store.add_repo(store.nodes[bot.id], "another")
    for title in ("Ours", "Mine"):
        store.add_project(store.nodes[bot.id], title, bot.id)
    store.edit(store.add_owner("another_org", "Organization"), members={"yt-bot": "MEMBER"})
    acts.close(store, bot, next(n for n in store.nodes.values() if isinstance(n, PullRequest) and n.number == 4))
    repo = store.home()[0]
    acts.set_check(store, bot, repo, pull.head_sha, "unit", "SUCCESS")
    acts.set_check(store, bot, repo, pull.head_sha, "ci", "SUCCESS", workflow="CI")
    yield server
    server.record.close()


def ask(world: Any, query: str, **variables: Any) -> Any:
    """A GraphQL answer, without a socket."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request("POST", "/graphql", {}, {"authorization": f"token {TOKEN}"}, body)
    world._authenticate(request)
    graphql.describe(request)
    return json.loads(world._answer(request, []).body())


def fields_with_arguments() -> list[str]:
    """Every field of the schema with an argument other than those of paging: Type.field."""
    return [
        f"{name}.{field}"
        for name, kind in sorted(schema().type_map.items())
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__") and name != "Mutation"
        for field, definition in kind.fields.items()
        if set(definition.args) - PAGING
    ]


TIMES = ['"2001-01-01T00:00:00Z"', '"2050-01-01T00:00:00Z"']
MAIN = '"main"'


def values(kind: Any, argument: str) -> Iterator[Any]:
    """Values to try for an argument, as GraphQL literals: for each part of an object, and each of an enum's."""
    if isinstance(kind, GraphQLNonNull):
        yield from values(kind.of_type, argument)
    elif isinstance(kind, GraphQLList):
        for value in values(kind.of_type, argument):
            yield f"[{value}]"
    elif isinstance(kind, GraphQLEnumType):
        yield from kind.values
    elif isinstance(kind, GraphQLInputObjectType):
        must = {
            name: next(values(of.type, name)) for name, of in kind.fields.items() if isinstance(of.type, GraphQLNonNull)
        }
        for name, of in kind.fields.items():
            for value in values(of.type, name):
                given = {**must, name: value}
                yield "{" + ", ".join(f"{n}: {v}" for n, v in given.items()) + "}"
    elif isinstance(kind, GraphQLScalarType):
        named = {"Boolean": ["true", "false"], "Int": ["1", "7"], "DateTime": TIMES, "GitTimestamp": TIMES}
        yield from named.get(kind.name, [MAIN if argument == "expression" else '"nope"', '"is:closed"'])


NEEDED = {
    "number": "1", "login": '"yieldthought"', "owner": '"yieldthought"', "name": '"ttnn_models"', "type": "ISSUE",
    "query": '"One"', "url": '"https://github.com/yieldthought"', "refPrefix": '"refs/heads/"', "headRef": '"main"',
    "qualifiedName": MAIN, "capabilities": "[CAN_BE_ASSIGNED]", "slug": '"x"', "Repository.label.name": '"n300"',
    "ProjectV2.field.name": '"Status"', "ProjectV2Item.fieldValueByName.name": '"Status"',
    "User.repository.name": '"mine"',
}  # fmt: skip


def asked(world: Any, name: str, given: dict[str, str]) -> Any:
    """The answer to one field with these arguments."""
    kind, _, field = name.partition(".")
    definition = schema().type_map[kind].fields[field]  # type: ignore[union-attr]
    first = {"first": "10"} if "first" in definition.args else {}
    needed = {
        n: NEEDED.get(f"{name}.{n}", NEEDED.get(n, ""))
        for n, a in definition.args.items()
        if isinstance(a.type, GraphQLNonNull)
    }
    if "id" in needed or "ids" in needed:
        key = f'"{world.store.home()[0].id}"'
        needed |= {n: key if n == "id" else f"[{key}]" for n in ("id", "ids") if n in needed}
    arguments = ", ".join(f"{n}: {v}" for n, v in {**first, **needed, **given}.items())
    result = get_named_type(definition.type)
    inside = ""
    if result.name.endswith("Connection"):
        entry = get_named_type(result.fields["nodes"].type)  # type: ignore[union-attr]
        inside = "{totalCount nodes {__typename %s}}" % ("id" if "id" in getattr(entry, "fields", {}) else "")
        inside = inside.replace("totalCount", "" if "totalCount" not in result.fields else "totalCount")  # type: ignore[union-attr]
        if entry.name in ("ProjectV2FieldConfiguration", "IssueTimelineItems", "PullRequestTimelineItems",
                          "ProjectV2ItemFieldValue", "SearchResultItem"):  # fmt: skip
            inside = inside.replace("__typename", "__typename ... on Node {id}")
    elif not isinstance(result, GraphQLScalarType | GraphQLEnumType):
        inside = "{__typename %s}" % ("id" if "id" in getattr(result, "fields", {}) else "")
    return ask(world, "{%s}" % (WAYS[kind] % f"{field}{f'({arguments})' if arguments else ''} {inside}"))


@pytest.mark.parametrize("name", fields_with_arguments())
def test_every_argument_of_a_field_makes_a_difference_or_is_refused(world: Any, name: str) -> None:
    kind, _, field = name.partition(".")
    if kind not in WAYS:
        assert kind in UNREACHED
        return
    definition = schema().type_map[kind].fields[field]  # type: ignore[union-attr]
    plain = asked(world, name, {})
    assert "data" in plain, plain
    dropped = []
    for argument in sorted(set(definition.args) - PAGING):
        answers = [asked(world, name, {argument: v}) for v in values(definition.args[argument].type, argument)]
        assert all("data" in answer for answer in answers), answers
        honoured = any(answer != plain for answer in answers)
        if not honoured and f"{name}.{argument}" not in THE_SAME and name not in NOTHING:
            dropped.append(argument)
    assert dropped == []


def test_an_unread_part_of_an_object_has_a_name() -> None:
    asked_for = Asked({"a": 1, "b": {"c": 2, "d": None, "e": 3}, "f": [{"g": 4}], "h": None, "i": []})
    assert asked_for.get("b")["c"] == 2
    assert "a" in asked_for
    assert asked_for["f"]
    assert asked_for.unread() == ["a", "b.e", "f.g"]
    asked_for.means_nothing("a")
    assert asked_for.unread() == ["b.e", "f.g"]


def test_what_graphql_cannot_is_an_error_of_that_name_and_on_record(lab: Any) -> None:
    lab.seed()
    made = """mutation($r: ID!) {
        createIssue(input: {repositoryId: $r, title: "x", parentIssueId: "y"}) {issue {number}}}"""
    answer = lab.query(made, r=lab.store.home()[0].id)
    words = "The lab's GitHub does not implement the input parentIssueId of createIssue."
    assert [(error["type"], error["message"]) for error in answer["errors"]] == [("NOT_IMPLEMENTED", words)]
    assert [one["number"] for one in lab.state()["issues"]] == [1]
    answer = lab.query("{%s}" % (HOME % "issues(first: 1, filterBy: {viewerSubscribed: true}) {totalCount}"))
    assert answer["errors"][0]["type"] == "NOT_IMPLEMENTED"
    lab.query("{viewer {topics}}")
    assert [one["not_implemented"] for one in lab.state()["requests"]] == [
        [words],
        ["The lab's GitHub does not implement subscriptions to issues."],
        ["Field 'topics' doesn't exist on type 'User'"],
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", f"/repos/{REPO}/milestones", None, f"GET /repos/{REPO}/milestones"),
        ("GET", f"/repos/{REPO}/issues?type=bug", None, f"the parameter type of GET /repos/{REPO}/issues"),
        ("GET", f"/repos/{REPO}/issues?sort=reactions", None, "a sort by reactions"),
        ("GET", f"/repos/{REPO}/commits/main?page=2", None, f"the parameter page of GET /repos/{REPO}/commits/main"),
        (
            "POST",
            f"/repos/{REPO}/issues",
            {"title": "x", "milestone": 1},
            f"the parameter milestone of POST /repos/{REPO}",
        ),
        ("GET", f"/search/issues?q=repo:{REPO}+milestone:x", None, "the search's qualifier milestone:"),
        ("GET", f"/search/issues?q=repo:{REPO}+a+OR+b", None, "OR in a search"),
        ("GET", f"/search/issues?q=repo:{REPO}+is:locked", None, "the search's is:locked"),
        ("GET", f"/search/issues?q=repo:{REPO}+sort:reactions", None, "a search's order by reactions"),
    ],
)
def test_what_rest_cannot_is_a_501_that_names_it(lab: Any, method: str, path: str, body: Any, words: str) -> None:
    reply = lab.http(method, path, body)
    assert reply.status == 501
    assert reply.body["message"].startswith(f"The lab's GitHub does not implement {words}")
    (asked_for,) = lab.state()["requests"]
    assert asked_for["not_implemented"] == [reply.body["message"]]
    assert lab.state()["issues"] == []
    done = lab.gh("api", "-X", method, path.lstrip("/"))
    assert (done.returncode, "HTTP 501" in done.stderr) == (1, body is None)


def test_rest_s_filters_and_orders_are_honoured(lab: Any) -> None:
    first, second = lab.seed("One"), lab.seed("Two")
    lab.said("issue", "edit", str(first), "-R", REPO, "--add-assignee", "@me")
    lab.act("comment", issue=first, body="only here")

    def found(query: str) -> list[int]:
        return [one["number"] for one in lab.http("GET", f"/repos/{REPO}/issues?{query}").body]

    assert found("") == [second, first]
    assert found("direction=asc&sort=comments") == [second, first]
    assert (found("assignee=YT-BOT"), found("assignee=*"), found("assignee=none")) == ([first], [first], [second])
    assert (found("milestone=*"), found("milestone=none")) == ([], [second, first])
    assert found("since=2050-01-01T00:00:00Z") == []
    searched = lab.http("GET", f"/search/issues?q=repo:{REPO}+only+in:comments&sort=created&order=asc").body
    assert [one["number"] for one in searched["items"]] == [first]
    assert lab.http("GET", f"/search/issues?q=repo:{REPO}+only+in:title").body["items"] == []

    lab.push("work", {"a": "1\n"}, "Work")
    commits = f"/repos/{REPO}/commits?sha=work"
    for narrowed, messages in (
        ("", ["Work", "Initial commit"]),
        ("&path=a", ["Work"]),
        ("&author=worker@example.org", ["Work"]),
        ("&since=2050-01-01T00:00:00Z", []),
        ("&until=2001-01-01T00:00:00Z", []),
    ):
        assert [one["commit"]["message"] for one in lab.http("GET", commits + narrowed).body] == messages


def test_rest_and_graphql_say_the_same_of_checks_and_protection(lab: Any) -> None:
    lab.push("work", {"a": "1\n"})
    number = lab.pull("work")
    lab.act("set_check", issue=number, check="unit", state="success")
    lab.act("set_check", issue=number, check="pytest", state="failure", workflow="CI")
    lab.act("set_repo", required_checks=["unit"])
    lab.act("protect_branch", branch="release-*")
    lab.store.git.move(REPO, "release-1", lab.store.git.branch(REPO, "main"), "0" * 40)
    sha = lab.store.git.branch(REPO, "work")
    query = HOME % (
        f"""pullRequest(number: {number}) {{statusCheckRollup {{contexts(first: 9) {{nodes {{__typename
        ... on CheckRun {{name conclusion}} ... on StatusContext {{context state}}}}}}}}}}
        refs(refPrefix: "refs/heads/", first: 9) {{nodes {{
            name branchProtectionRule {{requiredStatusCheckContexts}}}}}}"""
    )
    told = lab.data(f"{{{query}}}")["repository"]
    runs = lab.http("GET", f"/repos/{REPO}/commits/{sha}/check-runs").body["check_runs"]
    statuses = lab.http("GET", f"/repos/{REPO}/commits/{sha}/status").body["statuses"]
    assert [(one["name"], one["conclusion"].upper()) for one in runs] == [("pytest", "FAILURE")]
    assert [(one["context"], one["state"].upper()) for one in statuses] == [("unit", "SUCCESS")]
    assert told["pullRequest"]["statusCheckRollup"]["contexts"]["nodes"] == [
        {"__typename": "StatusContext", "context": "unit", "state": "SUCCESS"},
        {"__typename": "CheckRun", "name": "pytest", "conclusion": "FAILURE"},
    ]
    rules = {node["name"]: node["branchProtectionRule"] for node in told["refs"]["nodes"]}
    rest = {one["name"]: one["protected"] for one in lab.http("GET", f"/repos/{REPO}/branches").body}
    assert rest == {name: rule is not None for name, rule in rules.items()}
    assert rest == {"main": True, "release-1": True, "work": False}
    main = lab.http("GET", f"/repos/{REPO}/branches/main").body["protection"]["required_status_checks"]
    assert main["contexts"] == rules["main"]["requiredStatusCheckContexts"] == ["unit"]
