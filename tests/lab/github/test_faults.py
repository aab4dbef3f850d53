"""GitHub misbehaving on demand, as gh sees it, and people who act in the middle of a run."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.github.exchange import Request
from yt_fsm.lab.github.faults import KINDS, BadFault, Faults

R = ("-R", "yieldthought/ttnn_models")


def bodies(lab: Any, number: int) -> list[str]:
    """The issue's comments."""
    return [one["body"] for one in lab.issue(number)["comments"]]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unauthorized", "401"),
        ("forbidden", "403"),
        ("too-many-requests", "429"),
        ("rate-limited", "API rate limit exceeded for user ID"),
        ("secondary-limit", "secondary rate limit"),
        ("bad-gateway", "502"),
        ("server-error", "500"),
        ("reset-before", "EOF"),
    ],
)
def test_a_refused_comment_is_not_there(lab: Any, fault: str, words: str) -> None:
    number = lab.seed()
    lab.fault(fault, match="addComment")
    done = lab.gh("issue", "comment", str(number), *R, "--body", "said")
    assert done.returncode == 1
    assert words in done.stderr + done.stdout
    assert bodies(lab, number) == []
    lab.said("issue", "comment", str(number), *R, "--body", "said")
    assert bodies(lab, number) == ["said"]


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("went-wrong", None, "Something went wrong while executing your query"),
        ("unavailable", "SERVICE_UNAVAILABLE", "Service unavailable"),
        ("internal", "INTERNAL", "Something went wrong while executing your query"),
        ("too-quickly", "UNPROCESSABLE", "was submitted too quickly"),
    ],
)
def test_graphql_can_say_that_it_went_wrong_and_it_may_have_landed(
    lab: Any, fault: str, kind: str | None, words: str, landed: bool
) -> None:
    number = lab.seed()
    lab.fault(fault, match="addComment", landed=landed)
    assert lab.http("GET", "/user").status == 200
    done = lab.gh("issue", "comment", str(number), *R, "--body", "said")
    assert done.returncode == 1
    assert words in done.stderr
    assert bodies(lab, number) == (["said"] if landed else [])
    answered = json.loads(next(r for r in lab.state()["requests"] if r["operation"] == "CommentCreate")["answer"])
    (error,) = answered["errors"]
    assert error.get("type") == kind
    assert not any((answered["data"] or {}).values())


def test_an_answer_can_lack_one_node_and_say_which(lab: Any) -> None:
    numbers = [lab.seed(f"Issue {n}") for n in range(3)]
    query = """{repository(owner: "yieldthought", name: "ttnn_models") {
        issues(first: 5) {totalCount nodes {number comments(first: 1) {nodes {body}}}}}}"""
    lab.fault("partial")
    answer = lab.query(query)
    nodes = answer["data"]["repository"]["issues"]["nodes"]
    assert [node and node["number"] for node in nodes] == [None, *numbers[1:]]
    assert [error["path"] for error in answer["errors"]] == [["repository", "issues", "nodes", 0]]
    assert "type" not in answer["errors"][0]
    lab.fault("partial", where="repository.issues.nodes.2.comments", type="FORBIDDEN", message="not for you")
    answer = lab.query(query)
    assert answer["data"]["repository"]["issues"]["nodes"][2] == {"number": numbers[2], "comments": None}
    assert answer["errors"][0]["type"] == "FORBIDDEN"
    assert "errors" not in lab.query(query)


def test_a_used_up_limit_has_two_names(lab: Any) -> None:
    lab.fault("rate-limited", type="RATE_LIMIT")
    assert lab.query("{viewer {login}}")["errors"][0]["type"] == "RATE_LIMIT"


def test_a_fault_ends_by_itself_or_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    faults, request = Faults(), Request("GET", "/", {}, {}, b"", names=("GET /",))
    faults.add({"fault": "server-error", "lasts": 60})
    faults.add({"fault": "slow", "count": None})

    def met() -> list[str]:
        return [fault.fault for fault in faults.meeting(request)]

    assert met() == met() == ["server-error", "slow"]
    again = Faults()
    again.load(faults.json())
    now += 60
    assert met() == ["slow"]
    assert [fault.fault for fault in again.meeting(request)] == ["slow"]
    faults.clear(kind="slow")
    assert met() == []


@pytest.mark.parametrize("fault", ["reset-after", "truncated", "bad-gateway-after"])
def test_an_answer_can_get_lost_after_the_comment_landed(lab: Any, fault: str) -> None:
    number = lab.seed()
    lab.fault(fault, match="addComment")
    assert lab.gh("issue", "comment", str(number), *R, "--body", "said").returncode == 1
    assert bodies(lab, number) == ["said"]


