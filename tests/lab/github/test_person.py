"""What people do on GitHub beside the worker, and who is who: archived cards, associations, Apps."""

from typing import Any

import pytest

from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.person import _ACTS, DEEDS, act

R = ("-R", "yieldthought/ttnn_models")
APP = "ghs_lab0000000000000000000000000000000000"
ITEMS = """query($issue: ID!, $archived: Boolean) {node(id: $issue) {... on Issue {
    projectItems(first: 5, includeArchived: $archived) {nodes {id isArchived project {id}}}}}}"""
MOVE = """mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {
    projectId: $p, itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {projectV2Item {id}}}"""


def test_an_archived_card_is_listed_unless_asked_not_to_and_cannot_be_moved(lab: Any) -> None:
    number = lab.seed()
    lab.act("archive_card", issue=number)
    (item,) = lab.data(ITEMS, issue=lab.issue_id(number))["node"]["projectItems"]["nodes"]
    assert item["isArchived"]
    assert lab.data(ITEMS, issue=lab.issue_id(number), archived=False)["node"]["projectItems"]["nodes"] == []

    of = lab.store.status_field(lab.store.home()[1])
    asked = {"p": item["project"]["id"], "i": item["id"], "f": of.id, "o": of.options[2].id}
    answer = lab.query(MOVE, **asked)
    assert answer["errors"][0]["message"] == "The item is archived and cannot be updated"
    done = lab.gh("project", "item-edit", "--id", item["id"], "--project-id", asked["p"], "--field-id", of.id,
                  "--single-select-option-id", asked["o"])  # fmt: skip
    assert done.returncode == 1
    assert "is archived and cannot be updated" in done.stderr
    assert lab.issue(number)["status"] == "ready"

    lab.act("unarchive_card", issue=number)
    lab.data(MOVE, **asked)
    assert lab.issue(number)["status"] == "in progress"


def test_any_login_shows_any_association_the_worker_s_own_too(lab: Any) -> None:
    number = lab.seed()
    lab.said("issue", "comment", str(number), *R, "--body", "[yt-claim]")

    def shown() -> set[str]:
        (rest,) = lab.http("GET", f"/repos/{R[1]}/issues/{number}/comments").body
        (graphql,) = lab.json("issue", "view", str(number), *R, "--json", "comments")["comments"]
        return {rest["author_association"], graphql["authorAssociation"]}

    assert shown() == {"MEMBER"}
    for association in ("CONTRIBUTOR", "NONE"):
        lab.act("set_association", login="yt-bot", association=association)
        assert shown() == {association}


def test_an_app_s_token_is_no_user_s(any_gh: Any) -> None:
    number = any_gh.seed()
    any_gh.act("add_app", login="yt-app", token=APP)
    refused = any_gh.gh("api", "-i", "user", token=APP)
    assert refused.returncode == 1
    assert "Resource not accessible by integration (HTTP 403)" in refused.stderr
    assert "x-oauth-scopes" not in refused.stdout.lower()
    viewer = any_gh.query("{viewer {login}}", token=APP)
    assert viewer == {"data": {"viewer": {"login": "yt-app[bot]"}}}
    any_gh.said("issue", "comment", str(number), *R, "--body", "said", token=APP)
    (comment,) = any_gh.http("GET", f"/repos/{R[1]}/issues/{number}/comments").body
    assert (comment["user"]["login"], comment["user"]["type"]) == ("yt-app[bot]", "Bot")
    assert comment["author_association"] == "NONE"
    query = "query($i: ID!) {node(id: $i) {... on Issue {comments(last: 1) {nodes {author {__typename login}}}}}}"
    (comment,) = any_gh.data(query, i=any_gh.issue_id(number))["node"]["comments"]["nodes"]
    assert comment["author"] == {"__typename": "Bot", "login": "yt-app"}


def test_a_person_takes_a_claim_s_worker_s_place(lab: Any) -> None:
    number = lab.seed()
    lab.said("issue", "comment", str(number), *R, "--body", "[yt-claim]\nrun_id: x")
    lab.act("add_user", login="ada", role="WRITE")
    lab.act("edit_comment", issue=number, containing="[yt-claim]", append="released: by hand", by="ada")
    (claim,) = lab.issue(number)["comments"]
    assert (claim["author"], claim["body"]) == ("yt-bot", "[yt-claim]\nrun_id: x\nreleased: by hand\n")
    lab.act("delete_comment", issue=number, containing="[yt-claim]", by="ada")
    assert lab.issue(number)["comments"] == []


def test_every_deed_says_what_it_takes(lab: Any) -> None:
    assert set(DEEDS) == set(_ACTS)
    lab.seed()
    with pytest.raises(GitHubError, match="set_association needs 'association'; it takes: login, association"):
        act(lab.store, {"do": "set_association"})
    with pytest.raises(GitHubError, match="move_card takes: issue, status"):
        act(lab.store, {"do": "move_card", "issue": "first", "status": "done"})
