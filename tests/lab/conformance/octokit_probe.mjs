// The rows as octokit does them. `node octokit_probe.mjs TOLD KEY…`, with octokit in the node_modules of the current
// folder, prints one JSON object, KEY to outcome.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const from = createRequire(process.cwd() + "/");
const load = (name) => import(pathToFileURL(from.resolve(name)));
const { Octokit } = await load("@octokit/core");
const { paginateRest } = await load("@octokit/plugin-paginate-rest");
const { restEndpointMethods } = await load("@octokit/plugin-rest-endpoint-methods");
const { Agent, fetch } = await load("undici");

const [told, ...keys] = [JSON.parse(process.argv[2]), ...process.argv.slice(3)];
const dispatcher = new Agent({ connect: { socketPath: told.socket } });
// Everything for https://api.github.com, in plain HTTP over the lab's socket.
const overSocket = (url, options) => fetch(String(url).replace("https://", "http://"), { ...options, dispatcher });
const Client = Octokit.plugin(paginateRest, restEndpointMethods);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const login = (auth) => new Client({ auth, log: quiet, request: { fetch: overSocket } });
const octokit = login(told.token);
const { rest, graphql } = octokit;
const repo = { owner: told.owner, repo: told.repo };
const mine = `new-${told.name}`;
let issue, pull, commentId;

const BOARD = `query($number: Int!) {repositoryOwner(login: "${told.owner}") {... on ProjectV2Owner {
  projectV2(number: $number) {id title field(name: "Status") {... on ProjectV2SingleSelectField {
    id options {id name}}}}}}}`;
const ADD = "mutation($p: ID!, $c: ID!) {addProjectV2ItemById(input: {projectId: $p, contentId: $c}) {item {id}}}";
const MOVE = `mutation($p: ID!, $i: ID!, $f: ID!, $o: String!) {updateProjectV2ItemFieldValue(input: {
  projectId: $p, itemId: $i, fieldId: $f, value: {singleSelectOptionId: $o}}) {projectV2Item {
    fieldValueByName(name: "Status") {... on ProjectV2ItemFieldSingleSelectValue {name}}}}}`;

const fault = (kind, more = {}) =>
  overSocket("http://lab/_lab/faults", {
    method: "POST", body: JSON.stringify({ fault: kind, ...more }), headers: { "content-type": "application/json" },
  });
const refused = async (call) => {
  try { await call(); } catch (problem) { return problem; }
  throw new Error("not refused");
};
const same = (found, wanted, words) => (JSON.stringify(found) === JSON.stringify(wanted) ? words : JSON.stringify(found));
const names = (labels) => labels.map((label) => label.name);
const moved = async (option) => {
  const project = (await graphql(BOARD, { number: 1 })).repositoryOwner.projectV2;
  const content = (await rest.issues.get({ ...repo, issue_number: issue })).data.node_id;
  const item = (await graphql(ADD, { p: project.id, c: content })).addProjectV2ItemById.item.id;
  const found = project.field.options.find((one) => one.name === option);
  return { p: project.id, i: item, f: project.field.id, o: found ? found.id : option };
};
const create = () => rest.pulls.create({
  ...repo, head: told.branch, base: "main", title: `Work ${told.name}`, body: `Closes #${issue}`,
});

