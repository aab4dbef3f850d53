"""The worker: which issue it takes, what it says when there is none, and when it stops claiming."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from machines.bringup import MACHINE
from yt_fsm.bringup import preflight
from yt_fsm.bringup.errors import BranchExists, MalformedIssue
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine import breaker as breaker_module
from yt_fsm.engine import worker as module
from yt_fsm.engine.breaker import opened
from yt_fsm.engine.errors import CommandFailed, NotFound, SetupError, StopRequested, Usage, Wait
from yt_fsm.engine.needs import Need
from yt_fsm.engine.run import Run
from yt_fsm.engine.worker import Outcome, Worker, outcome_of
from yt_fsm.github.client import STATUSES
from yt_fsm.github.errors import GitHubError
from yt_fsm.github.lease import text


def ago(seconds: float) -> str:
    at = datetime.fromtimestamp(datetime.now(timezone.utc).timestamp() - seconds, timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def claim(run_id: str, seconds: float) -> dict[str, Any]:
    """A claim that was posted so many seconds ago."""
    return {
        "id": f"C-{run_id}", "databaseId": 1, "createdAt": ago(seconds), "lastEditedAt": None,
        "authorAssociation": "MEMBER", "body": text("other", "n300", run_id, "now", 3600), "author": {"login": "bot"},
    }  # fmt: skip


def words(body: str = "hello") -> dict[str, Any]:
    return {**claim("x", 10), "body": body}


class Repo:
    """A models repo with issues, oldest first, of which a poll gets `page` at a time."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.page = 49
        self.polls: list[Any] = []
        self.reads: list[int] = []  # numbers of issues that were asked for one by one
        self.meanwhile: dict[int, Any] = {}  # what became of issues between the poll and that

    def add(
        self, number: int, status: str | None = "Ready", labels: tuple[str, ...] = ("n300",), on_board: bool = True,
        state: str = "OPEN", body: str = "hf_model_id: a/b", comments: list[dict[str, Any]] | None = None,
        total: int | None = None,
    ) -> None:  # fmt: skip
        value = {"name": status} if status else None
        card = {"id": f"I{number}", "project": {"id": "P"}, "fieldValueByName": value}
        found = comments or []
        self.issues.append(
            {
                "id": f"ISSUE{number}", "number": number, "title": f"Issue {number}", "body": body,
                "url": f"https://x/{number}", "state": state, "labels": {"nodes": [{"name": n} for n in labels]},
                "projectItems": {"nodes": [card] if on_board else []},
                "comments": {"totalCount": len(found) if total is None else total, "nodes": found},
            }
        )  # fmt: skip

    def __call__(self, name: str, variables: dict[str, Any]) -> Any:
        if name == "project":
            options = [{"id": status, "name": status} for status in STATUSES]
            node = {"id": "P", "number": 7, "title": "T", "url": "https://x/7", "items": {"totalCount": 1}}
            return {"repositoryOwner": {"id": "O", "projectV2": {**node, "field": {"id": "F", "options": options}}}}
        if name == "poll":
            self.polls.append(variables["labels"])
            wanted = [
                issue for issue in self.issues
                if not variables["labels"] or variables["labels"][0] in [n["name"] for n in issue["labels"]["nodes"]]
            ]  # fmt: skip
            start = int(variables["after"] or 0)
            shown, end = wanted[start : start + self.page], start + self.page
            more = {"hasNextPage": end < len(wanted), "endCursor": str(end)}
            without = [{key: value for key, value in issue.items() if key != "body"} for issue in shown]
            return {"repository": {"issues": {"pageInfo": more, "nodes": without}}}
        if name == "issue":
            number = variables["number"]
            self.reads.append(number)
            found = [issue for issue in self.issues if issue["number"] == number]
            now = self.meanwhile.get(number, {})
            return {"repository": {"issue": {**found[0], **now} if found and now is not None else None}}
        if name == "snapshot":
            (issue,) = [issue for issue in self.issues if issue["id"] == variables["issue"]]
            everything = issue["older"] + issue["comments"]["nodes"]
            page = {"hasPreviousPage": False, "startCursor": None}
            return {"node": {**issue, "comments": {"totalCount": 11, "pageInfo": page, "nodes": everything}}}
        raise AssertionError(name)


