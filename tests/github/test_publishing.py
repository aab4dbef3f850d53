"""Publishing: the texts people see, and that each step happens once, whatever GitHub answers (§9.1 G and H, §12.2)."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.bringup.commits import push
from yt_fsm.bringup.report import fenced, metrics_block, reproduction, table
from yt_fsm.engine.errors import CommandFailed, Lost, Refused, Unconfirmed
from yt_fsm.engine.run import Run
from yt_fsm.github import publishing
from yt_fsm.github.client import STATUSES, Comment, _comment
from yt_fsm.github.errors import GitHubError
from yt_fsm.github.issue import marker
from yt_fsm.github.lease import claims
from yt_fsm.github.publishing import named_record

METRICS = {
    "hf": {"top1": 1.0, "top5": 1.0, "tokens": 32, "mode": "hf", "trace": False, "timing": {"s": 1}},
    "tt0": {"top1": 0.96875, "top5": 1.0, "tokens": 32, "mode": "tt", "trace": False, "timing": {"s": 1}, "kl": 0.0014},
}

# --- texts


@given(text=st.text(alphabet=st.sampled_from(list("`~ab\n ")) | st.characters(codec="utf-8"), max_size=80),
       language=st.sampled_from(["", "bash", "json"]))  # fmt: skip
def test_nothing_gets_out_of_a_fence(text: str, language: str) -> None:
    block = fenced(text, language)
    opening, rest = block.split("\n", 1)
    ticks = opening.removesuffix(language)
    assert set(ticks) == {"`"}
    assert len(ticks) >= 3
    inside = rest.removesuffix(f"\n{ticks}")
    assert inside == text
    assert ticks not in inside


def test_a_marker_is_hidden_and_names_the_run() -> None:
    assert marker("r-1", 7) == "<!-- ytfsm r-1/7 -->"


def test_metrics_are_a_table_and_a_block_of_json() -> None:
    assert table(METRICS).splitlines() == [
        "| evaluation | result |",
        "|---|---|",
        "| HF reference | top1 1.000 top5 1.000 (32 tokens) |",
        "| TT, trace off | top1 0.969 top5 1.000 (32 tokens) KL 0.0014 |",
    ]
    block = metrics_block(METRICS)
    assert block.startswith("```json\n")
    assert json.loads(block.removeprefix("```json\n").removesuffix("\n```")) == METRICS


def test_what_is_suspect_stands_in_the_table_and_among_the_known_limitations(new_run: Callable[..., Run]) -> None:
    from states.bringup import review

    run = new_run()
    found = {"hf": METRICS["hf"], "tt1": {**METRICS["tt0"], "suspect": ["KL 0.031 is above 0.02"]}}
    run.journal.append("attempt", n=1, passed=True, metrics=found, tampered=[])
    assert "| TT, trace on | top1 0.969 top5 1.000 (32 tokens) KL 0.0014; suspect: KL 0.031 is above 0.02 |" in table(
        found
    )
    assert [line for line in review.limitations(run) if "Suspect" in line] == [
        "- **Suspect** (tt1): KL 0.031 is above 0.02. A position that is off by one shows in little else."
    ]


@pytest.fixture
def run(new_run: Callable[..., Run]) -> Run:
    return new_run()


def test_the_reproduction_is_the_checks_in_their_order(run: Run) -> None:
    lines = reproduction(run, "bringup/issue-12-org-name").splitlines()
    common = "--hf-model org/name --revision main --prefill-len 128 --decode-len 32 --batch 1"
    assert lines == [
        "```bash",
        "git clone git@github.com:yieldthought/ttnn_models.git && cd ttnn_models",
        "git checkout bringup/issue-12-org-name",
        "python -m pytest -q",
        f"python scripts/run_eval.py --mode hf {common}",
        f"python scripts/run_eval.py --mode tt --trace 0 {common}",
        f"python scripts/run_eval.py --mode tt --trace 1 {common}",
        "```",
    ]


def test_the_reproduction_has_the_seeds_of_the_last_evaluation(run: Run) -> None:
    measured = {"hf": {"seed": 0}, "tt0": {"seed": 4711}}
    run.journal.append("attempt", n=1, passed=True, metrics=measured, tampered=[])
    hf, tt0, tt1 = reproduction(run).splitlines()[3:6]
    assert tt0.endswith("--batch 1 --seed 4711")
    assert hf.endswith("--batch 1")
    assert tt1.endswith("--batch 1")


def test_the_reproduction_pins_the_revision_once_it_is_known(run: Run) -> None:
    run.facts.revision = "abc123"
    text = reproduction(run)
    assert text.count("--revision abc123") == 3
    assert "git checkout" not in text


# --- a far end that remembers


def opened(run: Run) -> str:
    """Its pull request's URL, opened if it was not."""
    return publishing.pull_request(run, run.facts.branch, run.facts.into, "T", "B", "in progress")


