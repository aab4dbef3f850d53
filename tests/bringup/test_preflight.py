"""The preflight: what a machine lacks is listed at once, with how to mend it, before anything is claimed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.bringup import preflight
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine import needs
from yt_fsm.engine.errors import PreflightFailed, SetupError
from yt_fsm.engine.needs import Need
from yt_fsm.engine.shell import Shell
from yt_fsm.github.client import STATUSES, GitHub
from yt_fsm.github.errors import GitHubError
from yt_fsm.tools.systems import HERE

GH = """
import json, os, sys
answers = json.load(open(os.environ["FAKE_GH"]))
if sys.argv[1] == "--version":
    print("gh version 2.103.3 (2026-11-01)")
    sys.exit(0)
key = "user"
if sys.argv[-1] != "user":
    key = "permission" if "query permission" in json.load(sys.stdin)["query"] else "graphql"
code, out, err = answers[key]
print(out)
print(err, file=sys.stderr)
sys.exit(code)
"""
PYTHON = """
import sys
assert sys.argv[1] == "-c"
print("ttnn 0.81.1")
"""


def ok(body: Any, scopes: str | None = "gist, project, repo", status: int = 200) -> list[Any]:
    head = f"HTTP/2.0 {status} X\n" + (f"X-Oauth-Scopes: {scopes}\n" if scopes is not None else "")
    return [0 if status == 200 else 1, f"{head}\n{json.dumps(body)}", ""]


def board(*statuses: str) -> list[Any]:
    options = [{"id": s, "name": s} for s in statuses]
    node = {"id": "P", "number": 7, "title": "T", "url": "https://x/7", "items": {"totalCount": 0}}
    return ok(
        {"data": {"repositoryOwner": {"id": "O", "projectV2": {**node, "field": {"id": "F", "options": options}}}}}
    )


def permission(role: str | None, **closed: bool) -> list[Any]:
    flags = {"isArchived": False, "isDisabled": False, "isLocked": False, **closed}
    return ok({"data": {"viewer": {"login": "bot"}, "repository": {"viewerPermission": role, **flags}}})


class Machine:
    """A machine with every prerequisite, each of which a test can break."""

    def __init__(self, folder: Path, program: Callable[[str, str], Path]) -> None:
        self.answers = {"user": ok({"login": "bot"}), "graphql": board(*STATUSES), "permission": permission("WRITE")}
        self.file = folder / "gh.json"
        self.program = program
        self.python = str(program("evaluation-python", PYTHON))
        program("gh", GH)
        program("codex", "print('codex-cli 0.169.0')")
        self.boards("n300 L", "n300 R")

    def boards(self, *chips: str) -> None:
        text = json.dumps({"device_info": [{"board_info": {"board_type": kind}} for kind in chips]})
        self.program("tt-smi", f"print({text!r})")

    def write(self) -> str:
        self.file.write_text(json.dumps(self.answers))
        return str(self.file)


@pytest.fixture
def machine(
    bare: Path, tmp_path: Path, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Machine:
    repo = tmp_path / "forge" / "yieldthought" / "ttnn_models.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repo)], check=True)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/forge/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "git@github.com:")
    return Machine(tmp_path, program)


def test_a_models_repo_that_git_cannot_read_is_found_before_anything_is_claimed(
    checked: Callable[..., dict[str, Need]], machine: Machine, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "forge")
    check = checked()["models repo"]
    assert not check.ok
    assert "SSH key" in check.fix
    assert "git ls-remote git@github.com:yieldthought/ttnn_models.git" in check.fix


@pytest.fixture
def checked(
    machine: Machine, shell: Shell, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Need]]:
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: None)

    def look(run: bool = False, **given: Any) -> dict[str, Need]:
        monkeypatch.setenv("FAKE_GH", machine.write())
        made = settings(**{"python": machine.python, "project_number": 7, **given})
        github = GitHub(shell, made.owner, made.repo_models, made.project_number, made.project_title, 0.0)
        found = preflight.needs(shell, github, made)
        if run:
            needs.require(found)
        return {check.check: check for check in found}

    return look


def test_a_machine_that_has_everything_passes(checked: Callable[..., dict[str, Need]], machine: Machine) -> None:
    found = checked(run=True)
    assert all(check.ok for check in found.values())
    assert found["gh"].found == "gh version 2.103.3 (2026-11-01)"
    assert found["codex"].found == "codex-cli 0.169.0"
    assert found["tt-smi and board"].found == "n300 (24 GB of DRAM)"
    assert found["evaluation python"].found == f"{machine.python}: ttnn 0.81.1"
    assert found["GitHub login"].found == "bot (gist, project, repo)"
    assert found["Project board"].found == "https://x/7"
    assert found["GitHub permissions"].found == "bot: WRITE"
    versions = needs.versions(found.values())
    assert versions["codex"] == "codex-cli 0.169.0"
    assert versions["ytfsm"]
    assert versions["python"] == sys.version.split()[0]


def test_all_that_is_missing_is_listed_at_once_with_how_to_mend_it(
    checked: Callable[..., dict[str, Need]], machine: Machine
) -> None:
    machine.answers["user"] = ok({"message": "Bad credentials"}, status=401)
    machine.boards()
    with pytest.raises(PreflightFailed) as caught:
        checked(run=True, codex_bin="no-such-codex")
    text = str(caught.value)
    assert text.startswith("this machine is not ready, so nothing was claimed:\n")
    assert "no-such-codex: not on PATH\n    install codex" in text
    assert "GitHub login: gh is not logged in: Bad credentials\n    `gh auth login -s project`" in text
    assert "tt-smi and board: tt-smi sees no board" in text
    assert "gh:" not in text.replace("`gh", "")
    assert caught.value.exit_code == 5


def test_a_check_is_json_as_doctor_prints_it() -> None:
    assert Need("gh", False, "not on PATH", "install it").as_json() == {
        "check": "gh", "ok": False, "found": "not on PATH", "fix": "install it",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fix"),
    [("NETWORK", preflight.WAIT), ("5xx", preflight.WAIT), ("UNAUTHORIZED", preflight.LOG_IN), ("NOT_FOUND", "look")],
)
def test_the_remedy_is_for_what_github_said(kind: str, fix: str) -> None:
    def look() -> str:
        raise GitHubError("no", kind)

    assert preflight._try("Project board", look, "look") == Need("Project board", False, "no", fix)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ([4, "", "To get started with GitHub CLI, please run:  gh auth login"], "gh is not logged in: .*gh auth login"),
        (ok({"message": "Bad credentials"}, status=401), "gh is not logged in: Bad credentials"),
        (ok({"message": "Sorry. Your account was suspended"}, status=403), "Your account was suspended"),
        ([1, "", 'Get "https://api.github.com/user": EOF'], "GitHub does not answer: Get .*EOF"),
        (ok({"message": "Server Error"}, status=500), "GitHub does not answer: Server Error"),
        (
            ok({"message": "Resource not accessible by integration"}, status=403),
            "is a GitHub App's, and an App's claims",
        ),
        (ok({"data": {}}), "does not say who it is logged in as"),
        (ok({"login": None}), "does not say who it is logged in as"),
        (ok({"login": "bot"}, "gist, repo"), "gh's login lacks the scope `project` .it has gist, repo"),
        (ok({"login": "bot"}, "project, read:org"), "gh's login lacks the scope `repo`"),
    ],
)
def test_a_login_that_will_not_do_says_why(
    checked: Callable[..., dict[str, Need]], machine: Machine, user: list[Any], words: str
) -> None:
    import re

    machine.answers["user"] = user
    found = checked()["GitHub login"]
    assert not found.ok
    assert re.search(words, found.found)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (permission("READ"), "bot has the permission READ for yieldthought/ttnn_models, and a run pushes a branch"),
        (permission("TRIAGE"), "bot has the permission TRIAGE"),
        (permission(None), "this login's claims do not count: GitHub shows its comments as NONE"),
        (permission("ADMIN", isArchived=True), "yieldthought/ttnn_models is archived on GitHub"),
    ],
)
def test_a_login_whose_claims_or_pushes_would_be_nothing_is_found_before_anything_is_claimed(
    checked: Callable[..., dict[str, Need]], machine: Machine, answer: list[Any], words: str
) -> None:
    """Faults Q7, W12."""
    machine.answers["permission"] = answer
    found = checked()["GitHub permissions"]
    assert not found.ok
    assert words in found.found
    assert "give this login the role Write" in found.fix


def test_a_fine_grained_token_has_no_scopes_to_look_at(
    checked: Callable[..., dict[str, Need]], machine: Machine
) -> None:
    machine.answers["user"] = ok({"login": "bot"}, None)
    assert checked()["GitHub login"].found == "bot (fine-grained token)"


def test_a_rate_limit_is_no_bad_login(checked: Callable[..., dict[str, Need]], machine: Machine) -> None:
    """`gh auth status` calls the token invalid then."""
    machine.answers["user"] = ok({"message": "API rate limit exceeded"}, status=403)
    found = checked()["GitHub login"]
    assert (found.ok, found.found) == (True, "rate limited for now")


def test_a_board_that_lacks_an_option_is_named(checked: Callable[..., dict[str, Need]], machine: Machine) -> None:
    machine.answers["graphql"] = board(*[s for s in STATUSES if s != "setup error"])
    found = checked()["Project board"]
    assert not found.ok
    assert "has no Status option 'setup error'" in found.found


def test_a_python_without_ttnn_is_named(
    checked: Callable[..., dict[str, Need]], program: Callable[[str, str], Path]
) -> None:
    bad = str(program("bad-python", "import sys; sys.exit(\"ModuleNotFoundError: No module named 'ttnn'\")"))
    found = checked(python=bad)["evaluation python"]
    assert not found.ok
    assert found.found == f"{bad} cannot `import ttnn`: ModuleNotFoundError: No module named 'ttnn'"
    assert "YT_PYTHON" in found.fix


def test_the_import_is_tried_for_real(checked: Callable[..., dict[str, Need]]) -> None:
    """ytfsm's own Python has no torch and needs none."""
    found = checked(python=sys.executable)["evaluation python"]
    assert not found.ok
    assert "no module named torch" in found.found