def test_limits_come_with_the_headers_that_say_how_long(lab: Any) -> None:
    for fault, status in (("forbidden", 403), ("too-many-requests", 429), ("secondary-limit", 403)):
        lab.fault(fault, retry_after=7)
        reply = lab.http("GET", "/user")
        assert (reply.status, reply.headers["retry-after"]) == (status, "7")
    lab.fault("rate-limited")
    reply = lab.http("POST", "/graphql", {"query": "{viewer {login}}"})
    assert (reply.status, reply.headers["x-ratelimit-remaining"]) == (200, "0")
    assert reply.body["errors"][0]["type"] == "RATE_LIMITED"


@pytest.mark.parametrize(("fault", "landed"), [("hang", []), ("hang-after", ["said"])])
def test_a_hang_ends_when_the_client_gives_up(lab: Any, fault: str, landed: list[str]) -> None:
    number = lab.seed()
    lab.fault(fault, match="addComment")
    child = subprocess.Popen(
        [lab.gh_binary, "issue", "comment", str(number), *R, "--body", "said"], env=lab.env(), stderr=subprocess.DEVNULL
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.7)
    child.kill()
    child.wait()
    assert bodies(lab, number) == landed


def test_a_write_can_land_late(lab: Any) -> None:
    number = lab.seed()
    lab.fault("lands-late", match="addComment", seconds=0.4)
    assert lab.gh("issue", "comment", str(number), *R, "--body", "said").returncode == 1
    assert bodies(lab, number) == []
    deadline = time.monotonic() + 5
    while not bodies(lab, number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bodies(lab, number) == ["said"]


def test_a_lagging_read_sees_the_past_and_a_mutation_sees_now(lab: Any) -> None:
    number = lab.seed()
    lab.fault("lag", seconds=0.5, match="query")
    query = f"""{{repository(owner: "yieldthought", name: "ttnn_models") {{issue(number: {number}) {{
        comments(last: 10) {{totalCount nodes {{body}}}}}}}}}}"""
    written = lab.data(
        'mutation($s: ID!) {addComment(input: {subjectId: $s, body: "said"}) {subject {... on Issue {'
        "comments(last: 10) {totalCount}}}}}",
        s=lab.issue_id(number),
    )
    assert written["addComment"]["subject"]["comments"]["totalCount"] == 1
    assert lab.data(query)["repository"]["issue"]["comments"] == {"totalCount": 0, "nodes": []}
    time.sleep(0.55)
    assert lab.data(query)["repository"]["issue"]["comments"]["totalCount"] == 1
    lab.http("DELETE", "/_lab/faults")


def test_a_write_can_be_answered_and_not_kept(lab: Any) -> None:
    number = lab.seed()
    lab.fault("not-landed", match="addComment")
    assert "issuecomment" in lab.said("issue", "comment", str(number), *R, "--body", "said")
    assert bodies(lab, number) == []


def test_a_board_workflow_moves_the_card_back(lab: Any) -> None:
    number = lab.seed()
    field, project, options = status_field(lab)
    lab.fault("workflow")
    set_status(lab, number, project, field, options["in progress"])
    assert lab.issue(number)["status"] == "ready"
    lab.fault("workflow", to="assessing", seconds=0.2)
    set_status(lab, number, project, field, options["in progress"])
    assert lab.issue(number)["status"] == "in progress"
    time.sleep(0.4)
    assert lab.issue(number)["status"] == "assessing"


def test_option_ids_can_go_stale(lab: Any) -> None:
    number = lab.seed()
    field, project, options = status_field(lab)
    lab.fault("stale-option", match="updateProjectV2ItemFieldValue")
    answer = set_status(lab, number, project, field, options["done"])
    assert answer["errors"][0]["message"] == "The single select option Id does not belong to the field"
    assert lab.issue(number)["status"] == "ready"
    field, project, options = status_field(lab)
    set_status(lab, number, project, field, options["done"])
    assert lab.issue(number)["status"] == "done"


def status_field(lab: Any) -> Any:
    """The Status field, its project, and option ids by name."""
    query = """{organization(login: "yieldthought") {projectV2(number: 1) {id field(name: "Status") {
        ... on ProjectV2SingleSelectField {id options {id name}}}}}}"""
    project = lab.data(query)["organization"]["projectV2"]
    return project["field"]["id"], project["id"], {one["name"]: one["id"] for one in project["field"]["options"]}


def set_status(lab: Any, number: int, project: str, field: str, option: str) -> Any:
    """The mutation that moves a card."""
    item = lab.store.nodes[lab.issue_id(number)].items[0]
    return lab.query(
        "mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {projectId: $p, "
        "itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {clientMutationId}}",
        p=project, i=item, f=field, o=option,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        ({"do": "move_card", "status": "done"}, lambda issue: issue["status"] == "done"),
        ({"do": "close_issue"}, lambda issue: issue["state"] == "CLOSED"),
        ({"do": "delete_comment", "containing": "said"}, lambda issue: issue["comments"] == []),
        ({"do": "add_label", "label": "lb"}, lambda issue: issue["labels"] == ["n300", "lb"]),
        ({"do": "remove_label", "label": "n300"}, lambda issue: issue["labels"] == []),
        ({"do": "edit_comment", "containing": "said", "body": "x"}, lambda issue: issue["comments"][0]["body"] == "x"),
        ({"do": "comment", "body": "me too"}, lambda issue: issue["comments"][1]["author"] == "yt-operator"),
        ({"do": "remove_card"}, lambda issue: issue["status"] is None),
        ({"do": "edit_issue", "title": "T"}, lambda issue: issue["title"] == "T"),
    ],
)
def test_a_person_acts_on_the_issue_right_after_the_comment(lab: Any, act: Any, seen: Any) -> None:
    number = lab.seed()
    lab.fault("act", match="addComment", act=act)
    lab.said("issue", "comment", str(number), *R, "--body", "said")
    assert seen(lab.issue(number))


