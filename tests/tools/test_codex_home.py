"""CODEX_HOME as a run's codex has it: the operator's model and login, and nothing else of theirs (faults E6)."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.codex_home import CodexHome

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.usefixtures("bare")

CONFIG = """
model = "gpt-x"
model_provider = "corp"
model_reasoning_effort = "high"
notify = ["curl", "https://example.com"]
[model_providers.corp]
name = "corp"
base_url = "https://llm.corp/v1"
env_key = "CORP_KEY"
[model_providers.other]
experimental_bearer_token = "other-token"
[mcp_servers.files]
command = "npx"
env = { TOKEN = "mcp-token" }
[projects."/root/secret"]
trust_level = "trusted"
"""


def login(account: str, access: str) -> str:
    return json.dumps({"OPENAI_API_KEY": None, "tokens": {"account_id": account, "access_token": access}})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The operator's own CODEX_HOME."""
    folder = tmp_path / "operators"
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG)
    (folder / "auth.json").write_text(login("me", "first"))
    return folder


@pytest.fixture
def home(source: Path, tmp_path: Path) -> CodexHome:
    return CodexHome(source, tmp_path / "run" / "codex")


def test_codex_gets_what_chooses_its_model_and_no_servers(home: CodexHome) -> None:
    home.make()
    found = tomllib.loads((home.folder / "config.toml").read_text())
    assert found == {
        "model": "gpt-x",
        "model_provider": "corp",
        "model_reasoning_effort": "high",
        "model_providers": {"corp": {"name": "corp", "base_url": "https://llm.corp/v1", "env_key": "CORP_KEY"}},
    }


def test_the_key_of_the_chosen_provider_comes_along(home: CodexHome, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.make() == {"CODEX_HOME": str(home.folder)}
    monkeypatch.setenv("CORP_KEY", "the key")
    assert home.make() == {"CODEX_HOME": str(home.folder), "CORP_KEY": "the key"}


def test_what_codex_made_of_its_configuration_is_gone_at_the_next_turn(home: CodexHome, tmp_path: Path) -> None:
    home.make()
    victim = tmp_path / "victim"
    victim.write_text("whole")
    config = home.folder / "config.toml"
    config.unlink()
    config.symlink_to(victim)
    home.make()
    assert "gpt-x" in config.read_text()
    assert victim.read_text() == "whole"


@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_a_login_that_codex_renewed_is_the_operators_new_one(home: CodexHome, source: Path, how: str) -> None:
    home.make()
    mine = home.folder / "auth.json"
    if how == "replaced":
        mine.unlink()
    mine.write_text(login("me", "second"))
    home.after_turn()
    assert (source / "auth.json").read_text() == login("me", "second")
    home.make()
    assert mine.is_symlink()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda mine: mine.write_text(login("somebody else", "x")),
        lambda mine: mine.write_text("rubbish"),
        lambda mine: mine.write_text("[" * 100_000),
        lambda mine: mine.write_text(json.dumps({"OPENAI_API_KEY": "sk-mine"})),
        lambda mine: (mine.unlink(), mine.symlink_to("/etc/passwd")),
        lambda mine: (mine.unlink(), mine.mkdir()),
        lambda mine: mine.resolve().unlink(),
    ],
    ids=["another account", "rubbish", "depth", "a key", "a link", "a folder", "deleted"],
)
def test_a_login_that_was_spoiled_is_put_back(home: CodexHome, source: Path, spoil: Callable[[Path], Any]) -> None:
    home.make()
    spoil(home.folder / "auth.json")
    home.after_turn()
    assert (source / "auth.json").read_text() == login("me", "first")
    home.make()
    assert (home.folder / "auth.json").resolve() == source / "auth.json"


def test_a_machine_without_a_login_file_gets_none(home: CodexHome, source: Path) -> None:
    (source / "auth.json").unlink()
    home.make()
    assert home.login == []
    home.after_turn()
    assert not (source / "auth.json").exists()


def test_a_configuration_that_cannot_be_read_is_named(home: CodexHome, source: Path) -> None:
    (source / "config.toml").write_text("model = [")
    with pytest.raises(SetupError, match=str(source / "config.toml")):
        home.make()


# --- what codex needs of this process's environment (faults E4)


def test_codex_alone_gets_the_proxies_and_what_its_configuration_names(
    home: CodexHome, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = (source / "config.toml").read_text()
    key = 'env_key = "CORP_KEY"\n'
    named = config.replace(key, key + 'env_http_headers = { "X-Team" = "CORP_TEAM" }\n')
    (source / "config.toml").write_text(named)
    (source / ".env").write_text("# keys\nexport CORP_KEY='from-dotenv'\nOTHER_KEY=no\nCORP_TEAM=blue # ours\n")
    given = {"HTTPS_PROXY": "http://user:pw@proxy:3128", "no_proxy": "localhost", "GH_TOKEN": "no", "CORP_TEAM": "red"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CORP_KEY", raising=False)
    found = home.make()
    assert found == {
        "HTTPS_PROXY": given["HTTPS_PROXY"], "no_proxy": "localhost", "CORP_KEY": "from-dotenv", "CORP_TEAM": "red",
        "CODEX_HOME": str(home.folder),
    }  # fmt: skip


def test_the_workers_choice_of_model_and_effort_wins(source: Path, tmp_path: Path) -> None:
    CodexHome(source, tmp_path / "run", "gpt-y", "low").make()
    found = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert (found["model"], found["model_reasoning_effort"]) == ("gpt-y", "low")


def test_a_provider_of_the_configuration_needs_its_key_and_no_login(
    home: CodexHome, source: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORP_KEY", raising=False)
    with pytest.raises(SetupError, match="codex's provider corp wants CORP_KEY, which is not set"):
        home.status(shell, "codex")
    monkeypatch.setenv("CORP_KEY", "x")
    assert home.status(shell, "codex") == "provider corp"


STATUS = """
import json, os, sys
assert sys.argv[1:] == ["login", "status"]
print("WARNING: something", file=sys.stderr)
there = os.path.exists(os.environ["CODEX_HOME"] + "/auth.json")
print("Logged in using an API key - sk-proj-***12345" if there else "Not logged in", file=sys.stderr)
sys.exit(0 if there else 1)
"""


def test_otherwise_codex_is_asked_whether_it_is_logged_in(
    home: CodexHome, source: Path, shell: Shell, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("codex", STATUS)
    monkeypatch.delenv("CODEX_API_KEY", raising=False)
    (source / "config.toml").write_text("")
    assert home.status(shell, "codex") == "Logged in using an API key"
    (source / "auth.json").unlink()
    with pytest.raises(SetupError, match="codex is not logged in: Not logged in"):
        home.status(shell, "codex")
    monkeypatch.setenv("CODEX_API_KEY", "k")
    assert home.status(shell, "codex") == "by CODEX_API_KEY"
