"""The command line as people and programs use it: the installed `ytfsm`, its words, JSON and exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machines.bringup import MACHINE
from tests.parts.command import YTFSM, Finished
from yt_fsm.engine.diagram import mermaid
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.replay import replay as fold
from yt_fsm.tools.systems import HERE

RUN = "20261122T034107Z-n300-i12-7f3c"
COMMANDS = [
    "run",
    "resume",
    "abandon",
    "replay",
    "graph",
    "runs",
    "doctor",
    "config",
    "init-models",
    "init-board",
    "demo",
]


class Said(Finished):
    """What a command said and how it ended."""

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def ytfsm(bare: Path) -> Callable[..., Said]:
    def call(*argv: str, **variables: str) -> Said:
        done = subprocess.run(
            [YTFSM, *argv], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def recorded(journals: Callable[..., Journal]) -> Callable[..., Journal]:
    """Writes a run that followed `events`."""

    def write(name: str = RUN, *events: str, number: int = 12) -> Journal:
        journal = journals(
            name, machine="bringup", machine_table=MACHINE.table(), machine_hash=MACHINE.hash, system="n300",
            issue={"number": number},
        )  # fmt: skip
        journal.append("fact", name="model", value="org/name")
        state = MACHINE.initial
        for event in events:
            edge = next(e for e in MACHINE.edges if (e.event, e.source) == (event, state))
            journal.append("transition", **edge._asdict())
            state = edge.dest
            if event == "submit":
                low = {"tt0": {"top1": 0.5, "top5": 1.0, "tokens": 32, "kl": 0.03, "suspect": ["KL is high"]}}
                journal.append(
                    "attempt", n=1, passed=False, failing="run_eval.py --mode tt", metrics=low, tokens=9, seconds=1.5,
                    error="top1 is 0.5",
                )  # fmt: skip
        if state in MACHINE.final:
            journal.append("end", state=state, published=True)
        journal.close()
        return journal

    return write


GOOD = ("claim", "prepare", "fetch", "clear", "begin", "submit", "retry", "submit", "accept")

# --- help


def test_help_lists_the_commands(ytfsm: Callable[..., Said]) -> None:
    said = ytfsm("--help")
    assert said.code == 0
    listed = set(re.findall(r"^  ([a-z-]+) ", said.out.split("Commands:")[1], re.MULTILINE))
    assert {*COMMANDS, "lab"} <= listed


@pytest.mark.parametrize("command", [*COMMANDS, "lab serve", "lab run", "lab state", "lab seed", "lab faults"])
def test_every_commands_help_has_an_example(ytfsm: Callable[..., Said], command: str) -> None:
    said = ytfsm(*command.split(), "--help")
    assert said.code == 0
    assert re.search(rf"Examples?:\s+ytfsm {command}\b", said.out)


def test_the_module_is_the_command_too(bare: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "machines", "graph"], capture_output=True, text=True, check=True)
    assert done.stdout == mermaid(MACHINE.table())


# --- graph


def test_graph_draws_the_machine(ytfsm: Callable[..., Said]) -> None:
    assert ytfsm("graph").out == mermaid(MACHINE.table())
    assert ytfsm("graph", "--format", "dot").out.startswith('digraph "bringup" {')


def test_graph_draws_the_path_of_a_run(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    recorded(RUN, *GOOD)
    drawn = ytfsm("graph", "--run", "7f3c").out
    assert "checking --> bringup: retry\n" in drawn
    assert "bringup --> checking: submit ×2\n" in drawn
    assert "class review here\n" in drawn
    assert re.search(r"setup: setup \(\d+\.\ds\)", drawn)


def test_graph_writes_a_file(ytfsm: Callable[..., Said], tmp_path: Path) -> None:
    said = ytfsm("graph", "-o", str(tmp_path / "machine.mmd"))
    assert (said.code, said.out) == (0, "")
    assert (tmp_path / "machine.mmd").read_text() == mermaid(MACHINE.table())


def test_a_picture_without_graphviz_is_a_clear_word(ytfsm: Callable[..., Said], tmp_path: Path) -> None:
    said = ytfsm("graph", "--format", "svg", PATH=str(tmp_path))
    assert said.code == 5
    assert "needs Graphviz, and there is no `dot` on PATH: install the package graphviz" in said.err


def test_a_picture_is_drawn_by_graphviz(
    ytfsm: Callable[..., Said], program: Callable[[str, str], Path], tmp_path: Path
) -> None:
    program("dot", "import sys; sys.stdout.write(f'<{sys.argv[1]}>' + sys.stdin.readline())")
    said = ytfsm("graph", "--format", "png", "-o", str(tmp_path / "machine.png"))
    assert said.code == 0
    assert (tmp_path / "machine.png").read_text() == '<-Tpng>digraph "bringup" {\n'


# --- replay


def test_replay_is_a_line_a_transition(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    journal = recorded(RUN, *GOOD)
    said = ytfsm("replay", "7f3c")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == f"{RUN}  bringup  issue 12  org/name"
    assert len([line for line in lines if " → " in line]) == len(GOOD)
    at = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"{at}  claim    ready → claimed +\[in progress\] +\d+\.\ds", lines[1])
    assert re.search(
        rf"{at}    check 1 failed: run_eval.py --mode tt\n +tt0 +top1 0.500 top5 1.000 \(32 tokens\) KL 0.0300; "
        "suspect: KL is high\n",
        said.out,
    )
    assert f"journal ok: {len(journal.records)} records, last {len(journal.records) - 1}:" in said.out
    assert "\x1b" not in said.out, "no colours where nobody sees them"


def test_replay_as_json_is_the_contracts(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    from yt_fsm.engine.journal import read

    journal = recorded(RUN, *GOOD)
    said = ytfsm("replay", RUN, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json == fold(read(journal.path), MACHINE)
    assert len(said.out.splitlines()) == 1


def test_replay_until_a_record_stops_there(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    recorded(RUN, *GOOD)
    told = ytfsm("replay", "7f3c", "--until", "3", "--json").json
    assert [t["event"] for t in told["transitions"]] == ["claim", "prepare"]
    assert (told["state"], told["complete"]) == ("setup", False)


def test_replay_steps_without_a_terminal_as_without_steps(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    recorded(RUN, *GOOD)
    assert ytfsm("replay", "7f3c", "--step").out == ytfsm("replay", "7f3c").out


def test_replay_follows_to_the_end(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    recorded(RUN, *GOOD)
    assert ytfsm("replay", "7f3c", "--follow").code == 0


def test_a_damaged_journal_is_shown_as_far_as_it_goes_and_is_exit_code_3(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    journal = recorded(RUN, *GOOD)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"clear", b"clean")
    journal.path.write_bytes(b"".join(lines))
    said = ytfsm("replay", "7f3c", "--json")
    assert said.code == 3
    assert said.json["integrity"]["verdict"] == "corrupt"
    assert said.json["integrity"]["at_line"] == 6
    assert len(said.json["transitions"]) == 3
    assert "line 6: its hash does not fit its text" in said.err
    assert "Traceback" not in said.err
    said = ytfsm("replay", "7f3c")
    assert said.code == 3
    assert "journal DAMAGED: line 6" in said.out
    assert "fetch" in said.out


def test_a_torn_tail_is_a_warning(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    journal = recorded(RUN, *GOOD)
    journal.path.write_bytes(journal.path.read_bytes()[:-7])
    said = ytfsm("replay", "7f3c")
    assert said.code == 0
    assert "journal torn: the last record was not finished" in said.out
    assert ytfsm("replay", "7f3c", "--json").json["integrity"]["verdict"] == "torn"


def test_lost_records_are_not_seen_by_replay_alone(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    """The chain cannot show it; `--verify` compares the end with the issue's comment."""
    journal = recorded(RUN, *GOOD)
    journal.path.write_bytes(b"".join(journal.path.read_bytes().splitlines(keepends=True)[:-2]))
    told = ytfsm("replay", "7f3c", "--json").json
    assert told["integrity"]["verdict"] == "ok"
    assert told["complete"] is False