def test_a_worker_that_may_not_ask_the_hub_hears_so_before_it_claims(
    checked: Callable[..., dict[str, Need]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every issue ended in `setup error`, each by its download."""
    assert checked()["Hub"].ok
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = checked()["Hub"]
    assert not found.ok
    assert found.found == "HF_HUB_OFFLINE=1 keeps this machine from asking the Hub, which each download does"


def test_a_full_disk_is_named(checked: Callable[..., dict[str, Need]], tmp_path: Path) -> None:
    found = checked(min_free_gb=1e9)["disk"]
    assert not found.ok
    assert f"{tmp_path / 'tmp'} has " in found.found


def test_a_device_beyond_what_is_there_is_found_before_anything_is_claimed(
    checked: Callable[..., dict[str, Need]], machine: Machine
) -> None:
    machine.boards("n300 L", "n300 R")
    assert checked(device=0)["tt-smi and board"].ok
    check = checked(device=1)["tt-smi and board"]
    assert not check.ok
    assert "YT_DEVICE = 1: tt-smi lists 1 board(s)" in check.found


def test_a_codex_that_is_not_logged_in_is_found_before_anything_is_claimed(
    checked: Callable[..., dict[str, Need]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = 'model_provider = "corp"\n[model_providers.corp]\nbase_url = "http://x"\nenv_key = "CORP_KEY"\n'
    (tmp_path / "codex-home").mkdir()
    (tmp_path / "codex-home" / "config.toml").write_text(config)
    check = checked(codex_home=tmp_path / "codex-home")["codex login"]
    assert (check.ok, "wants CORP_KEY, which is not set" in check.found) == (False, True)
    monkeypatch.setenv("CORP_KEY", "k")
    assert checked(codex_home=tmp_path / "codex-home")["codex login"].found == "provider corp"


def test_another_system_is_named(checked: Callable[..., dict[str, Need]]) -> None:
    found = checked(system="n150")["tt-smi and board"]
    assert not found.ok
    assert "this is no n150" in found.found


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("No Tenstorrent driver detected! Please install driver using tt-kmd", "kernel driver, tt-kmd"),
        ("No Tenstorrent devices detected! Please check your hardware", "cold start of the host"),
        ("Something else", "install tt-smi, check the card, or mend YT_SYSTEM"),
    ],
)
def test_words_of_a_known_trouble_say_what_to_do(
    checked: Callable[..., dict[str, Need]], machine: Machine, said: str, fix: str
) -> None:
    machine.program("tt-smi", f"import sys; print({said!r}); sys.exit(1)")
    found = checked()["tt-smi and board"]
    assert not found.ok
    assert said in found.found
    assert fix in found.fix


def test_a_system_of_a_teams_own_is_looked_for_as_its_file_says(
    checked: Callable[..., dict[str, Need]], machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "systems"
    folder.mkdir()
    text = (HERE / "n300.toml").read_text().replace('name = "n300"', 'name = "p300"').replace('"n300"', '"p300c"')
    (folder / "p300.toml").write_text(text.replace("count = 1", "count = 2").replace('["tt-smi",', '["our-smi",'))
    machine.boards("n300 L", "n300 R")
    machine.program("our-smi", (tmp_path / "bin" / "tt-smi").read_text().replace("n300", "p300c"))
    one = checked(system="p300", systems_dir=folder)["tt-smi and board"]
    assert (one.ok, one.found.partition(".")[0]) == (
        False, "this p300 is not whole: our-smi lists 1 board(s) of 2, 1 p300c missing"
    )  # fmt: skip
    machine.boards("n300 L", "n300 R", "n300 L", "n300 R")
    machine.program("our-smi", (tmp_path / "bin" / "tt-smi").read_text().replace("n300", "p300c"))
    two = checked(system="p300", systems_dir=folder)["tt-smi and board"]
    assert (two.ok, two.found) == (True, "p300c, p300c (24 GB of DRAM)")


def test_inside_a_run_the_first_that_broke_is_raised(
    machine: Machine, shell: Shell, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """§9.1 B: things break in between, and it is the world's fault."""
    monkeypatch.setenv("FAKE_GH", machine.write())
    preflight.require(shell, settings(python=machine.python))
    machine.answers["user"] = ok({"message": "Bad credentials"}, status=401)
    machine.write()
    with pytest.raises(GitHubError, match="gh is not logged in"):
        preflight.require(shell, settings(python=machine.python))
    with pytest.raises(SetupError, match="cannot be started"):
        preflight.require(shell, settings(python="no-such-python"))


def test_a_models_repo_without_its_harness_is_named(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"owner/models has no scripts/run_eval.py: `ytfsm init-models DIR`"):
        preflight.require_harness(shell, tmp_path / "scripts" / "run_eval.py", "owner/models")


# --- the walls


@pytest.mark.usefixtures("walls")
def test_codex_and_the_evaluations_python_are_started_behind_the_walls(
    checked: Callable[..., dict[str, Need]], machine: Machine
) -> None:
    found = checked(isolation="bwrap")
    assert found["isolation"].ok, found["isolation"].found
    assert found["isolation"].found.startswith("bubblewrap ")
    assert found["evaluation python"].ok, found["evaluation python"].found
    assert needs.versions(found.values())["isolation"] == found["isolation"].found


@pytest.mark.usefixtures("walls")
def test_a_program_that_does_not_start_behind_the_walls_is_found_before_anything_is_claimed(
    checked: Callable[..., dict[str, Need]], machine: Machine, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.write_text("print('codex-cli 0.169.0')\n")
    machine.program("codex", f"exec(open({str(hidden)!r}).read())")
    check = checked(isolation="bwrap")["isolation"]
    assert not check.ok
    assert "YT_ISOLATION_BIND" in check.found
    assert checked(isolation="bwrap", isolation_bind=str(hidden))["isolation"].ok


def test_a_worker_without_walls_refuses_to_start(
    checked: Callable[..., dict[str, Need]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yt_fsm.engine.sandbox.available", lambda: False)
    with pytest.raises(PreflightFailed, match="apt-get install bubblewrap"):
        checked(run=True, isolation="bwrap")
    assert checked(run=True, isolation="none")["isolation"].found.startswith("none: codex and the evaluation run as")