const rows = {
  login: async () => (await rest.users.getAuthenticated()).data.login,
  scopes: async () => (await rest.users.getAuthenticated()).headers["x-oauth-scopes"].split(", ").sort().join(", "),
  limit: async () => {
    const { data } = await rest.rateLimit.get();
    const shown = (await graphql("{rateLimit {limit}}")).rateLimit.limit;
    return shown === data.resources.graphql.limit ? String(shown) : `${shown} and ${data.resources.graphql.limit}`;
  },
  wrong_token: async () => {
    const problem = await refused(() => login("ghp_wrong").rest.users.getAuthenticated());
    return `${problem.status} ${problem.response.data.message}`;
  },
  secondary_limit: async () => {
    await fault("secondary-limit", { retry_after: 7 });
    const problem = await refused(() => rest.users.getAuthenticated());
    // By these words octokit's plugin for limits knows it.
    if (!/\bsecondary rate\b/i.test(problem.message)) return problem.message;
    return `${problem.status}, retry after ${problem.response.headers["retry-after"]} s`;
  },
  rate_limited: async () => {
    await fault("rate-limited", { match: "query" });
    const problem = await refused(() => graphql("{viewer {login}}"));
    const [error] = problem.errors;
    return error.type === "RATE_LIMITED" ? error.message.split(" for user ID")[0] : JSON.stringify(error);
  },
  bad_gateway: async () => {
    await fault("bad-gateway");
    return String((await refused(() => rest.users.getAuthenticated())).status);
  },
  typed_variables: async () => {
    const query = "query($o: String!, $r: String!, $n: Int!) {repository(owner: $o, name: $r) {issue(number: $n) {title}}}";
    return (await graphql(query, { o: told.owner, r: told.repo, n: told.numbers[0] })).repository.issue.title;
  },
  unknown_field: async () => (await refused(() => graphql("{viewer {nope}}"))).errors[0].message,
  unbounded: async () => {
    const query = "query($o: String!, $r: String!) {repository(owner: $o, name: $r) {issues {nodes {id}}}}";
    const [error] = (await refused(() => graphql(query, { o: told.owner, r: told.repo }))).errors;
    return error.type === "MISSING_PAGINATION_BOUNDARIES" ? error.message.split(" to properly")[0] : JSON.stringify(error);
  },
  graphql_pages: async () => {
    const query = `query($o: String!, $r: String!, $l: [String!], $c: String) {repository(owner: $o, name: $r) {
      issues(labels: $l, first: 2, after: $c) {nodes {number} pageInfo {hasNextPage endCursor}}}}`;
    const found = [];
    let page = { hasNextPage: true, endCursor: null };
    while (page.hasNextPage) {
      const given = { o: told.owner, r: told.repo, l: [told.label], c: page.endCursor };
      const { issues } = (await graphql(query, given)).repository;
      found.push(...issues.nodes.map((one) => one.number));
      page = issues.pageInfo;
    }
    return same(found, told.numbers, "all five");
  },
  rest_pages: async () => {
    const given = { ...repo, labels: told.label, per_page: 2, direction: "asc" };
    const found = await octokit.paginate(rest.issues.listForRepo, given);
    return same(found.map((one) => one.number), told.numbers, "all five");
  },
  unchanged: async () => {
    const { headers } = await rest.users.getAuthenticated();
    const problem = await refused(() => rest.users.getAuthenticated({ headers: { "if-none-match": headers.etag } }));
    return String(problem.status);
  },
  repository: async () => {
    const { data } = await rest.repos.get(repo);
    return `${data.full_name}, ${data.default_branch}`;
  },
  label: async () => {
    await rest.issues.createLabel({ ...repo, name: mine, color: "ff0000" });
    const problem = await refused(() => rest.issues.createLabel({ ...repo, name: mine, color: "ff0000" }));
    const codes = problem.response.data.errors.map((error) => error.code);
    return same(codes, ["already_exists"], "made, then already exists");
  },
  issue_opened: async () => {
    const { data } = await rest.issues.create({ ...repo, title: "New", body: "b", labels: [mine] });
    issue = data.number;
    return `${data.state}, by ${data.user.login}`;
  },
  issue_listed: async () => {
    const { data } = await rest.issues.listForRepo({ ...repo, labels: mine });
    return same(data.map((one) => one.number), [issue], "found");
  },
  issue_searched: async () => {
    const q = `repo:${told.owner}/${told.repo} is:issue New label:${mine}`;
    const { data } = await rest.search.issuesAndPullRequests({ q });
    return same(data.items.map((one) => one.number), [issue], "found");
  },
  issue_edited: async () => {
    const at = { ...repo, issue_number: issue };
    await rest.issues.update({ ...at, title: "Newer", assignees: ["yt-bot"] });
    await rest.issues.addLabels({ ...at, labels: ["lb"] });
    await rest.issues.removeLabel({ ...at, name: mine });
    const { data } = await rest.issues.get(at);
    return [data.title, ...names(data.labels), data.assignees[0].login].join(", ");
  },
  issue_missing: async () => {
    const problem = await refused(() => rest.issues.get({ ...repo, issue_number: 99999 }));
    return problem.status === 404 ? "not found" : problem.message;
  },
  comment: async () => {
    const at = { ...repo, issue_number: issue };
    commentId = (await rest.issues.createComment({ ...at, body: "[yt-claim]\nrun_id: x" })).data.id;
    const [found] = (await rest.issues.listComments(at)).data;
    return `${found.body.split("\n")[0]}, ${found.author_association}`;
  },
  comment_edited: async () => {
    const at = { ...repo, comment_id: commentId };
    await rest.issues.updateComment({ ...at, body: "heartbeat" });
    return (await rest.issues.getComment(at)).data.body;
  },
  comment_deleted: async () => {
    await rest.issues.deleteComment({ ...repo, comment_id: commentId });
    return same((await rest.issues.listComments({ ...repo, issue_number: issue })).data, [], "gone");
  },
  board: async () => {
    const project = (await graphql(BOARD, { number: 1 })).repositoryOwner.projectV2;
    const options = names(project.field.options);
    return `${options[0]} … ${options[options.length - 1]}, ${options.length}`;
  },
  card: async () => {
    const done = await graphql(MOVE, await moved("in progress"));
    return done.updateProjectV2ItemFieldValue.projectV2Item.fieldValueByName.name;
  },
  stale_option: async () => {
    const given = await moved("0badc0de");
    return (await refused(() => graphql(MOVE, given))).errors[0].message.split(" to the field")[0];
  },
  pull_opened: async () => {
    pull = (await create()).data.number;
    return (await rest.pulls.get({ ...repo, pull_number: pull })).data.state;
  },
  pull_again: async () => {
    const [error] = (await refused(create)).response.data.errors;
    return error.message.includes("already exists") ? "already exists" : JSON.stringify(error);
  },
  pull_listed: async () => {
    const { data } = await rest.pulls.list({ ...repo, head: `${told.owner}:${told.branch}` });
    return same(data.map((one) => one.number), [pull], "found");
  },
  pull_files: async () => {
    const [file] = (await rest.pulls.listFiles({ ...repo, pull_number: pull })).data;
    return `${file.filename.split("/").pop()} +${file.additions}`;
  },
  pull_checked: async () => {
    await rest.repos.createCommitStatus({ ...repo, sha: told.sha, state: "success", context: "unit" });
    return (await rest.repos.getCombinedStatusForRef({ ...repo, ref: told.sha })).data.state;
  },
  pull_commented: async () => {
    const at = { ...repo, issue_number: pull };
    await rest.issues.createComment({ ...at, body: "well done" });
    return (await rest.issues.listComments(at)).data[0].body;
  },
  pull_merged: async () => {
    const at = { ...repo, pull_number: pull };
    await rest.pulls.merge({ ...at, merge_method: "squash" });
    const { merged } = (await rest.pulls.get(at)).data;
    const { state } = (await rest.issues.get({ ...repo, issue_number: issue })).data;
    return `${merged ? "merged" : "not merged"}, its issue ${state}`;
  },
  fetched: async () => {
    const [found] = (await rest.repos.listCommits(repo)).data;
    return found.commit.message.split("\n")[0].endsWith(` (#${pull})`) ? "the new commit" : found.commit.message;
  },
  branch_deleted: async () => {
    await rest.git.deleteRef({ ...repo, ref: `heads/${told.branch}` });
    const branches = await octokit.paginate(rest.repos.listBranches, repo);
    return names(branches).includes(told.branch) ? "still there" : "gone";
  },
  issue_reopened: async () => {
    const states = [];
    for (const state of ["open", "closed"])
      states.push((await rest.issues.update({ ...repo, issue_number: issue, state })).data.state);
    return states.join(", ");
  },
};

const found = {};
for (const key of keys) {
  if (!rows[key]) continue;
  try { found[key] = await rows[key](); } catch (problem) { found[key] = `${problem.name}: ${problem.message}`; }
}
console.log(JSON.stringify(found));
await dispatcher.close();
