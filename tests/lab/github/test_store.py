"""What the lab remembers: across a stop, across SIGKILL, and exactly."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yt_fsm.lab.github import acts, person
from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.store import BOT, TOKEN, Store

SERVE = """
import asyncio, sys
from pathlib import Path
from yt_fsm.lab.github.server import GitHubServer

async def main():
    hub = GitHubServer(Path(sys.argv[1]))
    if not hub.store.nodes:
        hub.store.bootstrap()
    await hub.start(Path(sys.argv[2]))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_stopped_lab_goes_on_where_it_was(lab: Any) -> None:
    number = lab.seed("One")
    lab.act("comment", issue=number, body="said")
    lab.push("work", {"a": "1\n"})
    pull = lab.pull("work", body=f"Closes #{number}")
    before = lab.state()
    lab.stop()
    lab.start()
    assert lab.state() == before
    lab.said("pr", "merge", str(pull), "-R", "yieldthought/ttnn_models", "--squash")
    assert lab.issue(number)["state"] == "CLOSED"
    assert lab.seed("Two") == pull + 1


def test_a_killed_lab_loses_no_answered_write(lab: Any) -> None:
    folder = lab.short / "killed"
    lab.stop()
    lab.socket = lab.short / "k"
    argv = [sys.executable, "-c", SERVE, str(folder), str(lab.socket)]
    for round_ in range(3):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            number = lab.seed(f"Issue {round_}")
            for n in range(5):
                path = f"/repos/yieldthought/ttnn_models/issues/{number}/comments"
                assert lab.http("POST", path, {"body": f"comment {n}"}).status == 201
            os.kill(child.pid, signal.SIGKILL)
    store = Store(folder)
    assert store.load()
    repo = store.home()[0]
    found = {store.nodes[key].title: len(store.nodes[key].comments) for key in repo.issues}
    assert found == {"Issue 0": 5, "Issue 1": 5, "Issue 2": 5}
    lines = (folder / "requests.jsonl").read_text().splitlines()
    assert len([line for line in lines if json.loads(line)["status"] == 201]) == 15
    lab.start()


def test_a_record_cut_short_by_a_kill_is_read_up_to_there(lab: Any) -> None:
    lab.http("GET", "/user")
    lab.stop()
    with (lab.folder / "requests.jsonl").open("a") as record:
        record.write('{"at": "20')
    lab.start()
    assert [one["operation"] for one in lab.state()["requests"]] == ["GET /user"]


DEEDS = st.one_of(
    st.fixed_dictionaries({"do": st.just("move_card"), "status": st.sampled_from(["ready", "done", "failed"])}),
    st.fixed_dictionaries({"do": st.just("comment"), "body": st.text(min_size=1, max_size=30)}),
    st.fixed_dictionaries({"do": st.sampled_from(["close_issue", "reopen_issue", "renew_options", "remove_card"])}),
    st.fixed_dictionaries({"do": st.just("add_label"), "label": st.sampled_from(["n150", "lb", "new"])}),
    st.fixed_dictionaries({"do": st.just("delete_comment"), "containing": st.just("")}),
    st.fixed_dictionaries({"do": st.just("edit_comment"), "containing": st.just(""), "body": st.text(max_size=9)}),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, max_size=12))
def test_whatever_is_done_the_file_says_the_same_as_the_store(tmp_path: Path, deeds: list[dict[str, str]]) -> None:
    store = Store(tmp_path / "lab")
    if not store.load():
        (tmp_path / "lab").mkdir(exist_ok=True)
        store.bootstrap()
        store.seed_issue("One", "body", ["n300"])
        store.save()
    for deed in deeds:
        try:
            person.act(store, {"issue": 1, **deed})
        except GitHubError:
            continue
        finally:
            store.save()
    again = Store(tmp_path / "lab")
    assert again.load()
    assert again.nodes == store.nodes
    assert (again.last_id, again.tokens, again.pushes) == (store.last_id, store.tokens, store.pushes)


def test_an_older_version_of_the_objects_stays_as_it_was(lab: Any) -> None:
    number = lab.seed()
    key = lab.issue_id(number)
    older = lab.store.nodes
    lab.act("comment", issue=number, body="said")
    lab.act("close_issue", issue=number)
    assert older[key].comments == ()
    assert older[key].state == "OPEN"


def test_a_poll_of_300_issues_is_answered_in_ten_milliseconds(lab: Any) -> None:
    from importlib import import_module

    poll = Path(__file__).with_name("test_graphql.py").read_text().partition('POLL = """')[2].partition('"""')[0]
    assert import_module("yt_fsm.lab.github.graphql")
    bot = lab.store.owner(BOT)
    for n in range(300):
        number = lab.store.seed_issue(f"Bring up {n}", "hf_model_id: a/b", ["n300"])
        for _ in range(3):
            acts.comment(lab.store, bot, acts.issue_of(lab.store, number), "[yt-claim]\nworker: w\nrun_id: r")
    lab.store.save()
    seconds = []
    for _ in range(7):
        assert len(lab.data(poll, label="n300", first=49)["repository"]["issues"]["nodes"]) == 49
        seconds.append(lab.state()["requests"][-1]["seconds"])
    assert min(seconds) < 0.010


def test_the_lab_is_ready_within_a_second(tmp_path: Path) -> None:
    """Of its own: what other processes take of the machine meanwhile does not count."""
    folder, socket = tmp_path / "lab", Path(f"/tmp/ytl-{os.getpid()}")
    argv = [sys.executable, "-c", SERVE, str(folder), str(socket)]
    taken = []
    for _ in range(3):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            taken.append(sum(psutil.Process(child.pid).cpu_times()[:4]))  # with that of its children
            child.kill()
    socket.unlink()
    assert min(taken) < 1.0


def test_the_token_opens_only_what_it_says(lab: Any) -> None:
    assert lab.http("GET", "/user", token=TOKEN).status == 200
    assert lab.http("GET", "/user", token=None).body["message"] == "Requires authentication"
    assert lab.http("GET", "/user", token="ghp_nope").body["message"] == "Bad credentials"
    assert lab.http("GET", "/users/nobody").status == 404
    assert lab.http("GET", "/_lab/nowhere").status == 404
