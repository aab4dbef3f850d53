"""A person who does something on the lab's GitHub: by hand (`ytfsm lab`), or in the middle of a run (a fault)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yt_fsm.lab.github import acts, roles
from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.nodes import Comment, Issue, PullRequest, Repo
from yt_fsm.lab.github.store import BOT, PERSON, Store

What = dict[str, Any]

# What a person does, and what each deed takes.
DEEDS = {
    "move_card": "issue, status",
    "remove_card": "issue",
    "archive_card": "issue",
    "unarchive_card": "issue",
    "close_issue": "issue [reason]",
    "reopen_issue": "issue",
    "edit_issue": "issue [title, body]",
    "comment": "issue, body",
    "edit_comment": "id, or issue and `containing` (the newest such comment); body, or `append` (a line more)",
    "delete_comment": "id, or issue and `containing`",
    "add_label": "issue, label",
    "remove_label": "issue, label",
    "renew_options": "",
    "merge": "issue [method]",
    "set_check": "issue, check, state [workflow]",
    "delete_branch": "branch",
    "protect_branch": "branch",
    "unprotect_branch": "branch",
    "rule_branch": "branch (a pattern that a ruleset refuses, as pushes are told it; empty: none)",
    "lose_git": "count (so many connections of git find nobody)",
    "refuse_pushes": "count",
    "drop_pushes": "count (these land)",
    "deny_pushes": "[how: key (a read-only deploy key), permission, https, archived]",
    "allow_pushes": "",
    "limit_files": "largest (bytes of a file that a push may hold)",
    "set_association": "login, association (what comments of that login show from now on)",
    "set_repo": "[required_checks, strict_checks, auto_merge_allowed, merge_methods, delete_branch_on_merge, private]",
    "add_user": "login [token, scopes, org, role]",
    "add_app": "login [token, role]: a GitHub App, by an installation token",
    "add_owner": "login, kind",
    "add_repo": "owner, name",
}
_DENIED = {
    "key": "ERROR: The key you are authenticating with has been marked as read only.\n",
    "permission": "ERROR: Permission to {name}.git denied to {login}.\n",
    "https": "remote: Permission to {name}.git denied to {login}.\n"
    "fatal: unable to access 'https://github.com/{name}.git/': The requested URL returned error: 403\n",
    "archived": "ERROR: This repository was archived so it is read-only.\n",
}


def act(store: Store, what: What) -> dict[str, Any]:
    """Does what `{"do": …}` says (one of DEEDS) and returns what came of it. Raises GitHubError when it can't be done.

    `by` is who does it; the operator, unless said.
    """
    name = what.get("do", "")
    handler = _ACTS.get(name)
    if handler is None:
        raise GitHubError(f"nobody knows how to {name!r} here; there is: {', '.join(_ACTS)}")
    try:
        return handler(store, what)
    except KeyError as error:
        raise GitHubError(f"{name} needs {error.args[0]!r}; it takes: {DEEDS[name] or 'nothing'}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise GitHubError(f"{name} takes: {DEEDS[name] or 'nothing'} ({error})") from error


def _who(store: Store, what: What) -> Any:
    login = what.get("by", PERSON)
    return store.owner(login) or store.add_owner(login)


def _issue(store: Store, what: What) -> Issue:
    return acts.issue_of(store, int(what["issue"]))


def _pull(store: Store, what: What) -> PullRequest:
    return store.get(PullRequest, _issue(store, what).id)


def _repo(store: Store) -> Repo:
    return store.home()[0]


def _comment(store: Store, what: What) -> Comment:
    if "id" in what:
        wanted = int(what["id"])
        found = [n for n in store.nodes.values() if isinstance(n, Comment) and n.database_id == wanted]
    else:
        issue = _issue(store, what)
        found = [store.nodes[key] for key in issue.comments if what.get("containing", "") in store.nodes[key].body]
    if not found:
        raise GitHubError("there is no such comment", "NOT_FOUND", 404)
    return store.get(Comment, found[-1].id)


def _shown(issue: Issue, store: Store) -> dict[str, Any]:
    return {"number": issue.number, "state": issue.state, "status": store.status_of(store.nodes[issue.id])}


def _move_card(store: Store, what: What) -> dict[str, Any]:
    issue = _issue(store, what)
    project = store.home()[1]
    if project is None:
        raise GitHubError("this lab has no project")
    item = acts.unarchived(store.add_item(project, issue, _who(store, what)))
    store.set_status(item, what["status"])
    return _shown(issue, store)


def _archive_card(store: Store, what: What) -> dict[str, Any]:
    issue = _issue(store, what)
    for key in issue.items:
        acts.archive(store, _who(store, what), store.nodes[key], what["do"] == "archive_card", checked=True)
    if not issue.items:
        raise GitHubError(f"issue {issue.number} is on no board")
    return _shown(issue, store)


def _remove_card(store: Store, what: What) -> dict[str, Any]:
    issue = _issue(store, what)
    for key in issue.items:
        acts.delete_item(store, _who(store, what), store.nodes[key], checked=True)
    return _shown(issue, store)


def _close_issue(store: Store, what: What) -> dict[str, Any]:
    return _shown(acts.close(store, _who(store, what), _issue(store, what), what.get("reason", "COMPLETED")), store)


def _reopen_issue(store: Store, what: What) -> dict[str, Any]:
    return _shown(acts.reopen(store, _who(store, what), _issue(store, what)), store)


def _edit_issue(store: Store, what: What) -> dict[str, Any]:
    changes = {key: what[key] for key in ("title", "body") if key in what}
    return _shown(acts.edit_issue(store, _who(store, what), _issue(store, what), **changes), store)


def _add_comment(store: Store, what: What) -> dict[str, Any]:
    return {"id": acts.comment(store, _who(store, what), _issue(store, what), what["body"]).database_id}


def _edit_comment(store: Store, what: What) -> dict[str, Any]:
    kept = _comment(store, what)
    body = what["body"] if "append" not in what else f"{kept.body.rstrip()}\n{what['append']}\n"
    return {"id": acts.edit_comment(store, _who(store, what), kept, body).database_id}


def _delete_comment(store: Store, what: What) -> dict[str, Any]:
    gone = _comment(store, what)
    acts.delete_comment(store, _who(store, what), gone)
    return {"id": gone.database_id}


def _add_label(store: Store, what: What) -> dict[str, Any]:
    issue, repo = _issue(store, what), _repo(store)
    label = acts.find_label(store, repo, what["label"]) or store.add_label(repo, what["label"], "ededed")
    return _shown(store.edit(issue, labels=tuple(dict.fromkeys((*issue.labels, label.id)))), store)


def _remove_label(store: Store, what: What) -> dict[str, Any]:
    issue = _issue(store, what)
    label = acts.find_label(store, _repo(store), what["label"])
    return _shown(store.edit(issue, labels=tuple(key for key in issue.labels if not label or key != label.id)), store)


def _renew_options(store: Store, what: What) -> dict[str, Any]:
    project = store.home()[1]
    of = store.status_field(project) if project else None
    if of is None:
        raise GitHubError("this lab has no project with a Status field")
    return {"options": {o.name: o.id for o in acts.renew_options(store, of).options}}


def _merge(store: Store, what: What) -> dict[str, Any]:
    done = acts.merge(store, _who(store, what), _pull(store, what), what.get("method", "SQUASH").upper())
    return {"number": done.number, "state": done.state, "sha": done.merge_commit}


def _set_check(store: Store, what: What) -> dict[str, Any]:
    pull = _pull(store, what)
    acts.set_check(store, _who(store, what), _repo(store), pull.head_sha, what["check"], what["state"].upper(),
                   workflow=what.get("workflow"))  # fmt: skip
    return {"number": pull.number, "state": store.nodes[pull.id].state}


def _delete_branch(store: Store, what: What) -> dict[str, Any]:
    acts.delete_branch(store, _who(store, what), _repo(store), what["branch"])
    return {"branch": what["branch"]}


def _protect_branch(store: Store, what: What) -> dict[str, Any]:
    repo = _repo(store)
    acts.protect(store, repo, (*repo.protected, what["branch"]))
    return {"branch": what["branch"]}


def _unprotect_branch(store: Store, what: What) -> dict[str, Any]:
    repo = _repo(store)
    acts.protect(store, repo, (one for one in repo.protected if one != what["branch"]))
    return {"branch": what["branch"]}


def _rule_branch(store: Store, what: What) -> dict[str, Any]:
    store.git.rule(store.full_name(_repo(store)), what["branch"])
    return {"branch": what["branch"]}


def _lose_git(store: Store, what: What) -> dict[str, Any]:
    store.git.leave(int(what["count"]))
    return {"count": what["count"]}


def _refuse_pushes(store: Store, what: What) -> dict[str, Any]:
    store.git.refuse(store.full_name(_repo(store)), int(what["count"]))
    return {"count": what["count"]}


def _drop_pushes(store: Store, what: What) -> dict[str, Any]:
    store.git.drop(store.full_name(_repo(store)), int(what["count"]))
    return {"count": what["count"]}


def _deny_pushes(store: Store, what: What) -> dict[str, Any]:
    name = store.full_name(_repo(store))
    how = what.get("how", "key")
    if how not in _DENIED:
        raise GitHubError(f"pushes are denied by one of: {', '.join(_DENIED)}")
    words = _DENIED[how].format(name=name, login=what.get("by", BOT))
    store.git.deny(name, words)
    return {"words": words}


def _allow_pushes(store: Store, what: What) -> dict[str, Any]:
    store.git.deny(store.full_name(_repo(store)), "")
    return {}


def _limit_files(store: Store, what: What) -> dict[str, Any]:
    store.git.limit(store.full_name(_repo(store)), int(what["largest"]))
    return {"largest": what["largest"]}


def _set_association(store: Store, what: What) -> dict[str, Any]:
    repo, association = _repo(store), what["association"].upper()
    if association not in roles.ASSOCIATIONS:
        raise GitHubError(f"an association is one of: {', '.join(roles.ASSOCIATIONS)}")
    store.edit(repo, associations={**repo.associations, what["login"]: association})
    return {"login": what["login"], "association": association}


def _set_repo(store: Store, what: What) -> dict[str, Any]:
    known = {"required_checks", "strict_checks", "auto_merge_allowed", "merge_methods", "delete_branch_on_merge",
             "private", "has_issues_enabled"}  # fmt: skip
    changes = {k: tuple(v) if isinstance(v, list) else v for k, v in what.items() if k in known}
    store.edit(_repo(store), **changes)
    return changes


def _add_user(store: Store, what: What) -> dict[str, Any]:
    repo = store.full_name(_repo(store))
    roles = {repo: what["role"].upper()} if what.get("role") else {}
    scopes = tuple(what["scopes"]) if "scopes" in what else None
    more = {"scopes": scopes} if scopes is not None else {}
    user = store.add_user(what["login"], what.get("token"), org=what.get("org"), roles=roles, **more)
    return {"login": user.login, "id": user.id}


def _add_app(store: Store, what: What) -> dict[str, Any]:
    repo, project = store.home()
    app = store.owner(what["login"]) or store.add_owner(what["login"].removesuffix("[bot]"), "Bot")
    token = what.get("token") or f"ghs_lab{app.login:0<34}"
    user = store.add_user(app.login, token, roles={store.full_name(repo): what.get("role", "WRITE").upper()})
    if project is not None:
        store.edit(project, writers=tuple(dict.fromkeys((*project.writers, user.login))))
    return {"login": user.login, "token": token}


def _add_owner(store: Store, what: What) -> dict[str, Any]:
    owner = store.owner(what["login"]) or store.add_owner(what["login"], what.get("kind", "User"))
    return {"login": owner.login, "id": owner.id}


def _add_repo(store: Store, what: What) -> dict[str, Any]:
    owner = store.owner(what["owner"])
    if owner is None:
        raise GitHubError(f"there is no {what['owner']} to give a repository to", "NOT_FOUND", 404)
    return {"repository": store.full_name(store.add_repo(owner, what["name"]))}


_ACTS: dict[str, Callable[[Store, What], dict[str, Any]]] = {
    "move_card": _move_card, "remove_card": _remove_card, "archive_card": _archive_card,
    "unarchive_card": _archive_card, "close_issue": _close_issue, "reopen_issue": _reopen_issue,
    "edit_issue": _edit_issue, "comment": _add_comment, "edit_comment": _edit_comment,
    "delete_comment": _delete_comment, "add_label": _add_label, "remove_label": _remove_label,
    "renew_options": _renew_options, "merge": _merge, "set_check": _set_check, "delete_branch": _delete_branch,
    "protect_branch": _protect_branch, "unprotect_branch": _unprotect_branch, "refuse_pushes": _refuse_pushes,
    "rule_branch": _rule_branch, "lose_git": _lose_git,
    "drop_pushes": _drop_pushes, "deny_pushes": _deny_pushes, "allow_pushes": _allow_pushes,
    "limit_files": _limit_files, "set_association": _set_association, "set_repo": _set_repo, "add_user": _add_user,
    "add_app": _add_app, "add_owner": _add_owner, "add_repo": _add_repo,
}  # fmt: skip
