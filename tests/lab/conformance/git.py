"""The rows as git does them, through the redirect that leads it into the lab."""

import subprocess
from pathlib import Path

from .scene import REPO, Scene, commit, run


class Git:
    """The machine's git."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.branch = f"new/{scene.name}"
        self.tree, self.other = scene.folder / "cloned", scene.folder / "tree"
        self.sha = ""

    def _git(self, *arguments: str, tree: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return run(self.scene, "git", *arguments, cwd=tree or self.tree)

    def _push(self, *arguments: str, tree: Path | None = None) -> str:
        done = self._git("push", "origin", *arguments, tree=tree)
        return "pushed" if done.returncode == 0 else str(done.stderr)

    def clone(self) -> str:
        self.scene.git("clone", "-q", f"git@github.com:{REPO}.git", str(self.tree))
        return "README.md" if (self.tree / "README.md").exists() else "not there"

    def push_new(self) -> str:
        self.sha = commit(self.scene, self.tree, "First")
        lease = f"--force-with-lease=refs/heads/{self.branch}:"  # nothing may be there
        return self._push(lease, f"HEAD:refs/heads/{self.branch}")

    def push_taken(self) -> str:
        lease = f"--force-with-lease=refs/heads/{self.branch}:"
        said = self._push(lease, f"HEAD:refs/heads/{self.branch}", tree=self.other)
        return "stale info" if "(stale info)" in said else said

    def push_behind(self) -> str:
        said = self._push(f"HEAD:refs/heads/{self.branch}", tree=self.other)
        return "rejected" if "! [rejected]" in said else said

    def push_forced(self) -> str:
        self.scene.git("fetch", "-q", "origin", cwd=self.other)
        self.scene.git("reset", "-q", "--hard", f"origin/{self.branch}", cwd=self.other)
        old, self.sha = self.sha, commit(self.scene, self.other, "Second")
        lease = f"--force-with-lease=refs/heads/{self.branch}:{old}"
        return self._push(lease, f"+HEAD:refs/heads/{self.branch}", tree=self.other)

    def push_protected(self) -> str:
        protected = f"kept/{self.scene.name}"
        self.scene.lab.act("protect_branch", branch=protected)
        said = self._push(f"HEAD:refs/heads/{protected}")
        words = "GH006: Protected branch update failed"
        return words if words in said else said

    def remote_heads(self) -> str:
        done = self._git("ls-remote", f"ssh://git@github.com/{REPO}", f"refs/heads/{self.branch}")
        return "the commit that was pushed" if done.stdout.split("\t")[0] == self.sha else str(done)

    def fetched(self) -> str:
        self.scene.git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=self.other)
        self.scene.git("fetch", "-q", "origin", cwd=self.tree)
        found = self.scene.git("rev-parse", "origin/main", cwd=self.tree)
        return "the new commit" if found == self.sha else found

    def branch_deleted(self) -> str:
        self.scene.git("push", "-q", "origin", "--delete", self.branch, cwd=self.tree)
        branches = [branch["name"] for branch in self.scene.lab.state()["branches"]]
        return "gone" if self.branch not in branches else "still there"
