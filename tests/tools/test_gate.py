"""The gate: what holds a secret is neither pushed nor posted, and is told by file and line without being repeated."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from states.bringup import failed, released
from yt_fsm.bringup.commits import push
from yt_fsm.bringup.evaluation import Evaluation
from yt_fsm.engine.errors import Leaked
from yt_fsm.engine.redaction import BLACK, Redactor
from yt_fsm.engine.run import Run, boot_id
from yt_fsm.engine.shell import Shell
from yt_fsm.github import publishing
from yt_fsm.github.client import STATUSES, GitHub
from yt_fsm.github.errors import GitHubError
from yt_fsm.tools import gate
from yt_fsm.tools.gate import secrets_in_push, secrets_in_tree
from yt_fsm.tools.git import Repository

TOKEN = "ghp_q7RkZ2vT9xLmB4nYc8WsJ1hUd6FgE3aPo5Xi"
FOLDER = "models/org/name/n300"
WRITTEN: dict[str, bytes] = {
    "plain": TOKEN.encode(),
    "json": "".join(f"\\u{ord(c):04x}" for c in TOKEN).encode(),
    "url": "".join(f"%{ord(c):02x}" for c in TOKEN).encode(),
    "base64": base64.b64encode(b"xy" + TOKEN.encode()),
    "hex": TOKEN.encode().hex().encode(),
    "reversed": TOKEN.encode()[::-1],
    "wrapped": b'"\n    "'.join(TOKEN.encode()[at : at + 11] for at in range(0, 40, 11)),
    "in a binary": b"\x00\xff\xfe\x80" + TOKEN.encode() + b"\x00\xff" * 9,
    "with bytes between": b"\xff".join(TOKEN.encode()[at : at + 5] for at in range(0, 40, 5)),
    "UTF-16": TOKEN.encode("utf-16"),
}


class Clone:
    """A clean clone of a small remote, and codex's beside it."""

    def __init__(self, folder: Path, remote: Path, shell: Shell) -> None:
        self.agent = folder / "agent"
        self.shell = shell
        self.repository = Repository(shell, folder / "clean")
        self.base = self.repository.clone(str(remote))
        self.repository.copy_for_agent(self.agent)

    def write(self, path: str, data: bytes) -> None:
        file = self.agent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def tree(self) -> str:
        return self.repository.tree_of(self.repository.read(self.agent, self.base), self.base, ["models", "tests"])

    def told(self) -> list[str]:
        return secrets_in_tree(self.repository, self.base, self.tree())


@pytest.fixture
def remote(bare: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "models").mkdir()
    (folder / "models" / "old.py").write_text(f"# older than this worker: {TOKEN}\n")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *who, *argv], cwd=folder, check=True)
    return folder


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Clone:
    noted: list[dict[str, object]] = []
    shell = Shell("gate", Redactor({TOKEN: "GH_TOKEN"}), tmp_path / "logs", noted.append)
    return Clone(tmp_path, remote, shell)


# --- a tree


def test_a_secret_is_found_in_every_file_however_it_is_written(clone: Clone) -> None:
    for name, data in WRITTEN.items():
        clone.write(f"{FOLDER}/{name.replace(' ', '-')}.py", b"import ttnn\n\nKEY = '" + data + b"'\n")
    clone.write(f"{FOLDER}/model.py", b"import ttnn\n" * 1000)
    told = clone.told()
    assert {line.split(":")[0] for line in told} == {f"{FOLDER}/{name.replace(' ', '-')}.py" for name in WRITTEN}
    assert all(line.split(":")[1] == "3" for line in told)
    assert f"{FOLDER}/plain.py:3: the value of GH_TOKEN" in told
    assert f"{FOLDER}/base64.py:3: the value of GH_TOKEN (base64)" in told
    assert clone.shell.redact.leaks("\n".join(told).encode()) == []


def test_a_tree_without_secrets_is_let_through_and_so_is_what_the_base_had(clone: Clone) -> None:
    clone.write(f"{FOLDER}/model.py", b"import ttnn\n")
    clone.write(f"{FOLDER}/empty.py", b"")
    clone.write(f"{FOLDER}/weights.bin", bytes(range(256)) * 500)
    (clone.agent / "models" / "gone.py").unlink(missing_ok=True)
    assert clone.told() == []


def test_a_file_that_changed_is_looked_through_whole(clone: Clone) -> None:
    clone.write("models/old.py", f"# older than this worker: {TOKEN}\nx = 1\n".encode())
    assert clone.told() == ["models/old.py:1: the value of GH_TOKEN"]


