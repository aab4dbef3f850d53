"""git's environment: what a tampered repository, or the operator's own settings, could change is pinned (faults E1)."""

import os

SSH = os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=30")  # never asks

# What a tampered repository could use to run code on our side, and what would make files other than they are.
_SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "protocol.ext.allow": "never",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "init.templateDir": "",
    # Of the operator's own, what would change names, answers and what is pushed (faults E1).
    "color.ui": "false",
    "color.diff": "false",
    "color.status": "false",
    "clone.defaultRemoteName": "origin",
    "core.quotePath": "true",
    "core.fileMode": "true",
    "core.symlinks": "true",
    "core.ignoreCase": "false",
    "core.safecrlf": "false",
    "diff.noprefix": "false",
    "diff.mnemonicPrefix": "false",
    "diff.context": "3",
    "diff.interHunkContext": "0",
    "diff.orderFile": "/dev/null",
    "diff.ignoreSubmodules": "none",
    "diff.submodule": "short",
    "diff.algorithm": "default",
    "diff.statGraphWidth": "0",
    "fetch.prune": "false",
    "fetch.pruneTags": "false",
    "fetch.recurseSubmodules": "false",
    "log.showSignature": "false",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "status.branch": "false",
    "status.renames": "false",
    "status.short": "false",
    "status.showUntrackedFiles": "normal",
    "submodule.recurse": "false",
    "transfer.hideRefs": "",
}
# Of highest precedence: no .gitattributes in a tree changes a file on its way in or out, or names a filter.
ATTRIBUTES = "* -text -eol -filter -ident -working-tree-encoding\n"
# A worker started from a git hook inherits these, and they point at the repository around it.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
_NOBODY = {
    "GIT_AUTHOR_NAME": "ytfsm",
    "GIT_AUTHOR_EMAIL": "ytfsm@users.noreply.github.com",
    "GIT_COMMITTER_NAME": "ytfsm",
    "GIT_COMMITTER_EMAIL": "ytfsm@users.noreply.github.com",
}


def environment() -> dict[str, str]:
    """git's whole environment: of the operator's settings those that say how the remote is reached, and who commits."""
    known = {name: os.environ[name] for name in _NOBODY if name in os.environ}
    outer = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    more = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": SSH}
    return {**outer, **_configured(outer, _SAFE), **_NOBODY, **known, **more}


def _configured(env: dict[str, str], settings: dict[str, str]) -> dict[str, str]:
    """`settings` as git takes them from its environment, after those that `env` has already."""
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    added = {"GIT_CONFIG_COUNT": str(count + len(settings))}
    for number, (key, value) in enumerate(settings.items(), count):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return added
