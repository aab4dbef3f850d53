"""git: the worker's clean clone, and codex's tree seen through it without ever trusting codex's configuration."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yt_fsm.engine.errors import CommandFailed, SetupError
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.git import Change, Repository, branch_name, refused, sanitize

pytestmark = pytest.mark.usefixtures("bare")

ALLOWED = re.compile(r"[a-z0-9._-]*")
MODEL = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=60)
SANE = st.from_regex(r"[A-Za-z0-9][\w.-]{0,20}/[A-Za-z0-9][\w.-]{0,20}", fullmatch=True)


def git(*argv: str, cwd: Path | None = None) -> str:
    """Plain git, as a person uses it."""
    who = {
        f"GIT_{role}_{what}": "someone@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *argv], cwd=cwd, env={**os.environ, **who}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# --- branch names (§8.3)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama-llama-3.1-8b-instruct"),
        ("org/name", "org-name"),
        ("Org/My_Model.v2", "org-my_model.v2"),
        ("a/b//c", "a-b-c"),
        ("a/--b--c--", "a-b-c-"),
        ("a/b c@d~e^f:g?h*i[j\\k", "a-b-c-d-e-f-g-h-i-j-k"),
        ("Ä/ß", "-"),
        ("a/b..c", "a-b.c"),
        ("a/b.lock", "a-b"),
        ("a/b.", "a-b"),
        ("a/b.lock.lock.", "a-b"),
    ],
)
def test_a_model_becomes_a_part_of_a_branch_name(model: str, name: str) -> None:
    assert sanitize(model) == name
    assert branch_name(12, model) == f"bringup/issue-12-{name}"


@given(MODEL)
@example("a..lock")
@example("x.-.lock")
def test_sanitizing_twice_changes_nothing_more_and_leaves_allowed_characters_only(model: str) -> None:
    name = sanitize(model)
    assert sanitize(name) == name
    assert ALLOWED.fullmatch(name)
    assert "--" not in name


@given(SANE)
def test_a_usual_name_is_only_lowered_and_joined(model: str) -> None:
    if re.search(r"--|\.\.|\.lock$|\.$|[^\x00-\x7f]", model):
        return
    joined = model.lower().replace("/", "-")
    assert sanitize(model) == re.sub("-+", "-", joined)


@given(models=st.lists(MODEL | SANE, min_size=40, max_size=40), number=st.integers(1, 10**6))
@settings(max_examples=3)
@example(models=["@", "@{", "-", ".", "..", ".lock", "a.lock/", "\x7f", "HEAD"], number=1)
def test_git_takes_every_branch_name(models: list[str], number: int) -> None:
    for model in models:
        subprocess.run(["git", "check-ref-format", "--branch", branch_name(number, model)], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip


# --- repositories


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare models repo with one commit on `main`."""
    work, bare = tmp_path / "seed", tmp_path / "remote.git"
    for name, text in {
        "README.md": "models\n",
        "scripts/run_eval.py": "print('eval')\n",
        "tests/test_smoke.py": "def test(): pass\n",
        "models/org/old/n300/functional/model.py": "OLD = 1\n",
        "models/org/old/n300/functional/notes.md": "notes\n",
        ".gitignore": "*.pyc\n__pycache__/\n",
    }.items():
        file = work / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    git("init", "--quiet", "-b", "main", str(work))
    git("add", "-A", cwd=work)
    git("commit", "--quiet", "-m", "first", cwd=work)
    git("clone", "--quiet", "--bare", str(work), str(bare))
    return bare


def changed(clean: Repository, agent: Path) -> list[Change]:
    """What codex changed, as a check sees it."""
    return clean.changes(clean.head(), clean.read(agent, clean.head()))