def test_a_journal_of_another_schema_version_says_which(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    from yt_fsm.engine.journal import digest

    journal = recorded(RUN, *GOOD)
    record = json.loads(journal.path.read_bytes().splitlines()[0])
    del record["hash"]
    body = json.dumps({**record, "v": 9}, separators=(",", ":")).encode()
    journal.path.write_bytes(body[:-1] + b',"hash":"' + digest(body).encode() + b'"}\n')
    said = ytfsm("replay", "7f3c")
    assert said.code == 3
    assert "schema version 9, and this ytfsm reads version 1" in said.err
    assert ytfsm("runs", "--json").json[0]["state"] == "damaged"


# --- runs


def test_runs_are_listed_newest_first(ytfsm: Callable[..., Said], recorded: Callable[..., Journal]) -> None:
    recorded(RUN, *GOOD)
    recorded("20261122T050000Z-n300-i13-aaaa", "claim", "abort", number=13)
    rows = ytfsm("runs", "--json").json
    assert [row["run_id"][-4:] for row in rows] == ["aaaa", "7f3c"]
    assert list(rows[0]) == [
        "run_id", "machine", "issue", "model", "state", "complete", "started", "ended", "seconds", "attempts",
    ]  # fmt: skip
    assert (rows[1]["state"], rows[1]["model"], rows[1]["attempts"]) == ("review", "org/name", 2)
    said = ytfsm("runs")
    assert [line.split()[1] for line in said.out.splitlines()] == ["setup_error", "review"]
    assert [row["issue"] for row in ytfsm("runs", "--state", "review", "--json").json] == [12]
    assert [row["issue"] for row in ytfsm("runs", "--issue", "13", "--json").json] == [13]


def test_only_the_newest_are_listed_unless_all_are_asked_for(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    for second in range(22):
        recorded(f"20261122T0341{second:02d}Z-n300-i12-7f3c")
    assert len(ytfsm("runs", "--json").json) == 20
    assert len(ytfsm("runs", "--json", "--all").json) == 22


def test_no_runs_is_said(ytfsm: Callable[..., Said]) -> None:
    assert ytfsm("runs", "--json").json == []
    assert ytfsm("runs").out.startswith("no runs in ")


def test_runs_are_where_the_file_says_too(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal], bare: Path
) -> None:
    journal = recorded(RUN, *GOOD)
    (bare / "ytfsm.toml").write_text(f'home = "{journal.path.parents[2]}"\n')
    assert len(ytfsm("runs", "--json", YTFSM_HOME="").json) == 1


# --- settings


def test_config_tells_each_setting_and_who_set_it(ytfsm: Callable[..., Said], bare: Path) -> None:
    (bare / "mine.toml").write_text('max_attempts = 3\nhf_token = "hf_secret_value"\n')
    said = ytfsm("--settings", "mine.toml", "config", "--json", "--system", "lb", YT_OWNER="me")
    told = {one["setting"]: one for one in said.json}
    assert told["system"] == {
        "setting": "system", "variable": "YT_SYSTEM", "value": "lb", "origin": "flag", "where": "--system",
    }  # fmt: skip
    assert (told["max_attempts"]["value"], told["max_attempts"]["where"]) == (3, f"{bare}/mine.toml:1")
    assert (told["owner"]["origin"], told["hf_token"]["value"]) == ("environment", "set")
    text = ytfsm("--settings", "mine.toml", "config", YT_OWNER="me").out
    assert re.search(r"^YT_SYSTEM +–  \(not set, and required\)$", text, re.MULTILINE)
    assert re.search(rf"^YT_MAX_ATTEMPTS +3  \(file {bare}/mine.toml:1\)$", text, re.MULTILINE)
    assert re.search(r'^YT_OWNER +"me"  \(environment YT_OWNER\)$', text, re.MULTILINE)
    assert "hf_secret_value" not in text


def test_settings_of_another_file_count_for_every_command(ytfsm: Callable[..., Said], bare: Path) -> None:
    (bare / "mine.toml").write_text('home = "elsewhere"\n')
    assert ytfsm("--settings", "mine.toml", "runs", YTFSM_HOME="").out.startswith(f"no runs in {bare}/elsewhere")
    said = ytfsm("--settings", "nothing.toml", "config")
    assert (said.code, "there is no such settings file" in said.err) == (2, True)


# --- exit codes and words


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["graph", "--format", "gif"], 2, "--format gif: must be one of mermaid, dot, svg, png"),
        (["graph", "--machine", "nope"], 4, "--machine nope: there is no such machine; there are bringup"),
        (["graph", "--nope"], 2, "No such option"),
        (["nope"], 2, "No such command"),
        (["replay", "nope"], 4, "no run matches 'nope' in "),
        (["resume", "nope"], 4, "no run matches 'nope' in "),
        (["run"], 2, "YT_SYSTEM is not set: give --system"),
        (["run", "--system", "tpu"], 2, "YT_SYSTEM = 'tpu': must be one of n150, n300, lb"),
        (["run", "--system", "n300", "--machine", "nope"], 4, "there is no such machine"),
        (["run", "--system", "n300", "--issue", "x"], 2, "--issue x: must be an issue's number"),
        (["run", "--system", "n300", "--dry-run"], 2, "--dry-run reads nothing from GitHub, so name the issue"),
        (["run", "--system", "n300", "--dry-run", "--issue", "no.md"], 4, "neither a number nor a file"),
    ],
)
def test_a_wrong_word_is_named_and_has_its_exit_code(
    ytfsm: Callable[..., Said], argv: list[str], code: int, words: str
) -> None:
    said = ytfsm(*argv)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "Traceback" not in said.err


