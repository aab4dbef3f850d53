"""How GitHub's REST API shows its objects: the keys that its published description requires, links included."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from yt_fsm.lab.github import acts, roles
from yt_fsm.lab.github.answers.pull import changes
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.git import Change, Commit
from yt_fsm.lab.github.nodes import Comment, Issue, Label, Owner, PullRequest, Repo, Status

API = "https://api.github.com"
WEB = "https://github.com"
Shape = dict[str, Any]

# Links that are the object's own URL and a template.
_ROOT_LINKS = {
    "current_user_url": "/user",
    "current_user_authorizations_html_url": "/settings/connections/applications{/client_id}",
    "authorizations_url": "/authorizations", "code_search_url": "/search/code?q={query}{&page,per_page,sort,order}",
    "commit_search_url": "/search/commits?q={query}{&page,per_page,sort,order}", "emails_url": "/user/emails",
    "emojis_url": "/emojis", "events_url": "/events", "feeds_url": "/feeds", "followers_url": "/user/followers",
    "following_url": "/user/following{/target}", "gists_url": "/gists{/gist_id}", "issues_url": "/issues",
    "issue_search_url": "/search/issues?q={query}{&page,per_page,sort,order}", "keys_url": "/user/keys",
    "label_search_url": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
    "notifications_url": "/notifications", "organization_url": "/orgs/{org}",
    "organization_repositories_url": "/orgs/{org}/repos{?type,page,per_page,sort}",
    "organization_teams_url": "/orgs/{org}/teams", "public_gists_url": "/gists/public", "rate_limit_url": "/rate_limit",
    "repository_url": "/repos/{owner}/{repo}", "current_user_repositories_url": "/user/repos{?type,page,per_page,sort}",
    "repository_search_url": "/search/repositories?q={query}{&page,per_page,sort,order}",
    "starred_url": "/user/starred{/owner}{/repo}", "starred_gists_url": "/gists/starred",
    "user_url": "/users/{user}", "user_organizations_url": "/user/orgs",
    "user_repositories_url": "/users/{user}/repos{?type,page,per_page,sort}",
    "user_search_url": "/search/users?q={query}{&page,per_page,sort,order}",
}  # fmt: skip
_USER_LINKS = {
    "followers_url": "/followers", "following_url": "/following{/other_user}", "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}", "subscriptions_url": "/subscriptions", "organizations_url": "/orgs",
    "repos_url": "/repos", "events_url": "/events{/privacy}", "received_events_url": "/received_events",
}  # fmt: skip
_REPO_LINKS = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}", "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
    "downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}", "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}", "languages_url": "/languages", "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}  # fmt: skip
_ISSUE_LINKS = {"labels_url": "/labels{/name}", "comments_url": "/comments", "events_url": "/events"}
_PULL_LINKS = {
    "commits_url": "/commits", "review_comments_url": "/comments", "review_comment_url": "/comments{/number}",
}  # fmt: skip


def _links(url: str, templates: dict[str, str]) -> dict[str, str]:
    return {name: url + suffix for name, suffix in templates.items()}


def root() -> Shape:
    """What there is at `/`."""
    return _links(API, _ROOT_LINKS)


def user(owner: Owner) -> Shape:
    """A user or an organization, as part of something else; an App's login ends in [bot] here."""
    login = f"{owner.login}[bot]" if owner.kind == "Bot" else owner.login
    url = f"{API}/users/{quote(login)}"
    return {
        "login": login, "id": owner.database_id, "node_id": owner.id, "type": owner.kind, "site_admin": False,
        "url": url, "html_url": f"{WEB}/{owner.login}", "gravatar_id": "", "user_view_type": "public",
        "avatar_url": f"https://avatars.githubusercontent.com/u/{owner.database_id}?v=4", **_links(url, _USER_LINKS),
    }  # fmt: skip