class Forge:
    """One issue, its card and its comments; `faults` maps a document's name to what it answers next."""

    def __init__(self, http: Callable[..., str]) -> None:
        self.http = http
        self.status = "in progress"
        self.open = True
        self.comments: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.faults: dict[str, list[Any]] = {}
        self.applied: list[str] = []
        self.sticks = True
        self.refusal: tuple[int, str] | None = None  # of a pull request

    def add(self, body: str, by: str = "MEMBER") -> int:
        number = len(self.comments) + 1
        self.comments.append(
            {
                "id": f"C{number}", "databaseId": number, "createdAt": "2026-11-22T03:41:07Z", "lastEditedAt": None,
                "authorAssociation": by, "body": body, "author": {"login": "bot"},
            }
        )  # fmt: skip
        return number

    def __call__(self, name: str, variables: dict[str, Any]) -> Any:
        fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if fault == "before":
            return 1, self.http(502, "")
        answer = self._answer(name, variables)
        return (1, self.http(502, "")) if fault == "after" else (fault or answer)

    def _answer(self, name: str, variables: dict[str, Any]) -> Any:
        if name == "project":
            options = [{"id": status, "name": status} for status in STATUSES]
            node = {"id": "P", "number": 7, "title": "T", "url": "u", "items": {"totalCount": 1}}
            return {"repositoryOwner": {"id": "O", "projectV2": {**node, "field": {"id": "F", "options": options}}}}
        if name == "snapshot":
            card = {"id": "ITEM12", "project": {"id": "P"}, "fieldValueByName": {"name": self.status}}
            end = int(variables.get("before") or len(self.comments))
            page = {"hasPreviousPage": end > 100, "startCursor": str(end - 100)}
            shown = self.comments[max(0, end - 100) : end]
            node = {
                "state": "OPEN" if self.open else "CLOSED",
                "projectItems": {"nodes": [card]},
                "comments": {"totalCount": len(self.comments), "pageInfo": page, "nodes": shown},
            }
            return 0, self.http(200, {"data": {"node": node}}, Date="Sun, 22 Nov 2026 03:42:07 GMT")
        if name == "pull_requests":
            return {"repository": {"pullRequests": {"nodes": self.pulls}}}
        if name == "read_comment":
            return {"node": None}
        self.applied.append(name.split()[0] if name.startswith("git") else name)
        if name == "add_comment":
            number = self.add(variables["body"])
            return {"addComment": {"commentEdge": {"node": self.comments[number - 1]}}}
        if name == "edit_comment":
            (found,) = [one for one in self.comments if one["id"] == variables["comment"]]
            found |= {"body": variables["body"], "lastEditedAt": "2026-11-22T03:42:07Z"}
            return {
                "updateIssueComment": {
                    "issueComment": {**found, "issue": {"state": "OPEN", "projectItems": {"nodes": []}}}
                }
            }
        if name == "set_status":
            if self.sticks:
                self.status = variables["option"]
            return {}
        if name.startswith("gh pr create"):
            if self.refusal:
                return self.refusal
            url = "https://github.com/yieldthought/ttnn_models/pull/31"
            self.pulls.append(
                {"number": 31, "url": url, "state": "OPEN", "headRefOid": "c" * 40, "isCrossRepository": False}
            )
            return 0, url + "\n"
        raise AssertionError(name)


@pytest.fixture
def forge(answered: Callable[..., str]) -> Forge:
    return Forge(answered)


