"""The assembled lab: the real clients, each by its own command, in the environment that it hands out."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.parts.command import finish, renamed
from yt_fsm.lab.errors import LabError
from yt_fsm.lab.serving import Running, running_lab, start

REPO = "yieldthought/ttnn_models"
R = ("-R", REPO)
LAB = [sys.executable, "-m", "yt_fsm.lab.cli"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab(tmp_path_factory.mktemp("lab") / "lab") as running:
        yield running


def succeeded(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_gh_is_logged_in_and_sees_the_seeded_issue(lab: Running) -> None:
    succeeded(lab.run("gh", "auth", "status"))
    fields = ["--json", "number,title,body,labels"]
    issues = json.loads(succeeded(lab.run("gh", "issue", "view", "1", "-R", REPO, *fields)))
    assert issues["body"] == f"hf_model_id: {lab.model}\n"
    assert [label["name"] for label in issues["labels"]] == ["n300"]


def test_git_clones_from_github_and_pushes_to_it(lab: Running, tmp_path: Path) -> None:
    succeeded(lab.run("git", "clone", "-q", f"git@github.com:{REPO}.git", str(tmp_path / "clone")))
    git = ["git", "-C", str(tmp_path / "clone"), "-c", "user.name=t", "-c", "user.email=t@t"]
    assert (tmp_path / "clone" / "README.md").exists()
    succeeded(lab.run(*git, "commit", "-q", "--allow-empty", "-m", "mine"))
    succeeded(lab.run(*git, "push", "-q", "origin", "HEAD:refs/heads/mine"))
    sha = succeeded(lab.run(*git, "rev-parse", "HEAD")).strip()
    remote = succeeded(lab.run("git", "ls-remote", f"https://github.com/{REPO}", "refs/heads/mine"))
    assert remote.split()[0] == sha
    assert {"name": "mine", "sha": sha, "commits": ["mine"]} in [
        branch | {"commits": [text.strip() for text in branch["commits"]]} for branch in lab.state()["branches"]
    ]


def test_git_has_no_other_identity_or_settings(lab: Running) -> None:
    listed = succeeded(lab.run("git", "config", "--list"))
    assert "user." not in listed
    assert "credential" not in listed


def test_the_evaluation_python_loads_the_model_from_the_hub(lab: Running) -> None:
    code = f"import transformers; print(transformers.AutoConfig.from_pretrained({lab.model!r}).model_type)"
    assert succeeded(lab.run(lab.env["YT_PYTHON"], "-c", code)) == "llama\n"
    assert any(lab.model in entry["path"] for entry in lab.state()["hub"]["requests"])


def test_ttnn_is_the_stand_in(lab: Running) -> None:
    found = succeeded(lab.run(lab.env["YT_PYTHON"], "-c", "import ttnn; print(ttnn.__file__)"))
    assert found.startswith(lab.env["PYTHONPATH"])


def test_hf_downloads_the_model(lab: Running, tmp_path: Path) -> None:
    succeeded(lab.run("hf", "download", lab.model, "--local-dir", str(tmp_path / "model")))
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 0


def test_tt_smi_is_the_lab_s_and_is_watched(lab: Running) -> None:
    devices = json.loads(succeeded(lab.run("tt-smi", "-s")))["device_info"]
    assert [device["board_info"]["board_type"] for device in devices] == ["n300 L", "n300 R"]
    # Whoever drops the environment, as an isolated child does, still reaches the lab's board by its PATH.
    succeeded(lab.run("tt-smi", "-ls", env={"PATH": lab.env["PATH"]}))
    assert ["-ls"] in [call["argv"] for call in lab.state()["tt_smi"]["requests"]]


def test_codex_writes_the_model_file_of_the_template(lab: Running, tmp_path: Path) -> None:
    succeeded(lab.run("git", "clone", "-q", f"https://github.com/{REPO}", str(tmp_path / "clone")))
    target = f"models/{lab.model}/n300/functional/model.py"
    prompt = f"hf_model_id: {lab.model}\nsystem: n300\nmodel file: {target}\n"
    argv = [lab.env["CODEX_BIN"], "exec", "--json", "--sandbox", "danger-full-access", "-"]
    succeeded(lab.run(*argv, cwd=tmp_path / "clone", input=prompt))
    example = next((tmp_path / "clone" / "models" / "example").rglob("model.py")).read_text()
    wrong = (tmp_path / "clone" / target).read_text()
    assert wrong != example
    assert len(wrong.splitlines()) == len(example.splitlines())


def test_the_caller_s_logins_stay_outside(lab: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_TOKEN", "HF_HOME", "SSH_AUTH_SOCK", "OPENAI_API_KEY", "GH_TOKEN", "HF_TOKEN"):
        monkeypatch.setenv(name, "the caller's")
    env = Running(lab.line, lab.process).env
    assert "the caller's" not in env.values()


def test_a_fault_set_by_command_is_met_by_the_client(lab: Running, tmp_path: Path) -> None:
    def faults(*argv: str) -> "subprocess.CompletedProcess[str]":
        return lab.run(*LAB, "faults", *argv)

    succeeded(faults("tt-smi", "fails", "command=reset"))
    succeeded(faults("hub", "gated", "operation=resolve"))
    succeeded(faults("github", "server-error", "match=GET /user"))
    succeeded(faults("evaluation", "exit", "command=import", "code=9"))
    shown = json.loads(succeeded(faults("--json")))
    assert [fault["kind"] for fault in shown["tt-smi"]] == ["fails"]
    assert lab.run("gh", "api", "user").returncode == 1
    assert lab.run("tt-smi", "-r").returncode == 1
    assert lab.run("tt-smi", "-r").returncode == 0
    assert lab.run(lab.env["YT_PYTHON"], "-c", "import ttnn").returncode == 9
    assert lab.run("hf", "download", lab.model, "--cache-dir", str(tmp_path)).returncode != 0
    succeeded(faults("--clear"))
    assert not any(json.loads(succeeded(faults("--json"))).values())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["faults", "moon", "falls"], "no target 'moon'"),
        (["faults", "codex", "script=nope"], "no script 'nope'"),
        (["faults", "github", "rain"], "rain"),
        (["act", "dance"], "dance"),
        (["seed", "--status", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_wish_is_refused_in_words(lab: Running, argv: list[str], said: str) -> None:
    done = lab.run(*LAB, *argv)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_seeded_issues_stand_on_the_board(lab: Running) -> None:
    argv = ["seed", "--count", "2", "--field", "prefill_len=8", "--title", "Two", "--system", "n150", "--json"]
    numbers = json.loads(succeeded(lab.run(*LAB, *argv)))["numbers"]
    off = json.loads(succeeded(lab.run(*LAB, "seed", "--status", "none", "--body", "odd", "--json")))["numbers"]
    issues = {issue["number"]: issue for issue in lab.state()["issues"]}
    for number in numbers:
        assert issues[number]["status"] == "ready"
        assert issues[number]["labels"] == ["n150"]
        assert "prefill_len: 8" in issues[number]["body"]
    assert (issues[off[0]]["status"], issues[off[0]]["body"]) == (None, "odd")


def test_a_person_moves_a_card(lab: Running) -> None:
    number = lab.seed(title="To be moved")
    succeeded(lab.run(*LAB, "act", "move_card", f"issue={number}", "status=done"))
    assert {issue["number"]: issue for issue in lab.state()["issues"]}[number]["status"] == "done"


def test_a_person_acts_by_command_as_whom_they_like(lab: Running) -> None:
    number = lab.seed(title="To be meddled with")
    succeeded(lab.run("gh", "issue", "comment", str(number), *R, "--body", "[yt-claim]\nrun_id: x"))

    def act(*argv: str) -> None:
        succeeded(lab.run(*LAB, "act", *argv, f"issue={number}", "by=yt-operator"))

    def issue() -> dict[str, Any]:
        return {issue["number"]: issue for issue in lab.state()["issues"]}[number]

    act("edit_comment", "containing=[yt-claim]", "append=released: by hand")
    assert [one["body"] for one in issue()["comments"]] == ["[yt-claim]\nrun_id: x\nreleased: by hand\n"]
    for argv in (["delete_comment", "containing=[yt-claim]"], ["remove_label", "label=n300"], ["close_issue"]):
        act(*argv)
    assert (issue()["comments"], issue()["labels"], issue()["state"]) == ([], [], "CLOSED")
    act("reopen_issue")
    assert issue()["state"] == "OPEN"
    assert "archive_card: issue\n" in succeeded(lab.run(*LAB, "act"))


def test_github_s_clock_can_be_off_by_command(lab: Running) -> None:
    try:
        succeeded(lab.run(*LAB, "clock", "--", "-7200"))
        said = succeeded(lab.run("gh", "api", "-i", "user"))
        date = next(line for line in said.splitlines() if line.lower().startswith("date: ")).partition(": ")[2]
        assert 7190 < time.time() - parsedate_to_datetime(date).timestamp() < 7300
        number = lab.seed(title="Two hours ago")
        made = json.loads(succeeded(lab.run("gh", "issue", "view", str(number), *R, "--json", "createdAt")))
        assert 7190 < time.time() - datetime.fromisoformat(made["createdAt"].replace("Z", "+00:00")).timestamp() < 7300
    finally:
        lab.clock(0)


def test_the_state_can_be_read_by_a_person(lab: Running) -> None:
    text = succeeded(lab.run(*LAB, "state"))
    assert text.startswith(f"#1 Bring up {lab.model} · ready · open\n")
    assert "requests:" in text


def test_another_machine_has_its_own_board_login_and_runs(lab: Running) -> None:
    other = lab.machine("second", login="second-bot", system="n150")
    lab.fault("tt-smi", "absent", count=None)
    try:
        assert lab.run("tt-smi", "-s").returncode == 1
        devices = json.loads(succeeded(lab.run("tt-smi", "-s", env=other)))["device_info"]
        assert [device["board_info"]["board_type"] for device in devices] == ["n150 L"]
    finally:
        lab.clear()
    lab.fault("tt-smi", "fails", command="reset", machine="second")
    assert lab.run("tt-smi", "-r", env=other).returncode == 1
    assert [call["exit"] for call in lab.state()["machines"]["second"]["tt_smi"]["requests"]] == [0, 1]
    with pytest.raises(LabError, match="no machine 'third'"):
        lab.fault("tt-smi", "fails", machine="third")
    login = ["gh", "api", "user", "--jq", ".login"]
    assert succeeded(lab.run(*login, env=other)) == "second-bot\n"
    assert succeeded(lab.run(*login)) != "second-bot\n"
    assert other["YTFSM_HOME"] != lab.env["YTFSM_HOME"]
    succeeded(lab.run("gh", "issue", "comment", "1", "-R", REPO, "--body", "mine", env=other))


def test_a_second_server_for_the_folder_is_refused(lab: Running) -> None:
    with pytest.raises(LabError, match=f"process {lab.pid} serves the lab"):
        start(Path(lab.line["folder"]))


def test_outside_a_lab_the_commands_say_so(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "YTFSM_LAB"}
    for argv, said in ((["state"], "not inside a lab"), (["state", "--dir", str(tmp_path)], "there is no lab in")):
        done = subprocess.run([*LAB, *argv], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stderr


def test_a_lab_goes_on_where_it_was_at_the_same_addresses(tmp_path: Path) -> None:
    with running_lab(tmp_path / "lab", script="right") as lab:
        before = lab.line
        lab.seed(title="Another")
        lab.script("hopeless", model="some/model")
        lab.gate("lab/tiny-llama", lab.env["HF_TOKEN"])
        lab.fault("tt-smi", "vanishes")
        lab.run("tt-smi", "-r")
        lab.run("hf", "download", lab.model)
        first = lab.state()
        lab.stop(signal.SIGKILL)
    with running_lab(tmp_path / "lab") as lab:
        assert lab.line | {"pid": 0} == before | {"pid": 0}
        again = lab.state()
        assert again["issues"] == first["issues"]
        assert again["branches"] == first["branches"]
        assert again["hub"]["requests"] == first["hub"]["requests"]
        assert again["codex"]["script"] == "right"
        assert again["codex"]["by_model"] == {"some/model": "hopeless"}
        elsewhere = ["--cache-dir", str(tmp_path / "cache")]
        assert lab.run("hf", "download", lab.model, "--token", "hf_other", *elsewhere).returncode != 0
        succeeded(lab.run("hf", "download", lab.model, *elsewhere))
        assert lab.run("tt-smi", "-s").returncode == 1  # the board is still gone
        succeeded(lab.run("gh", "issue", "list", "-R", REPO))


def test_serve_says_one_line_and_ends_on_sigterm(tmp_path: Path) -> None:
    argv = [*LAB, "serve", "--dir", str(tmp_path / "lab")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert {"env", "github", "pid"} <= set(line)
        assert line["pid"] == process.pid
        assert len(line["github"]["socket"].encode()) < 107
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")
    assert not Path(line["github"]["socket"]).parent.exists()


def test_run_ends_as_its_command_ended(tmp_path: Path) -> None:
    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        argv = [*LAB, "run", "--dir", str(tmp_path / "lab"), "--", *command]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    done = run("sh", "-c", "echo $YT_OWNER; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "yieldthought\n", "")
    assert run("sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    missing = run("no-such-command")
    assert missing.returncode == 1
    assert "cannot run no-such-command" in missing.stderr
    assert run().returncode == 2


def test_a_lab_ends_with_whoever_started_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from yt_fsm.lab.serving import start;"
        "lab = start(pathlib.Path(sys.argv[1])); print(lab.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lab")], capture_output=True, text=True, check=False
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "python" in Path(f"/proc/{pid}/cmdline").read_text():
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("choice", "said"),
    [({"model": "huge"}, "no model 'huge'"), ({"script": "x"}, "no script 'x'"), ({"system": "n9"}, "no system 'n9'")],
)
def test_a_lab_of_unknown_parts_does_not_start(tmp_path: Path, choice: dict[str, str], said: str) -> None:
    with pytest.raises(LabError, match=said):
        start(tmp_path / "lab", **choice)


def test_the_commands_load_nothing_heavy() -> None:
    heavy = ["aiohttp", "graphql", "pydantic", "huggingface_hub", "torch", "platformdirs"]
    code = f"import sys, yt_fsm.lab.cli, yt_fsm.lab.client; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_a_host_can_have_another_name() -> None:
    names = "import platform, socket; print(platform.node(), socket.gethostname())"
    done = finish(renamed("other-host", [sys.executable, "-c", names]), dict(os.environ))
    assert done.out.split() == ["other-host"] * 2
    assert platform.node() != "other-host"