@pytest.fixture
def repo() -> Repo:
    return Repo()


@pytest.fixture
def worker(
    repo: Repo, wired: Callable[..., Any], settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Worker:
    monkeypatch.setattr(preflight, "needs", lambda shell, github, settings: [])
    return Worker(MACHINE, settings(project_number=7), wired(repo).shell)


def chosen(worker: Worker) -> int | None:
    found = worker.queue.next()
    return int(found.name) if found else None


# --- choosing (§9.1 A)


def test_the_oldest_ready_issue_is_taken(worker: Worker, repo: Repo) -> None:
    repo.add(3, status="In progress")
    repo.add(5)
    repo.add(8)
    assert chosen(worker) == 5
    assert repo.polls == [["n300"]]


@pytest.mark.parametrize("status", ["Assessing", "Setup error", "Failed", "In review", "Done", "Reference error", None])
def test_an_issue_of_another_status_is_left_alone(worker: Worker, repo: Repo, status: str | None) -> None:
    repo.add(3, status=status)
    assert chosen(worker) is None


def test_an_issue_off_the_board_ends_nothing(worker: Worker, repo: Repo) -> None:
    repo.add(3, on_board=False)
    repo.add(5)
    assert chosen(worker) == 5


def test_a_live_claim_is_respected_and_a_dead_one_is_not(worker: Worker, repo: Repo) -> None:
    repo.add(3, comments=[claim("a", 60)])
    repo.add(4, status="In progress", comments=[claim("b", 60)])
    repo.add(5, status="In progress", comments=[claim("c", 4000)])
    assert chosen(worker) == 5


def test_an_issue_in_progress_without_a_claim_is_a_persons(worker: Worker, repo: Repo) -> None:
    repo.add(3, status="In progress", comments=[words()])
    assert chosen(worker) is None


@pytest.mark.parametrize(("seconds", "expected"), [(60, None), (4000, 3)])
def test_a_claim_under_many_comments_is_looked_for(
    worker: Worker, repo: Repo, seconds: float, expected: int | None
) -> None:
    repo.add(3, status="In progress", comments=[words() for _ in range(10)], total=11)
    repo.issues[0]["older"] = [claim("a", seconds)]
    assert chosen(worker) == expected


def test_pages_are_turned_until_there_is_a_candidate(worker: Worker, repo: Repo) -> None:
    repo.page = 2
    for number in range(1, 6):
        repo.add(number, status="Failed")
    repo.add(6)
    assert chosen(worker) == 6
    assert len(repo.polls) == 3


@pytest.mark.parametrize("body", ["hf_model_id: a/b\nsystem: n300", "### HF model id\n\na/b\n\n### System\n\nn300\n"])
def test_an_issue_without_a_label_is_found_by_its_field(worker: Worker, repo: Repo, body: str) -> None:
    repo.add(3, labels=(), body=body)
    assert chosen(worker) == 3
    assert repo.polls == [["n300"], None]


@pytest.mark.parametrize(("labels", "body"), [(("N300",), "hf_model_id: a/b"), ((), "hf_model_id: a/b\nsystem: N300")])
def test_labels_and_fields_are_compared_without_case(
    worker: Worker, repo: Repo, labels: tuple[str, ...], body: str
) -> None:
    """Faults Q2: GitHub has one label `N300`, and lists its issues under `n300`."""
    repo.add(3, labels=labels, body=body)
    assert chosen(worker) == 3


def test_no_text_is_read_before_the_card_and_the_claims_allow_it(worker: Worker, repo: Repo) -> None:
    """Faults Q8: the body of an issue that is on no board, done or claimed is nobody's to spend time on."""
    repo.add(1, labels=(), on_board=False, body="system: n300")
    repo.add(2, labels=(), status="Done", body="system: n300")
    repo.add(3, labels=(), body="system: n300", comments=[claim("a", 60)])
    repo.add(4, labels=("n150",), body="system: n300")
    assert chosen(worker) is None
    assert repo.reads == []


def test_the_chosen_issue_is_read_by_its_number_and_must_still_be_free(worker: Worker, repo: Repo) -> None:
    repo.add(3)
    repo.add(4)
    repo.add(5)
    repo.add(6)
    taken, closed, gone = {"comments": {"totalCount": 1, "nodes": [claim("a", 60)]}}, {"state": "CLOSED"}, None
    repo.meanwhile = {3: taken, 4: closed, 5: gone}
    found = worker.queue.next()
    assert found
    assert (found.name, found.header()["issue"]["body"]) == ("6", "hf_model_id: a/b")
    assert repo.reads == [3, 4, 5, 6]


def test_an_issue_whose_answer_is_nonsense_starves_nobody(
    worker: Worker, repo: Repo, caplog: pytest.LogCaptureFixture
) -> None:
    repo.add(3)
    repo.add(4)
    repo.meanwhile = {3: {"body": 7}}
    assert chosen(worker) == 4
    assert "issue 3 of yieldthought/ttnn_models is passed over: GitHub's answer cannot be understood" in caplog.text


def test_a_look_through_unlabelled_issues_reads_a_few_and_the_next_look_goes_on(worker: Worker, repo: Repo) -> None:
    for number in range(1, 51):
        repo.add(number, labels=(), body="system: n150")
    repo.add(51, labels=(), body="system: n300")
    sizes = []
    for look in range(1, 4):
        worker.queue._swept = float("-inf")  # type: ignore[attr-defined]
        assert chosen(worker) == (51 if look == 3 else None)
        sizes.append(len(repo.reads))
    assert sizes == [20, 40, 51]


def test_a_text_that_was_changed_is_read_again_when_all_were(worker: Worker, repo: Repo) -> None:
    repo.add(1, labels=(), body="system: n150")
    assert chosen(worker) is None
    repo.issues[0]["body"] = "system: n300"
    worker.queue._swept = float("-inf")  # type: ignore[attr-defined]
    assert chosen(worker) == 1


def test_the_whole_list_is_not_swept_at_every_poll(worker: Worker, repo: Repo) -> None:
    for _ in range(3):
        assert chosen(worker) is None
    assert repo.polls == [["n300"], None, ["n300"], ["n300"]]


@pytest.mark.parametrize(
    ("labels", "body"),
    [(("n150",), "system: n300"), ((), "system: n150"), ((), "hf_model_id: a/b"), (("t3000",), "")],
)
def test_another_systems_issue_is_not_ours(worker: Worker, repo: Repo, labels: tuple[str, ...], body: str) -> None:
    repo.add(3, labels=labels, body=body)
    assert chosen(worker) is None


# --- one issue by its number


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"state": "CLOSED"}, NotFound, "yieldthought/ttnn_models#3 is closed"),
        ({"on_board": False}, NotFound, "is not on the board https://x/7: add it there and set it to ready"),
        ({"labels": ("n150",)}, Usage, "is not for n300: it needs the label 'n300'"),
        ({"status": "Failed"}, NotFound, "cannot be claimed: its status is 'failed'; it must be 'ready' and unclaimed"),
        ({"comments": [claim("a", 60)]}, NotFound, "cannot be claimed: worker other holds it"),
    ],
)
def test_an_issue_that_cannot_be_taken_says_why(
    worker: Worker, repo: Repo, given: dict[str, Any], error: type[Exception], told: str
) -> None:
    repo.add(3, **given)
    with pytest.raises(error, match=told):
        worker.work(name="3")


