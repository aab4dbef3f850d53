"""The real gh, unmodified, old and new, against the lab."""

import json
from typing import Any

R = ("-R", "yieldthought/ttnn_models")


def test_auth_status_names_the_user_and_the_scopes(any_gh: Any) -> None:
    done = any_gh.gh("auth", "status")
    said = done.stdout + done.stderr
    assert done.returncode == 0
    assert "yt-bot" in said
    assert all(scope in said for scope in ("repo", "project", "read:org"))


def test_a_wrong_token_is_bad_credentials(any_gh: Any) -> None:
    done = any_gh.gh("api", "user", token="ghp_wrong")
    assert done.returncode == 1
    assert "Bad credentials (HTTP 401)" in done.stderr


def test_api_shows_scopes_limits_and_the_servers_clock(any_gh: Any) -> None:
    said = any_gh.said("api", "-i", "user").lower()
    for header in ("x-oauth-scopes: repo, project, read:org", "x-ratelimit-remaining: ", "date: ", "etag: "):
        assert header in said


def test_api_graphql_takes_typed_variables_on_standard_input(any_gh: Any) -> None:
    number = any_gh.seed("One")
    query = 'query($n: Int!) {repository(owner: "yieldthought", name: "ttnn_models") {issue(number: $n) {title}}}'
    given = json.dumps({"query": query, "variables": {"n": number}})
    answer = json.loads(any_gh.said("api", "graphql", "--input", "-", input=given))
    assert answer == {"data": {"repository": {"issue": {"title": "One"}}}}
    refused = any_gh.gh("api", "graphql", "-f", "n=1", "-f", f"query={query}")
    assert refused.returncode == 1
    assert "invalid value" in refused.stdout + refused.stderr


def test_api_pages_through_everything(any_gh: Any) -> None:
    numbers = [any_gh.seed(f"Issue {n}") for n in range(5)]
    rest = any_gh.said("api", "--paginate", "repos/yieldthought/ttnn_models/issues?per_page=2", "--jq", ".[].number")
    assert [int(n) for n in rest.split()] == numbers[::-1]
    query = """query($endCursor: String) {repository(owner: "yieldthought", name: "ttnn_models") {
        issues(first: 2, after: $endCursor) {nodes {number} pageInfo {hasNextPage endCursor}}}}"""
    paged = any_gh.said(
        "api", "graphql", "--paginate", "-f", f"query={query}", "--jq", ".data.repository.issues.nodes[].number"
    )
    assert [int(n) for n in paged.split()] == numbers


def test_an_unchanged_answer_is_a_304(any_gh: Any) -> None:
    first = any_gh.said("api", "-i", "user")
    tag = next(line for line in first.splitlines() if line.lower().startswith("etag:")).partition(": ")[2].strip()
    again = any_gh.gh("api", "-i", "user", "-H", f"If-None-Match: {tag}")
    assert again.returncode == 1
    assert "304 Not Modified" in again.stdout


def test_an_issue_lives_through_gh(any_gh: Any) -> None:
    url = any_gh.said("issue", "create", *R, "--title", "New", "--body", "hf_model_id: a/b", "--label", "n150")
    number = url.rpartition("/")[2]
    assert url == f"https://github.com/yieldthought/ttnn_models/issues/{number}"
    listed = any_gh.json("issue", "list", *R, "--label", "n150", "--json", "number,title,labels,state")
    assert [(one["number"], one["title"], one["state"]) for one in listed] == [(int(number), "New", "OPEN")]

    comment = any_gh.said("issue", "comment", number, *R, "--body", "[yt-claim]\nrun_id: x")
    assert comment.startswith(f"{url}#issuecomment-")
    any_gh.said("issue", "edit", number, *R, "--title", "Newer", "--add-label", "lb", "--remove-label", "n150")
    any_gh.said("issue", "edit", number, *R, "--add-assignee", "@me")
    shown = any_gh.json("issue", "view", number, *R, "--json", "title,labels,body,comments,assignees,author,url")
    assert (shown["title"], shown["body"], shown["url"]) == ("Newer", "hf_model_id: a/b", url)
    assert [one["name"] for one in shown["labels"]] == ["lb"]
    assert [one["login"] for one in shown["assignees"]] == ["yt-bot"]
    assert [one["body"] for one in shown["comments"]] == ["[yt-claim]\nrun_id: x"]
    assert [one["authorAssociation"] for one in shown["comments"]] == ["MEMBER"]

    any_gh.said("issue", "comment", number, *R, "--edit-last", "--body", "changed")
    assert "changed" in any_gh.said("issue", "view", number, *R, "--comments")
    any_gh.said("issue", "close", number, *R, "--comment", "done")
    assert any_gh.json("issue", "list", *R, "--state", "closed", "--json", "number") == [{"number": int(number)}]
    any_gh.said("issue", "reopen", number, *R)
    assert any_gh.issue(int(number))["state"] == "OPEN"