def whole_user(owner: Owner) -> Shape:
    """A user or an organization by itself."""
    return {
        **user(owner), "name": owner.name or None, "email": owner.email or None, "created_at": owner.created_at,
        "updated_at": owner.updated_at, "company": None, "blog": "", "location": None, "hireable": None, "bio": None,
        "public_repos": len(owner.repos), "public_gists": 0, "followers": 0, "following": 0,
    }  # fmt: skip


def viewer(owner: Owner) -> Shape:
    """Oneself."""
    return {
        **whole_user(owner), "user_view_type": "private", "private_gists": 0, "total_private_repos": 0,
        "owned_private_repos": 0, "disk_usage": 0, "collaborators": 0, "two_factor_authentication": True,
    }  # fmt: skip


def label(context: Context, of: Label) -> Shape:
    """A label."""
    name = context.store.full_name(context.store.nodes[of.repo])
    return {
        "id": of.database_id, "node_id": of.id, "name": of.name, "color": of.color, "default": False,
        "description": of.description or None, "url": f"{API}/repos/{name}/labels/{of.name}", "archived_at": None,
        "archived_by": None,
    }  # fmt: skip


def permissions(role: str | None) -> Shape:
    """What a role lets do, in the words that REST has for it."""
    words = {"pull": "READ", "triage": "TRIAGE", "push": "WRITE", "maintain": "MAINTAIN", "admin": "ADMIN"}
    return {word: roles.RANK.get(role, 0) >= roles.RANK[needed] for word, needed in words.items()}


def repository(context: Context, repo: Repo) -> Shape:
    """A repository, with what this viewer may do in it."""
    name = context.store.full_name(repo)
    opened = sum(1 for one in context.load((*repo.issues, *repo.pulls)) if one.state == "OPEN")
    url = f"{API}/repos/{name}"
    return {
        "id": repo.database_id, "node_id": repo.id, "name": repo.name, "full_name": name, "private": repo.private,
        "owner": user(context.store.nodes[repo.owner]), "html_url": f"{WEB}/{name}", "url": url,
        "description": repo.description or None, "fork": False, "archived": False, "disabled": False,
        "default_branch": repo.default_branch, "has_issues": repo.has_issues_enabled, "has_projects": True,
        "has_wiki": False, "has_pages": False, "has_downloads": False, "has_discussions": False, "homepage": None,
        "visibility": "private" if repo.private else "public", "mirror_url": None, "is_template": False,
        "clone_url": f"{WEB}/{name}.git", "git_url": f"git://github.com/{name}.git", "svn_url": f"{WEB}/{name}",
        "ssh_url": f"git@github.com:{name}.git", "created_at": repo.created_at, "updated_at": repo.updated_at,
        "pushed_at": repo.pushed_at, "open_issues_count": opened, "open_issues": opened, "forks_count": 0, "forks": 0,
        "stargazers_count": 0, "watchers_count": 0, "watchers": 0, "network_count": 0, "subscribers_count": 0,
        "size": 0, "language": None, "license": None, "topics": [], "web_commit_signoff_required": False,
        "permissions": permissions(roles.permission(context.store, repo, context.viewer)), "allow_forking": True,
        "allow_squash_merge": "SQUASH" in repo.merge_methods, "allow_merge_commit": "MERGE" in repo.merge_methods,
        "allow_rebase_merge": "REBASE" in repo.merge_methods, "allow_auto_merge": repo.auto_merge_allowed,
        "delete_branch_on_merge": repo.delete_branch_on_merge, **_links(url, _REPO_LINKS),
    }  # fmt: skip


def open_or_closed(of: Issue) -> str:
    """The state as REST has it: a merged pull request is closed."""
    return "open" if of.state == "OPEN" else "closed"