def test_faults_choose_by_login_client_and_turn(lab: Any) -> None:
    lab.act("add_user", login="other", token="ghp_other")
    lab.fault("unauthorized", login="other", match="GET /user", skip=1, count=1)
    statuses = [lab.http("GET", "/user", token="ghp_other").status for _ in range(3)]
    assert statuses == [200, 401, 200]
    assert lab.http("GET", "/user").status == 200
    lab.fault("server-error", client="GitHub CLI*", count=None)
    assert lab.http("GET", "/user").status == 200
    assert lab.gh("api", "user").returncode == 1
    assert lab.gh("api", "user").returncode == 1
    lab.http("DELETE", "/_lab/faults")
    assert lab.gh("api", "user").returncode == 0


def test_chance_is_the_same_for_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults()
        faults.add({"fault": "server-error", "probability": 0.5, "seed": seed, "count": None})
        return [bool(faults.meeting(Request("GET", "/", {}, {}, b"", names=("GET /",)))) for _ in range(64)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 10 < sum(hits(1)) < 54


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"fault": "nope"}, "there is no fault 'nope'"),
        ({"fault": "hang", "sec": 1}, "no sec"),
        ({"fault": "act"}, "needs `act`"),
        ({"fault": "hang", "landed": True}, "`landed` is for what refuses"),
        ({"fault": "slow", "lasts": 0}, "`lasts` is 0"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_there_is(spec: Any, words: str) -> None:
    with pytest.raises(BadFault, match=words):
        Faults().add(spec)


def test_every_request_is_on_record_with_its_answer_and_cost(lab: Any) -> None:
    number = lab.seed()
    lab.said("issue", "comment", str(number), *R, "--body", "said")
    lab.http("GET", "/user")
    requests = lab.state()["requests"]
    write = next(one for one in requests if one["operation"] == "CommentCreate")
    assert (write["kind"], write["status"], write["writes"], write["login"]) == ("mutation", 200, 1, "yt-bot")
    assert write["variables"]["input"]["body"] == "said"
    assert write["client"].startswith("GitHub CLI")
    assert "issuecomment" in write["answer"]
    assert write["cost"] == 1
    assert sum(one["writes"] for one in requests) == 1
    assert (requests[-1]["operation"], requests[-1]["cost"]) == ("GET /user", 0)
    assert "ghp_" not in json.dumps(requests)


def test_every_kind_of_fault_is_met_by_some_test() -> None:
    tested = Path(__file__).read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in tested] == []


def test_a_slow_answer_and_one_that_was_written_for_the_occasion(lab: Any) -> None:
    lab.fault("slow", seconds=0.3)
    started = time.monotonic()
    assert lab.http("GET", "/user").status == 200
    assert time.monotonic() - started >= 0.3
    lab.fault("answer", status=418, body="short and stout")
    reply = lab.http("GET", "/user")
    assert (reply.status, reply.body) == (418, "short and stout")
