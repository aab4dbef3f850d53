"""The rows: operations on GitHub, the Hub and codex's model, each with the outcome that every client must see."""

from dataclasses import dataclass

ALL = "all five"  # what a client says that found the five issues which were made for it, in their order


@dataclass(frozen=True)
class Row:
    """One operation: the method of that name does it and says what came of it, which must be `outcome`."""

    key: str
    operation: str
    outcome: str


GITHUB = (
    Row("login", "who a token is", "yt-bot"),
    Row("scopes", "what a token may do", "project, read:org, repo"),
    Row("limit", "points an hour", "5000"),
    Row("wrong_token", "a wrong token", "401 Bad credentials"),
    Row("secondary_limit", "too many writes a minute", "403, retry after 7 s"),
    Row("rate_limited", "no points left", "API rate limit exceeded"),
    Row("bad_gateway", "a 502 with a page of HTML", "502"),
    Row("typed_variables", "GraphQL: a variable that is an Int!", "Page 1"),
    Row("unknown_field", "GraphQL: a field that there is not", "Field 'nope' doesn't exist on type 'User'"),
    Row("unbounded", "GraphQL: a connection without first or last", "You must provide a `first` or `last` value"),
    Row("graphql_pages", "GraphQL: two a page, to the end", ALL),
    Row("rest_pages", "REST: two a page, to the end", ALL),
    Row("unchanged", "REST: an answer that has not changed", "304"),
    Row("repository", "view the repository", "yieldthought/ttnn_models, main"),
    Row("label", "create a label, and once more", "made, then already exists"),
    Row("issue_opened", "open an issue", "open, by yt-bot"),
    Row("issue_listed", "list issues by label", "found"),
    Row("issue_searched", "search issues by word and label", "found"),
    Row("issue_edited", "edit its title, labels, assignees", "Newer, lb, yt-bot"),
    Row("issue_missing", "view an issue that there is not", "not found"),
    Row("comment", "comment on it", "[yt-claim], MEMBER"),
    Row("comment_edited", "edit the comment", "heartbeat"),
    Row("comment_deleted", "delete the comment", "gone"),
    Row("board", "find the board and its Status options by number", "assessing … reference error, 8"),
    Row("card", "put the issue on the board and move its card", "in progress"),
    Row("stale_option", "move it to an option that there is no more", "The single select option Id does not belong"),
    Row("project", "all of that by `gh project`", "done"),
    Row("clone", "clone the repository", "README.md"),
    Row("push_new", "push a branch that must be new", "pushed"),
    Row("push_taken", "the same, when somebody has it already", "stale info"),
    Row("push_behind", "push what lacks the branch's commits", "rejected"),
    Row("push_forced", "rebase and push --force-with-lease", "pushed"),
    Row("push_protected", "push to a protected branch", "GH006: Protected branch update failed"),
    Row("remote_heads", "ls-remote", "the commit that was pushed"),
    Row("pull_opened", "open a pull request that closes the issue", "open"),
    Row("pull_again", "open it once more", "already exists"),
    Row("pull_listed", "list pull requests by branch", "found"),
    Row("pull_files", "what it changes", "work.txt +1"),
    Row("pull_checked", "set and read a commit status", "success"),
    Row("pull_commented", "comment on it", "well done"),
    Row("pull_merged", "squash-merge it", "merged, its issue closed"),
    Row("fetched", "fetch what was merged", "the new commit"),
    Row("branch_deleted", "delete its branch", "gone"),
    Row("issue_reopened", "reopen and close the issue", "open, closed"),
)
HUB = (
    Row("hub_login", "who a token is", "lab"),
    Row("hub_model", "a model's description", "text-generation, llama"),
    Row("hub_tree", "list its files", "config.json, model.safetensors"),
    Row("hub_snapshot", "download a snapshot", "every byte"),
    Row("hub_cached", "download it again", "no file is sent"),
    Row("hub_command", "`hf download`", "every byte"),
    Row("hub_revision", "a revision that there is not", "RevisionNotFoundError, 404"),
    Row("hub_missing", "a model that there is not", "RepositoryNotFoundError, 404"),
    Row("hub_gated", "a gated model", "GatedRepoError, 403"),
    Row("hub_token", "a wrong token", "401"),
    Row("hub_broken", "a connection that breaks in the middle of a file", "goes on from there"),
    Row("hub_short", "a file that ends early", "Consistency check failed"),
)
CODEX = (
    Row("codex_turn", "a turn that writes a file", "exit 0, written"),
    Row("codex_resumed", "the thread goes on", "same thread, more tokens"),
    Row("codex_stop", "the model asks to stop", "MAKE IT STOP"),
    Row("codex_login", "the login has expired", "exit 1, 401"),
    Row("codex_limit", "the usage limit is reached", "exit 1, usage limit"),
    Row("codex_cut", "the stream breaks", "exit 1, stream disconnected"),
    Row("codex_silent", "the model says nothing", "no end"),
)
SECTIONS = {"GitHub": GITHUB, "The Hub": HUB, "codex's model": CODEX}
ROWS = tuple(row for rows in SECTIONS.values() for row in rows)
