"""What one client finds when it comes to a lab: issues to page through, a branch with a commit, a name of its own."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_fsm.lab.github.store import TOKEN
from yt_fsm.lab.serving import Running

OWNER, NAME = "yieldthought", "ttnn_models"
REPO = f"{OWNER}/{NAME}"
FILE = "work.txt"


@dataclass
class Scene:
    """A client's own part of a lab; what it makes carries its `name`, so that clients don't meet."""

    lab: Running
    name: str
    folder: Path
    numbers: list[int]
    branch: str
    sha: str

    @property
    def label(self) -> str:
        """The label of the five issues to page through."""
        return f"page-{self.name}"

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """What git printed; it must succeed."""
        done = self.lab.run("git", *arguments, cwd=cwd or self.folder)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip()

    def issue(self, number: int) -> dict[str, Any]:
        """An issue as the lab has it, whatever the client says."""
        return next(dict(one) for one in self.lab.state()["issues"] if one["number"] == number)

    def told(self) -> str:
        """All that a probe in another language must know, as JSON."""
        return json.dumps(
            {
                "socket": self.lab.line["github"]["socket"],
                "token": TOKEN,
                "owner": OWNER,
                "repo": NAME,
                "name": self.name,
                "label": self.label,
                "numbers": self.numbers,
                "branch": self.branch,
                "sha": self.sha,
                "file": FILE,
            }
        )


def prepare(lab: Running, name: str, folder: Path) -> Scene:
    """Five labelled issues and a pushed branch for the client of that name; `folder` is its to work in."""
    folder.mkdir(parents=True)
    label = f"page-{name}"
    numbers = [lab.seed(title=f"Page {n}", labels=[label], status=None) for n in range(1, 6)]
    scene = Scene(lab, name, folder, numbers, f"work/{name}", "")
    tree = folder / "tree"
    scene.git("clone", "-q", f"https://github.com/{REPO}.git", str(tree))
    scene.sha = commit(scene, tree, f"Work of {name}")
    scene.git("push", "-q", "origin", f"HEAD:refs/heads/{scene.branch}", cwd=tree)
    return scene


def commit(scene: Scene, tree: Path, message: str) -> str:
    """One more line in the client's own file, committed in `tree`; the commit's sha."""
    own = tree / scene.name / FILE
    own.parent.mkdir(exist_ok=True)
    with own.open("a") as file:
        file.write("a line\n")
    scene.git("add", "-A", cwd=tree)
    identity = ["-c", "user.name=Worker", "-c", "user.email=worker@example.org"]
    scene.git(*identity, "commit", "-q", "-m", message, cwd=tree)
    return scene.git("rev-parse", "HEAD", cwd=tree)


def run(scene: Scene, *argv: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """One command in the lab, in the client's folder."""
    return scene.lab.run(*argv, **{"cwd": scene.folder, **options})