def test_an_issue_that_can_be_taken_is(worker: Worker, repo: Repo) -> None:
    repo.add(3)
    assert worker.queue.asked_for("3").name == "3"


# --- no work, and no answer


def test_no_work_is_said_to_be_no_work(worker: Worker) -> None:
    outcome = worker.work(once=True)
    assert outcome.as_json() == {"run_id": None, "reason": "no work"}
    assert outcome.code == 0


def test_a_run_whose_claim_github_does_not_confirm_is_gone_on_with_later(
    worker: Worker, new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    from yt_fsm.engine import recovery

    run = new_run()
    tries: list[str] = []

    def resume(given: Run) -> None:
        tries.append(given.run_id)
        if len(tries) == 1:
            raise StopRequested(f"{given.run_id} waits, as GitHub did not confirm its claim", 1)
        worker.stop.set(StopRequested("enough", 0))

    monkeypatch.setattr(recovery, "unfinished", lambda settings, machine, queue: [run.folder] if len(tries) < 2 else [])
    monkeypatch.setattr(recovery, "open_run", lambda *given: run)
    monkeypatch.setattr(recovery, "resume", resume)
    monkeypatch.setattr(module, "RECOVER_SECS", 0.1)
    monkeypatch.setattr(worker.stop, "wait", lambda seconds: (time.sleep(0.02), worker.stop.obey()))
    with pytest.raises(StopRequested, match="enough"):
        worker.work()
    assert tries == [run.run_id] * 2


def test_a_run_whose_subject_nobody_confirms_is_come_back_to(
    worker: Worker, repo: Repo, new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults W6: with `--once` too, the run is walked to its end, and its end is what is told."""
    from yt_fsm.engine import recovery

    run = new_run(work=dict.fromkeys(MACHINE.states, lambda run: None))
    tries: list[str] = []

    def nobody_confirms(run: Run) -> None:
        tries.append("walk")
        raise StopRequested("GitHub confirmed no heartbeat for 3600 s", 1)

    def resume(run: Run) -> None:
        tries.append("resume")
        if len(tries) < 4:
            raise StopRequested("it waits", 1)
        for event in ("claim", "prepare", "fetch", "clear", "begin", "submit", "accept"):
            run.trigger(event)

    repo.add(12)
    walked = worker._walk
    monkeypatch.setattr(worker, "_start", lambda subject: run)
    monkeypatch.setattr(worker, "_walk", lambda run, how=nobody_confirms: walked(run, how))
    left = iter([[], [run.folder], [run.folder], [run.folder]])
    monkeypatch.setattr(recovery, "unfinished", lambda settings, machine, queue: next(left))
    monkeypatch.setattr(recovery, "open_run", lambda *given: run)
    monkeypatch.setattr(recovery, "resume", resume)
    monkeypatch.setattr(module, "RECOVER_SECS", 0.01)
    outcome = worker.work(once=True)
    assert tries == ["walk", "resume", "resume", "resume"]
    assert (outcome.state, outcome.code) == ("review", 0)


def test_an_own_bid_that_a_crash_left_does_not_keep_the_issue_from_this_worker(
    worker: Worker, repo: Repo, new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the kill matrix (record:5:before): the next start withdrew it and then found no work."""
    from yt_fsm.engine import recovery

    run = new_run(work={"released": lambda run: None})
    repo.add(12)
    monkeypatch.setattr(recovery, "unfinished", lambda settings, machine, queue: [run.folder])
    monkeypatch.setattr(recovery, "open_run", lambda *given: run)
    worker._recover()
    assert run.state == "released"
    assert chosen(worker) == 12


def test_a_poll_that_failed_is_not_no_work(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise GitHubError("the network is down", "NETWORK")

    monkeypatch.setattr(worker.queue.github, "candidates", failing)
    with pytest.raises(GitHubError, match="the network is down"):
        worker.work(once=True)


# --- the end of a run


def test_the_last_line_has_the_keys_of_the_contract() -> None:
    """cli.md."""
    outcome = Outcome("r-1", 12, "review", "in review", "https://x/31")
    assert outcome.as_json() == {
        "run_id": "r-1", "issue": 12, "state": "review", "status": "in review", "url": "https://x/31",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        (("claim", "prepare", "fetch", "clear", "begin", "submit", "accept"), 0, "in review"),
        (("claim", "prepare", "fetch", "clear", "begin", "submit", "give_up"), 1, "failed"),
        (("claim", "abort"), 1, "setup error"),
        (("claim", "prepare", "fetch", "reject"), 1, "reference error"),
        (("claim", "release"), 0, "ready"),
        (("claim", "lose"), 0, None),
        (("lose",), 0, None),
    ],
)
def test_exit_codes_say_how_a_run_ended(
    new_run: Callable[..., Run], path: tuple[str, ...], code: int, status: str | None
) -> None:
    run = new_run(work=dict.fromkeys(MACHINE.states, lambda run: None))
    for event in path:
        run.trigger(event)
    outcome = outcome_of(run)
    assert (outcome.code, outcome.status, outcome.issue) == (code, status, 12)


def test_a_success_that_could_not_be_published_is_no_success(new_run: Callable[..., Run]) -> None:
    run = new_run(work=dict.fromkeys(MACHINE.states, lambda run: None))
    for event in ("claim", "prepare", "fetch", "clear", "begin", "submit", "accept"):
        run.trigger(event)
    run.refused = "a protected branch"
    outcome = outcome_of(run)
    assert (outcome.code, outcome.state, outcome.status) == (1, "review", "unpublished")


# --- the breaker


class Ended:
    """As much of a run as the breaker looks at."""

    def __init__(self, state: str, problem: Exception | None) -> None:
        self.state, self.problem = state, problem
        self.final = self.taken = True
        self.arrived_by = "release" if state == "released" else "whatever"


def opens(worker: Worker, *ends: Ended) -> bool:
    for end in ends:
        worker._judge(end)  # type: ignore[arg-type]
    return worker.breaker.why != ""


NO_BOARD = Ended("setup_error", SetupError("tt-smi sees no board\nmore"))
NO_DISK = Ended("setup_error", SetupError("no disk"))
CLONES = [
    Ended("setup_error", CommandFailed(["git", "clone", url, f"/tmp/ytfsm-{n}/clean"], 128, f"fatal: no {n}", None))
    for n, url in enumerate(["a", "b", "c"])
]
BRANCH = Ended("setup_error", BranchExists("the branch exists"))
MALFORMED = Ended("setup_error", MalformedIssue("prefill_len = x"))
REVIEW, FAILED, RELEASED = Ended("review", None), Ended("failed", None), Ended("released", None)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([NO_BOARD] * 3, True),
        (CLONES, True),  # faults Q4: its texts hold the run's own paths
        ([NO_BOARD] * 2, False),
        ([NO_BOARD, NO_DISK, NO_BOARD, NO_DISK], False),
        ([NO_DISK, NO_BOARD, NO_BOARD, NO_BOARD], True),
        ([NO_BOARD, NO_BOARD, REVIEW, NO_BOARD], False),
        ([NO_BOARD, NO_BOARD, FAILED, NO_BOARD], False),
        ([NO_BOARD, NO_BOARD, RELEASED, NO_BOARD], True),
        ([BRANCH] * 5, False),
        ([MALFORMED] * 5, False),
        ([NO_BOARD, NO_BOARD, BRANCH, NO_BOARD], True),
    ],
)
def test_equal_setup_errors_in_a_row_end_the_claiming_not_the_queue(
    worker: Worker, ends: list[Ended], expected: bool
) -> None:
    assert opens(worker, *ends) is expected
    if expected:
        (told,) = opened(worker.settings.home)
        assert told["why"] == str(ends[-1].problem).splitlines()[0] or "git clone" in told["why"]
        worker._judge(REVIEW)  # type: ignore[arg-type]
        assert (worker.breaker.why, list(opened(worker.settings.home))) == ("", [])


