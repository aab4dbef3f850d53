"""Bad input: each has a message that names the field and the value, and a state that it leads to."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.workplace import Workplace, workplace
from yt_fsm.github.client import document

NOT_CLAIMED = "nothing was claimed"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, warm: Path) -> Iterator[Workplace]:
    with workplace(tmp_path_factory.mktemp("quiet") / "lab", warm, script="right") as world:
        yield world


@pytest.fixture
def quiet(shared: Workplace) -> Iterator[Workplace]:
    """The lab of all these tests, which leave no issue for the next one's worker."""
    yield shared
    shared.lab.clear()
    for issue in shared.lab.state()["issues"]:
        if issue["status"] == "ready":
            shared.act("close_issue", issue=issue["number"])


@pytest.fixture
def alone(enter: Callable[..., Workplace]) -> Workplace:
    """For who changes what others would stumble over."""
    return enter(script="right")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("architecture: llama\n", "names no `hf_model_id`"),
        ("hf_model_id: gpt2\n", "`hf_model_id` is 'gpt2'"),
        ("hf_model_id: ../../etc/passwd\n", "`hf_model_id` is '../../etc/passwd'"),
        ("hf_model_id: lab/tiny-llama\nprefill_len: many\n", "`prefill_len` is 'many'"),
        ("hf_model_id: lab/tiny-llama\nbatch: 0\n", "`batch` is '0'"),
        ("hf_model_id: lab/tiny-llama\nbatch: 64\n", "`batch` is 64: --batch is 32 at most"),
    ],
)
def test_a_malformed_issue_is_a_setup_error_that_names_the_field(quiet: Workplace, body: str, words: str) -> None:
    number = quiet.lab.seed(body=body)
    done = quiet.work()
    assert done.code == 1
    assert done.json["state"] == "setup_error"
    assert quiet.issue(number)["status"] == "setup error"
    (told,) = quiet.comments(number, "[yt-status]")
    assert words in told
    assert quiet.replay(done.json["run_id"])["transitions"][-1]["source"] == "claimed"


def test_an_issue_form_with_its_system_in_a_field_only_is_found(quiet: Workplace) -> None:
    form = (
        "### HF model id\n\nlab/no-such-model\n\n### HF revision\n\n_No response_\n\n### System\n\nn300\n\n"
        "### Prefill len\n\n_No response_\n"
    )
    number = quiet.lab.seed(body=form, labels=[])
    done = quiet.work()
    assert done.json["issue"] == number, done.err
    (told,) = quiet.comments(number, "[yt-status]")
    assert "the Hub has no model lab/no-such-model" in told


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"hf_revision": "no-such-revision"}, "no-such-revision"),
    ],
)
def test_a_revision_that_does_not_exist_is_a_setup_error(quiet: Workplace, asked: dict[str, str], words: str) -> None:
    number = quiet.seed(**asked)
    done = quiet.work()
    assert done.json["state"] == "setup_error"
    (told,) = quiet.comments(number, "[yt-status]")
    assert words in told
    assert "mend `hf_revision`" in told


def test_a_gated_model_says_whose_licence_is_missing(alone: Workplace) -> None:
    number = alone.seed()
    alone.lab.gate(alone.lab.model, "somebody-elses-token")
    done = alone.work()
    assert done.json["state"] == "setup_error"
    (told,) = alone.comments(number, "[yt-status]")
    assert "is gated: accept its licence" in told


def test_an_unknown_system_is_a_usage_error(quiet: Workplace) -> None:
    done = quiet.ytfsm("run", "--system", "n900", "--once")
    assert done.code == 2
    assert "'n900': must be one of n150, n300, lb" in done.err


def test_a_missing_board_stops_the_preflight(quiet: Workplace) -> None:
    done = quiet.work(YT_PROJECT_NUMBER="99")
    assert done.code == 5
    assert "has no Project with number 99" in done.err
    assert NOT_CLAIMED in done.err