@pytest.mark.parametrize(
    "name",
    [f"{TOKEN}.py", f"{TOKEN[:20]}/{TOKEN[20:]}.py", f"{TOKEN.encode().hex()}/x.py"],
    ids=["file", "folders", "hex"],
)
def test_a_name_that_spells_a_secret_is_told_without_it(clone: Clone, name: str) -> None:
    clone.write(f"{FOLDER}/{name}", b"x = 1\n")
    (told,) = clone.told()
    assert "its name holds the value of GH_TOKEN" in told
    assert BLACK in told
    assert clone.shell.redact.leaks(told.encode()) == []


def test_a_link_to_a_secrets_name_is_told(clone: Clone) -> None:
    (clone.agent / FOLDER).mkdir(parents=True)
    (clone.agent / FOLDER / "link").symlink_to(f"/tmp/{TOKEN}")
    assert clone.told() == [f"{FOLDER}/link:1: the value of GH_TOKEN"]


def test_a_file_too_large_to_be_looked_through_does_not_leave(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LARGEST_BYTES", 200_000)
    clone.write(f"{FOLDER}/big.bin", bytes(gate.LARGEST_BYTES + 1))
    clone.write(f"{FOLDER}/largest.bin", b"\xff" * (gate.LARGEST_BYTES - 50) + TOKEN.encode())
    told = clone.told()
    assert f"{FOLDER}/big.bin: its {gate.LARGEST_BYTES + 1} bytes are too many to be looked through for secrets" in told
    assert any(line.startswith(f"{FOLDER}/largest.bin:") and line.endswith("GH_TOKEN") for line in told)


def test_many_files_are_looked_through_in_turns(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yt_fsm.tools.git._TEXT_BYTES", 300)
    for number in range(40):
        clone.write(f"{FOLDER}/f{number:02d}.py", b"%d\n" % number * 20)
    clone.write(f"{FOLDER}/f17.py", b"17\n" + TOKEN.encode())
    clone.write(f"{FOLDER}/f33.py", b"33\n\n" + TOKEN.encode())
    assert clone.told() == [f"{FOLDER}/f17.py:2: the value of GH_TOKEN", f"{FOLDER}/f33.py:3: the value of GH_TOKEN"]


def test_what_looks_like_a_credential_does_not_leave_either(clone: Clone) -> None:
    clone.write(f"{FOLDER}/a.py", b"x = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZabcdefgh'\n")
    clone.write(
        f"{FOLDER}/b.py",
        b"# like ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, or hf_model_id, or sk-learn-estimator-link\n",
    )
    assert clone.told() == [f"{FOLDER}/a.py:1: the value of a credential (by its looks)"]


def test_the_gates_reading_leaves_no_copy_in_the_logs(clone: Clone) -> None:
    clone.write(f"{FOLDER}/model.py", b"a word that is in that file only\n")
    assert clone.told() == []
    assert clone.shell.logs
    assert not any("that file only" in log.read_text() for log in clone.shell.logs.iterdir())


# --- a push


def test_every_commit_of_a_push_counts_with_its_text(clone: Clone) -> None:
    clone.write(f"{FOLDER}/model.py", WRITTEN["hex"])
    first = clone.repository.git("commit-tree", clone.tree(), "-p", clone.base, "-m", "one").out.strip()
    clone.write(f"{FOLDER}/model.py", b"x = 1\n")
    second = clone.repository.git("commit-tree", clone.tree(), "-p", first, "-m", f"two\n\n{TOKEN}").out.strip()
    told = secrets_in_push(clone.repository, clone.base, second)
    assert f"{FOLDER}/model.py:1: the value of GH_TOKEN (hex)" in told
    assert any(line.startswith("the commit's text:") for line in told)
    third = clone.repository.git("commit-tree", clone.tree(), "-p", clone.base, "-m", "three").out.strip()
    assert secrets_in_push(clone.repository, clone.base, third) == []


# --- codex is told


def test_codex_is_told_the_file_and_the_line_and_nothing_is_evaluated(clone: Clone, tmp_path: Path) -> None:
    from types import SimpleNamespace

    from yt_fsm.bringup.brief import Brief

    brief = Brief(hf_model_id="org/name", system="n300", prefill_len=8, decode_len=4, batch=1)
    space = SimpleNamespace(agent=clone.agent, check=tmp_path / "check", folder=tmp_path)
    settings = SimpleNamespace(system="n300", skip_tt=False)
    evaluation = Evaluation(clone.shell, settings, brief, "r", space, {}, "c", tmp_path / "artifacts")  # type: ignore[arg-type]
    clone.write(f"{FOLDER}/model.py", b"import ttnn\nKEY = '" + WRITTEN["url"] + b"'\n")
    report = evaluation.check(clone.repository, clone.base, "01")
    assert report.error
    assert f"{FOLDER}/model.py:2: the value of GH_TOKEN" in report.error
    assert clone.shell.redact.leaks(report.error.encode()) == []
    assert not (tmp_path / "artifacts").exists()


# --- a run that ends with such work


@pytest.fixture
def leaking(
    new_run: Callable[..., Run], answered: Callable[..., str], remote: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Run, dict[str, Any]]:
    """A run whose codex wrote the token into its model, real git below it; and its issue."""
    issue: dict[str, Any] = {"status": "in progress", "comments": []}

    def github(name: str, variables: dict[str, Any]) -> Any:
        if name == "project":
            options = [{"id": status, "name": status} for status in STATUSES]
            node = {"id": "P", "number": 7, "title": "T", "url": "u", "items": {"totalCount": 1}}
            return {"repositoryOwner": {"id": "O", "projectV2": {**node, "field": {"id": "F", "options": options}}}}
        if name == "snapshot":
            card = {"id": "ITEM12", "project": {"id": "P"}, "fieldValueByName": {"name": issue["status"]}}
            page = {"hasPreviousPage": False, "startCursor": None}
            comments = {"totalCount": len(issue["comments"]), "pageInfo": page, "nodes": list(issue["comments"])}
            node = {"state": "OPEN", "projectItems": {"nodes": [card]}, "comments": comments}
            return 0, answered(200, {"data": {"node": node}}, Date="Sun, 22 Nov 2026 03:42:07 GMT")
        if name == "add_comment":
            issue["comments"].append(
                {"id": f"C{len(issue['comments'])}", "databaseId": len(issue["comments"]), "body": variables["body"],
                 "createdAt": "2026-11-22T03:41:07Z", "lastEditedAt": None, "authorAssociation": "MEMBER",
                 "author": {"login": "bot"}}
            )  # fmt: skip
            return {"addComment": {"commentEdge": {"node": issue["comments"][-1]}}}
        if name == "set_status":
            issue["status"] = variables["option"]
            return {}
        if name == "edit_comment":
            return {"updateIssueComment": {"issueComment": {"lastEditedAt": "2026-11-22T03:41:08Z"}}}
        raise AssertionError(name)

    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{remote}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "git@github.com:yieldthought/ttnn_models.git")
    run = new_run(github, settle_secs=0)
    redact = Redactor({TOKEN: "GH_TOKEN"})
    run.shell = Shell(run.run_id, redact, run.folder / "logs", lambda command: None)
    run.new_workspace()
    run.workspace.make()
    repository = Repository(run.shell, run.workspace.clean)
    for name, value in {
        "base": repository.clone(run.settings.remote), "into": "main", "tip": None, "model": "org/name",
        "branch": "bringup/issue-12-org-name", "revision": "r1",
    }.items():  # fmt: skip
        setattr(run.facts, name, value)
    repository.git("checkout", "--quiet", "-b", run.facts.branch)
    repository.copy_for_agent(run.workspace.agent)
    run.workspace.seal(boot_id())
    model = run.workspace.agent / FOLDER / "model.py"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"import ttnn\n# " + WRITTEN["base64"] + b"\n")
    run.subject.lease.comment = run.github.comment(run.issue.id, run.subject.claim()).id
    run.journal.append(
        "attempt", n=1, passed=False, failing="x", metrics={}, error=f"it said {TOKEN}", tokens=0, seconds=1.0
    )
    return run, issue