def test_search_finds_by_word_label_author_and_state(any_gh: Any) -> None:
    number = any_gh.seed("Bring up org/llama", labels=["lb"])
    any_gh.seed("Bring up org/qwen")
    found = any_gh.json("issue", "list", *R, "--search", "llama in:title", "--json", "number")
    assert found == [{"number": number}]
    found = any_gh.json("issue", "list", *R, "--label", "lb", "--author", "yt-operator", "--json", "number")
    assert found == [{"number": number}]
    assert any_gh.json("issue", "list", *R, "--search", "-label:lb llama", "--json", "number") == []


def test_labels_are_made_once(any_gh: Any) -> None:
    any_gh.said("label", "create", "t3000", *R, "--color", "ff0000", "--description", "a loudbox")
    again = any_gh.gh("label", "create", "t3000", *R, "--color", "00ff00")
    assert again.returncode == 1
    assert "already exists" in again.stderr
    any_gh.said("label", "create", "t3000", *R, "--color", "00ff00", "--force")
    labels = {one["name"]: one["color"] for one in any_gh.json("label", "list", *R, "--json", "name,color")}
    assert labels == {"n150": "1d76db", "n300": "0e8a16", "lb": "5319e7", "t3000": "00ff00"}


def test_a_label_is_the_same_in_any_case(any_gh: Any) -> None:
    number = any_gh.seed(labels=["n300"])
    taken = any_gh.gh("label", "create", "N300", *R, "--color", "ff0000")
    assert taken.returncode == 1
    assert "already exists" in taken.stderr
    renamed = any_gh.http("PATCH", f"/repos/{R[1]}/labels/n150", {"new_name": "N300"})
    assert (renamed.status, renamed.body["errors"][0]["code"]) == (422, "already_exists")
    assert any_gh.http("GET", f"/repos/{R[1]}/labels/N300").body["name"] == "n300"
    found = any_gh.json("issue", "list", *R, "--label", "N300", "--json", "number,labels")
    assert [(one["number"], one["labels"][0]["name"]) for one in found] == [(number, "n300")]
    any_gh.said("issue", "edit", str(number), *R, "--add-label", "N150", "--remove-label", "N300")
    assert any_gh.issue(number)["labels"] == ["n150"]


def test_more_than_a_hundred_labels_are_read_page_by_page(lab: Any) -> None:
    names = [f"label-{n:03}" for n in range(130)]
    number = lab.seed(labels=names)
    everywhere = ["n150", "n300", "lb", *names]
    rest = f"repos/{R[1]}/%s?per_page=100"
    for path, there in ((f"issues/{number}/labels", names), ("labels", everywhere)):
        assert lab.said("api", "--paginate", rest % path, "--jq", ".[].name").split() == there
        first = lab.http("GET", "/" + rest % path)
        assert (len(first.body), 'rel="next"' in first.headers["link"]) == (100, True)
    for field in (f"issue(number: {number}) {{%s}}", "%s"):
        query = 'query($endCursor: String) {repository(owner: "yieldthought", name: "ttnn_models") {%s}}' % (
            field % "labels(first: 100, after: $endCursor) {totalCount nodes {name} pageInfo {hasNextPage endCursor}}"
        )
        found = lab.said("api", "graphql", "--paginate", "-f", f"query={query}", "--jq", "..|.nodes? //empty|.[].name")
        assert found.split() == (names if "number" in field else everywhere)
    assert len(lab.json("issue", "view", str(number), *R, "--json", "labels")["labels"]) == 100
    assert len(lab.json("label", "list", *R, "--limit", "200", "--json", "name")) == len(everywhere)


