"""The rows as gh does them: porcelain where it has some, `gh api` for the rest."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from .rows import ALL
from .scene import NAME, OWNER, REPO, Scene, run

R = ("-R", REPO)
BOARD = f"""query($number: Int!) {{repositoryOwner(login: "{OWNER}") {{... on ProjectV2Owner {{
    projectV2(number: $number) {{id title field(name: "Status") {{
        ... on ProjectV2SingleSelectField {{id options {{id name}}}}}}}}}}}}}}"""
ADD = "mutation($p: ID!, $c: ID!) {addProjectV2ItemById(input: {projectId: $p, contentId: $c}) {item {id}}}"
MOVE = """mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {
    projectId: $p, itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {projectV2Item {
    fieldValueByName(name: "Status") {... on ProjectV2ItemFieldSingleSelectValue {name}}}}}"""


class Gh:
    """One gh; `scene` is where."""

    def __init__(self, scene: Scene, binary: Path) -> None:
        self.scene, self.binary = scene, str(binary)
        # gh keeps what it found out about a host under HOME: another gh's findings are not this one's.
        self.env = scene.lab.env | {"HOME": str(scene.folder), "XDG_CACHE_HOME": str(scene.folder / "cache")}
        self.issue = self.pull = self.comment_id = ""

    def gh(self, *arguments: str, given: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        return run(self.scene, self.binary, *arguments, env=self.env | env, input=given)

    def said(self, *arguments: str, given: str = "") -> str:
        done = self.gh(*arguments, given=given)
        assert done.returncode == 0, f"gh {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return str(done.stdout).strip()

    def json(self, *arguments: str, given: str = "") -> Any:
        return json.loads(self.said(*arguments, given=given))

    def refused(self, *arguments: str, given: str = "", **env: str) -> str:
        done = self.gh(*arguments, given=given, **env)
        assert done.returncode == 1, f"gh {' '.join(arguments)}: exit {done.returncode}"
        return str(done.stdout + done.stderr)

    def graphql(self, query: str, **variables: Any) -> Any:
        given = json.dumps({"query": query, "variables": variables})
        return self.json("api", "graphql", "--input", "-", given=given)["data"]

    def graphql_error(self, query: str, **variables: Any) -> Any:
        done = self.gh("api", "graphql", "--input", "-", given=json.dumps({"query": query, "variables": variables}))
        assert done.returncode == 1, done.stdout
        return json.loads(done.stdout)["errors"][0]

    def fault(self, kind: str, **more: Any) -> None:
        self.scene.lab.fault("github", kind, **more)

    # -- who, and how much

    def login(self) -> str:
        status = self.gh("auth", "status")  # an older one says it on stderr
        assert "yt-bot" in status.stdout + status.stderr
        return self.said("api", "user", "--jq", ".login")

    def scopes(self) -> str:
        line = next(x for x in self.said("api", "-i", "user").splitlines() if x.lower().startswith("x-oauth-scopes:"))
        return ", ".join(sorted(line.partition(": ")[2].strip().split(", ")))

    def limit(self) -> str:
        return str(self.graphql("{rateLimit {limit}}")["rateLimit"]["limit"])

    def wrong_token(self) -> str:
        said = self.refused("api", "user", GH_TOKEN="ghp_wrong")
        return "401 Bad credentials" if "Bad credentials (HTTP 401)" in said else said

    def secondary_limit(self) -> str:
        self.fault("secondary-limit", retry_after=7)
        said = self.refused("api", "-i", "user")
        assert "secondary rate limit" in said
        found = re.search(r"^HTTP/\S+ (\d+).*^retry-after: (\d+)", said, re.IGNORECASE | re.MULTILINE | re.DOTALL)
        return f"{found[1]}, retry after {found[2]} s" if found else said

    def rate_limited(self) -> str:
        self.fault("rate-limited", match="query")
        error = self.graphql_error("{viewer {login}}")
        assert error["type"] == "RATE_LIMITED"
        return str(error["message"]).partition(" for user ID")[0]

    def bad_gateway(self) -> str:
        self.fault("bad-gateway")
        return "502" if "HTTP 502" in self.refused("api", "user") else "not seen"

    # -- queries

    def typed_variables(self) -> str:
        query = f'query($n: Int!) {{repository(owner: "{OWNER}", name: "{NAME}") {{issue(number: $n) {{title}}}}}}'
        return str(self.graphql(query, n=self.scene.numbers[0])["repository"]["issue"]["title"])

    def unknown_field(self) -> str:
        return str(self.graphql_error("{viewer {nope}}")["message"])

    def unbounded(self) -> str:
        error = self.graphql_error(f'{{repository(owner: "{OWNER}", name: "{NAME}") {{issues {{nodes {{id}}}}}}}}')
        assert error["type"] == "MISSING_PAGINATION_BOUNDARIES"
        return str(error["message"]).partition(" to properly")[0]

    def graphql_pages(self) -> str:
        query = f"""query($endCursor: String) {{repository(owner: "{OWNER}", name: "{NAME}") {{
            issues(labels: ["{self.scene.label}"], first: 2, after: $endCursor) {{
                nodes {{number}} pageInfo {{hasNextPage endCursor}}}}}}}}"""
        found = self.said(
            "api", "graphql", "--paginate", "-f", f"query={query}", "--jq", ".data.repository.issues.nodes[].number"
        )
        return ALL if [int(n) for n in found.split()] == self.scene.numbers else found

    def rest_pages(self) -> str:
        path = f"repos/{REPO}/issues?labels={self.scene.label}&per_page=2&direction=asc"
        found = self.said("api", "--paginate", path, "--jq", ".[].number")
        return ALL if [int(n) for n in found.split()] == self.scene.numbers else found

    def unchanged(self) -> str:
        first = self.said("api", "-i", "user").splitlines()
        tag = next(line for line in first if line.lower().startswith("etag:")).partition(": ")[2].strip()
        return self.refused("api", "-i", "user", "-H", f"If-None-Match: {tag}").split()[1]

    def repository(self) -> str:
        shown = self.json("repo", "view", REPO, "--json", "nameWithOwner,defaultBranchRef")
        return f"{shown['nameWithOwner']}, {shown['defaultBranchRef']['name']}"

    # -- an issue's life

    def label(self) -> str:
        self.said("label", "create", f"new-{self.scene.name}", *R, "--color", "ff0000")
        again = self.refused("label", "create", f"new-{self.scene.name}", *R, "--color", "ff0000")
        return "made, then already exists" if "already exists" in again else again

    def issue_opened(self) -> str:
        made = self.said("issue", "create", *R, "--title", "New", "--body", "b", "--label", f"new-{self.scene.name}")
        self.issue = made.rpartition("/")[2]
        shown = self.json("issue", "view", self.issue, *R, "--json", "state,author")
        return f"{shown['state'].lower()}, by {shown['author']['login']}"

    def issue_listed(self) -> str:
        found = self.json("issue", "list", *R, "--label", f"new-{self.scene.name}", "--json", "number")
        return "found" if found == [{"number": int(self.issue)}] else str(found)

    def issue_searched(self) -> str:
        found = self.json("issue", "list", *R, "--search", f"New label:new-{self.scene.name}", "--json", "number")
        return "found" if found == [{"number": int(self.issue)}] else str(found)

    def issue_edited(self) -> str:
        self.said("issue", "edit", self.issue, *R, "--title", "Newer", "--add-label", "lb", "--add-assignee", "@me",
                  "--remove-label", f"new-{self.scene.name}")  # fmt: skip
        shown = self.json("issue", "view", self.issue, *R, "--json", "title,labels,assignees")
        return ", ".join([shown["title"], *(one["name"] for one in shown["labels"]), shown["assignees"][0]["login"]])

    def issue_missing(self) -> str:
        said = self.refused("issue", "view", "99999", *R, "--json", "title")
        return "not found" if "Could not resolve to an issue or pull request with the number of 99999" in said else said

    def comment(self) -> str:
        made = self.said("issue", "comment", self.issue, *R, "--body", "[yt-claim]\nrun_id: x")
        self.comment_id = made.rpartition("issuecomment-")[2]
        (shown,) = self.json("issue", "view", self.issue, *R, "--json", "comments")["comments"]
        return f"{shown['body'].splitlines()[0]}, {shown['authorAssociation']}"

    def comment_edited(self) -> str:
        self.said("issue", "comment", self.issue, *R, "--edit-last", "--body", "heartbeat")
        return self.said("api", f"repos/{REPO}/issues/comments/{self.comment_id}", "--jq", ".body")

    def comment_deleted(self) -> str:
        self.said("api", "-X", "DELETE", f"repos/{REPO}/issues/comments/{self.comment_id}")
        return "gone" if not self.scene.issue(int(self.issue))["comments"] else "still there"

    def issue_reopened(self) -> str:
        states = []
        for verb in ("reopen", "close"):
            self.said("issue", verb, self.issue, *R)
            states.append(self.json("issue", "view", self.issue, *R, "--json", "state")["state"].lower())
        return ", ".join(states)

    # -- the board

    def board(self) -> str:
        project = self.graphql(BOARD, number=1)["repositoryOwner"]["projectV2"]
        assert project["title"] == "TTNN Models Bringup"
        names = [option["name"] for option in project["field"]["options"]]
        return f"{names[0]} … {names[-1]}, {len(names)}"

    def _move(self, option: str) -> dict[str, Any]:
        project = self.graphql(BOARD, number=1)["repositoryOwner"]["projectV2"]
        options = {one["name"]: one["id"] for one in project["field"]["options"]}
        content = self.json("issue", "view", self.issue, *R, "--json", "id")["id"]
        item = self.graphql(ADD, p=project["id"], c=content)["addProjectV2ItemById"]["item"]["id"]
        return {"p": project["id"], "i": item, "f": project["field"]["id"], "o": options.get(option, option)}

    def card(self) -> str:
        moved = self.graphql(MOVE, **self._move("in progress"))["updateProjectV2ItemFieldValue"]["projectV2Item"]
        assert self.scene.issue(int(self.issue))["status"] == "in progress"
        return str(moved["fieldValueByName"]["name"])

    def stale_option(self) -> str:
        return str(self.graphql_error(MOVE, **self._move("0badc0de"))["message"]).partition(" to the field")[0]

    # -- a pull request's life

    def clone(self) -> str:
        self.said("repo", "clone", REPO, "cloned", "--", "--quiet")
        return "README.md" if (self.scene.folder / "cloned" / "README.md").exists() else "not there"

    def pull_opened(self) -> str:
        made = self.said(*self._create())
        self.pull = made.rpartition("/")[2]
        return str(self.json("pr", "view", self.pull, *R, "--json", "state")["state"].lower())

    def pull_again(self) -> str:
        said = self.refused(*self._create())
        return "already exists" if "already exists" in said else said

    def _create(self) -> tuple[str, ...]:
        of = ("--base", "main", "--head", self.scene.branch)
        return ("pr", "create", *R, *of, "--title", f"Work {self.scene.name}", "--body", f"Closes #{self.issue}")

    def pull_listed(self) -> str:
        found = self.json("pr", "list", *R, "--head", self.scene.branch, "--json", "number")
        return "found" if found == [{"number": int(self.pull)}] else str(found)

    def pull_files(self) -> str:
        (file,) = self.json("pr", "view", self.pull, *R, "--json", "files")["files"]
        assert "+a line" in self.said("pr", "diff", self.pull, *R)
        return f"{Path(file['path']).name} +{file['additions']}"

    def pull_checked(self) -> str:
        fields = ("-f", "state=success", "-f", "context=unit")
        self.said("api", f"repos/{REPO}/statuses/{self.scene.sha}", *fields)
        assert "unit\tpass" in self.said("pr", "checks", self.pull, *R)
        return self.said("api", f"repos/{REPO}/commits/{self.scene.sha}/status", "--jq", ".state")

    def pull_commented(self) -> str:
        self.said("pr", "comment", self.pull, *R, "--body", "well done")
        return str(self.json("pr", "view", self.pull, *R, "--json", "comments")["comments"][0]["body"])

    def pull_merged(self) -> str:
        self.said("pr", "merge", self.pull, *R, "--squash")
        state = self.json("pr", "view", self.pull, *R, "--json", "state")["state"].lower()
        closed = self.json("issue", "view", self.issue, *R, "--json", "state")["state"].lower()
        return f"{state}, its issue {closed}"

    def branch_deleted(self) -> str:
        escaped = self.scene.branch.replace("/", "%2F")
        self.said("api", "-X", "DELETE", f"repos/{REPO}/git/refs/heads%2F{escaped}")
        branches = [branch["name"] for branch in self.scene.lab.state()["branches"]]
        return "gone" if self.scene.branch not in branches else "still there"


class NewGh(Gh):
    """A gh that has `gh project`."""

    def project(self) -> str:
        owner, form = ("--owner", OWNER), ("--format", "json")
        assert "TTNN Models Bringup" in self.said("project", "list", *owner)
        project = self.json("project", "view", "1", *owner, *form)
        fields = self.json("project", "field-list", "1", *owner, *form)["fields"]
        status = next(one for one in fields if one["name"] == "Status")
        done = next(one["id"] for one in status["options"] if one["name"] == "done")
        url = f"https://github.com/{REPO}/issues/{self.issue}"
        item = self.json("project", "item-add", "1", *owner, "--url", url, *form)["id"]
        self.said("project", "item-edit", "--id", item, "--project-id", project["id"], "--field-id", status["id"],
                  "--single-select-option-id", done)  # fmt: skip
        items = self.json("project", "item-list", "1", *owner, *form, "--limit", "100")["items"]
        return str(next(one["status"] for one in items if one["content"]["number"] == int(self.issue)))