def issue(context: Context, of: Issue) -> Shape:
    """An issue, or a pull request as the issues API shows it."""
    nodes = context.nodes
    repo = nodes[of.repo]
    name = context.store.full_name(repo)
    kind = "pull" if isinstance(of, PullRequest) else "issues"
    url = f"{API}/repos/{name}/issues/{of.number}"
    assignees = [user(one) for one in context.load(of.assignees)]
    shown: Shape = {
        "id": of.database_id, "node_id": of.id, "number": of.number, "title": of.title, "body": of.body or None,
        "user": user(nodes[of.author]), "state": open_or_closed(of), "locked": of.locked,
        "state_reason": of.state_reason.lower() if of.state_reason else None, "active_lock_reason": None,
        "labels": [label(context, one) for one in context.load(of.labels)], "assignees": assignees,
        "assignee": assignees[0] if assignees else None, "milestone": None, "comments": len(of.comments),
        "created_at": of.created_at, "updated_at": of.updated_at, "closed_at": of.closed_at,
        "closed_by": user(nodes[of.closed_by]) if of.closed_by else None,
        "author_association": roles.association(context.store, repo, nodes[of.author]), "url": url,
        "repository_url": f"{API}/repos/{name}", "html_url": f"{WEB}/{name}/{kind}/{of.number}",
        **_links(url, _ISSUE_LINKS),
    }  # fmt: skip
    if isinstance(of, PullRequest):
        web = f"{WEB}/{name}/pull/{of.number}"
        shown["draft"] = of.draft
        shown["pull_request"] = {
            "url": f"{API}/repos/{name}/pulls/{of.number}", "html_url": web, "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch", "merged_at": of.merged_at,
        }  # fmt: skip
    return shown


def comment(context: Context, of: Comment) -> Shape:
    """A comment."""
    nodes = context.nodes
    subject = nodes[of.subject]
    repo = nodes[subject.repo]
    name = context.store.full_name(repo)
    kind = "pull" if isinstance(subject, PullRequest) else "issues"
    return {
        "id": of.database_id, "node_id": of.id, "body": of.body, "user": user(nodes[of.author]),
        "url": f"{API}/repos/{name}/issues/comments/{of.database_id}",
        "html_url": f"{WEB}/{name}/{kind}/{subject.number}#issuecomment-{of.database_id}",
        "issue_url": f"{API}/repos/{name}/issues/{subject.number}", "created_at": of.created_at,
        "updated_at": of.updated_at, "author_association": roles.association(context.store, repo, nodes[of.author]),
        "performed_via_github_app": None,
    }  # fmt: skip


def pull(context: Context, of: PullRequest) -> Shape:
    """A pull request, whether it can be merged included."""
    nodes, store = context.nodes, context.store
    repo = nodes[of.repo]
    name = store.full_name(repo)
    shown = issue(context, of)
    issue_url, url = shown["url"], f"{API}/repos/{name}/pulls/{of.number}"
    shown.update(shown.pop("pull_request"))
    mergeable, state = acts.merge_state(store, of)
    found = changes(of, context)
    sides = {
        side: {"label": f"{name.partition('/')[0]}:{branch}", "ref": branch, "sha": sha,
               "repo": repository(context, repo), "user": user(nodes[repo.owner])}
        for side, branch, sha in (("head", of.head, of.head_sha), ("base", of.base, of.base_sha))
    }  # fmt: skip
    targets = {
        "self": url, "html": shown["html_url"], "issue": issue_url, "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments", "review_comment": f"{API}/repos/{name}/pulls/comments{{/number}}",
        "commits": f"{url}/commits", "statuses": f"{API}/repos/{name}/statuses/{of.head_sha}",
    }  # fmt: skip
    shown.update(
        **sides, **_links(url, _PULL_LINKS), issue_url=issue_url, statuses_url=targets["statuses"],
        _links={key: {"href": target} for key, target in targets.items()},
        merged=of.merged_at is not None, merge_commit_sha=of.merge_commit,
        merged_by=user(nodes[of.merged_by]) if of.merged_by else None,
        mergeable={"MERGEABLE": True, "CONFLICTING": False}.get(mergeable), mergeable_state=state.lower(),
        rebaseable=mergeable == "MERGEABLE", auto_merge=_auto_merge(context, of),
        commits=len(store.git.commits(name, of.base_sha, of.head_sha)),
        additions=sum(c.additions for c in found), deletions=sum(c.deletions for c in found),
        changed_files=len(found), requested_reviewers=[], requested_teams=[], review_comments=0,
        maintainer_can_modify=False,
    )  # fmt: skip
    return shown