def test_a_pull_request_lives_through_gh(any_gh: Any) -> None:
    issue = any_gh.seed("Bring up a/b")
    tree = any_gh.push("bringup/issue-1-a-b", {"model.py": "pass\n"}, "Bringup a/b (n300)")
    made = any_gh.said(
        "pr", "create", *R, "--base", "main", "--head", "bringup/issue-1-a-b", "--title", "Bringup: a/b (n300)",
        "--body", f"Closes #{issue}"
    )  # fmt: skip
    number = made.rpartition("/")[2]
    assert made == f"https://github.com/yieldthought/ttnn_models/pull/{number}"
    again = any_gh.gh(
        "pr", "create", *R, "--base", "main", "--head", "bringup/issue-1-a-b", "--title", "x", "--body", ""
    )
    assert again.returncode == 1
    assert "already exists" in again.stderr

    listed = any_gh.json("pr", "list", *R, "--json", "number,headRefName,mergeable,files,commits,additions")[0]
    assert (listed["number"], listed["headRefName"]) == (int(number), "bringup/issue-1-a-b")
    assert (listed["mergeable"], listed["additions"], listed["files"][0]["path"]) == ("MERGEABLE", 1, "model.py")
    assert listed["commits"][0]["messageHeadline"] == "Bringup a/b (n300)"
    assert "Bringup: a/b (n300)" in any_gh.said("pr", "view", number, *R)
    any_gh.said("pr", "comment", number, *R, "--body", "well done")

    none = any_gh.gh("pr", "checks", number, *R)
    assert none.returncode == 1
    assert "no checks reported" in none.stderr
    any_gh.act("set_check", issue=number, check="unit", state="success")
    any_gh.act("set_check", issue=number, check="pytest", state="success", workflow="CI")
    checks = any_gh.said("pr", "checks", number, *R)
    assert "unit\tpass" in checks
    assert "pytest\tpass" in checks or "CI/pytest\tpass" in checks
    assert "+pass" in any_gh.said("pr", "diff", number, *R)

    any_gh.said("pr", "merge", number, *R, "--squash", "--delete-branch", "--auto")
    state = any_gh.state()
    assert [(one["number"], one["state"], one["merged"]) for one in state["pull_requests"]] == [
        (int(number), "MERGED", True)
    ]
    assert [one["name"] for one in state["branches"]] == ["main"]
    assert any_gh.issue(issue)["state"] == "CLOSED"
    any_gh.git("fetch", "--quiet", "origin", cwd=tree)
    assert any_gh.git("log", "-1", "--format=%s", "origin/main", cwd=tree) == f"Bringup a/b (n300) (#{number})"


def test_a_pull_request_needs_a_branch_with_commits(any_gh: Any) -> None:
    done = any_gh.gh("pr", "create", *R, "--base", "main", "--head", "nope", "--title", "x", "--body", "y")
    assert done.returncode == 1
    assert "No commits between main and nope" in done.stderr
    assert "Head ref must be a branch" in done.stderr


def test_a_repository_is_viewed_and_cloned(any_gh: Any) -> None:
    shown = any_gh.json("repo", "view", R[1], "--json", "name,defaultBranchRef,viewerPermission,isPrivate")
    assert shown["name"] == "ttnn_models"
    assert (shown["defaultBranchRef"]["name"], shown["viewerPermission"], shown["isPrivate"]) == (
        "main",
        "WRITE",
        False,
    )
    assert "# ttnn_models" in any_gh.said("repo", "view", R[1]).replace("  ", "")
    any_gh.said("repo", "clone", R[1], "--", "--quiet")
    assert (any_gh.short / "ttnn_models" / "README.md").exists()


