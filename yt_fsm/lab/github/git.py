"""The bare repositories of the lab's GitHub: branches, commits, comparing and merging, with the real git.

Commands: git init, add, commit, symbolic-ref, update-ref, rev-parse, rev-list, log, merge-base, diff, cat-file,
worktree, checkout, merge, rebase.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from yt_fsm.lab.github.hooks import HOOKS, PUSHED, SSH

NOTHING = "0" * 40


class MergeConflict(Exception):
    """The two branches changed the same lines; nothing was merged."""


class StaleRef(Exception):
    """The branch moved, appeared or vanished since it was read."""


@dataclass(frozen=True)
class Person:
    """An author or committer as git writes one."""

    name: str
    email: str


@dataclass(frozen=True)
class Commit:
    """One commit, with its times in GitHub's form."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    authored: str
    committer: Person
    committed: str
    message: str

    @property
    def headline(self) -> str:
        """The message's first line."""
        return self.message.split("\n", 1)[0]

    @property
    def body(self) -> str:
        """What follows the headline and its blank line."""
        return self.message.partition("\n")[2].strip("\n")


@dataclass(frozen=True)
class Change:
    """One file of a comparison: lines added and deleted, ADDED, DELETED, MODIFIED or CHANGED, and its new blob."""

    path: str
    additions: int
    deletions: int
    kind: str
    blob: str


GITHUB = Person("GitHub", "noreply@github.com")
_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B%x01"
_KINDS = {"A": "ADDED", "D": "DELETED", "T": "CHANGED"}