def branches(remote: Path) -> str:
    return subprocess.run(["git", "branch", "-a"], cwd=remote, capture_output=True, text=True, check=True).stdout


def test_a_failed_run_keeps_work_that_holds_a_secret_and_says_where(
    leaking: tuple[Run, dict[str, Any]], remote: Path
) -> None:
    run, issue = leaking
    failed.enter(run)
    assert branches(remote).split() == ["*", "main"]
    assert issue["status"] == "failed"
    body = issue["comments"][-1]["body"]
    assert f"{FOLDER}/model.py:2: the value of GH_TOKEN (base64)" in body
    assert str(run.bundle) in body
    assert run.bundle.stat().st_mode & 0o077 == 0
    assert run.shell.redact.leaks(body.encode()) == []
    assert f"it said {BLACK}" in body


def test_a_run_that_is_given_back_keeps_such_work_too(leaking: tuple[Run, dict[str, Any]], remote: Path) -> None:
    run, issue = leaking
    run.journal.append("transition", event="release", source="bringup", dest="released", status="ready")
    released.enter(run)
    assert branches(remote).split() == ["*", "main"]
    assert issue["status"] == "ready"
    assert "model.py:2: the value of GH_TOKEN (base64)" in run.facts.withheld
    assert run.bundle.exists()


def test_work_that_holds_none_is_pushed(leaking: tuple[Run, dict[str, Any]], remote: Path) -> None:
    run, _ = leaking
    (run.workspace.agent / FOLDER / "model.py").write_text("import ttnn\n")
    failed.enter(run)
    assert "bringup/issue-12-org-name" in branches(remote)


