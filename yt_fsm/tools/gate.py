"""The gate: no secret of this machine leaves it by a push, which is judged by the objects that it would send.

What is told of a secret is where it stands and whose it is, never its value.
"""

from typing import TYPE_CHECKING

from yt_fsm.engine.errors import Leaked

from .git import Repository

if TYPE_CHECKING:
    from yt_fsm.engine.redaction import Redactor

LARGEST_BYTES = 3 << 20  # of a file: a larger one is not looked through, so it does not leave either
_MOST_LINES, _MOST_TOLD = 5, 20  # of a file; of all


def secrets_in_tree(repository: Repository, base: str, tree: str) -> list[str]:
    """Where the tree has secrets that `base` has not, in words: `path:line: the value of HF_TOKEN (base64)`.

    Every path and every file that differs is read from git's objects, which are what a push sends. A file that is too
    large to be looked through is named too. Raises CommandFailed.
    """
    redact = repository.shell.redact
    redact.refresh()
    changed = repository.changed_blobs(base, tree)
    sizes = repository.sizes(sorted(set(changed.values())))
    texts = repository.texts({blob: size for blob, size in sizes.items() if size <= LARGEST_BYTES})
    told = []
    for path, blob in changed.items():
        name = redact(path)
        told += [f"{name}: its name holds {leak}" for leak in redact.leaks(path.encode())[:1]]
        if blob not in texts:
            told.append(f"{name}: its {sizes.get(blob, 'unknown')} bytes are too many to be looked through for secrets")
            continue
        told += [f"{name}:{where}" for where in _places(redact, texts[blob])]
    return told[:_MOST_TOLD]


def secrets_in_push(repository: Repository, base: str, sha: str) -> list[str]:
    """The same for all that a push of `sha` would send: the text and the tree of every commit that `base` has not."""
    told: list[str] = []
    for commit in repository.git("rev-list", f"{base}..{sha}").out.split():
        text = repository.git("cat-file", "commit", commit).out
        told += [f"the commit's text:{where}" for where in _places(repository.shell.redact, text)]
        told += secrets_in_tree(repository, f"{commit}^", commit)
    return told[:_MOST_TOLD]


def check_push(repository: Repository, base: str, sha: str, branch: str) -> None:
    """Raises Leaked, which names the places, when pushing `sha` as `branch` would send a secret."""
    told = secrets_in_push(repository, base, sha)
    told += [f"the branch's name holds {leak}" for leak in repository.shell.redact.leaks(branch.encode())[:1]]
    if told:
        raise Leaked("it is not pushed, because it holds secrets of this worker's machine:\n" + "\n".join(told))


def _places(redact: "Redactor", text: str) -> list[str]:
    """`line: what`, each line once."""
    data = text.encode("utf-8", "replace")
    told: dict[int, str] = {}
    end = 0
    for leak in redact.leaks(data):
        if leak.start >= end:  # else it is a piece of the one before, or that one written otherwise
            told.setdefault(data.count(b"\n", 0, leak.start) + 1, str(leak))
        end = max(end, leak.end)
    return [f"{line}: {leak}" for line, leak in list(told.items())[:_MOST_LINES]]