def _auto_merge(context: Context, of: PullRequest) -> Shape | None:
    asked = of.auto_merge
    if asked is None:
        return None
    return {
        "merge_method": asked["method"].lower(), "commit_title": asked["headline"], "commit_message": asked["body"],
        "enabled_by": user(context.nodes[asked["by"]]),
    }  # fmt: skip


def commit(context: Context, repo: Repo, of: Commit) -> Shape:
    """A commit."""
    name = context.store.full_name(repo)
    url, git = f"{API}/repos/{name}/commits", f"{API}/repos/{name}/git"
    people = {
        "author": {"name": of.author.name, "email": of.author.email, "date": of.authored},
        "committer": {"name": of.committer.name, "email": of.committer.email, "date": of.committed},
    }
    verified = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
    return {
        "sha": of.sha, "node_id": f"C_{of.sha}", "url": f"{url}/{of.sha}", "author": None, "committer": None,
        "html_url": f"{WEB}/{name}/commit/{of.sha}", "comments_url": f"{url}/{of.sha}/comments",
        "commit": {
            "message": of.message, **people, "url": f"{git}/commits/{of.sha}", "comment_count": 0,
            "tree": {"sha": of.tree, "url": f"{git}/trees/{of.tree}"}, "verification": verified,
        },
        "parents": [
            {"sha": sha, "url": f"{url}/{sha}", "html_url": f"{WEB}/{name}/commit/{sha}"} for sha in of.parents
        ],
    }  # fmt: skip


def short_branch(context: Context, repo: Repo, name: str, sha: str) -> Shape:
    """A branch in a list."""
    url = f"{API}/repos/{context.store.full_name(repo)}/commits/{sha}"
    protected = acts.protection(context.store, repo, name) is not None
    return {"name": name, "commit": {"sha": sha, "url": url}, "protected": protected}


def branch(context: Context, repo: Repo, name: str, of: Commit) -> Shape:
    """A branch by itself."""
    path = context.store.full_name(repo)
    url = f"{API}/repos/{path}/branches/{name}"
    found = acts.protection(context.store, repo, name)
    checks = found.checks if found else ()
    required = {"enforcement_level": "non_admins" if checks else "off", **_required(checks)}
    return {
        "name": name, "commit": commit(context, repo, of), "protected": found is not None,
        "_links": {"self": url, "html": f"{WEB}/{path}/tree/{name}"}, "protection_url": f"{url}/protection",
        "protection": {"enabled": found is not None, "required_status_checks": required},
    }  # fmt: skip


def _required(checks: tuple[str, ...]) -> Shape:
    return {"contexts": list(checks), "checks": [{"context": one, "app_id": None} for one in checks]}


def protection(context: Context, repo: Repo, name: str, of: acts.Protection) -> Shape:
    """What protects a branch, as an administrator sees it."""
    url = f"{API}/repos/{context.store.full_name(repo)}/branches/{name}/protection"
    shown: Shape = {"url": url, "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": False}}
    if of.checks:
        where = f"{url}/required_status_checks"
        shown["required_status_checks"] = {
            "url": where, "strict": of.strict, "contexts_url": f"{where}/contexts", **_required(of.checks)
        }  # fmt: skip
    return shown


def ref(context: Context, repo: Repo, name: str, sha: str) -> Shape:
    """A branch as the git database API shows it."""
    url = f"{API}/repos/{context.store.full_name(repo)}/git"
    return {
        "ref": f"refs/heads/{name}", "node_id": f"REF_{repo.database_id}_{name}", "url": f"{url}/refs/heads/{name}",
        "object": {"type": "commit", "sha": sha, "url": f"{url}/commits/{sha}"},
    }  # fmt: skip


