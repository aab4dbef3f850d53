"""Branches, pushes, merges: what GitHub does in the bare repository, and what it learns from real git."""

from typing import Any

import pytest

REPO = "yieldthought/ttnn_models"
R = ("-R", REPO)


def log(lab: Any, branch: str = "main") -> list[str]:
    """The branch's commit headlines, newest first."""
    bare = lab.folder / "git" / f"{REPO}.git"
    return str(lab.git("-C", str(bare), "log", "--first-parent", "--format=%s", branch)).splitlines()


def pull_state(lab: Any, number: int) -> Any:
    """A pull request as GraphQL has it."""
    query = f"""{{repository(owner: "yieldthought", name: "ttnn_models") {{pullRequest(number: {number}) {{
        state merged mergeable mergeStateStatus headRefOid autoMergeRequest {{mergeMethod}} mergeCommit {{oid}}}}}}}}"""
    return lab.data(query)["repository"]["pullRequest"]


def test_a_squash_makes_one_commit_by_the_pull_requests_author(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"}, "First")
    (tree / "b").write_text("2\n")
    lab.git("add", "b", cwd=tree)
    lab.git("commit", "-qm", "Second", cwd=tree)
    lab.git("push", "-q", "origin", "HEAD:work", cwd=tree)
    number = lab.pull("work", "Bringup: a/b")
    lab.said("pr", "merge", str(number), *R, "--squash", "--delete-branch")
    assert log(lab) == [f"Bringup: a/b (#{number})", "Initial commit"]
    bare = lab.folder / "git" / f"{REPO}.git"
    shown = lab.git("-C", str(bare), "log", "-1", "--format=%an|%cn|%b", "main")
    assert shown.startswith("yt-bot|GitHub|* First")
    assert [one["name"] for one in lab.state()["branches"]] == ["main"]


def test_a_rebase_puts_the_commits_on_top(lab: Any) -> None:
    lab.push("work", {"a": "1\n"}, "Work")
    lab.push("main", {"b": "2\n"}, "Meanwhile")
    number = lab.pull("work")
    lab.said("pr", "merge", str(number), *R, "--rebase")
    assert log(lab) == ["Work", "Meanwhile", "Initial commit"]


def test_a_merge_keeps_both_sides(lab: Any) -> None:
    lab.push("work", {"a": "1\n"}, "Work")
    lab.push("main", {"b": "2\n"}, "Meanwhile")
    number = lab.pull("work")
    lab.said("pr", "merge", str(number), *R, "--merge")
    assert log(lab) == [f"Merge pull request #{number} from yieldthought/work", "Meanwhile", "Initial commit"]
    assert pull_state(lab, number)["mergeCommit"]["oid"] == lab.store.git.branch(REPO, "main")


def test_a_conflict_is_seen_and_refused(lab: Any) -> None:
    lab.push("work", {"README.md": "mine\n"})
    lab.push("main", {"README.md": "theirs\n"})
    number = lab.pull("work")
    found = pull_state(lab, number)
    assert (found["mergeable"], found["mergeStateStatus"]) == ("CONFLICTING", "DIRTY")
    done = lab.gh("pr", "merge", str(number), *R, "--squash")
    assert done.returncode == 1
    assert "not mergeable" in done.stderr
    assert lab.http("PUT", f"/repos/{REPO}/pulls/{number}/merge", {}).status == 405
    assert pull_state(lab, number)["state"] == "OPEN"


def test_a_branch_that_is_behind_waits_for_an_update_when_checks_are_strict(lab: Any) -> None:
    lab.act("set_repo", strict_checks=True)
    lab.push("work", {"a": "1\n"})
    lab.push("main", {"b": "2\n"})
    number = lab.pull("work")
    assert pull_state(lab, number)["mergeStateStatus"] == "BEHIND"
    assert lab.gh("pr", "merge", str(number), *R, "--squash").returncode == 1
    lab.said("pr", "update-branch", str(number), *R)
    assert pull_state(lab, number)["mergeStateStatus"] == "CLEAN"


def test_auto_merge_waits_for_the_required_check(lab: Any) -> None:
    issue = lab.seed()
    lab.act("set_repo", required_checks=["pytest"])
    lab.push("work", {"a": "1\n"})
    number = lab.pull("work", body=f"Fixes #{issue}")
    assert pull_state(lab, number)["mergeStateStatus"] == "BLOCKED"
    refused = lab.gh("pr", "merge", str(number), *R, "--squash")
    assert refused.returncode == 1
    lab.said("pr", "merge", str(number), *R, "--squash", "--auto")
    assert pull_state(lab, number)["autoMergeRequest"] == {"mergeMethod": "SQUASH"}
    lab.act("set_check", issue=number, check="pytest", state="failure")
    assert pull_state(lab, number)["state"] == "OPEN"
    lab.act("set_check", issue=number, check="pytest", state="success")
    assert pull_state(lab, number)["state"] == "MERGED"
    assert lab.issue(issue)["state"] == "CLOSED"


def test_auto_merge_of_what_is_clean_is_refused(lab: Any) -> None:
    lab.push("work", {"a": "1\n"})
    number = lab.pull("work")
    answer = lab.query(
        "mutation($p: ID!) {enablePullRequestAutoMerge(input: {pullRequestId: $p}) {clientMutationId}}",
        p=lab.issue_id(number),
    )
    assert answer["errors"][0]["message"] == "Pull request Pull request is in clean status"


def test_a_draft_is_not_merged(lab: Any) -> None:
    lab.push("work", {"a": "1\n"})
    lab.said("pr", "create", *R, "--base", "main", "--head", "work", "--title", "t", "--body", "b", "--draft")
    number = lab.state()["pull_requests"][0]["number"]
    assert pull_state(lab, number)["mergeStateStatus"] == "DRAFT"
    assert lab.gh("pr", "merge", str(number), *R, "--squash").returncode == 1
    lab.said("pr", "ready", str(number), *R)
    lab.said("pr", "merge", str(number), *R, "--squash")


def test_a_push_moves_the_pull_requests_head(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"})
    number = lab.pull("work")
    (tree / "a").write_text("2\n")
    lab.git("commit", "-qam", "More", cwd=tree)
    lab.git("push", "-q", "origin", "HEAD:work", cwd=tree)
    assert pull_state(lab, number)["headRefOid"] == lab.git("rev-parse", "HEAD", cwd=tree)


def test_deleting_a_branch_by_git_closes_its_pull_request(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"})
    number = lab.pull("work")
    lab.git("push", "-q", "origin", "--delete", "work", cwd=tree)
    assert pull_state(lab, number)["state"] == "CLOSED"


def test_commits_that_reach_the_base_by_git_merge_the_pull_request_and_close_issues(lab: Any) -> None:
    issue, other = lab.seed(), lab.seed()
    tree = lab.push("work", {"a": "1\n"}, f"Resolves #{other}")
    number = lab.pull("work", body=f"Closes #{issue}")
    lab.git("push", "-q", "origin", "HEAD:main", cwd=tree)
    assert pull_state(lab, number)["merged"] is True
    assert [lab.issue(one)["state"] for one in (issue, other)] == ["CLOSED", "CLOSED"]


@pytest.mark.parametrize(
    ("text", "closes"),
    [
        ("Closes #{n}", True),
        ("fixed #{n}.", True),
        ("RESOLVES: #{n}", True),
        ("close yieldthought/ttnn_models#{n}", True),
        ("fixes https://github.com/yieldthought/ttnn_models/issues/{n}", True),
        ("see #{n}", False),
        ("closes other/repo#{n}", False),
        ("encloses #{n}", False),
        ("closes #{n}9", False),
    ],
)
def test_closing_keywords_close_and_others_do_not(lab: Any, text: str, closes: bool) -> None:
    issue = lab.seed()
    lab.push("work", {"a": "1\n"})
    number = lab.pull("work", body=text.format(n=issue))
    lab.act("merge", issue=number)
    assert (lab.issue(issue)["state"] == "CLOSED") == closes


def test_a_branch_is_made_only_once(lab: Any) -> None:
    first = lab.push("work", {"a": "1\n"})
    sha = lab.git("rev-parse", "HEAD", cwd=first)
    late = lab.run_command(
        "git", "push", "--force-with-lease=refs/heads/work:", "origin", "HEAD~:refs/heads/work", cwd=first
    )
    assert late.returncode != 0
    assert lab.store.git.branch(REPO, "work") == sha


def test_a_protected_branch_takes_no_push(lab: Any) -> None:
    lab.act("protect_branch", branch="main")
    tree = lab.push("work", {"a": "1\n"})
    done = lab.run_command("git", "push", "origin", "HEAD:main", cwd=tree)
    assert done.returncode != 0
    assert "GH006: Protected branch update failed" in done.stderr
    lab.act("unprotect_branch", branch="main")
    lab.git("push", "-q", "origin", "HEAD:main", cwd=tree)


def test_a_ruleset_refuses_a_push_in_githubs_words(lab: Any) -> None:
    lab.act("rule_branch", branch="bringup/*")
    tree = lab.push("work", {"a": "1\n"})
    done = lab.run_command("git", "push", "origin", "HEAD:bringup/one", cwd=tree)
    assert done.returncode == 1
    assert "remote: error: GH013: Repository rule violations found for refs/heads/bringup/one." in done.stderr
    assert f"https://github.com/{REPO}/rules?ref=refs%2Fheads%2Fbringup%2Fone" in done.stderr
    assert lab.store.git.branch(REPO, "bringup/one") is None
    lab.git("push", "-q", "origin", "HEAD:two", cwd=tree)
    lab.act("rule_branch", branch="")
    lab.git("push", "-q", "origin", "HEAD:bringup/one", cwd=tree)


def test_git_finds_nobody_as_often_as_it_is_told(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"})
    lab.act("lose_git", count=1)
    done = lab.run_command("git", "fetch", "origin", cwd=tree)
    assert done.returncode == 128
    assert "ssh: connect to host github.com port 22: Connection timed out" in done.stderr
    lab.git("fetch", "-q", "origin", cwd=tree)


def test_a_push_can_be_refused_or_land_unheard(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"})
    lab.act("refuse_pushes", count=1)
    refused = lab.run_command("git", "push", "origin", "HEAD:one", cwd=tree)
    assert refused.returncode != 0
    assert lab.store.git.branch(REPO, "one") is None
    lab.act("drop_pushes", count=1)
    unheard = lab.run_command("git", "push", "origin", "HEAD:one", cwd=tree)
    assert unheard.returncode != 0
    assert lab.store.git.branch(REPO, "one") == lab.git("rev-parse", "HEAD", cwd=tree)
    lab.git("push", "-q", "origin", "HEAD:two", cwd=tree)


def test_the_template_is_the_first_commit(lab: Any, tmp_path: Any) -> None:
    template = tmp_path / "template"
    (template / ".github").mkdir(parents=True)
    (template / ".github" / "form.yml").write_text("name: x\n")
    (template / ".gitignore").write_text("*.log\n")
    lab.store.bootstrap("other", "models", 1, "Board", template)
    lab.git("clone", "-q", "git@github.com:other/models.git", str(lab.short / "models"))
    assert (lab.short / "models" / ".github" / "form.yml").read_text() == "name: x\n"
    assert lab.git("log", "--format=%s", cwd=lab.short / "models") == "Initial commit"


def test_rest_compares_and_lists_commits(lab: Any) -> None:
    lab.push("feature/x", {"a": "1\n"}, "Work")
    found = lab.http("GET", f"/repos/{REPO}/compare/main...feature%2Fx").body
    assert (found["status"], found["ahead_by"], found["files"][0]["filename"]) == ("ahead", 1, "a")
    commits = lab.http("GET", f"/repos/{REPO}/commits?sha=feature/x").body
    assert [one["commit"]["message"] for one in commits] == ["Work", "Initial commit"]
    assert lab.http("GET", f"/repos/{REPO}/branches/feature/x").body["commit"]["sha"] == commits[0]["sha"]
    state = lab.state()["branches"]
    assert [(one["name"], one["commits"]) for one in state] == [("feature/x", ["Work"]), ("main", [])]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("key", "ERROR: The key you are authenticating with has been marked as read only."),
        ("permission", f"ERROR: Permission to {REPO}.git denied to yt-bot."),
        ("https", f"remote: Permission to {REPO}.git denied to yt-bot."),
        ("archived", "ERROR: This repository was archived so it is read-only."),
    ],
)
def test_who_may_only_read_is_told_so_by_git_and_reads(lab: Any, how: str, words: str) -> None:
    tree = lab.push("work", {"a": "1\n"})
    lab.act("deny_pushes", how=how)
    done = lab.run_command("git", "push", "origin", "HEAD:one", cwd=tree)
    assert done.returncode == 128
    assert words in done.stderr
    assert "fatal: Could not read from remote repository." in done.stderr
    lab.git("fetch", "-q", "origin", cwd=tree)
    lab.act("allow_pushes")
    lab.git("push", "-q", "origin", "HEAD:one", cwd=tree)


def test_a_repository_that_is_not_there_is_not_found(lab: Any) -> None:
    done = lab.run_command("git", "ls-remote", "git@github.com:yieldthought/nope.git")
    assert done.returncode == 128
    assert "ERROR: Repository not found." in done.stderr


def test_a_large_file_is_refused_whatever_branch_it_comes_by(lab: Any) -> None:
    tree = lab.push("work", {"a": "1\n"})
    lab.act("limit_files", largest=2 << 20)
    (tree / "big file.bin").write_bytes(bytes(3 << 20))
    lab.git("add", "--all", cwd=tree)
    lab.git("commit", "-q", "-m", "Weights", cwd=tree)
    done = lab.run_command("git", "push", "origin", "HEAD:one", cwd=tree)
    assert done.returncode == 1
    assert (
        "remote: error: File big file.bin is 3.00 MB; this exceeds GitHub's file size limit of 2.00 MB" in done.stderr
    )
    assert "remote: error: GH001: Large files detected." in done.stderr
    assert "(pre-receive hook declined)" in done.stderr
    assert lab.store.git.branch(REPO, "one") is None


def test_gh_knows_a_clone_s_repository_and_checks_a_pull_request_out(any_gh: Any) -> None:
    tree = any_gh.push("work", {"a": "1\n"})
    number = any_gh.pull("work")
    sha = any_gh.git("rev-parse", "HEAD", cwd=tree)
    assert any_gh.git("config", "remote.origin.url", cwd=tree) == f"https://github.com/{REPO}.git"
    shown = any_gh.run_command(str(any_gh.gh_binary), "pr", "list", "--json", "number", cwd=tree)
    assert shown.stdout.strip() == f'[{{"number":{number}}}]', shown.stderr
    assert any_gh.git("ls-remote", "origin", f"refs/pull/{number}/head", cwd=tree).startswith(sha)

    other = any_gh.short / "other"
    any_gh.git("clone", "-q", f"git@github.com:{REPO}.git", str(other))
    done = any_gh.run_command(str(any_gh.gh_binary), "pr", "checkout", str(number), cwd=other)
    assert done.returncode == 0, done.stderr
    assert any_gh.git("rev-parse", "HEAD", cwd=other) == sha
    any_gh.git("commit", "-q", "--allow-empty", "-m", "More", cwd=tree)
    any_gh.git("push", "-q", "origin", "HEAD:work", cwd=tree)
    any_gh.http("GET", f"/repos/{REPO}/pulls/{number}")
    assert any_gh.store.git.resolve(REPO, f"refs/pull/{number}/head") == any_gh.git("rev-parse", "HEAD", cwd=tree)
