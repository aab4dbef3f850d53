"""Real workers race for the same issues on a GitHub whose answers are up to two seconds old.

`RACE=8x40 scripts/test tests/acceptance/test_race.py` is the whole race; CI runs a part of it.
"""

import collections
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.parts.workplace import Workplace
from yt_fsm.engine.journal import parse

WORKERS, ISSUES = (int(number) for number in os.environ.get("RACE", "4x10").split("x"))


def test_every_issue_is_started_once(enter: Callable[..., Workplace], tmp_path: Path) -> None:
    world = enter()
    starts = tmp_path / "starts"
    machines = [world.lab.machine(f"m{n}", login=f"bot-{n}") for n in range(WORKERS)]
    quick = {name: world.env[name] for name in ("YT_WRITE_GAP_SECS", "YT_BACKOFF_SECS")}
    quick |= {"YT_SLEEP_SECS": "0.2", "RACE_STARTS": str(starts)}
    argv = [sys.executable, str(Path(__file__).with_name("race_worker.py")), "run", "--system", "n300"]
    workers = []
    for n, machine in enumerate(machines):
        with (tmp_path / f"worker-{n}").open("w") as said:
            workers.append(subprocess.Popen(argv, env={**machine, **quick}, stderr=said))
    try:
        polls(world, workers)
        world.lab.fault("github", "lag", seconds=[0, 2], seed=7)
        numbers = [world.seed() for _ in range(ISSUES)]
        until(lambda: len(told(starts)) >= ISSUES, workers)
        # Losers take their bids back; who started something twice would do it meanwhile.
        until(lambda: all(len(world.comments(number, "[yt-claim]")) == 1 for number in numbers), workers)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        codes = [worker.wait(60) for worker in workers]
    assert codes == [0] * WORKERS, "\n".join(path.read_text() for path in tmp_path.glob("worker-*"))

    assert sorted(int(issue) for issue, _, _ in told(starts)) == numbers, "every issue once"
    for issue, run_id, worker in told(starts):
        (claim,) = world.comments(int(issue), "[yt-claim]")
        assert f"\nrun_id: {run_id}\n" in claim
        assert f"\nworker: {worker}\n" in claim
        assert world.issue(int(issue))["status"] == "in progress"
    verdicts = collections.Counter()
    for machine in machines:
        for path in Path(machine["YTFSM_HOME"]).glob("runs/*/journal.jsonl"):
            reading = parse(path.read_bytes())
            verdicts[reading.verdict, reading.records[-1]["kind"]] += 1
    assert set(verdicts) == {("ok", "end")}, verdicts
    assert verdicts.total() > ISSUES, "nobody raced: no bid was ever withdrawn"


def polls(world: Workplace, workers: list["subprocess.Popen[bytes]"]) -> None:
    """Wait until every worker has looked for work."""

    def who() -> set[str]:
        return {one["login"] for one in world.lab.state()["requests"] if one["operation"] == "poll"}

    until(lambda: len(who()) >= len(workers), workers)


def told(starts: Path) -> list[list[str]]:
    """What was started: issue, run, worker."""
    return [line.split() for line in starts.read_text().splitlines()] if starts.exists() else []


def until(done: Callable[[], bool], workers: list["subprocess.Popen[bytes]"]) -> None:
    """Wait for it while all workers live."""
    deadline = time.monotonic() + 180
    while not done():
        assert time.monotonic() < deadline
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.2)