def test_a_fragment_of_several_runs_is_a_wrong_word(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    recorded(RUN)
    recorded("20261122T034108Z-n300-i12-7f3d")
    said = ytfsm("replay", "7f3")
    assert said.code == 2
    assert "matches 2 runs" in said.err


def test_tracebacks_are_for_those_who_ask(ytfsm: Callable[..., Said]) -> None:
    assert "Traceback" not in ytfsm("replay", "nope").err
    assert "Traceback" in ytfsm("--debug", "replay", "nope").err


def test_a_machine_that_is_not_ready_claims_nothing(ytfsm: Callable[..., Said], tmp_path: Path) -> None:
    said = ytfsm("run", "--system", "n300", "--once", "--json", PATH=str(tmp_path), YT_PROJECT_NUMBER="7")
    assert said.code == 5
    assert said.out == ""
    assert "this machine is not ready, so nothing was claimed" in said.err
    for tool in ("git: not on PATH", "gh: not on PATH", "codex: not on PATH", "`tt-smi` cannot be started"):
        assert tool in said.err


def test_doctor_lists_what_is_missing_as_json_too(ytfsm: Callable[..., Said], tmp_path: Path) -> None:
    said = ytfsm("doctor", "--system", "n300", "--json", PATH=str(tmp_path), YT_PROJECT_NUMBER="7")
    assert said.code == 5
    assert all(set(check) == {"check", "ok", "found", "fix"} for check in said.json)
    assert not next(check for check in said.json if check["check"] == "gh")["ok"]


def test_doctor_finds_the_boards_of_a_system_of_a_teams_own(
    ytfsm: Callable[..., Said], tmp_path: Path, program: Callable[[str, str], Path]
) -> None:
    folder = tmp_path / "systems"
    folder.mkdir()
    ours = (HERE / "n150.toml").read_text()
    (folder / "p150.toml").write_text(ours.replace('name = "n150"', 'name = "p150"').replace('"n150"', '"p150b"'))
    listed = json.dumps({"device_info": [{"board_info": {"board_type": "p150b"}}]})
    path = str(program("tt-smi", f"print({listed!r})").parent)
    given = {"PATH": path, "YT_PROJECT_NUMBER": "7", "YT_SYSTEMS_DIR": str(folder)}
    said = ytfsm("doctor", "--system", "p150", "--json", **given)
    board = next(check for check in said.json if check["check"] == "tt-smi and board")
    assert (board["ok"], board["found"]) == (True, "p150b (12 GB of DRAM)")
    (folder / "p150.toml").write_text(
        ours.replace('name = "n150"', 'name = "p150"').replace("chips = 1", "chips = 'one'")
    )
    said = ytfsm("doctor", "--system", "p150", **given)
    assert said.code == 2
    assert said.err == f"ytfsm: {folder}/p150.toml: `boards[0].chips` = 'one': must be a whole number, 1 or more\n"


def test_a_template_is_not_written_over_something(ytfsm: Callable[..., Said], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "mine").write_text("x")
    said = ytfsm("init-models", str(folder))
    assert said.code == 4
    assert (folder / "mine").read_text() == "x"
    assert sorted(folder.iterdir()) == [folder / "mine"]


# --- the dry run (§13.1)


@pytest.fixture
def forbidden(program: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """gh, tt-smi, codex, git and python3 on PATH that tell on whoever calls them."""
    told = tmp_path / "called"
    for name in ("gh", "tt-smi", "codex", "git", "python3", "ssh"):
        program(name, f'#!/bin/sh\necho {name} "$@" >> {told}\nexit 99\n')
    return told


@pytest.fixture
def issue(tmp_path: Path) -> Path:
    file = tmp_path / "issue.md"
    file.write_text("### HF model id\n\norg/Name-1B\n\n### Prefill len\n\n64\n")
    return file


def test_a_dry_run_prints_every_command_in_the_specs_order_and_runs_none(
    ytfsm: Callable[..., Said], forbidden: Path, issue: Path, tmp_path: Path
) -> None:
    tmp_path.joinpath("tmp").mkdir()
    said = ytfsm("run", "--dry-run", "--system", "n300", "--issue", str(issue), TMPDIR=str(tmp_path / "tmp"))
    assert said.code == 0, said.err
    assert not forbidden.exists(), forbidden.read_text()
    common = "--hf-model org/Name-1B --revision 0{40} --prefill-len 64 --decode-len 32 --batch 1"
    wanted = [
        r"selected issue: https://github.com/yieldthought/ttnn_models/issues/0 issue",
        r"  # add_comment",  # A: the claim …
        r"  # snapshot",  # … verified …
        r"  # set_status {'status': 'in progress'}",  # … and marked
        r"import ttnn.*",  # B
        r"\$ gh api -i user",
        r"\$ tt-smi -s",
        r"\$ git clone --quiet git@github.com:yieldthought/ttnn_models.git .*",
        r"\$ git ls-remote --heads origin refs/heads/bringup/issue-0-org-name-1b.*",
        r"\$ git checkout --quiet -b bringup/issue-0-org-name-1b.*",
        r"\$ .*yt_fsm.tools.hub org/Name-1B.*",  # C
        rf"\$ python3 scripts/run_eval.py --mode hf {common}.*",
        r"\$ tt-smi -r",  # D
        r"\$ codex exec --json .*",  # E
        r"\$ python3 -m pytest -q.*",  # F
        rf"\$ python3 scripts/run_eval.py --mode hf {common}.*",
        rf"\$ python3 scripts/run_eval.py --mode tt --trace 0 {common}.*",
        rf"\$ python3 scripts/run_eval.py --mode tt --trace 1 {common}.*",
        rf"\$ python3 scripts/run_eval.py --mode hf {common}.*",  # G: again, for the final metrics
        r"\$ git commit-tree .* -m 'Bringup org/Name-1B \(n300\) top1=1.0000 top5=1.0000 trace=1",
        r"\$ git status --porcelain.*",
        r"\$ git push .*:refs/heads/bringup/issue-0-org-name-1b.*",
        r"\$ gh pr create -R yieldthought/ttnn_models --base main --head bringup/issue-0-org-name-1b "
        r"--title 'Bringup: org/Name-1B \(n300\)' --body-file -",
        r"  # set_status {'status': 'in review'}",
        r"  # add_comment",
        r"would end in: review",
    ]
    left = iter(said.out.splitlines())
    for pattern in wanted:
        assert any(re.fullmatch(pattern, line) for line in left), f"{pattern} is missing, or stands too early"


def test_a_dry_run_leaves_nothing_behind(
    ytfsm: Callable[..., Said], forbidden: Path, issue: Path, tmp_path: Path
) -> None:
    tmp_path.joinpath("tmp").mkdir()
    ytfsm("run", "--dry-run", "--system", "n300", "--issue", str(issue), TMPDIR=str(tmp_path / "tmp"))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "state").exists()


def test_a_dry_run_of_a_number_reads_nothing(ytfsm: Callable[..., Said], forbidden: Path) -> None:
    said = ytfsm("run", "--dry-run", "--system", "lb", "--issue", "12")
    assert said.code == 0
    assert "selected issue: https://github.com/yieldthought/ttnn_models/issues/12" in said.out
    assert "issue 12 is not read in a dry run: its model stands as ORG/NAME" in said.err
    assert not forbidden.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("no fields at all", "the issue names no `hf_model_id`"),
        ("hf_model_id: org/name\nprefill_len: many", "the issue's `prefill_len` is 'many'"),
    ],
)
def test_a_dry_run_of_a_malformed_issue_ends_as_the_run_would(
    ytfsm: Callable[..., Said], forbidden: Path, tmp_path: Path, body: str, words: str
) -> None:
    (tmp_path / "bad.md").write_text(body)
    said = ytfsm("run", "--dry-run", "--system", "n300", "--issue", str(tmp_path / "bad.md"))
    assert said.code == 1
    assert "would end in: setup_error" in said.out
    assert words in said.err
    assert "git push" not in said.out
    assert not forbidden.exists()