@pytest.fixture
def clean(shell: Shell, tmp_path: Path, remote: Path) -> Repository:
    """The worker's clone, on a branch of its own, with codex's beside it."""
    (tmp_path / "work").mkdir()
    repository = Repository(shell, tmp_path / "work" / "clean")
    repository.clone(str(remote))
    repository.git("checkout", "--quiet", "-b", "bringup/issue-12-org-name")
    repository.copy_for_agent(tmp_path / "work" / "agent")
    return repository


@pytest.fixture
def agent(clean: Repository) -> Path:
    return clean.folder.parent / "agent"


@pytest.fixture
def write(agent: Path) -> Callable[..., Path]:
    """codex writes a file."""

    def put(name: str, text: str = "x\n") -> Path:
        file = agent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return put


MODEL_PY = "models/org/name/n300/functional/model.py"
FOLDER = "models/org/name/n300"


def test_a_clone_says_where_it_stands(clean: Repository, remote: Path) -> None:
    assert clean.head() == git("rev-parse", "main", cwd=remote)
    assert clean.default_branch() == "main"


def test_the_default_branch_may_have_another_name(shell: Shell, tmp_path: Path, remote: Path) -> None:
    git("branch", "-m", "main", "trunk", cwd=remote)
    other = Repository(shell, tmp_path / "other")
    other.clone(str(remote))
    assert other.default_branch() == "trunk"


def test_a_remote_that_is_not_there_is_the_worlds_fault(shell: Shell, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="git clone"):
        Repository(shell, tmp_path / "x").clone(str(tmp_path / "nothing.git"))


def test_a_branch_of_the_remote_is_found_by_its_whole_name(clean: Repository, remote: Path) -> None:
    git("branch", "other/bringup/issue-1-a", "main", cwd=remote)
    git("branch", "bringup/issue-1-ab", "main", cwd=remote)
    assert clean.remote_head("bringup/issue-1-a") is None
    assert clean.remote_head("bringup/issue-1-ab") == clean.head()


@pytest.mark.parametrize(
    ("message", "run_id"),
    [
        ("Bringup org/name\n\nYtfsm-Run: r-1\n", "r-1"),
        ("Bringup org/name\n", None),
        ("Bringup org/name\n\nYtfsm-Run: r-1 is what it says here\n\nThe end.\n", None),
    ],
)
def test_a_branch_says_which_run_made_it(clean: Repository, remote: Path, message: str, run_id: str | None) -> None:
    sha = git("commit-tree", "main^{tree}", "-p", "main", "-m", message, cwd=remote)
    git("update-ref", "refs/heads/bringup/issue-1-a", sha, cwd=remote)
    assert clean.run_of("bringup/issue-1-a") == run_id
    assert git("branch", "--show-current", cwd=clean.folder) == "bringup/issue-12-org-name"


def test_codexs_clone_has_the_branch_and_no_remote(clean: Repository, agent: Path) -> None:
    assert git("branch", "--show-current", cwd=agent) == "bringup/issue-12-org-name"
    assert git("remote", cwd=agent) == ""
    assert not (agent / ".git" / "objects" / "info" / "alternates").exists()


def test_what_codex_changed_is_told_path_by_path(clean: Repository, agent: Path, write: Callable[..., Path]) -> None:
    write(MODEL_PY)
    write("scripts/run_eval.py", "print('cheat')\n")
    write("models/org/name/n300/with space\nand ümlaut.txt")
    write("models/org/name/n300/x.pyc")
    (agent / "README.md").unlink()
    (agent / "link").symlink_to("/etc/passwd")
    (agent / "tests" / "test_smoke.py").chmod(0o755)
    assert sorted(changed(clean, agent), key=lambda c: c.path) == [
        Change("README.md", "D", "000000"),
        Change("link", "A", "120000"),
        Change(MODEL_PY, "A", "100644"),
        Change("models/org/name/n300/with space\nand ümlaut.txt", "A", "100644"),
        Change("scripts/run_eval.py", "M", "100644"),
        Change("tests/test_smoke.py", "M", "100755"),
    ]


