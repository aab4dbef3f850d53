"""How fast the lab is: `python -m yt_fsm.lab.bench [--json]` prints one line a measurement, in milliseconds."""

import http.client
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yt_fsm.lab.serving import Running, running_lab

ISSUES = 300
TIMES = 20

# What a worker asks at each poll, as large as one point allows.
POLL = """
query($owner: String!, $repo: String!, $label: String!) {
  repository(owner: $owner, name: $repo) {
    issues(first: 49, states: OPEN, labels: [$label], orderBy: {field: CREATED_AT, direction: ASC}) {
      nodes {
        number title body labels(first: 20) { nodes { name } }
        projectItems(first: 10) { nodes { id fieldValueByName(name: "Status") {
          ... on ProjectV2ItemFieldSingleSelectValue { name } } } }
        comments(last: 10) { totalCount nodes { databaseId body author { login } createdAt } }
      }
    }
  }
}
"""


def measure() -> dict[str, float]:
    """Milliseconds by name; medians where a thing can be done again."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ytfsm-bench-") as scratch:
        folder = Path(scratch) / "lab"
        with running_lab(folder):
            pass  # makes what is made once: the model, the repository, caches of the file system
        started = time.perf_counter()
        with running_lab(folder) as lab:
            found["a lab is ready, warm"] = (time.perf_counter() - started) * 1000
            started = time.perf_counter()
            for _ in range(ISSUES):
                lab.seed()
            found[f"{ISSUES} issues are seeded"] = (time.perf_counter() - started) * 1000
            poll = _poll(lab)
            found["a poll is answered"] = _median(poll)
            found["the same through gh"] = _median(lambda: _gh(lab), 5)
            found["tt-smi -s"] = _median(lambda: lab.run("tt-smi", "-s"), 5)
            found["the state is told"] = _median(lab.state, 3)
    return found


def _poll(lab: Running) -> Callable[[], Any]:
    body = json.dumps({"query": POLL, "variables": {"owner": "yieldthought", "repo": "ttnn_models", "label": "n300"}})
    headers = {"Authorization": f"token {lab.env['GH_TOKEN']}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("api.github.com", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(lab.line["github"]["socket"])

    def ask() -> None:
        connection.request("POST", "/graphql", body, headers)
        answer = json.loads(connection.getresponse().read())
        if len(answer["data"]["repository"]["issues"]["nodes"]) != 49:
            raise SystemExit(f"the poll went wrong: {answer}")

    return ask


def _gh(lab: Running) -> None:
    body = json.dumps({"query": POLL, "variables": {"owner": "yieldthought", "repo": "ttnn_models", "label": "n300"}})
    done = lab.run("gh", "api", "graphql", "--input", "-", input=body)
    if done.returncode != 0:
        raise SystemExit(f"gh went wrong: {done.stderr}")


def _median(work: Callable[[], Any], times: int = TIMES) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    results = measure()
    if "--json" in sys.argv:
        print(json.dumps({name: round(value, 2) for name, value in results.items()}))
    else:
        for name, value in results.items():
            print(f"{value:9.1f} ms  {name}")