def test_nothing_that_passed_is_pushed_once_it_holds_what_has_become_a_secret(
    leaking: tuple[Run, dict[str, Any]], remote: Path
) -> None:
    from yt_fsm.bringup.work import preserve

    run, _ = leaking
    assert preserve(run, "Bringup")
    with pytest.raises(Leaked, match=f"{FOLDER}/model.py:2"):
        push(run, "in progress")
    assert run.effects.pending() == []
    assert branches(remote).split() == ["*", "main"]


# --- a post


def test_a_text_is_posted_without_its_secrets() -> None:
    redact = Redactor({TOKEN: "GH_TOKEN"})
    for data in WRITTEN.values():
        text = redact.publishable(f"it printed\n{data.decode('latin-1')}\nand more")
        assert redact.leaks(text.encode()) == []
        assert text.endswith("and more")


def test_github_is_sent_no_text_that_still_holds_one(wired: Callable[..., GitHub]) -> None:
    github = wired(lambda name, variables: pytest.fail(f"sent: {name}"))
    github.shell.redact = Redactor({TOKEN: "GH_TOKEN"})
    encoded = base64.b64encode(TOKEN.encode()).decode()
    for post in (
        lambda: github.comment("I", f"x {TOKEN}"),
        lambda: github.edit_comment("C", f"x {encoded}"),
        lambda: github.create_pull_request("b", "main", f"title {TOKEN}", "body"),
        lambda: github.create_pull_request("b", "main", "title", f"body {encoded}"),
    ):
        with pytest.raises(Leaked, match="the value of GH_TOKEN") as caught:
            post()
        assert github.shell.redact.leaks(str(caught.value).encode()) == []


def test_a_pull_request_is_opened_without_secrets(
    leaking: tuple[Run, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = leaking
    sent: list[str] = []
    monkeypatch.setattr(run.github, "pull_request", lambda head, sha: None)
    monkeypatch.setattr(run.github, "create_pull_request", lambda *texts: sent.extend(texts) or "https://h/pull/3")
    publishing.pull_request(
        run, run.facts.branch, run.facts.into, f"Bringup {TOKEN}", f"It said {TOKEN}", "in progress"
    )
    assert sent[2:] == [f"Bringup {BLACK}", f"It said {BLACK}"]


def test_an_answers_headers_are_quoted_nowhere(wired: Callable[..., GitHub], answered: Callable[..., str]) -> None:
    """faults P2: what a login may do is nobody else's business."""
    scopes = {"X_OAuth_Scopes": "admin:org, repo, project", "X_Request_Id": "ABCD:1234"}
    for body in ("<html>bad gateway</html>", "", {"nothing": 1}):
        github = wired(lambda name, variables, body=body: (1, answered(502, body, **scopes)))
        with pytest.raises(GitHubError) as caught:
            github.mutate("edit_comment", comment="C", body="x")
        assert str(caught.value).endswith("says: HTTP 502")


def test_what_gh_itself_says_is_quoted(wired: Callable[..., GitHub], answered: Callable[..., str]) -> None:
    from yt_fsm.engine.shell import Result

    out = answered(502, "<html>", X_OAuth_Scopes="repo")
    tail = out.replace("\r", "") + "\ngh: HTTP 502 (upstream)"
    github = wired(lambda name, variables: Result(["gh", "api"], 1, out, tail, 0.0, None))
    with pytest.raises(GitHubError) as caught:
        github.mutate("edit_comment", comment="C", body="x")
    assert str(caught.value).endswith("says: gh: HTTP 502 (upstream)")


# --- what is written down here


def test_every_file_of_a_run_is_without_secrets(leaking: tuple[Run, dict[str, Any]]) -> None:
    from yt_fsm.bringup.errors import BringupError
    from yt_fsm.engine import record

    run, _ = leaking
    run.journal._redact = run.shell.redact  # as `runs.create` makes it
    run.problem = BringupError(f"it said {TOKEN}")
    run.journal.append("verdict", state="bringup", event="give_up", error="BringupError", text=str(run.problem))
    encoded = base64.b64encode(b"~" + TOKEN.encode()).decode()
    run.shell.run(["sh", "-c", f"echo out {TOKEN}; echo err {encoded} >&2"], timeout=20)
    run.journal.append("crashed", state="bringup", error=repr(ValueError(TOKEN)), traceback=f"at {encoded}")
    record.write(run)
    for file in run.folder.rglob("*"):
        if file.is_file() and file.name != "ballast":
            # The first attempt was journalled by a journal that knew no secret.
            data = b"".join(line for line in file.read_bytes().splitlines(True) if b'"kind":"attempt"' not in line)
            assert run.shell.redact.leaks(data) == [], file
    assert json.loads((run.folder / "run_record.json").read_text())["problem"] == f"it said {BLACK}"
