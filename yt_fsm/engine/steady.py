"""Steady surroundings: what a program prints must not depend on the operator's own settings of it (faults E1).

Everything that is started gets its environment through here (shell.py), so that neither colours nor another language,
a pager, a date or a default of somebody's shell changes what is read of git, gh, tt-smi, codex or Python. Where things
are and who may use them (PATH, HOME, proxies, logins, git's configuration) stays the operator's.
"""

import re
from collections.abc import Mapping

_PINNED = {
    "LC_ALL": "C.UTF-8",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "GH_HOST": "github.com",
    "GH_PROMPT_DISABLED": "1",
    "GH_NO_UPDATE_NOTIFIER": "1",
    "GH_NO_EXTENSION_UPDATE_NOTIFIER": "1",
    "GH_SPINNER_DISABLED": "1",
    "GH_TELEMETRY": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
}

_DROPPED = re.compile(
    r"(CLICOLOR|CLICOLOR_FORCE|FORCE_COLOR|PY_COLORS|COLORTERM|LS_COLORS|GREP_\w+|COLUMNS|LINES|PAGER|LESS\w*|LANGUAGE"
    r"|POSIXLY_CORRECT|BASH_ENV|ENV|CDPATH|RUST_LOG|RUST_BACKTRACE|DEBUG"
    r"|GH_(FORCE_TTY|DEBUG|PAGER|REPO|BROWSER|EDITOR|MDWIDTH|COLOR_LABELS|ACCESSIBLE_\w+|PATH)|GLAMOUR_STYLE)"
)
# Of git's and Python's many, what is not here is dropped: where their parts are, who commits, how a remote is reached.
_KEPT = re.compile(
    r"GIT_(CONFIG\w*|SSH\w*|ASKPASS|(AUTHOR|COMMITTER)_(NAME|EMAIL)|EXEC_PATH|SSL_\w+|PROXY_\w+|HTTP_PROXY_AUTHMETHOD"
    r"|HTTP_USER_AGENT|DIR|WORK_TREE|INDEX_FILE|NO_REPLACE_OBJECTS|ALLOW_PROTOCOL)"
    r"|PYTHON(PATH|UNBUFFERED|DONTWRITEBYTECODE|PYCACHEPREFIX)"
)


def steady(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what changes a program's output or behaviour, and with what keeps it as it is."""
    kept = {name: value for name, value in environment.items() if not _unsteady(name)}
    return kept | _PINNED


def _unsteady(name: str) -> bool:
    if name.startswith(("GIT_", "PYTHON")):
        return not _KEPT.fullmatch(name)
    return bool(_DROPPED.fullmatch(name))