@pytest.fixture
def owning(new_run: Callable[..., Run], forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has claimed its issue."""
    made = new_run(forge, settle_secs=0)
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: self.obey())
    forge.add(made.subject.claim())
    return made


def read(node: dict[str, Any]) -> Comment:
    return _comment(node)


def bodies(forge: Forge) -> list[str]:
    return [str(comment["body"]) for comment in forge.comments[1:]]


# --- the terminal comment


def test_the_terminal_comment_has_its_head_its_text_and_its_marks(owning: Run, forge: Forge) -> None:
    forge.status = "failed"
    publishing.comment(owning, "failed", "It did not work.\n")
    (body,) = bodies(forge)
    intent = next(r for r in owning.journal.records if r["kind"] == "effect.intent")
    assert body == (
        f"[yt-status]\nstatus: failed\nrun_id: {owning.run_id}\n\nIt did not work.\n\n"
        f"worker: bench-7 · journal: `{intent['seq']}:{intent['hash']}`\n"
        f"<!-- ytfsm {owning.run_id}/{intent['seq']} -->\n"
    )


def test_the_terminal_comment_kills_the_claim(owning: Run, forge: Forge) -> None:
    forge.status = "failed"
    publishing.comment(owning, "failed", "x\nrun_id: another\n")
    comments = [Comment(c["id"], 0, c["body"], "bot", "MEMBER", 0.0, 0.0) for c in forge.comments]
    assert [claim.ended for claim in claims(comments, 3600)] == [True]


def test_the_terminal_comment_is_posted_once(owning: Run, forge: Forge) -> None:
    forge.status = "failed"
    publishing.comment(owning, "failed", "x")
    publishing.comment(owning, "failed", "x")
    assert len(bodies(forge)) == 1


@pytest.mark.parametrize(("fault", "times"), [("after", 1), ("before", 2)])
def test_a_lost_answer_makes_no_second_comment(owning: Run, forge: Forge, fault: str, times: int) -> None:
    forge.status = "failed"
    forge.faults["add_comment"] = [fault]
    publishing.comment(owning, "failed", "x")
    assert len(bodies(forge)) == 1
    assert owning.github.shell.calls.count("add_comment") == times  # type: ignore[attr-defined]


def test_a_long_text_is_cut_to_what_github_takes(owning: Run, forge: Forge) -> None:
    forge.status = "failed"
    publishing.comment(owning, "failed", "x" * 100_000)
    (body,) = bodies(forge)
    assert len(body) < 65_536
    assert body.endswith("-->\n")


def test_no_secret_is_published(new_run: Callable[..., Run], forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_" + "abcdEFGH" * 4
    run = new_run(forge, settle_secs=0)
    forge.add(run.subject.claim())
    forge.status = "failed"
    publishing.comment(run, "failed", f"curl -H 'bearer {token}'")
    assert token not in bodies(forge)[0]
    assert "[redacted]" in bodies(forge)[0]


def test_a_strangers_marker_is_not_the_runs_last_word(owning: Run, forge: Forge) -> None:
    """Faults P3: anybody can post one."""
    forge.add(f"[yt-status]\nstatus: failed\nrun_id: {owning.run_id}\n{marker(owning.run_id, 7)}", by="NONE")
    forge.add(f"look: {marker(owning.run_id, 7)}")
    assert owning.subject.posted() is None
    number = forge.add(f"[yt-status]\nstatus: failed\nrun_id: {owning.run_id}\n{marker(owning.run_id, 7)}")
    assert owning.subject.posted() == {"comment": number}


def test_the_runs_last_word_is_found_under_a_hundred_comments(owning: Run, forge: Forge) -> None:
    number = forge.add(f"[yt-status]\nstatus: failed\nrun_id: {owning.run_id}\n{marker(owning.run_id, 7)}")
    for _ in range(150):
        forge.add("hello")
    assert owning.subject.posted() == {"comment": number}


# --- a claim that was silent


@pytest.fixture
def silent(owning: Run, forge: Forge) -> Iterator[Run]:
    """A run whose claim was last edited two hours ago, for one hour."""
    forge.comments[0]["createdAt"] = "2026-11-22T01:42:07Z"
    owning.subject.lease.comment = "C1"
    yield owning
    owning.subject.leave()


def test_a_silent_claim_is_confirmed_and_then_published(silent: Run, forge: Forge) -> None:
    """Faults W6: an hour without GitHub made finished work `refused` for good."""
    publishing.set_status(silent, "failed", "in progress")
    publishing.comment(silent, "failed", "x")
    assert forge.status == "failed"
    assert forge.applied == ["edit_comment", "set_status", "add_comment"]
    assert silent.subject.heartbeat is not None


def test_a_silent_claim_that_github_does_not_confirm_waits(silent: Run, forge: Forge) -> None:
    forge.faults["edit_comment"] = ["before"] * 99
    silent.subject.lease.settle = -1
    with pytest.raises(Unconfirmed, match="HTTP 502") as caught:
        publishing.set_status(silent, "failed", "in progress")
    assert (caught.value.final, caught.value.landed) == (False, False)
    assert forge.status == "in progress"


def test_a_silent_claim_that_another_run_took_over_is_lost(silent: Run, forge: Forge) -> None:
    forge.add("[yt-claim]\nworker: other\nrun_id: another\nreleased: now\n")
    with pytest.raises(Lost, match=r"worker other held the issue meanwhile .run another"):
        publishing.set_status(silent, "failed", "in progress")
    assert forge.applied == []


# --- work that cannot be published


def test_work_that_cannot_be_published_is_told_and_kept_claimed(owning: Run, forge: Forge) -> None:
    """Faults W14."""
    owning.subject.lease.comment = "C1"
    for _ in range(2):
        owning.subject.unpublished("the remote refuses the branch `b`:\nGH006 <!-- x -->\n[yt-status]")
    assert forge.applied == ["edit_comment", "add_comment"]
    (kept,) = claims([read(forge.comments[0])], 3600)
    assert (kept.unpublished, kept.ended) == (True, False)
    assert "unpublished: the remote refuses the branch `b`:" in forge.comments[0]["body"]
    (told,) = bodies(forge)
    assert told.splitlines()[0].startswith(f"Run `{owning.run_id}` is over")
    assert "> GH006 <! -- x -->\n> [yt-status]\n" in told
    assert f"`{owning.run_id}/artifacts`" in told
    assert f"`ytfsm resume {owning.run_id}`" in told
    assert owning.subject.posted() is None, "it is not the run's last word"
    assert forge.status == "in progress"


def test_what_another_run_has_by_now_is_not_claimed_for_unpublished_work(owning: Run, forge: Forge) -> None:
    owning.subject.lease.comment = "C1"
    forge.add("[yt-claim]\nrun_id: another\nreleased: now\n")
    with pytest.raises(Lost):
        owning.subject.unpublished("no")
    assert forge.applied == []


def test_a_loss_is_not_hidden_by_the_error_of_its_release(
    owning: Run, forge: Forge, caplog: pytest.LogCaptureFixture
) -> None:
    """Faults W15."""
    owning.subject.lease.comment = "C1"
    forge.faults["edit_comment"] = ["before"]
    owning.subject.lost()
    assert "its claim could not be released and dies by itself" in caplog.text


def test_no_comment_is_posted_where_the_card_is_not_on_that_status(owning: Run, forge: Forge) -> None:
    """Status first: the other order lets a finished run be taken over."""
    with pytest.raises(Lost, match="somebody moved the issue to 'in progress'"):
        publishing.comment(owning, "failed", "x")
    assert bodies(forge) == []


# --- the status


def test_a_card_is_moved_and_read_back(owning: Run, forge: Forge) -> None:
    publishing.set_status(owning, "failed", "in progress")
    publishing.set_status(owning, "failed", "in progress")
    assert forge.status == "failed"
    assert forge.applied == ["set_status"]


def test_a_card_that_a_person_moved_is_left_alone(owning: Run, forge: Forge) -> None:
    forge.status = "done"
    with pytest.raises(Lost, match="somebody moved the issue to 'done'"):
        publishing.set_status(owning, "failed", "in progress")
    assert forge.applied == []


def test_a_closed_issue_is_left_alone(owning: Run, forge: Forge) -> None:
    forge.open = False
    with pytest.raises(Lost, match="somebody closed the issue"):
        publishing.set_status(owning, "failed", "in progress")


def test_a_move_whose_answer_was_lost_is_seen(owning: Run, forge: Forge) -> None:
    forge.faults["set_status"] = ["after"]
    publishing.set_status(owning, "failed", "in progress")
    assert forge.applied == ["set_status"]
    assert owning.effects.done("status", "failed by 0") == {"status": "failed"}


def test_a_status_that_comes_again_by_another_transition_is_set_again(owning: Run, forge: Forge) -> None:
    """Faults P4: a loop's second move was skipped."""
    for seq in range(2):
        owning.journal.append("transition", event="rework", source="bringup", dest="checking", status="failed")
        publishing.set_status(owning, "failed", "in progress")
        assert forge.status == "failed", seq
        forge.status = "in progress"
    assert forge.applied == ["set_status"] * 2


def test_a_move_that_an_earlier_ytfsm_made_is_not_made_again(owning: Run, forge: Forge) -> None:
    owning.journal.append("effect.done", effect="status", key="failed", result={"status": "failed"})
    publishing.set_status(owning, "failed", "in progress")
    assert forge.applied == []


def test_a_card_that_does_not_stay_is_said_not_to(owning: Run, forge: Forge) -> None:
    """A project write can answer 200 and not land; board workflows can move the card back."""
    forge.sticks = False
    with pytest.raises(GitHubError, match="does not stay there: is a board workflow at work"):
        publishing.set_status(owning, "failed", "in progress")


# --- the pull request


@pytest.fixture
def committed(owning: Run) -> Run:
    known = {"branch": "bringup/issue-12-org-name", "commit": "c" * 40, "into": "main", "base": "b" * 40}
    for name, value in known.items():
        setattr(owning.facts, name, value)
    return owning


@pytest.fixture
def pushed(committed: Run) -> Run:
    for kind in ("effect.intent", "effect.done"):
        committed.journal.append(
            kind, effect="push", key=committed.facts.branch, result={"sha": committed.facts.commit}
        )
    return committed


def test_a_pull_request_is_opened_once(pushed: Run, forge: Forge) -> None:
    for _ in range(2):
        assert publishing.pull_request(
            pushed, pushed.facts.branch, pushed.facts.into, "T", "B", "in progress"
        ).endswith("/pull/31")
    assert len(forge.pulls) == 1
    done = pushed.effects.done("pull request", "bringup/issue-12-org-name")
    assert done
    assert done["number"] == 31


def test_a_pull_request_that_is_there_after_a_lost_answer_is_taken(pushed: Run, forge: Forge) -> None:
    branch = "bringup/issue-12-org-name"
    command = f"gh pr create -R yieldthought/ttnn_models --base main --head {branch} --title T --body-file -"
    forge.faults[command] = [(1, "HTTP 502: Bad Gateway")]
    assert publishing.pull_request(pushed, pushed.facts.branch, pushed.facts.into, "T", "B", "in progress").endswith(
        "/pull/31"
    )
    assert len(forge.pulls) == 1


@pytest.mark.parametrize("another", [{"state": "CLOSED"}, {"headRefOid": "x"}, {"isCrossRepository": True}])
def test_a_pull_request_that_is_not_ours_is_not_taken_for_it(
    pushed: Run, forge: Forge, another: dict[str, Any]
) -> None:
    """Faults P1: a closed one was adopted, and no open one existed."""
    theirs = {"number": 30, "url": "https://x/30", "state": "OPEN", "headRefOid": "c" * 40, "isCrossRepository": False}
    forge.pulls.append({**theirs, **another})
    assert opened(pushed).endswith("/pull/31")


def test_an_open_pull_request_with_other_commits_is_waited_for(pushed: Run, forge: Forge) -> None:
    forge.refusal = (1, 'a pull request for branch "b" into branch "main" already exists:\nhttps://x/30')
    with pytest.raises(GitHubError, match="is open already") as caught:
        opened(pushed)
    assert not caught.value.final


def test_a_refused_pull_request_is_refused_for_good(pushed: Run, forge: Forge) -> None:
    refusal = (1, "pull request create failed: GraphQL: No commits between main and b (createPullRequest)")
    forge.refusal = refusal
    with pytest.raises(Refused, match="No commits between main and b"):
        opened(pushed)


def test_a_rate_limit_refuses_nothing_for_good(pushed: Run, forge: Forge) -> None:
    refusal = (1, "pull request create failed: GraphQL: API rate limit exceeded")
    forge.refusal = refusal
    with pytest.raises(GitHubError, match="rate limit"):
        opened(pushed)


# --- the push


class Remote:
    """git's far end: a branch, and what a push is told."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.sha: str | None = None
        self.pushes: list[Any] = []
        self.rejection: tuple[int, str] | None = None

    def __call__(self, name: str, variables: dict[str, Any]) -> Any:
        if name.startswith("git ls-remote"):
            return 0, f"{self.sha}\trefs/heads/b\n" if self.sha else ""
        if name.startswith(("git cat-file", "git rev-list")):  # what the gate asks
            return 0, ""
        if name.startswith("git push") and self.rejection:
            return self.rejection
        if name.startswith("git push"):
            answer = self.pushes.pop(0) if self.pushes else None
            if answer != "before":
                self.sha = "c" * 40
            return (1, "the remote end hung up unexpectedly") if answer else (0, "")
        if name.startswith("git rev-parse"):
            return (0, "c" * 40)
        if name.startswith("git "):
            return 0, ""
        return self.forge(name, variables)


@pytest.fixture
def remote(committed: Run, forge: Forge) -> Remote:
    made = Remote(forge)
    committed.github.shell.answer = made  # type: ignore[attr-defined]
    committed.facts.base = "b" * 40
    committed.new_workspace()
    (committed.workspace.clean / ".git").mkdir(parents=True)
    return made


def test_a_push_is_fenced_and_done_once(committed: Run, remote: Remote) -> None:
    push(committed, "in progress")
    push(committed, "in progress")
    assert remote.sha == "c" * 40
    pushed = [call for call in committed.shell.calls if call[:2] == ["git", "push"]]  # type: ignore[attr-defined]
    assert len(pushed) == 1
    assert "--force-with-lease=refs/heads/bringup/issue-12-org-name:" in pushed[0]


def test_a_push_that_landed_and_lost_its_answer_is_seen(committed: Run, remote: Remote) -> None:
    remote.pushes = ["after"]
    push(committed, "in progress")
    assert committed.effects.done("push", "bringup/issue-12-org-name") == {"sha": "c" * 40}


def test_a_push_that_did_not_get_through_is_the_worlds_fault(committed: Run, remote: Remote) -> None:
    remote.pushes = ["before"]
    with pytest.raises(CommandFailed, match="hung up"):
        push(committed, "in progress")


def test_a_push_that_is_rejected_is_refused(committed: Run, remote: Remote, forge: Forge) -> None:
    rejected = (1, " ! [remote rejected] b -> b (protected branch hook declined)")
    remote.rejection = rejected
    with pytest.raises(Refused, match="the remote refuses the branch"):
        push(committed, "in progress")


def test_nothing_is_pushed_without_the_claim(committed: Run, remote: Remote, forge: Forge) -> None:
    forge.comments.clear()
    with pytest.raises(Lost, match="our claim comment is gone"):
        push(committed, "in progress")
    assert remote.sha is None


# --- what the terminal comment proves


def test_the_record_that_the_terminal_comment_names_is_found(owning: Run, forge: Forge) -> None:
    forge.status = "failed"
    publishing.comment(owning, "failed", "a log says journal: `3:0123456789abcdef`, which is not ours")
    intent = next(r for r in owning.journal.records if r["kind"] == "effect.intent")
    assert named_record(owning.github, "ISSUE12", owning.run_id) == (intent["seq"], intent["hash"])


def test_a_strangers_comment_proves_nothing(owning: Run, forge: Forge) -> None:
    forge.add(f"journal: `3:0123456789abcdef`\n{marker(owning.run_id, 3)}", by="NONE")
    assert named_record(owning.github, "ISSUE12", owning.run_id) is None


def test_lost_records_are_found_by_comparison(owning: Run, forge: Forge) -> None:
    """The loss of whole records from the end: the chain cannot show it, so replay alone stays ok, and --verify does."""
    from yt_fsm.engine.journal import Reading, parse

    def lost_records(read: Reading) -> str | None:
        return publishing.lost_records(owning.github, read, owning.header["issue"])

    forge.status = "failed"
    publishing.comment(owning, "failed", "x")
    whole = owning.journal.path.read_bytes()
    reading = parse(whole)
    assert lost_records(reading) is None
    cut = parse(b"".join(whole.splitlines(keepends=True)[:-2]))  # its intent and its done are gone
    assert cut.verdict == "ok"
    assert re.match("records are missing from the end", lost_records(cut) or "")
    forged = Reading(records=[*reading.records[:-2], {**reading.records[-2], "hash": "f" * 16}, reading.records[-1]])
    assert "it is another here" in (lost_records(forged) or "")


def test_a_fence_is_longer_than_the_longest_run_of_ticks() -> None:
    told = fenced("a ````` b ``` c")
    assert told.startswith("``````\n")
    assert told.endswith("\n``````")