class Git:
    """All bare repositories below one folder, `<folder>/<owner>/<name>.git`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commits: dict[str, Commit] = {}
        self._merges: dict[tuple[str, str], bool] = {}

    def ssh(self) -> Path:
        """What stands for ssh on the way here, as GIT_SSH_COMMAND has it; it lies beside the folder."""
        return _program(self.folder.parent / "ssh", SSH)

    def path(self, full_name: str) -> Path:
        """Where `owner/name` lies."""
        return self.folder / f"{full_name}.git"

    def create(self, full_name: str, branch: str, template: Path | None, at: str) -> str:
        """Makes a bare repository whose first commit holds the template's files (or a README); its sha."""
        bare = self.path(full_name)
        bare.mkdir(parents=True, exist_ok=True)
        self._run("-c", "init.defaultRefFormat=files", "init", "--quiet", "--bare", str(bare))
        self._run("-C", str(bare), "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        (bare / "hooks").mkdir(exist_ok=True)
        for name, text in HOOKS.items():
            _program(bare / "hooks" / name, text)
        with tempfile.TemporaryDirectory(prefix="lab-git-") as temporary:
            tree = Path(temporary) / "tree"
            if template is None:
                tree.mkdir()
                (tree / "README.md").write_text(f"# {full_name.partition('/')[2]}\n")
            else:
                shutil.copytree(template, tree, ignore=shutil.ignore_patterns(".git", "__pycache__"))
            where = ("--git-dir", str(bare), "--work-tree", str(tree))
            index = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
            self._run(*where, "add", "--all", "--force", env=index)
            identity = _identity(GITHUB, GITHUB, at)
            self._run(*where, "commit", "--quiet", "--allow-empty", "-m", "Initial commit", env={**index, **identity})
        return self.branch(full_name, branch) or NOTHING

    def branches(self, full_name: str) -> dict[str, str]:
        """Branch names and the commits they point at, by name; read from the files, without a process."""
        bare = self.path(full_name)
        found = {}
        packed = bare / "packed-refs"
        if packed.exists():
            for line in packed.read_text().splitlines():
                sha, _, ref = line.partition(" ")
                if ref.startswith("refs/heads/") and not line.startswith("#"):
                    found[ref[len("refs/heads/") :]] = sha
        root = bare / "refs" / "heads"
        for folder, _, files in os.walk(root):
            for name in files:
                path = Path(folder) / name
                if not name.endswith(".lock"):
                    found[path.relative_to(root).as_posix()] = path.read_text().strip()
        return dict(sorted(found.items()))

    def branch(self, full_name: str, name: str) -> str | None:
        """The commit that a branch points at, or None when there is no such branch."""
        return self.branches(full_name).get(name)

    def pushes(self, full_name: str) -> int:
        """A number that grows with every push."""
        try:
            return (self.path(full_name) / PUSHED).stat().st_size
        except FileNotFoundError:
            return 0

    def commit(self, full_name: str, sha: str) -> Commit | None:
        """One commit, or None when the repository has no such object."""
        if sha not in self._commits:
            found = self._log(full_name, "--max-count=1", sha)
            if not found:
                return None
            self._commits[found[0].sha] = self._commits[sha] = found[0]
        return self._commits[sha]

    def resolve(self, full_name: str, expression: str) -> str | None:
        """The sha of the commit that a branch name, a ref or a sha means, or None."""
        if sha := self.branch(full_name, expression):
            return sha
        done = self._try(full_name, "rev-parse", "--verify", "--quiet", f"{expression}^{{commit}}")
        return done.stdout.strip() if done.returncode == 0 else None

    def commits(self, full_name: str, since: str, until: str) -> list[Commit]:
        """The commits of `until` that `since` lacks, oldest first."""
        if since == until:
            return []
        return self._log(full_name, "--reverse", "--topo-order", f"{since}..{until}")

    def history(
        self,
        full_name: str,
        sha: str,
        count: int,
        *,
        path: str | None = None,
        since: str | None = None,
        until: str | None = None,
        authors: tuple[str, ...] = (),
    ) -> list[Commit]:
        """The newest `count` commits that lead to `sha`, newest first; those of a path, a time, authors (any's)."""
        narrowed = [f"--since={since}"] if since else []
        narrowed += [f"--until={until}"] if until else []
        narrowed += ["--fixed-strings", "--regexp-ignore-case"] + [f"--author={one}" for one in authors]
        return self._log(full_name, f"--max-count={count}", *narrowed, sha, path=path)

    def ahead_behind(self, full_name: str, base: str, head: str) -> tuple[int, int]:
        """How many commits `head` has that `base` lacks, and the other way round."""
        done = self._try(full_name, "rev-list", "--left-right", "--count", f"{base}...{head}")
        if done.returncode != 0:
            return 0, 0
        behind, ahead = done.stdout.split()
        return int(ahead), int(behind)

    def merge_base(self, full_name: str, base: str, head: str) -> str | None:
        """The newest commit that both have, or None when they have nothing in common."""
        done = self._try(full_name, "merge-base", base, head)
        return done.stdout.strip() or None

    def contains(self, full_name: str, branch_sha: str, sha: str) -> bool:
        """Whether `sha` is `branch_sha` or one of its ancestors."""
        return self._try(full_name, "merge-base", "--is-ancestor", sha, branch_sha).returncode == 0

    def changes(self, full_name: str, base: str, head: str) -> list[Change]:
        """The files that differ between the merge base of both and `head`."""
        start = self.merge_base(full_name, base, head) or base
        # -z: names as they are, not quoted.
        numbers = self._in(full_name, "diff", "-z", "--numstat", "--no-renames", start, head).split("\0")[:-1]
        raw = self._in(full_name, "diff", "-z", "--raw", "--no-abbrev", "--no-renames", start, head).split("\0")[:-1]
        found = []
        for number, entry in zip(numbers, raw[::2], strict=True):
            added, deleted, path = number.split("\t", 2)
            *_, blob, kind = entry.split(" ")
            more, less = (int(count) if count != "-" else 0 for count in (added, deleted))  # "-": a binary file
            found.append(Change(path, more, less, _KINDS.get(kind[0], "MODIFIED"), blob))
        return found

    def mergeable(self, full_name: str, base: str, head: str) -> bool:
        """Whether `head` merges into `base` without a conflict."""
        key = (base, head)
        if key not in self._merges:
            try:
                with self._worktree(full_name, base) as tree:
                    done = self._tree(tree, "merge", "--no-commit", "--no-ff", head, person=GITHUB)
                    self._merges[key] = done.returncode == 0
            except subprocess.CalledProcessError:
                self._merges[key] = False
        return self._merges[key]

    def merge(self, full_name: str, method: str, base: str, head: str, message: str, author: Person, at: str) -> str:
        """Makes the commit that merging `head` into the branch `base` gives, moves the branch, returns the sha.

        `method` is MERGE, SQUASH or REBASE. Raises MergeConflict, or StaleRef when `base` moved meanwhile.
        """
        start = self.branch(full_name, base)
        if start is None:
            raise StaleRef(base)
        with self._worktree(full_name, start) as tree:
            if method == "REBASE":
                self._must(tree, "checkout", "--quiet", "--detach", head, author=author, at=at)
                self._must(tree, "rebase", "--quiet", start, author=author, at=at)
            elif method == "SQUASH":
                self._must(tree, "merge", "--quiet", "--squash", head, author=author, at=at)
                self._must(tree, "commit", "--quiet", "--allow-empty", "-m", message, author=author, at=at)
            else:
                self._must(tree, "merge", "--quiet", "--no-ff", "-m", message, head, author=author, at=at)
            sha = self._tree(tree, "rev-parse", "HEAD", person=GITHUB).stdout.strip()
        self.move(full_name, base, sha, start)
        return sha

    def move(self, full_name: str, branch: str, sha: str, old: str) -> None:
        """Points a branch at `sha` if it still points at `old` (NOTHING: makes it). Raises StaleRef."""
        done = self._try(full_name, "update-ref", f"refs/heads/{branch}", sha, old)
        if done.returncode != 0:
            raise StaleRef(branch)

    def delete(self, full_name: str, branch: str) -> None:
        """Removes a branch. Raises StaleRef when it is not there."""
        if self.branch(full_name, branch) is None:
            raise StaleRef(branch)
        self._in(full_name, "update-ref", "-d", f"refs/heads/{branch}")

    def protect(self, full_name: str, patterns: tuple[str, ...]) -> None:
        """From now on no push moves a branch that one of the shell patterns matches."""
        (self.path(full_name) / "lab-protected").write_text("".join(f"{p}\n" for p in patterns))

    def rule(self, full_name: str, pattern: str) -> None:
        """From now on a ruleset refuses pushes to branches that the shell pattern matches; "": none does."""
        (self.path(full_name) / "lab-ruled").write_text(f"{pattern}\n" if pattern else "")

    def leave(self, count: int) -> None:
        """Lets the next connections of git find nobody."""
        self.ssh().with_name("git-away").write_text(f"{count}\n")

    def deny(self, full_name: str, words: str) -> None:
        """From now on who pushes may not, and is told so in these words; none: they may again."""
        (self.path(full_name) / "lab-denied").write_text(words)

    def limit(self, full_name: str, largest: int) -> None:
        """From now on no push may hold a file of more bytes."""
        (self.path(full_name) / "lab-largest").write_text(f"{largest}\n")

    def propose(self, full_name: str, number: int, sha: str) -> None:
        """Points refs/pull/NUMBER/head at a pull request's newest commit."""
        self._in(full_name, "update-ref", f"refs/pull/{number}/head", sha)

    def refuse(self, full_name: str, count: int) -> None:
        """Lets the next pushes (branches, to be exact) fail, with nothing done."""
        (self.path(full_name) / "lab-refuse").write_text(f"{count}\n")

    def drop(self, full_name: str, count: int) -> None:
        """Lets the next pushes land, but breaks their connection before the client hears of it."""
        (self.path(full_name) / "lab-drop").write_text(f"{count}\n")

    def has(self, full_name: str, sha: str, path: str) -> bool:
        """Whether there is a file or a folder at a commit."""
        return self._try(full_name, "cat-file", "-e", f"{sha}:{path}").returncode == 0

    def file(self, full_name: str, sha: str, path: str) -> str | None:
        """A text file's content at a commit, or None when it is not there."""
        done = self._try(full_name, "cat-file", "blob", f"{sha}:{path}")
        return done.stdout if done.returncode == 0 else None

    def diff(self, full_name: str, base: str, head: str) -> str:
        """The whole difference between the merge base of both and `head`, as a patch."""
        return self._in(full_name, "diff", self.merge_base(full_name, base, head) or base, head)

    def _log(self, full_name: str, *arguments: str, path: str | None = None) -> list[Commit]:
        done = self._try(full_name, "log", f"--format={_FORMAT}", *arguments, "--", *([path] if path else []))
        if done.returncode != 0:
            return []
        return [_commit(record.lstrip("\n")) for record in done.stdout.split("\x01") if record.strip()]

    @contextmanager
    def _worktree(self, full_name: str, sha: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="lab-git-") as temporary:
            tree = Path(temporary) / "tree"
            self._in(full_name, "worktree", "add", "--quiet", "--detach", str(tree), sha)
            try:
                yield tree
            finally:
                self._try(full_name, "worktree", "remove", "--force", str(tree))

    def _must(self, tree: Path, *arguments: str, author: Person, at: str) -> None:
        done = self._tree(tree, *arguments, person=author, at=at)
        if done.returncode != 0:
            raise MergeConflict((done.stdout + done.stderr).strip())

    def _tree(
        self, tree: Path, *arguments: str, person: Person, at: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self._run("-C", str(tree), *arguments, env=_identity(person, GITHUB, at), check=False)

    def _in(self, full_name: str, *arguments: str) -> str:
        return self._run("-C", str(self.path(full_name)), *arguments).stdout

    def _try(self, full_name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("-C", str(self.path(full_name)), *arguments, check=False)

    def _run(
        self, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        # The clients' own git settings (url.insteadOf above all) must not reach the far end.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        clean.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
        return subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "safe.directory=*", *arguments],
            env={**clean, **(env or {})}, check=check, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _identity(author: Person, committer: Person, at: str | None) -> dict[str, str]:
    names = {
        "GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": committer.name, "GIT_COMMITTER_EMAIL": committer.email,
    }  # fmt: skip
    return {**names, "GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at} if at else names


def _commit(record: str) -> Commit:
    sha, tree, parents, name, email, authored, by, by_email, committed, message = record.split("\x00", 9)
    return Commit(
        sha, tree, tuple(parents.split()), Person(name, email), _time(authored), Person(by, by_email),
        _time(committed), message.rstrip("\n"),
    )  # fmt: skip


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