class Timed(Exception):
    """Enough time has passed."""


@pytest.fixture
def asleep(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The worker's naps, which take no time here but by its clocks; an hour of them is enough."""
    naps: list[float] = []
    began, wall = breaker_module.boot_secs(), time.time()

    def wait(seconds: float) -> None:
        naps.append(seconds)
        if sum(naps) > 3600:
            raise Timed

    monkeypatch.setattr(worker.stop, "wait", wait)
    monkeypatch.setattr(breaker_module, "boot_secs", lambda: began + sum(naps))
    monkeypatch.setattr(time, "time", lambda: wall + sum(naps))
    return naps


def test_an_open_breaker_looks_again_and_takes_nothing_until_a_look_is_good(
    worker: Worker, asleep: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults Q4: it ended the worker. A look claims nothing."""
    looks: list[float] = []

    def needs(_: Any) -> list[Need]:
        looks.append(sum(asleep))
        return [Need("board", len(looks) > 4, "no board", "plug it in")] if len(looks) > 1 else []

    worker.definition = replace(worker.definition, needs=needs)
    polls: list[float] = []
    monkeypatch.setattr(worker.queue, "next", lambda: polls.append(sum(asleep)))
    opens(worker, NO_BOARD, NO_BOARD, NO_BOARD)
    with pytest.raises(Timed):
        worker.work()
    assert [round(at) for at in looks[:5]] == [0, 60, 180, 420, 900]
    assert polls[0] >= 900, "nothing was asked of the queue before"


def test_half_open_one_more_of_the_same_opens_it_at_once(worker: Worker, asleep: list[float]) -> None:
    opens(worker, NO_BOARD, NO_BOARD, NO_BOARD)
    asleep.append(61.0)
    assert worker._hindered(False) is None
    assert opens(worker, NO_DISK)
    assert round(worker.breaker.left()) == 120
    assert "no disk" in str(worker._hindered(False))


def test_who_asks_for_one_run_hears_that_the_breaker_is_open(worker: Worker) -> None:
    opens(worker, NO_BOARD, NO_BOARD, NO_BOARD)
    with pytest.raises(SetupError, match="this worker stops claiming: tt-smi sees no board"):
        worker.work(once=True)


def test_a_limit_of_the_machines_account_keeps_new_work_from_being_taken(
    worker: Worker, asleep: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults W1: three issues were spoiled in 29 s."""
    over = time.time() + 1000
    wait = Wait("codex's limit is used up", over)
    worker.definition = replace(worker.definition, hindered=lambda queue: wait if time.time() < over else None)
    polls: list[float] = []
    monkeypatch.setattr(worker.queue, "next", lambda: polls.append(sum(asleep)))
    with pytest.raises(Timed):
        worker.work()
    assert polls
    assert polls[0] >= 999
    assert caplog.text.count("nothing new is taken for now: codex's limit is used up") == 1


def test_who_will_not_wait_hears_why_nothing_is_taken(worker: Worker) -> None:
    worker.patient = False
    worker.definition = replace(worker.definition, hindered=lambda queue: Wait("codex's limit is used up"))
    assert worker.work(once=True).as_json() == {"run_id": None, "reason": "waiting: codex's limit is used up"}


def test_the_pause_between_polls_grows_to_three_times(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 s to 60 s; never in step with the other workers."""
    pauses: list[float] = []

    class Enough(Exception):
        pass

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 40:
            raise Enough

    monkeypatch.setattr(worker.stop, "wait", wait)
    with pytest.raises(Enough):
        worker.work()
    assert 18 <= pauses[0] <= 25
    assert all(54 <= pause <= 66 for pause in pauses[-5:])
    assert len(set(pauses[-5:])) > 1
    assert module.IDLE_FACTOR == 3