def status(context: Context, of: Status) -> Shape:
    """A commit status."""
    creator = user(context.store.nodes[of.creator])
    name = context.store.full_name(context.store.nodes[of.repo])
    return {
        "id": of.database_id, "node_id": of.id, "state": of.state.lower(), "context": of.context,
        "description": of.description or None, "target_url": of.target_url, "created_at": of.created_at,
        "updated_at": of.updated_at, "creator": creator, "avatar_url": creator["avatar_url"],
        "url": f"{API}/repos/{name}/statuses/{of.sha}",
    }  # fmt: skip


def check_run(context: Context, of: Status) -> Shape:
    """A check run."""
    name = context.store.full_name(context.store.nodes[of.repo])
    url = f"{API}/repos/{name}/check-runs/{of.database_id}"
    page = of.target_url or f"{WEB}/{name}/runs/{of.database_id}"
    said = {"title": of.context, "summary": of.description, "text": of.description, "annotations_count": 0,
            "annotations_url": f"{url}/annotations"}  # fmt: skip
    return {
        "id": of.database_id, "node_id": of.id, "name": of.context, "head_sha": of.sha, "external_id": "",
        "status": of.run_status.lower(), "conclusion": of.conclusion.lower() if of.conclusion else None,
        "started_at": of.created_at, "completed_at": of.created_at if of.conclusion else None, "url": url,
        "html_url": page, "details_url": page, "output": said, "check_suite": {"id": of.database_id}, "app": None,
        "pull_requests": [],
    }  # fmt: skip


def combined_status(context: Context, repo: Repo, sha: str, verdict: str, found: list[Status]) -> Shape:
    """All statuses of a commit and their verdict."""
    url = f"{API}/repos/{context.store.full_name(repo)}/commits/{sha}"
    return {
        "state": verdict, "sha": sha, "total_count": len(found), "statuses": [status(context, one) for one in found],
        "repository": repository(context, repo), "commit_url": url, "url": f"{url}/status",
    }  # fmt: skip


def comparison_links(name: str, range_: str) -> Shape:
    """Where a comparison can be seen."""
    web = f"{WEB}/{name}/compare/{range_}"
    return {"url": f"{API}/repos/{name}/compare/{range_}", "html_url": web, "permalink_url": web,
            "diff_url": f"{web}.diff", "patch_url": f"{web}.patch"}  # fmt: skip


def change(context: Context, repo: Repo, of: Change, sha: str) -> Shape:
    """A changed file of a comparison with the commit `sha`."""
    name = context.store.full_name(repo)
    return {
        "filename": of.path, "additions": of.additions, "deletions": of.deletions, "status": of.kind.lower(),
        "changes": of.additions + of.deletions, "sha": of.blob, "blob_url": f"{WEB}/{name}/blob/{sha}/{of.path}",
        "raw_url": f"{WEB}/{name}/raw/{sha}/{of.path}",
        "contents_url": f"{API}/repos/{name}/contents/{of.path}?ref={sha}",
    }  # fmt: skip


def file(context: Context, repo: Repo, path: str, text: str, sha: str) -> Shape:
    """A file's content at the commit `sha`."""
    name = context.store.full_name(repo)
    data = text.encode(errors="replace")
    links = {
        "self": f"{API}/repos/{name}/contents/{path}?ref={sha}", "git": f"{API}/repos/{name}/git/blobs/{sha}",
        "html": f"{WEB}/{name}/blob/{sha}/{path}",
    }  # fmt: skip
    return {
        "type": "file", "encoding": "base64", "size": len(data), "name": path.rpartition("/")[2], "path": path,
        "content": base64.b64encode(data).decode(), "sha": sha, "url": links["self"], "git_url": links["git"],
        "html_url": links["html"], "_links": links,
        "download_url": f"https://raw.githubusercontent.com/{name}/{sha}/{path}",
    }  # fmt: skip
