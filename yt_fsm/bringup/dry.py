"""The dry run (§13.1): the same states and the same commands, printed instead of run; no gh, no reset, no codex."""

import sys
import time
from pathlib import Path
from typing import Any

from yt_fsm.engine.errors import NotFound, Usage
from yt_fsm.engine.outside import Malformed, plain, read, shown
from yt_fsm.engine.shell import Result, Shell
from yt_fsm.github.client import STATUSES, Answer, GitHub, Issue
from yt_fsm.github.issue import IssueSubject
from yt_fsm.github.queue import Issues

from .brief import BODY_CHARS


class DryShell(Shell):
    """Prints every command; each succeeds and says what its caller pretends."""

    dry = True

    def run(self, argv: list[str], **options: Any) -> Result:
        """Print `argv` as it would run, and take `pretend` for its stdout."""
        import shlex

        self.stop.check()
        where = f"   # in {options['cwd'].name}/" if options.get("cwd") else ""
        print(plain(f"$ {self.redact(shlex.join(argv))}{where}"), flush=True)
        out = str(options.get("pretend", ""))
        if options.get("on_line"):
            for line in out.splitlines():
                options["on_line"](line)
        return Result(argv, 0, out, "", 0.0, None)


class DryGitHub(GitHub):
    """Answers reads from the one issue it was given, and says the name of each document that gh would send."""

    def __init__(self, shell: Shell, owner: str, repo: str, issue: Issue) -> None:
        super().__init__(shell, owner, repo, 1, None, 0.0)
        self._status = issue.status
        self._posted: list[dict[str, Any]] = []

    def through(self, shell: Shell) -> "GitHub":
        """The same; a dry run has one shell of each kind."""
        self.shell = shell
        return self

    def _call(self, name: str, variables: dict[str, Any], missing_is_null: bool, write: bool) -> Answer:
        shown = {k: v for k, v in variables.items() if k in ("number", "labels", "head")}
        if name == "set_status":
            self._status = next(k for k, v in self.board.options.items() if v == variables["option"])
            shown = {"status": self._status}
        print(f"  # {name} {shown or ''}".rstrip())
        self.shell.run(["gh", "api", "-i", "graphql", "--input", "-"], timeout=0)
        return Answer(self._data(name, variables), time.time())

    def _data(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if name == "project":
            options = [{"id": f"option-{i}", "name": status} for i, status in enumerate(STATUSES)]
            board = {
                "id": "board",
                "number": 1,
                "title": "",
                "url": "(the board)",
                "items": {"totalCount": 1},
            }
            return {"repositoryOwner": {"projectV2": {**board, "field": {"id": "field", "options": options}}}}
        if name == "add_comment":
            comment = {
                "id": f"comment-{len(self._posted)}",
                "databaseId": len(self._posted),
                "createdAt": stamp,
            }
            whole = {
                **comment,
                "body": variables["body"],
                "lastEditedAt": None,
                "authorAssociation": "MEMBER",
            }
            self._posted.append({**whole, "author": {"login": "dry-run"}})
            return {"addComment": {"commentEdge": {"node": comment}}}
        if name == "snapshot":
            card = {"id": "item", "project": {"id": "board"}, "fieldValueByName": {"name": self._status}}
            page = {"hasPreviousPage": False, "startCursor": None}
            comments = {"totalCount": len(self._posted), "pageInfo": page, "nodes": self._posted}
            return {"node": {"state": "OPEN", "projectItems": {"nodes": [card]}, "comments": comments}}
        if name == "edit_comment":
            issue = {"state": "OPEN", "labels": {"nodes": []}, "projectItems": {"nodes": []}}
            text = {"body": variables["body"], "lastEditedAt": stamp, "editor": None, "userContentEdits": None}
            return {"updateIssueComment": {"issueComment": {**text, "issue": issue}}}
        if name == "pull_requests":
            return {"repository": {"pullRequests": {"nodes": []}}}
        return {}


def subject(queue: Issues, shell: Shell, issue: Issue) -> IssueSubject:
    """The issue as a run is about it, with a GitHub that answers from it alone."""
    queue.github = DryGitHub(shell, queue.settings.owner, queue.settings.repo_models, issue)
    return queue.subject(issue)


def issue_from(source: str, system: str, owner: str, repo: str) -> Issue:
    """The issue of a dry run: a number (its text is then a placeholder), or a file with an issue's text.

    Raises NotFound when it is neither, Usage when it is a file that cannot be read.
    """
    number, title = 0, shown(Path(source).stem)
    try:
        body = read(Path(source), 4 * BODY_CHARS, follow=True)
    except Malformed as problem:
        raise Usage(f"--issue {shown(source)} cannot be read: {problem}") from None
    except OSError:
        if not (source.isascii() and source.isdecimal() and len(source) < 10):
            told = f"--issue {shown(source)}: neither a number nor a file with an issue's text"
            raise NotFound(told) from None
        number, title = int(source), "(a dry run reads no issue)"
        body = "hf_model_id: ORG/NAME"
        print(f"issue {number} is not read in a dry run: its model stands as ORG/NAME", file=sys.stderr)
    url = f"https://github.com/{owner}/{repo}/issues/{number}"
    return Issue("issue", number, title, body, url, (system,), item="item", status="ready")