def test_the_specs_entry_is_the_same(bare: Path, forbidden: Path, issue: Path) -> None:
    """`scripts/run_worker.py` (§15.1)."""
    script = Path(__file__).parents[2] / "scripts" / "run_worker.py"
    done = subprocess.run(
        [sys.executable, str(script), "--dry-run", "--system", "n300", "--issue", str(issue)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(script.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "would end in: review" in done.stdout
    assert not forbidden.exists()


# --- nothing that others wrote acts on the terminal


def test_a_record_with_escape_sequences_is_shown_without_their_effect(
    ytfsm: Callable[..., Said], journals: Callable[..., Journal]
) -> None:
    journal = journals(
        RUN, machine="bringup", machine_table=MACHINE.table(), machine_hash=MACHINE.hash, system="n300",
        issue={"number": 12},
    )  # fmt: skip
    journal.append("fact", name="model", value="org/\x1b]0;title\x07name")
    journal.append("stopped", state="ready", why="\x1b[2J\x9b31m\u202egone")
    for argv in (["replay", RUN], ["runs"]):
        said = ytfsm(*argv)
        assert said.code == 0
        assert "\\x1b" in said.out
        assert not set(said.out) & set("\x1b\x07\x9b\u202e")
    assert "\x1b" in ytfsm("replay", RUN, "--json").json["model"], "a program gets what was written"


def test_log_lines_are_made_harmless(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    from yt_fsm.cli.main import LOG_CHARS, _Plain

    record = logging.LogRecord("ytfsm", 20, "", 0, "title=%s", ("\x1b[31mred\r" + "x" * 99_999,), None)
    told = _Plain("%(message)s").format(record)
    assert told.startswith("title=\\x1b[31mred\\rxxx")
    assert len(told) < LOG_CHARS + 100


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["runs", "--issue", "9" * 5000], 2, "Invalid value for '--issue'"),
        (["replay", "\x1b[31m" + "x" * 9000], 4, "no run matches"),
        (["replay", ""], 2, "RUN is empty"),
        (["graph", "--machine", "x" * 9000], 4, "there is no such machine"),
        (["graph", "-o", "/nowhere/at/all"], 2, "/nowhere/at/all: No such file or directory"),
        (["graph", "-o", "x" * 9000], 2, "File name too long"),
        (["\x1b[31m"], 2, "No such command"),
        (["run", "--system", "n300", "--issue", "²"], 2, "must be an issue's number"),
        (["run", "--system", "n300", "--issue", "9" * 5000], 2, "must be an issue's number"),
        (["run", "--system", "n300", "--dry-run", "--issue", "x" * 9000], 4, "neither a number nor a file"),
        (["run", "--system", "n300", "--dry-run", "--issue", "/dev/zero"], 2, "cannot be read: it is not a file"),
        (["abandon", "x", "--reason", "y" * 4001], 2, "--reason is 4,001 characters long"),
        (["runs", b"\xff"], 2, "an argument is not UTF-8"),
        (["lab", "serve", "--dir", "x", "--fault", "{"], 2, "is no fault"),
        (["lab", "serve", "--dir", "x", "--fault", "hub 'x"], 2, "is no fault"),
    ],
)
def test_an_absurd_argument_is_refused_in_a_few_words(
    ytfsm: Callable[..., Said], argv: list[Any], code: int, words: str
) -> None:
    said = ytfsm(*argv)
    assert (said.code, words in said.err) == (code, True), said.err[:500]
    assert "Traceback" not in said.err
    assert "\x1b" not in said.err
    assert len(said.err) < 1500


def test_a_terminal_that_cannot_show_a_letter_is_no_reason_to_fail(
    ytfsm: Callable[..., Said], recorded: Callable[..., Journal]
) -> None:
    recorded(RUN, "claim")
    said = ytfsm("replay", RUN, PYTHONIOENCODING="latin-1")
    assert said.code == 0
    assert "ready \\u2192 claimed" in said.out
