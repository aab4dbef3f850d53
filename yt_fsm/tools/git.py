"""git: the worker's own clean clone, and what codex left in its clone, seen through it.

Commands: clone, init, fetch, checkout, ls-remote, add, read-tree, write-tree, ls-tree, diff, checkout-index,
commit-tree, update-ref, status, push, bundle, cat-file. git never runs with codex's `.git`: its configuration could run
code. The worker's repository looks at codex's files as a work tree instead, once, and everything that is judged,
committed and pushed is made of the tree that this look gave.

The clean clone is out of belief too (faults S5 b): whoever uses it after unreviewed code ran makes it anew, from a
bundle whose sha256 was journalled before, or from the remote. What passes through a bundle has its ids computed again.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from yt_fsm.engine.errors import CommandFailed, SetupError
from yt_fsm.engine.removal import remove, remove_file
from yt_fsm.engine.shell import Result, Shell

from .git_environment import ATTRIBUTES
from .git_environment import environment as environment

CLONE_SECS = 1800.0
LOCAL_SECS = 600.0
PUSH_SECS = 600.0
_TEXT_BYTES = 3 << 20
_TALKS = ("clone", "fetch", "ls-remote", "push")  # to the remote
_REFUSALS = re.compile(
    r"rejected\]|permission to|marked as read only|archived so it is read-only|write access to repository not granted",
    re.IGNORECASE,
)
# GitHub's own failures, in the words in which a push is refused.
_HICCUPS = re.compile(
    r"internal (server )?error|failed to update ref|fatal error in commit_refs|timed? ?out", re.IGNORECASE
)
_AWAY = re.compile(
    r"could not resolve host|name resolution|connection (timed out|refused|reset|closed)|unreachable"
    r"|operation timed out|hung up|early eof|kex_exchange_identification|rpc failed|returned error: (5\d\d|429)"
    r"|internal server error",
    re.IGNORECASE,
)
TRAILER = "Ytfsm-Run"
WIP = "refs/heads/ytfsm-unfinished"


@dataclass(frozen=True)
class Change:
    """One path that differs from the base: `kind` is git's letter (A, M, D, T), `mode` the new file mode."""

    path: str
    kind: str
    mode: str


def branch_name(number: int, model: str) -> str:
    """`bringup/issue-<n>-<sanitized model>` (§8.3)."""
    return f"bringup/issue-{number}-{sanitize(model)}"


def sanitize(model: str) -> str:
    """A model id as a part of a branch name (§8.3): lower case, only `[a-z0-9._-]`, no repeated `-`.

    Beyond §8.3 it is made a name that git takes: no `..`, no `.lock` or dot at its end.
    """
    name = re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9._-]", "-", model.lower()))
    name = re.sub(r"\.{2,}", ".", name)
    while name.endswith((".", ".lock")):
        name = name.removesuffix(".lock").rstrip(".")
    return name


