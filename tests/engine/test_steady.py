"""Nothing of the operator's own settings changes what programs print (faults E1)."""

import subprocess
import sys

import pytest

from yt_fsm.engine.shell import Shell
from yt_fsm.engine.steady import steady

CHANGING = {
    "CLICOLOR_FORCE": "1", "GH_FORCE_TTY": "1", "FORCE_COLOR": "3", "GH_DEBUG": "api", "GH_REPO": "somebody/else",
    "GH_HOST": "ghe.example.com", "GH_PAGER": "false", "PAGER": "false", "COLUMNS": "20", "LANGUAGE": "de",
    "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "GIT_DIFF_OPTS": "-u0", "GIT_EXTERNAL_DIFF": "false",
    "GIT_TRACE": "1", "GIT_LITERAL_PATHSPECS": "1", "GIT_DEFAULT_HASH": "sha256", "GIT_AUTHOR_DATE": "@1 +0000",
    "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PYTHONHOME": "/nonexistent", "PYTHONINSPECT": "1",
    "BASH_ENV": "/nonexistent",
}  # fmt: skip
STAYING = {
    "PATH": "/bin", "HOME": "/h", "HTTPS_PROXY": "http://p", "GH_TOKEN": "t", "GH_CONFIG_DIR": "/g",
    "SSH_AUTH_SOCK": "s",
    "GIT_SSH_COMMAND": "ssh -i key", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "k", "GIT_CONFIG_GLOBAL": "/c",
    "GIT_AUTHOR_NAME": "Ada", "GIT_DIR": "/d", "PYTHONPATH": "/p", "TT_METAL_HOME": "/tt", "TZ": "Europe/Berlin",
    "CODEX_HOME": "/x", "HF_HOME": "/hf",
}  # fmt: skip


def test_what_would_change_an_answer_is_dropped_and_what_leads_somewhere_stays() -> None:
    found = steady(CHANGING | STAYING)
    assert {name: found[name] for name in STAYING} == STAYING
    assert {name for name in CHANGING if found.get(name) == CHANGING[name]} == set()
    assert (found["LC_ALL"], found["NO_COLOR"], found["GH_HOST"]) == ("C.UTF-8", "1", "github.com")
    assert steady(found) == found


def test_every_program_gets_steady_surroundings(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CHANGING.items():
        monkeypatch.setenv(name, value)
    argv = [sys.executable, "-c", "import sys; print(sys.flags.optimize, sys.warnoptions); assert False"]
    result = shell.run(argv, timeout=20, check=False)
    assert (result.code, result.out) == (1, "0 []")
    assert subprocess.run(argv, env={"PYTHONOPTIMIZE": "2"}, capture_output=True, check=False).returncode == 0