def test_an_untouched_tree_has_no_changes(clean: Repository, agent: Path) -> None:
    assert changed(clean, agent) == []


def test_what_codex_committed_itself_is_a_change_too(
    clean: Repository, agent: Path, write: Callable[..., Path]
) -> None:
    write(MODEL_PY)
    git("add", "-A", cwd=agent)
    git("commit", "--quiet", "-m", "mine", cwd=agent)
    assert [c.path for c in changed(clean, agent)] == [MODEL_PY]


def test_only_the_allowed_folders_come_into_the_commit(
    clean: Repository, agent: Path, write: Callable[..., Path]
) -> None:
    base = clean.head()
    write(MODEL_PY, "NEW = 1\n")
    write("scripts/run_eval.py", "print('cheat')\n")
    git("add", "-A", cwd=agent)
    git("commit", "--quiet", "-m", "codex's own", cwd=agent)
    tree = clean.tree_of(clean.read(agent, base), base, [FOLDER, "tests/models/org/name/n300"])
    sha = clean.commit(tree, base, "bringup/issue-12-org-name", "Bringup org/name\n\nYtfsm-Run: r1\n")
    assert clean.head() == sha
    assert git("log", "--format=%s", cwd=clean.folder) == "Bringup org/name\nfirst"
    assert git("show", "--name-only", "--format=", cwd=clean.folder) == MODEL_PY
    assert git("log", "-1", "--format=%(trailers:key=Ytfsm-Run,valueonly)", cwd=clean.folder) == "r1"
    assert git("status", "--porcelain", cwd=clean.folder) == ""
    assert (clean.folder / MODEL_PY).read_text() == "NEW = 1\n"
    assert (clean.folder / "scripts/run_eval.py").read_text() == "print('eval')\n"


def test_what_codex_deleted_in_an_allowed_folder_is_deleted(clean: Repository, agent: Path) -> None:
    base = clean.head()
    (agent / "models/org/old/n300/functional/notes.md").unlink()
    tree = clean.tree_of(clean.read(agent, base), base, ["models/org/old/n300"])
    assert git("diff", "--name-status", base, tree, cwd=clean.folder) == ("D\tmodels/org/old/n300/functional/notes.md")


@pytest.mark.parametrize("content", ["nothing", "an empty folder", "ignored files only"])
def test_a_folder_with_nothing_to_keep_leaves_the_base_as_it_was(
    clean: Repository, agent: Path, write: Callable[..., Path], content: str
) -> None:
    base = clean.head()
    if content == "an empty folder":
        (agent / FOLDER).mkdir(parents=True)
    if content == "ignored files only":
        write(f"{FOLDER}/.gitignore", "*\n")
        write(MODEL_PY)
    tree = clean.tree_of(clean.read(agent, base), base, [FOLDER])
    assert clean.diff(base, tree) == ""


def test_the_diff_is_for_people(clean: Repository, agent: Path, write: Callable[..., Path]) -> None:
    write(MODEL_PY, "NEW = 1\n")
    diff = clean.diff(clean.head(), clean.tree_of(clean.read(agent, clean.head()), clean.head(), [FOLDER]))
    assert "1 file changed, 1 insertion(+)" in diff
    assert "+NEW = 1" in diff


