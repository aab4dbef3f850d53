"""One issue from `ready` to its end, through the real gh, git, codex, huggingface_hub, transformers and torch."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.workplace import Workplace, workplace

from .conftest import field

CLAIM = re.compile(r"\[yt-claim\]\nworker: \S+\nsystem: n300\nrun_id: (\S+)\ntimestamp: \S+\nttl: \d+\n", re.MULTILINE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """One whole run with a failed attempt on the way; the tests below look at what it left."""
    with workplace(tmp_path_factory.mktemp("world") / "lab", script="bringup") as world:
        world.env["OMP_NUM_THREADS"] = "1"  # threads cost a model this small more than they save
        number = world.seed()
        done = world.work()
        assert done.code == 0, done.err
        yield world, number, done


def test_the_worker_says_how_the_run_ended(finished) -> None:
    _world, number, done = finished
    assert set(done.json) == {"run_id", "issue", "state", "status", "url"}
    assert done.json["issue"] == number
    assert (done.json["state"], done.json["status"]) == ("review", "in review")
    assert re.fullmatch(r"https://github.com/yieldthought/ttnn_models/pull/\d+", done.json["url"])


def test_the_issue_is_in_review_with_one_claim_and_one_terminal_comment(finished) -> None:
    world, number, done = finished
    run_id = done.json["run_id"]
    assert world.issue(number)["status"] == "in review"
    assert len(world.issue(number)["comments"]) == 2
    (claim,) = world.comments(number, "[yt-claim]")
    found = CLAIM.match(claim)
    assert found
    assert found[1] == run_id
    (told,) = world.comments(number, "[yt-status]")
    assert told.startswith(f"[yt-status]\nstatus: in review\nrun_id: {run_id}\n")
    assert done.json["url"] in told
    assert re.search(r"TT, trace on \| top1 (0\.9|1\.0)", told)
    assert "python scripts/run_eval.py --mode tt --trace 1" in told


def test_there_is_one_pull_request_as_the_spec_wants_it(finished) -> None:
    world, number, _done = finished
    (pull,) = world.lab.state()["pull_requests"]
    model = world.lab.model
    assert pull["title"] == f"Bringup: {model} (n300)"
    assert pull["head"] == f"bringup/issue-{number}-{model.lower().replace('/', '-')}"
    assert pull["base"] == "main"
    body = pull["body"].replace("\r\n", "\n")
    assert body.startswith(f"Closes #{number}\n")
    assert "--mode hf" in body
    assert "--mode tt --trace 0" in body
    assert "## Known limitations" in body
    metrics = json.loads(re.search(r"```json\n(.*?)\n```", body, re.DOTALL)[1])
    assert set(metrics) == {"hf", "tt0", "tt1"}
    assert metrics["tt1"]["trace"] is True
    (seed,) = {one["seed"] for one in metrics.values()}
    assert seed > 0
    assert body.count(f"--seed {seed}") == 3, "what was drawn in secret is repeated by its number"


def test_the_secret_seed_is_journalled_with_the_verdict_only(finished) -> None:
    world, _number, done = finished
    journal = world.folder / "ytfsm" / "runs" / done.json["run_id"] / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    (passed,) = [at for at, record in enumerate(records) if record["kind"] == "attempt" and record["passed"]]
    seed = str(records[passed]["metrics"]["tt1"]["seed"])
    assert not [record for record in records[:passed] if seed in json.dumps(record)]


def test_the_branch_has_one_commit_that_touches_the_model_only(finished) -> None:
    world, _number, done = finished
    (branch,) = [b for b in world.lab.state()["branches"] if b["name"] != "main"]
    bare = world.folder / "github" / "git" / "yieldthought" / "ttnn_models.git"
    bare = bare if bare.exists() else next(world.folder.rglob("ttnn_models.git"))

    def git(*argv: str) -> str:
        return subprocess.run(["git", "-C", str(bare), *argv], capture_output=True, text=True, check=True).stdout

    assert git("rev-list", "--count", f"main..{branch['name']}").strip() == "1"
    message = git("log", "-1", "--format=%B", branch["name"])
    model = re.escape(world.lab.model)
    assert re.match(rf"Bringup {model} \(n300\) top1=(0\.9\d+|1\.0+) top5=1\.0000 trace=1\n", message)
    assert f"Ytfsm-Run: {done.json['run_id']}" in message
    changed = git("diff", "--name-only", "main", branch["name"]).split()
    assert changed == [f"models/{world.lab.model}/n300/functional/model.py"]


def test_replay_tells_the_whole_way(finished) -> None:
    world, _number, done = finished
    told = world.replay(done.json["run_id"])
    assert [(t["event"], t["dest"], t["status"]) for t in told["transitions"]] == [
        ("claim", "claimed", "in progress"),
        ("prepare", "setup", None),
        ("fetch", "download", None),
        ("clear", "reset", None),
        ("begin", "bringup", None),
        ("submit", "checking", None),
        ("retry", "bringup", None),
        ("submit", "checking", None),
        ("accept", "review", "in review"),
    ]
    assert told["complete"] is True
    assert told["integrity"]["verdict"] == "ok"
    assert told["definition"]["drift"] is False
    assert [a["passed"] for a in told["attempts"]] == [False, True]
    first, second = told["attempts"]
    assert "--mode tt --trace 0" in first["failing"]
    assert first["metrics"]["tt0"]["top1"] < 0.9
    assert set(second["metrics"]) == {"hf", "tt0", "tt1"}
    assert first["tokens"] > 0
    assert set(first) == {"n", "passed", "failing", "metrics", "tokens", "seconds"}
    done_effects = [e["effect"] for e in told["effects"] if e["phase"] == "done"]
    assert done_effects == ["claim", "status", "push", "pull request", "status", "comment"]


def test_the_comment_vouches_for_the_journals_end(finished, tmp_path: Path) -> None:
    world, _number, done = finished
    assert world.ytfsm("replay", done.json["run_id"], "--verify").code == 0
    run_id = done.json["run_id"]
    folder, home = world.run_folder(run_id), tmp_path / "copied"
    copy = home / "runs" / run_id  # a run's folder has its id for a name
    copy.mkdir(parents=True)
    (copy / "config.json").write_bytes((folder / "config.json").read_bytes())
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "journal.jsonl").write_bytes(b"".join(lines[:-8]))
    whole = world.ytfsm("replay", run_id, YTFSM_HOME=str(home))
    assert whole.code == 0, "a chain cannot show what is missing from its end"
    cut = world.ytfsm("replay", run_id, "--verify", YTFSM_HOME=str(home))
    assert cut.code == 3
    assert "records are missing from the end" in cut.err


def test_the_run_folder_holds_the_record_of_everything(finished) -> None:
    world, _number, done = finished
    folder = world.run_folder(done.json["run_id"])
    record = json.loads((folder / "run_record.json").read_text())
    assert record["state"] == "review"
    assert record["pull_request"] == done.json["url"]
    indexed = {entry["path"] for entry in record["artifact_index"]}
    assert {"journal.jsonl", "config.json", "artifacts/work.bundle", "artifacts/prompt-01.md"} <= indexed
    assert all(set(entry) == {"path", "sha256", "bytes", "created_utc"} for entry in record["artifact_index"])
    prompt = (folder / "artifacts" / "prompt-01.md").read_text()
    for words in ("BFP8", "SDPA", "fused RoPE", "DRAM interleaved", "L1 sharded", "outside this repo"):
        assert words in prompt


def test_nothing_of_the_run_is_left_on_the_machine(finished) -> None:
    world, _number, done = finished
    world.nothing_is_left(done.json["run_id"])


def test_no_secret_is_written_down(finished) -> None:
    world, _number, done = finished
    secrets = [world.env["GH_TOKEN"], world.env["HF_TOKEN"]]
    for file in Path(world.run_folder(done.json["run_id"])).rglob("*"):
        if file.is_file():
            text = file.read_text(errors="replace")
            assert not [s for s in secrets if s in text], file


def test_codex_saw_no_secret(enter: Callable[..., Workplace]) -> None:
    world = enter()
    world.lab.script([[{"exec": "env > models/environment.txt; ls -A ~ > models/home.txt"}, {"say": "looked"}]])
    number = world.seed()
    done = world.work(YT_MAX_ATTEMPTS="1", SSH_AUTH_SOCK="/nowhere", AWS_SECRET_ACCESS_KEY="verysecretvalue")
    assert done.json["state"] == "failed", done.err
    assert "models/environment.txt" in world.comments(number, "[yt-status]")[0]
    logs = "".join(p.read_text() for p in (world.run_folder(done.json["run_id"]) / "logs").glob("*codex.log"))
    assert "looked" in logs


def test_a_hopeless_model_ends_in_failed_with_its_work_preserved(enter: Callable[..., Workplace]) -> None:
    world = enter(script="hopeless")
    number = world.seed()
    done = world.work(YT_MAX_ATTEMPTS="2")
    assert done.code == 1
    assert (done.json["state"], done.json["status"]) == ("failed", "failed")
    assert world.issue(number)["status"] == "failed"
    (branch,) = world.branches()
    (told,) = world.comments(number, "[yt-status]")
    assert field(told, "status") == "failed"
    assert f"`{branch}`" in told
    assert "2 of 2 attempts" in told
    assert "--mode tt --trace 0" in told
    assert world.lab.state()["pull_requests"] == []
    world.nothing_is_left(done.json["run_id"])


def test_codex_may_ask_to_stop(enter: Callable[..., Workplace]) -> None:
    world = enter(script="welfare")
    number = world.seed()
    done = world.work()
    assert done.json["state"] == "failed", done.err
    assert [t["event"] for t in world.replay(done.json["run_id"])["transitions"]][-2:] == ["begin", "give_up"]
    assert "codex asked to stop" in world.comments(number, "[yt-status]")[0]
    assert world.branches() == []


def test_work_outside_the_models_folder_is_not_accepted(enter: Callable[..., Workplace]) -> None:
    world = enter(script="outside")
    number = world.seed()
    done = world.work(YT_MAX_ATTEMPTS="1")
    assert done.json["state"] == "failed"
    (told,) = world.comments(number, "[yt-status]")
    assert "README.md" in told
    assert "notes.txt" in told


def test_codexs_own_commits_are_squashed_into_one(enter: Callable[..., Workplace]) -> None:
    world = enter(script="commits")
    world.seed()
    done = world.work()
    assert done.json["state"] == "review", done.err
    (branch,) = [b for b in world.lab.state()["branches"] if b["name"] != "main"]
    assert len(branch["commits"]) == 1


@pytest.mark.parametrize(
    ("target", "fault", "state", "words"),
    [
        ("evaluation", {"kind": "exit", "command": "import", "after": 1, "text": "no ttnn"}, "setup", "import ttnn"),
        ("tt-smi", {"kind": "absent", "command": "snapshot", "after": 2}, "setup", "tt-smi"),
        ("hub", {"kind": "status", "status": 503, "operation": "any", "count": None}, "download", "download"),
        ("tt-smi", {"kind": "fails", "command": "reset", "count": None}, "reset", "tt-smi -r"),
    ],
    ids=["ttnn import", "board gone", "hub down", "reset fails"],
)
def test_a_machine_that_breaks_after_the_preflight_is_a_setup_error(
    enter: Callable[..., Workplace], target: str, fault: dict, state: str, words: str
) -> None:
    world = enter()
    number = world.seed()
    kind = fault.pop("kind")
    world.lab.fault(target, kind, **fault)
    impatient = {"YT_DOWNLOAD_SECS": "3", "YT_WAIT_SECS": "0.1", "YT_PROBE_SECS": "0.1"}  # with a Hub that stays away
    done = world.work(**impatient if target == "hub" else {})
    assert done.code == 1, done.err
    assert done.json["state"] == "setup_error", done.err
    assert world.issue(number)["status"] == "setup error"
    told = world.replay(done.json["run_id"])
    assert told["transitions"][-1]["source"] == state
    (comment,) = world.comments(number, "[yt-status]")
    assert field(comment, "status") == "setup error"
    assert words in comment
    assert world.lab.state()["pull_requests"] == []
    assert world.branches() == []
    world.nothing_is_left(done.json["run_id"])


@pytest.mark.parametrize("collides", [False, True])
def test_a_branch_that_exists_is_a_setup_error_that_names_it(world: Workplace, collides: bool) -> None:
    """§8.4; and faults W12: beside `bringup` git can have no `bringup/…`, which was found out after codex's work."""
    number = world.seed()
    name = "bringup" if collides else f"bringup/issue-{number}-{world.lab.model.lower().replace('/', '-')}"
    made = world.lab.run(
        "sh",
        "-c",
        f"git clone -q git@github.com:yieldthought/ttnn_models.git {world.folder}/c && cd {world.folder}/c && "
        f"git push -q origin HEAD:refs/heads/{name}",
    )
    assert made.returncode == 0, made.stderr
    done = world.work()
    assert done.json["state"] == "setup_error"
    (told,) = world.comments(number, "[yt-status]")
    assert f"git push origin --delete {name}" in told
    assert world.branches() == [name]


def test_a_reference_that_fails_is_a_reference_error(world: Workplace) -> None:
    number = world.seed()
    world.lab.fault("evaluation", "metrics", command="hf", set={"top1": 0.5})
    done = world.work()
    assert done.code == 1
    assert done.json["state"] == "reference_error", done.err
    assert world.issue(number)["status"] == "reference error"
    (told,) = world.comments(number, "[yt-status]")
    assert "HF-only evaluation" in told
    assert world.branches() == []


def test_no_work_is_said_as_no_work(world: Workplace) -> None:
    done = world.work()
    assert done.code == 0
    assert done.json == {"run_id": None, "reason": "no work"}