class Repository:
    """The worker's clean clone at `folder`."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self._env = environment()

    def git(
        self,
        *argv: str,
        timeout: float = LOCAL_SECS,
        check: bool = True,
        cwd: Path | None = None,
        index: Path | None = None,
        tree: Path | None = None,
        input: str | None = None,
        pretend: str = "",
    ) -> Result:
        """Run git in the clean clone; `index` and `tree` replace its index and work tree.

        Raises CommandFailed; its fault is the service's where the remote was out of reach or did not answer.
        """
        env = dict(self._env)
        if index:
            env["GIT_INDEX_FILE"] = str(index)
        if tree:
            env |= {"GIT_DIR": str(self.folder / ".git"), "GIT_WORK_TREE": str(tree)}
        try:
            return self.shell.run(
                ["git", *argv],
                name=f"git-{argv[0]}",
                cwd=tree or cwd or self.folder,
                env=env,
                input=input,
                timeout=timeout,
                check=check,
                pretend=pretend,
            )
        except CommandFailed as problem:
            if argv[0] in _TALKS and (problem.code is None or _away(problem.tail)):
                problem.fault = "service"
            raise

    def clone(self, url: str) -> str:
        """Clone `url` (§8.2); returns the commit of its default branch."""
        where = self.folder.parent
        self.git("clone", "--quiet", url, str(self.folder), timeout=CLONE_SECS, cwd=where)
        self._keep_files_as_they_are()
        return self.head()

    def renew(self, pristine: Path, url: str) -> None:
        """Make the clone again from a bundle that `keep` made, with `url` as its remote; what was there is deleted."""
        remove(self.folder)
        self.git("init", "--quiet", str(self.folder), cwd=self.folder.parent)
        self._keep_files_as_they_are()
        self.git("remote", "add", "origin", url)
        self.git("fetch", "--quiet", str(pristine), "+HEAD:refs/ytfsm/base")

    def keep(self, pristine: Path) -> None:
        """Bundle what is checked out with its history, for `renew`."""
        self.git("bundle", "create", "--quiet", str(pristine), "HEAD")

    def _keep_files_as_they_are(self) -> None:
        if not self.shell.dry:
            info = self.folder / ".git" / "info"
            info.mkdir(parents=True, exist_ok=True)
            (info / "attributes").write_text(ATTRIBUTES)

    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD", pretend="0" * 40).out.strip()

    def default_branch(self) -> str:
        """The remote's default branch."""
        name = self.git("rev-parse", "--abbrev-ref", "origin/HEAD", check=False, pretend="origin/main").out.strip()
        return name.removeprefix("origin/") if name.startswith("origin/") else "main"

    def remote_head(self, branch: str) -> str | None:
        """The commit that `branch` has on the remote, or None when there is no such branch."""
        out = self.git("ls-remote", "--heads", "origin", f"refs/heads/{branch}", timeout=PUSH_SECS).out
        return out.split()[0] if out.strip() else None

    def colliding(self, branch: str) -> list[str]:
        """The remote's branches beside which git can have none of that name: its folders, and what lies below it."""
        parts = branch.split("/")
        parents = ["/".join(parts[:length]) for length in range(1, len(parts))]
        patterns = [f"refs/heads/{name}" for name in (*parents, f"{branch}/*")]
        out = self.git("ls-remote", "--heads", "origin", *patterns, timeout=PUSH_SECS).out
        return sorted(line.split("\t", 1)[1].removeprefix("refs/heads/") for line in out.splitlines() if "\t" in line)

    def run_of(self, branch: str) -> str | None:
        """The run whose trailer the remote branch's tip carries, or None."""
        self.git("fetch", "--quiet", "origin", f"+refs/heads/{branch}:refs/remotes/origin/{branch}", timeout=CLONE_SECS)
        form = f"--format=%(trailers:key={TRAILER},valueonly)"
        said = self.git("log", "-1", form, f"refs/remotes/origin/{branch}").out.split()
        return said[-1] if said else None

    def copy_for_agent(self, folder: Path) -> None:
        """A clone for codex, on the same branch, with no remote to talk to."""
        self.git("clone", "--quiet", "--no-hardlinks", str(self.folder), str(folder), cwd=self.folder.parent)
        self.git("-C", str(folder), "remote", "remove", "origin")

    def read(self, agent: Path, base: str, whole: bool = True) -> str:
        """Read codex's files, each once, but what `.gitignore` says is none; returns them as a tree object.

        Raises CommandFailed where git cannot take one of them; unless `whole`, then that one is left out.
        """
        index = self.folder / ".git" / "ytfsm-read"
        index.unlink(missing_ok=True)
        self.git("read-tree", base, index=index)
        more = [] if whole else ["--ignore-errors"]
        self.git("add", "-A", *more, "--", ".", index=index, tree=agent, check=whole)
        return self.git("write-tree", index=index, pretend="0" * 40).out.strip()

    def changes(self, base: str, tree: str) -> list[Change]:
        """Every path of a tree that differs from `base`."""
        out = self.git("diff", "--raw", "-z", "--no-renames", "--no-abbrev", base, tree).out
        words = out.split("\0")
        found = []
        for meta, path in zip(words[::2], words[1::2], strict=False):
            _, mode, _, _, kind = meta.split(" ")
            found.append(Change(path, kind[:1], mode))
        return found

    def tree_of(self, read: str, base: str, folders: list[str]) -> str:
        """A tree object: `base` with `folders` as the tree `read` has them."""
        index = self.folder / ".git" / "ytfsm-part"
        index.unlink(missing_ok=True)
        self.git("read-tree", base, index=index)
        for folder in folders:
            found = self.git("rev-parse", "--verify", "--quiet", f"{read}:{folder}", check=False)
            self.git("rm", "--cached", "--quiet", "-r", "--ignore-unmatch", "--", folder, index=index)
            if found.ok and found.out.strip():
                self.git("read-tree", f"--prefix={folder}/", found.out.strip(), index=index)
        return self.git("write-tree", index=index, pretend="0" * 40).out.strip()

    def size(self, commit: str) -> int:
        """How many files a commit has."""
        return self.git("ls-tree", "-r", "-z", "--name-only", commit).out.count("\0")

    def tree_in(self, commit: str) -> str:
        """The tree of a commit."""
        return self.git("rev-parse", f"{commit}^{{tree}}", pretend="0" * 40).out.strip()

    def export(self, tree: str, folder: Path, only: str = "") -> None:
        """Write the files of a tree object (only those in one folder of it) into a folder, without a `.git`."""
        index = self.folder / ".git" / "ytfsm-export"
        index.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        if only:
            found = self.git("rev-parse", "--verify", "--quiet", f"{tree}:{only}", check=False).out.strip()
            if not found:
                return
            self.git("read-tree", f"--prefix={only}/", found, index=index)
        else:
            self.git("read-tree", tree, index=index)
        self.git("checkout-index", "--all", "--force", f"--prefix={folder}/", index=index)

    def diff(self, base: str, tree: str) -> str:
        """The patch from `base` to `tree`, for people."""
        argv = ("diff", "--stat", "--patch", "--no-ext-diff", "--no-textconv", base, tree)
        result = self.git(*argv, check=False)
        if not result.ok:
            raise result.failed()
        return result.out + ("\n(the rest is left out: the patch is too long)\n" if result.cut else "")

    def changed_blobs(self, base: str, tree: str) -> dict[str, str]:
        """The object of every path that `tree` has and `base` has not, or has otherwise."""
        words = self.git("diff-tree", "-r", "-z", "--raw", "--no-renames", base, tree).out.split("\0")
        rows = ((meta.split(" "), path) for meta, path in zip(words[::2], words[1::2], strict=False))
        return {path: meta[3] for meta, path in rows if meta[4] != "D" and meta[1] != "160000"}

    def sizes(self, blobs: list[str]) -> dict[str, int]:
        """How many bytes each object has."""
        out = self.quietly().git("cat-file", "--batch-check", input="".join(f"{blob}\n" for blob in blobs)).out
        rows = (line.split() for line in out.splitlines())
        return {row[0]: int(row[2]) for row in rows if len(row) == 3}  # else it is missing

    def texts(self, sizes: dict[str, int]) -> dict[str, str]:
        """The objects' contents; a byte that is no text is written as an escape.

        They are asked for some at a time, because what a command prints is kept up to a limit. Raises SetupError when
        git does not tell one.
        """
        found: dict[str, str] = {}
        waiting = list(sizes)
        while waiting:
            some = [waiting.pop()]
            while waiting and sum(sizes[blob] for blob in [*some, waiting[-1]]) <= _TEXT_BYTES:
                some.append(waiting.pop())
            mark = os.urandom(16).hex()  # that no content can have
            out = (
                self.quietly()
                .git("cat-file", f"--batch={mark} %(objectname)", input="".join(f"{b}\n" for b in some))
                .out
            )
            parts = re.split(rf"^{mark} ([0-9a-f]+)\n", out + "\n", flags=re.MULTILINE)
            found |= dict(zip(parts[1::2], parts[2::2], strict=True))
        if found.keys() != sizes.keys():
            raise SetupError(f"git does not tell all objects of {self.folder}")
        return found

    def quietly(self) -> "Repository":
        """The same clone, whose commands are neither logged nor journalled: they print whole files, or are many."""
        return Repository(self.shell.quiet(self.shell.mark or self.shell.marker, self.shell.stop), self.folder)

    def commit(self, tree: str, base: str, branch: str, message: str) -> str:
        """Make one commit of `tree` on `base`, the branch's new tip; codex's own commits are not in it.

        Afterwards `git status` is clean (§9.1 G); raises SetupError if it is not.
        """
        sha = self.git("commit-tree", tree, "-p", base, "-m", message, pretend="1" * 40).out.strip()
        self.git("update-ref", f"refs/heads/{branch}", sha)
        self.git("reset", "--quiet", "--hard", sha)
        dirt = self.git("status", "--porcelain").out.strip()
        if dirt:
            raise SetupError(f"the clean clone is not clean after the commit: {dirt[:500]}")
        return sha

    def take_aside(self, tree: str, base: str | None, file: Path) -> None:
        """Bundle a tree, as one commit, so that it outlives the workspace and what may happen in it.

        It is a commit on `base`, which whoever unpacks it must have; with None it needs no history, as the remote's may
        be another one by then.
        """
        parent = ["-p", base] if base else []
        sha = self.git("commit-tree", tree, *parent, "-m", "unfinished", pretend="1" * 40).out.strip()
        self.git("update-ref", WIP, sha)
        self._bundle(WIP, base, file)

    def fetch_aside(self, file: Path) -> str:
        """Bring back what `take_aside` bundled; returns its tree, whose ids were computed again on the way."""
        self.git("fetch", "--quiet", "--force", str(file), f"{WIP}:{WIP}")
        return self.tree_in(WIP)

    def bundle(self, branch: str, base: str, file: Path) -> None:
        """Keep the branch's own commits as a file that outlives the workspace."""
        self._bundle(f"refs/heads/{branch}", base, file)

    def _bundle(self, ref: str, base: str | None, file: Path) -> None:
        """Write a bundle that is on the disk, whole, when this returns; the one before stays until then."""
        fresh = file.with_suffix(".new")
        self.git("bundle", "create", "--quiet", str(fresh), f"{base}..{ref}" if base else ref)
        if fresh.exists():  # not in a dry run
            fresh.chmod(0o600)  # it holds codex's work as it is, which no gate has seen
            synced(fresh)
            fresh.rename(file)
            synced(file.parent)

    def has(self, sha: str) -> bool:
        """Whether the clone is there and holds the commit."""
        if not (self.folder / ".git").exists() and not self.shell.dry:
            return False
        return self.git("cat-file", "-e", f"{sha}^{{commit}}", check=False).ok

    def unbundle(self, file: Path, branch: str) -> str:
        """Bring a branch's commits back from a bundle; returns its tip, whose id was computed again on the way."""
        self.git("fetch", "--quiet", "--force", str(file), f"refs/heads/{branch}:refs/ytfsm/kept")
        return self.git("rev-parse", "refs/ytfsm/kept", pretend="1" * 40).out.strip()

    def push(self, branch: str, sha: str, tip: str | None, dry: bool = False) -> None:
        """Make `sha` the branch's tip on the remote, where it must be at `tip` now (None: not exist).

        With `dry` nothing is sent, and what refuses every push is found. Raises CommandFailed.
        """
        lease = f"--force-with-lease=refs/heads/{branch}:{tip or ''}"
        more = ["--dry-run"] if dry else []
        self.git("push", "--quiet", *more, lease, "origin", f"{sha}:refs/heads/{branch}", timeout=PUSH_SECS)


def empty(clone: Path) -> None:
    """Delete a clone's files, and leave what git knows of it."""
    for path in clone.iterdir():
        if path.name == ".git":
            continue
        if path.is_dir() and not path.is_symlink():
            remove(path)
        else:
            remove_file(path)


def synced(path: Path) -> None:
    """Have a file or a folder on the disk: a power cut leaves it as it is now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _away(said: str) -> bool:
    return bool(_AWAY.search(said) or _HICCUPS.search(said))


def refused(problem: CommandFailed) -> bool:
    """Whether a push failed for good: the remote rejected it, rather than being out of reach."""
    return any(_REFUSALS.search(line) and not _HICCUPS.search(line) for line in problem.tail.splitlines())