def test_an_export_has_the_trees_files_and_no_repository(
    clean: Repository, agent: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(MODEL_PY, "NEW = 1\n")
    tree = clean.tree_of(clean.read(agent, clean.head()), clean.head(), [FOLDER])
    clean.export(tree, tmp_path / "check")
    files = sorted(str(f.relative_to(tmp_path / "check")) for f in (tmp_path / "check").rglob("*") if f.is_file())
    assert files == sorted([*git("ls-tree", "-r", "--name-only", "main", cwd=clean.folder).splitlines(), MODEL_PY])
    assert (tmp_path / "check" / MODEL_PY).read_text() == "NEW = 1\n"
    assert git("status", "--porcelain", cwd=clean.folder) == ""


def test_an_export_can_be_of_one_folder_only(clean: Repository, tmp_path: Path) -> None:
    clean.export(clean.head(), tmp_path / "part", "models/org/old/n300")
    files = sorted(str(f.relative_to(tmp_path / "part")) for f in (tmp_path / "part").rglob("*") if f.is_file())
    assert files == ["models/org/old/n300/functional/model.py", "models/org/old/n300/functional/notes.md"]
    assert git("status", "--porcelain", cwd=clean.folder) == ""


def test_git_never_runs_what_codex_configured(
    clean: Repository, agent: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    """codex writes its own .git: a monitor, hooks, filters, another work tree."""
    ran = tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    evil.chmod(0o755)
    (agent / ".git" / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {evil}\n\thooksPath = {tmp_path}\n\tpager = {evil}\n"
        f'\tsshCommand = {evil}\n[filter "x"]\n\tclean = {evil}\n\tsmudge = {evil}\n\trequired = true\n'
        f'[diff "x"]\n\ttextconv = {evil}\n\tcommand = {evil}\n[diff]\n\texternal = {evil}\n'
    )
    for hook in ("post-checkout", "post-index-change", "pre-push", "reference-transaction"):
        for place in (tmp_path / hook, agent / ".git" / "hooks" / hook):
            place.parent.mkdir(exist_ok=True)
            place.write_text(evil.read_text())
            place.chmod(0o755)
    write(".gitattributes", "* filter=x diff=x\n")
    write(f"{FOLDER}/.gitattributes", "* filter=x diff=x\n")
    write(MODEL_PY, "NEW = 1\n")
    base = clean.head()
    assert changed(clean, agent)
    tree = clean.tree_of(clean.read(agent, base), base, [FOLDER])
    clean.export(tree, tmp_path / "check")
    clean.diff(base, tree)
    sha = clean.commit(tree, base, "bringup/issue-12-org-name", "x")
    clean.push("bringup/issue-12-org-name", sha, None)
    assert not ran.exists()


def test_hooks_in_the_clean_clone_do_not_run_either(clean: Repository, agent: Path, tmp_path: Path) -> None:
    hook = clean.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    clean.git("checkout", "--quiet", "-b", "another")
    assert not (tmp_path / "ran").exists()


def test_a_surrounding_repository_is_not_ours(
    shell: Shell, clean: Repository, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker started from a hook has GIT_DIR set, and `reset --hard` must not go there."""
    monkeypatch.setenv("GIT_DIR", str(clean.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(clean.folder))
    monkeypatch.setenv("GIT_INDEX_FILE", str(clean.folder / ".git" / "index"))
    other = Repository(shell, tmp_path / "work" / "other")
    other.clone(str(remote))
    other.git("checkout", "--quiet", "-b", "mine")
    monkeypatch.undo()
    assert git("branch", "--show-current", cwd=other.folder) == "mine"
    assert git("branch", "--show-current", cwd=clean.folder) == "bringup/issue-12-org-name"


def test_configuration_from_the_environment_still_counts(
    shell: Shell, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that `git@github.com:` can be led elsewhere."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{remote.parent}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "git@github.com:yieldthought/")
    other = Repository(shell, tmp_path / "other")
    assert re.fullmatch("[0-9a-f]{40}", other.clone("git@github.com:yieldthought/remote.git"))
    assert other.git("config", "core.hooksPath").out == "/dev/null"


def test_commits_are_ytfsms_unless_the_machine_says_whose(
    shell: Shell, clean: Repository, agent: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(MODEL_PY)
    tree = clean.tree_of(clean.read(agent, clean.head()), clean.head(), [FOLDER])
    base = clean.head()
    clean.commit(tree, base, "bringup/issue-12-org-name", "x")
    assert git("log", "-1", "--format=%an <%ae>", cwd=clean.folder).startswith("ytfsm <")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    Repository(shell, clean.folder).commit(tree, base, "bringup/issue-12-org-name", "x")
    assert git("log", "-1", "--format=%an", cwd=clean.folder) == "Ada"


@pytest.fixture
def committed(clean: Repository, agent: Path, write: Callable[..., Path]) -> str:
    write(MODEL_PY)
    base = clean.head()
    return clean.commit(clean.tree_of(clean.read(agent, base), base, [FOLDER]), base, "bringup/issue-12-org-name", "x")


def test_the_operators_own_settings_of_git_change_nothing(
    shell: Shell, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def patch(name: str) -> str:
        (tmp_path / name).mkdir()
        clean = Repository(shell, tmp_path / name / "clean")
        base = clean.clone(str(remote))
        clean.git("checkout", "--quiet", "-b", "b")
        agent = tmp_path / name / "agent"
        clean.copy_for_agent(agent)
        (agent / "models/org/old/n300/functional/notes.md").write_text("one\ntwo\n")
        (agent / "models/ä.py").write_bytes(b"x\r\n")
        tree = clean.tree_of(clean.read(agent, base), base, ["models"])
        assert "models/org/old/n300/functional/notes.md" in [change.path for change in clean.changes(base, tree)]
        commit = clean.commit(tree, base, "b", "x")
        clean.push("b" + name, commit, None)
        return clean.diff(base, tree)

    plain = patch("plain")
    assert "diff --git a/models/org" in plain
    (tmp_path / "gitconfig").write_text(
        "[color]\nui = always\nstatus = always\ndiff = always\n[clone]\ndefaultRemoteName = upstream\n"
        "[diff]\nnoprefix = true\ncontext = 0\nalgorithm = patience\nexternal = false\n[core]\nquotePath = false\n"
        "safecrlf = true\nautocrlf = input\npager = false\n[push]\ngpgSign = true\nfollowTags = true\n"
        "[commit]\ngpgSign = true\n[status]\nbranch = true\n[submodule]\nrecurse = true\n[log]\nshowSignature = true\n"
        "[fetch]\nprune = true\n[init]\ndefaultBranch = trunk\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u0")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert patch("odd") == plain


def test_a_push_creates_the_branch(clean: Repository, committed: str, remote: Path) -> None:
    clean.push("bringup/issue-12-org-name", committed, None)
    assert git("rev-parse", "bringup/issue-12-org-name", cwd=remote) == committed


def test_a_push_never_overwrites_a_branch(clean: Repository, committed: str, remote: Path) -> None:
    git("branch", "bringup/issue-12-org-name", "main", cwd=remote)
    with pytest.raises(CommandFailed) as caught:
        clean.push("bringup/issue-12-org-name", committed, None)
    assert refused(caught.value)
    assert git("rev-parse", "bringup/issue-12-org-name", cwd=remote) == git("rev-parse", "main", cwd=remote)


def test_a_push_goes_on_from_the_tip_it_knows_and_from_no_other(
    clean: Repository, committed: str, remote: Path
) -> None:
    tip = git("commit-tree", "main^{tree}", "-p", "main", "-m", "an earlier run's", cwd=remote)
    git("update-ref", "refs/heads/bringup/issue-12-org-name", tip, cwd=remote)
    with pytest.raises(CommandFailed) as caught:
        clean.push("bringup/issue-12-org-name", committed, "0" * 39 + "1")
    assert refused(caught.value)
    clean.push("bringup/issue-12-org-name", committed, tip)
    assert git("rev-parse", "bringup/issue-12-org-name", cwd=remote) == committed


def test_a_push_that_a_rule_of_the_remote_declines_is_refused_for_good(
    clean: Repository, committed: str, remote: Path
) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho GH006: protected branch\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(CommandFailed) as caught:
        clean.push("bringup/issue-12-org-name", committed, None)
    assert refused(caught.value)
    assert "GH006" in str(caught.value)


def test_a_remote_out_of_reach_is_no_refusal(clean: Repository, committed: str, remote: Path) -> None:
    remote.rename(remote.with_name("moved.git"))
    with pytest.raises(CommandFailed) as caught:
        clean.push("bringup/issue-12-org-name", committed, None)
    assert not refused(caught.value)


def test_the_work_outlives_the_workspace_as_a_bundle(
    shell: Shell, clean: Repository, committed: str, remote: Path, tmp_path: Path
) -> None:
    base = git("rev-parse", "main", cwd=remote)
    clean.bundle("bringup/issue-12-org-name", base, tmp_path / "work.bundle")
    later = Repository(shell, tmp_path / "later")
    later.clone(str(remote))
    assert later.unbundle(tmp_path / "work.bundle", "bringup/issue-12-org-name") == committed
    later.push("bringup/issue-12-org-name", committed, None)
    assert git("rev-parse", "bringup/issue-12-org-name", cwd=remote) == committed


def test_a_clone_that_is_not_clean_after_the_commit_is_said_to_be(clean: Repository, committed: str) -> None:
    (clean.folder / "stray").write_text("x")
    with pytest.raises(SetupError, match=r"not clean after the commit: .* stray"):
        clean.commit(f"{committed}^{{tree}}", committed, "bringup/issue-12-org-name", "again")


# --- refusals that can be known before codex is paid (faults W12)


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ("bringup", ["bringup"]),
        ("bringup/issue-12-org-name/old", ["bringup/issue-12-org-name/old"]),
        ("bringup/issue-12-org-name-2", []),
        ("bringup/issue-1", []),
        ("other/bringup", []),
    ],
)
def test_a_branch_beside_which_git_can_have_none_of_ours_is_found(
    clean: Repository, remote: Path, there: str, told: list[str]
) -> None:
    git("branch", there, "main", cwd=remote)
    assert clean.colliding("bringup/issue-12-org-name") == told


def test_a_push_is_tried_without_sending_anything(clean: Repository, remote: Path) -> None:
    clean.push("bringup/issue-12-org-name", clean.head(), None, dry=True)
    assert clean.remote_head("bringup/issue-12-org-name") is None


@pytest.mark.parametrize(
    ("said", "final"),
    [
        ("ERROR: Permission to o/r.git denied to bot.", True),
        ("ERROR: The key you are authenticating with has been marked as read only.", True),
        ("ERROR: This repository was archived so it is read-only.", True),
        ("remote: Write access to repository not granted.", True),
        ("! [remote rejected] b -> b (protected branch hook declined)", True),
        ("! [remote rejected] b -> b (Internal Server Error)", False),
        ("remote: fatal error in commit_refs\n! [remote rejected] b -> b (failed to update ref)", False),
        ("ssh: Could not resolve hostname github.com", False),
        ("fatal: the remote end hung up unexpectedly", False),
    ],
)
def test_what_refuses_a_push_for_good_is_known_by_its_words(said: str, final: bool) -> None:
    assert refused(CommandFailed(["git", "push"], 1, said, None)) is final


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("ssh: Could not resolve hostname github.com: Temporary failure in name resolution", "service"),
        ("ssh: connect to host github.com port 22: Connection timed out", "service"),
        ("fatal: the remote end hung up unexpectedly", "service"),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", "service"),
        ("git@github.com: Permission denied (publickey).", "machine"),
        ("fatal: repository 'x' not found", "machine"),
    ],
)
def test_a_remote_out_of_reach_is_the_services_fault_and_a_bad_login_the_machines(
    program: Callable[[str, str], Path], shell: Shell, tmp_path: Path, said: str, fault: str
) -> None:
    """Faults Q4."""
    program("git", f"import sys; sys.exit({said!r})")
    with pytest.raises(CommandFailed) as caught:
        Repository(shell, tmp_path / "x").clone("url")
    assert caught.value.fault == fault