def test_an_unnamed_board_stops_the_preflight(quiet: Workplace) -> None:
    done = quiet.work(YT_PROJECT_NUMBER="")
    assert done.code == 5
    assert "set YT_PROJECT_NUMBER" in done.err


def test_the_board_is_found_by_its_title(quiet: Workplace) -> None:
    done = quiet.work(YT_PROJECT_NUMBER="", YT_PROJECT_TITLE="ttnn models bringup")
    assert done.code == 0
    assert done.json["reason"] == "no work"


def test_no_token_stops_the_preflight(quiet: Workplace) -> None:
    done = quiet.work(GH_TOKEN="")
    assert done.code == 5
    assert "gh is not logged in" in done.err
    assert "gh auth login" in done.err


def test_a_wrong_token_stops_the_preflight(quiet: Workplace) -> None:
    done = quiet.work(GH_TOKEN="ghp_wrong00000000000000000000000000000000")
    assert done.code == 5
    assert "Bad credentials" in done.err
    assert "ghp_wrong" not in done.err


def test_an_issue_off_the_board_is_named(quiet: Workplace) -> None:
    number = quiet.lab.seed(status=None)
    done = quiet.work("--issue", str(number))
    assert done.code == 4
    assert f"#{number} is not on the board" in done.err


def test_an_issue_that_is_not_ready_is_named(quiet: Workplace) -> None:
    number = quiet.lab.seed(status="assessing")
    done = quiet.work("--issue", str(number))
    assert done.code == 4
    assert "its status is 'assessing'" in done.err


def test_a_board_without_an_option_stops_the_preflight_and_init_board_says_which(alone: Workplace) -> None:
    without_option(alone, "reference error")
    done = alone.work()
    assert done.code == 5
    assert "no Status option 'reference error'" in done.err
    check = alone.ytfsm("init-board", "--check")
    assert check.code == 1
    assert "reference error" in check.out


def without_option(world: Workplace, status: str) -> None:
    """Overwrite the Status field's options with all but one, as a person might in the browser."""

    def ask(name: str, **variables: object) -> dict:
        payload = json.dumps({"query": document(name), "variables": variables})
        done = world.lab.run("gh", "api", "graphql", "--input", "-", input=payload)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)["data"]

    field = ask("project", owner="yieldthought", number=1)["repositoryOwner"]["projectV2"]["field"]
    kept = [option["name"] for option in field["options"] if option["name"] != status]
    ask("set_options", field=field["id"], options=[{"name": n, "color": "GRAY", "description": ""} for n in kept])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "silent"}, "printed no `YT_METRICS=` line"),
        ({"kind": "nan"}, "NaN"),
        ({"kind": "metrics", "set": {"top1": 95.0}}, "top1 is 95.0"),
        ({"kind": "metrics", "set": {"mode": "tt"}}, "mode"),
    ],
    ids=["missing", "nan", "out of range", "another mode"],
)
def test_metrics_that_cannot_be_believed_are_not(quiet: Workplace, fault: dict, words: str) -> None:
    number = quiet.seed()
    quiet.lab.fault("evaluation", command="hf", **fault)
    done = quiet.work()
    assert done.json["state"] == "setup_error", done.err  # they speak of the harness, not of the model (faults W10)
    assert words in quiet.comments(number, "[yt-status]")[0]


def test_a_journal_of_another_schema_version_is_refused(alone: Workplace) -> None:
    from yt_fsm.engine.journal import digest

    folder = alone.run_folder("20260101T000000Z-n300-i1-beef")
    folder.mkdir(parents=True)
    body = json.dumps({"v": 2, "seq": 0, "kind": "header", "prev": "0" * 16}, separators=(",", ":")).encode()
    line = body[:-1] + b',"hash":"' + digest(body).encode() + b'"}\n'
    (folder / "journal.jsonl").write_bytes(line)
    done = alone.ytfsm("replay", "beef", "--json")
    assert done.code == 3
    assert "schema version 2, and this ytfsm reads version 1" in done.err
    assert json.loads(done.out)["integrity"]["at_line"] == 1
