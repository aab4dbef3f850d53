"""The rows as githubkit does them: its own models check every REST answer against GitHub's published description.

Runs by itself, with githubkit on its path: `githubkit_probe.py TOLD KEY…` prints one JSON object, KEY to outcome.
"""

import json
import sys
from typing import Any

import httpx
from githubkit import GitHub
from githubkit.exception import GraphQLFailed, PrimaryRateLimitExceeded, RequestFailed, SecondaryRateLimitExceeded

ALL = "all five"
BOARD = """query($number: Int!) {repositoryOwner(login: "%s") {... on ProjectV2Owner {projectV2(number: $number) {
    id title field(name: "Status") {... on ProjectV2SingleSelectField {id options {id name}}}}}}}"""
ADD = "mutation($p: ID!, $c: ID!) {addProjectV2ItemById(input: {projectId: $p, contentId: $c}) {item {id}}}"
MOVE = """mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {
    projectId: $p, itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {projectV2Item {
    fieldValueByName(name: "Status") {... on ProjectV2ItemFieldSingleSelectValue {name}}}}}"""


class OverSocket(httpx.HTTPTransport):
    """Everything for https://api.github.com, in plain HTTP over the lab's socket."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http")
        return super().handle_request(request)


class Probe:
    """githubkit, logged in; one method a row."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.github = self._client(told["token"])
        self.rest = self.github.rest
        self.o = {"owner": told["owner"], "repo": told["repo"]}
        self.mine = f"new-{told['name']}"
        self.issue = self.pull = self.comment_id = 0

    def _client(self, token: str) -> Any:
        socket = OverSocket(uds=self.told["socket"])
        return GitHub(token, transport=socket, auto_retry=False, http_cache=False)

    def _fault(self, kind: str, **more: Any) -> None:
        with httpx.Client(transport=OverSocket(uds=self.told["socket"])) as client:
            client.post("http://lab/_lab/faults", json={"fault": kind, **more}).raise_for_status()

    def _refused(self, call: Any, *given: Any, **more: Any) -> Any:
        try:
            call(*given, **more)
        except RequestFailed as problem:
            return problem.response
        raise AssertionError("not refused")

    def _errors(self, query: str, **variables: Any) -> Any:
        try:
            self.github.graphql(query, variables)
        except GraphQLFailed as problem:
            return problem.response.errors[0]
        raise AssertionError("not refused")

    def login(self) -> str:
        return str(self.rest.users.get_authenticated().parsed_data.login)

    def scopes(self) -> str:
        found = self.rest.users.get_authenticated().headers["x-oauth-scopes"]
        return ", ".join(sorted(found.split(", ")))

    def limit(self) -> str:
        found = self.rest.rate_limit.get().parsed_data.resources.graphql.limit
        assert self.github.graphql("{rateLimit {limit}}")["rateLimit"]["limit"] == found
        return str(found)

    def wrong_token(self) -> str:
        stranger = self._client("ghp_wrong")
        refused = self._refused(stranger.rest.users.get_authenticated)
        return f"{refused.status_code} {refused.json()['message']}"

    def secondary_limit(self) -> str:
        self._fault("secondary-limit", retry_after=7)
        try:
            self.rest.users.get_authenticated()
        except SecondaryRateLimitExceeded as problem:
            seconds = round(problem.retry_after.total_seconds())
            return f"{problem.response.status_code}, retry after {seconds} s"
        return "not refused"

    def rate_limited(self) -> str:
        self._fault("rate-limited", match="query")
        try:
            self.github.graphql("{viewer {login}}")
        except PrimaryRateLimitExceeded as problem:
            found = problem
        assert 0 < found.retry_after.total_seconds() <= 3600
        return str(found.response.json()["errors"][0]["message"]).partition(" for user ID")[0]

    def bad_gateway(self) -> str:
        self._fault("bad-gateway")
        return str(self._refused(self.rest.users.get_authenticated).status_code)

    def typed_variables(self) -> str:
        query = (
            "query($o: String!, $r: String!, $n: Int!) {repository(owner: $o, name: $r) {issue(number: $n) {title}}}"
        )
        given = {"o": self.told["owner"], "r": self.told["repo"], "n": self.told["numbers"][0]}
        return str(self.github.graphql(query, given)["repository"]["issue"]["title"])

    def unknown_field(self) -> str:
        return str(self._errors("{viewer {nope}}").message)

    def unbounded(self) -> str:
        query = "query($o: String!, $r: String!) {repository(owner: $o, name: $r) {issues {nodes {id}}}}"
        error = self._errors(query, o=self.told["owner"], r=self.told["repo"])
        assert error.type == "MISSING_PAGINATION_BOUNDARIES"
        return str(error.message).partition(" to properly")[0]

    def graphql_pages(self) -> str:
        query = """query($cursor: String, $o: String!, $r: String!, $l: [String!]) {repository(owner: $o, name: $r) {
            issues(labels: $l, first: 2, after: $cursor) {nodes {number} pageInfo {hasNextPage endCursor}}}}"""
        given = {"o": self.told["owner"], "r": self.told["repo"], "l": [self.told["label"]]}
        pages = list(self.github.graphql.paginate(query, given))
        found = [one["number"] for page in pages for one in page["repository"]["issues"]["nodes"]]
        return ALL if found == self.told["numbers"] and len(pages) == 3 else str(found)

    def rest_pages(self) -> str:
        every = self.rest.paginate(
            self.rest.issues.list_for_repo, **self.o, labels=self.told["label"], per_page=2, direction="asc"
        )
        found = [one.number for one in every]
        return ALL if found == self.told["numbers"] else str(found)

    def unchanged(self) -> str:
        first = self.rest.users.get_authenticated()
        again = self.github.request("GET", "/user", headers={"If-None-Match": first.headers["etag"]})
        return str(again.status_code)

    def repository(self) -> str:
        found = self.rest.repos.get(**self.o).parsed_data
        return f"{found.full_name}, {found.default_branch}"

    def label(self) -> str:
        self.rest.issues.create_label(**self.o, name=self.mine, color="ff0000")
        assert self.rest.issues.get_label(**self.o, name=self.mine).parsed_data.color == "ff0000"
        assert self.mine in [one.name for one in self.rest.issues.list_labels_for_repo(**self.o).parsed_data]
        refused = self._refused(self.rest.issues.create_label, **self.o, name=self.mine, color="ff0000")
        codes = [error["code"] for error in refused.json()["errors"]]
        return "made, then already exists" if codes == ["already_exists"] else refused.text

    def issue_opened(self) -> str:
        made = self.rest.issues.create(**self.o, title="New", body="b", labels=[self.mine]).parsed_data
        self.issue = made.number
        return f"{made.state}, by {made.user.login}"

    def issue_listed(self) -> str:
        found = [one.number for one in self.rest.issues.list_for_repo(**self.o, labels=self.mine).parsed_data]
        return "found" if found == [self.issue] else str(found)

    def issue_searched(self) -> str:
        query = f"repo:{self.o['owner']}/{self.o['repo']} is:issue New label:{self.mine}"
        found = self.rest.search.issues_and_pull_requests(q=query).parsed_data
        return "found" if [one.number for one in found.items] == [self.issue] else str(found)

    def issue_edited(self) -> str:
        at = {**self.o, "issue_number": self.issue}
        self.rest.issues.update(**at, title="Newer", assignees=["yt-bot"])
        self.rest.issues.add_labels(**at, labels=["lb"])
        self.rest.issues.remove_label(**at, name=self.mine)
        found = self.rest.issues.get(**at).parsed_data
        return ", ".join([found.title, *(one.name for one in found.labels), found.assignees[0].login])

    def issue_missing(self) -> str:
        refused = self._refused(self.rest.issues.get, **self.o, issue_number=99999)
        return "not found" if refused.status_code == 404 else refused.text

    def comment(self) -> str:
        at = {**self.o, "issue_number": self.issue}
        self.comment_id = self.rest.issues.create_comment(**at, body="[yt-claim]\nrun_id: x").parsed_data.id
        (found,) = self.rest.issues.list_comments(**at).parsed_data
        return f"{found.body.splitlines()[0]}, {found.author_association}"

    def comment_edited(self) -> str:
        at = {**self.o, "comment_id": self.comment_id}
        self.rest.issues.update_comment(**at, body="heartbeat")
        return str(self.rest.issues.get_comment(**at).parsed_data.body)

    def comment_deleted(self) -> str:
        self.rest.issues.delete_comment(**self.o, comment_id=self.comment_id)
        left = self.rest.issues.list_comments(**self.o, issue_number=self.issue).parsed_data
        return "gone" if left == [] else str(left)

    def _project(self) -> Any:
        found = self.github.graphql(BOARD % self.told["owner"], {"number": 1})
        return found["repositoryOwner"]["projectV2"]

    def board(self) -> str:
        project = self._project()
        assert project["title"] == "TTNN Models Bringup"
        names = [option["name"] for option in project["field"]["options"]]
        return f"{names[0]} … {names[-1]}, {len(names)}"

    def _move(self, option: str) -> dict[str, Any]:
        project = self._project()
        options = {one["name"]: one["id"] for one in project["field"]["options"]}
        content = self.rest.issues.get(**self.o, issue_number=self.issue).parsed_data.node_id
        added = self.github.graphql(ADD, {"p": project["id"], "c": content})
        item = added["addProjectV2ItemById"]["item"]["id"]
        return {"p": project["id"], "i": item, "f": project["field"]["id"], "o": options.get(option, option)}

    def card(self) -> str:
        moved = self.github.graphql(MOVE, self._move("in progress"))
        return str(moved["updateProjectV2ItemFieldValue"]["projectV2Item"]["fieldValueByName"]["name"])

    def stale_option(self) -> str:
        return str(self._errors(MOVE, **self._move("0badc0de")).message).partition(" to the field")[0]

    def _create(self, call: Any) -> Any:
        words = {"title": f"Work {self.told['name']}", "body": f"Closes #{self.issue}"}
        return call(self.rest.pulls.create, **self.o, **words, head=self.told["branch"], base="main")

    def pull_opened(self) -> str:
        made = self._create(lambda create, **given: create(**given)).parsed_data
        self.pull = made.number
        return str(self.rest.pulls.get(**self.o, pull_number=self.pull).parsed_data.state)

    def pull_again(self) -> str:
        said = self._create(self._refused).json()["errors"][0]["message"]
        return "already exists" if "already exists" in said else said

    def pull_listed(self) -> str:
        head = f"{self.told['owner']}:{self.told['branch']}"
        found = [one.number for one in self.rest.pulls.list(**self.o, head=head).parsed_data]
        return "found" if found == [self.pull] else str(found)

    def pull_files(self) -> str:
        (file,) = self.rest.pulls.list_files(**self.o, pull_number=self.pull).parsed_data
        (made,) = self.rest.pulls.list_commits(**self.o, pull_number=self.pull).parsed_data
        assert made.sha == self.told["sha"]
        return f"{file.filename.rpartition('/')[2]} +{file.additions}"

    def pull_checked(self) -> str:
        sha = self.told["sha"]
        self.rest.repos.create_commit_status(**self.o, sha=sha, state="success", context="unit")
        assert self.rest.checks.list_for_ref(**self.o, ref=sha).parsed_data.total_count == 0
        return str(self.rest.repos.get_combined_status_for_ref(**self.o, ref=sha).parsed_data.state)

    def pull_commented(self) -> str:
        at = {**self.o, "issue_number": self.pull}
        self.rest.issues.create_comment(**at, body="well done")
        return str(self.rest.issues.list_comments(**at).parsed_data[0].body)

    def pull_merged(self) -> str:
        at = {**self.o, "pull_number": self.pull}
        assert self.rest.pulls.merge(**at, merge_method="squash").parsed_data.merged
        state = "merged" if self.rest.pulls.get(**at).parsed_data.merged else "not merged"
        return f"{state}, its issue {self.rest.issues.get(**self.o, issue_number=self.issue).parsed_data.state}"

    def fetched(self) -> str:
        found = self.rest.repos.list_commits(**self.o).parsed_data[0]
        assert self.rest.repos.get_branch(**self.o, branch="main").parsed_data.commit.sha == found.sha
        merged = found.commit.message.splitlines()[0].endswith(f" (#{self.pull})")
        return "the new commit" if merged else found.commit.message

    def branch_deleted(self) -> str:
        self.rest.git.delete_ref(**self.o, ref=f"heads/{self.told['branch']}")
        branches = [one.name for one in self.rest.repos.list_branches(**self.o).parsed_data]
        return "gone" if self.told["branch"] not in branches else "still there"

    def issue_reopened(self) -> str:
        states = []
        for state in ("open", "closed"):
            at = {**self.o, "issue_number": self.issue}
            states.append(self.rest.issues.update(**at, state=state).parsed_data.state)
        return ", ".join(states)


def main(told: str, *keys: str) -> None:
    """Does the rows that it knows, in their order."""
    probe = Probe(json.loads(told))
    found = {}
    for key in keys:
        if hasattr(probe, key):
            try:
                found[key] = getattr(probe, key)()
            except Exception as problem:  # the table says what went wrong
                found[key] = f"{type(problem).__name__}: {problem}"
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