def test_a_branch_is_deleted_with_its_slashes_escaped(any_gh: Any) -> None:
    any_gh.push("bringup/issue-1/x", {"a": "a\n"})
    any_gh.said("api", "-X", "DELETE", "repos/yieldthought/ttnn_models/git/refs/heads%2Fbringup%2Fissue-1%2Fx")
    assert [one["name"] for one in any_gh.state()["branches"]] == ["main"]


def test_a_project_lives_through_gh(lab: Any) -> None:
    number = lab.seed("Bring up a/b")
    other = lab.seed("Not on the board", status=None)
    owner = ("--owner", "yieldthought")
    assert "TTNN Models Bringup" in lab.said("project", "list", *owner)
    project = lab.json("project", "view", "1", *owner, "--format", "json")
    fields = lab.json("project", "field-list", "1", *owner, "--format", "json")["fields"]
    status = next(one for one in fields if one["name"] == "Status")
    assert [one["name"] for one in status["options"]] == [
        "assessing", "ready", "in progress", "setup error", "failed", "in review", "done", "reference error"
    ]  # fmt: skip
    items = lab.json("project", "item-list", "1", *owner, "--format", "json")["items"]
    assert [(one["content"]["number"], one["status"]) for one in items] == [(number, "ready")]
    done = next(one["id"] for one in status["options"] if one["name"] == "done")
    lab.said(
        "project", "item-edit", "--id", items[0]["id"], "--project-id", project["id"], "--field-id", status["id"],
        "--single-select-option-id", done
    )  # fmt: skip
    assert lab.issue(number)["status"] == "done"
    lab.said("project", "item-add", "1", *owner, "--url", f"https://github.com/{R[1]}/issues/{other}")
    assert len(lab.json("project", "item-list", "1", *owner, "--format", "json")["items"]) == 2
    second = lab.json("project", "create", *owner, "--title", "Another", "--format", "json")
    assert second["number"] == 2
    lab.said("project", "field-create", "2", *owner, "--name", "Size", "--data-type", "SINGLE_SELECT",
             "--single-select-options", "small,large")  # fmt: skip
    names = [one["name"] for one in lab.json("project", "field-list", "2", *owner, "--format", "json")["fields"]]
    assert names[-1] == "Size"


def test_delete_last_takes_the_accounts_last_comment_whoever_wrote_it(lab: Any) -> None:
    number = lab.seed()
    lab.said("issue", "comment", str(number), *R, "--body", "mine")
    lab.said("issue", "comment", str(number), *R, "--body", "another worker's, same login")
    lab.said("issue", "comment", str(number), *R, "--delete-last", "--yes")
    assert [one["body"] for one in lab.issue(number)["comments"]] == ["mine"]


def test_everything_works_for_a_user_as_the_owner(lab: Any, tmp_path: Any) -> None:
    lab.store.bootstrap("ada", "models", 7, "Ada's board", kind="User")
    repo = lab.store.repo("ada", "models")
    issue = lab.store.add_issue(repo, lab.store.owner("ada"), "Bring up")
    project = lab.store.nodes[lab.store.owner("ada").projects[0]]
    lab.store.set_status(lab.store.add_item(project, issue, lab.store.owner("ada")), "ready")
    shown = lab.json("issue", "view", "1", "-R", "ada/models", "--json", "title,projectItems")
    assert shown["projectItems"][0]["status"]["name"] == "ready"
    assert "Ada's board" in lab.said("project", "list", "--owner", "ada")
    assert len(lab.json("project", "item-list", "7", "--owner", "ada", "--format", "json")["items"]) == 1
    lab.said("issue", "comment", "1", "-R", "ada/models", "--body", "hello")
    comments = lab.json("issue", "view", "1", "-R", "ada/models", "--json", "comments")["comments"]
    assert comments[0]["authorAssociation"] == "COLLABORATOR"
    query = 'query {repositoryOwner(login: "ada") {__typename ... on ProjectV2Owner {projectV2(number: 7) {title}}}}'
    assert lab.data(query)["repositoryOwner"] == {"__typename": "User", "projectV2": {"title": "Ada's board"}}
