"""`scripts/bench` measures what it says, and light commands stay light."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.parts.command import YTFSM

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "bench.py"

# Each of these takes longer to load than a light command takes to run.
HEAVY = {"aiohttp", "codexapi", "graphql", "huggingface_hub", "psutil", "pydantic", "rich", "torch", "transformers"}
# A drawing needs none of these either; together they were a tenth of its time.
NOT_FOR_DRAWING = {"transitions", "_hashlib", "yt_fsm.github.client", "yt_fsm.engine.settings", "yt_fsm.tools.hub"}


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def run(*argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(SCRIPT), *argv], capture_output=True, text=True, check=False)


def loaded(argv: list[str], folder: Path) -> set[str]:
    """The modules that a command of ours loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", YTFSM, *argv],
        env={**os.environ, "YTFSM_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("argv", [["graph"], ["runs"], ["runs", "--json"], ["--help"], ["run", "--help"]], ids=" ".join)
def test_a_light_command_loads_nothing_heavy(argv: list[str], tmp_path: Path) -> None:
    modules = loaded(argv, tmp_path)
    assert "yt_fsm.cli.main" in modules
    assert not HEAVY & modules


def test_a_drawing_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    assert not NOT_FOR_DRAWING & loaded(["graph"], tmp_path)


def test_a_limit_is_missed_by_the_median_and_not_by_one_slow_run(bench: Any) -> None:
    assert not bench.Line("a", "ms", [1.0, 1.2, 9.0], most=1.5).missed
    assert bench.Line("a", "ms", [1.0, 1.6, 9.0], most=1.5).missed
    assert bench.Line("a", "records/s", [10.0, 20.0, 90.0], least=30).missed
    assert not bench.Line("a", "ms", [9.0]).missed


def test_the_journal_is_measured() -> None:
    done = run("journal", "--times", "1", "--json")
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)["journal"]
    assert [line["name"] for line in lines] == ["durable append", "read and verify"]
    assert all(line["median"] > 0 for line in lines)


def test_the_start_is_measured_beside_what_it_is_made_of() -> None:
    done = run("graph", "--times", "1", "--json")
    lines = {line["name"]: line for line in json.loads(done.stdout)["graph"]}
    ratio = lines["ratio of the two, run by run"]
    assert len(ratio["values"]) == 5
    assert done.returncode == (0 if ratio["ok"] else 1)


def test_what_looks_at_all_runs_is_measured_against_few() -> None:
    done = run("scale", "--runs", "120", "--times", "1", "--json")
    assert done.returncode in (0, 1), done.stderr
    lines = json.loads(done.stdout)["scale"]
    names = [line["name"] for line in lines if "120 runs" in line["name"]]
    assert names[:3] == ["worker start, 120 runs", "doctor's part, 120 runs", "find, 120 runs"]
    assert "ytfsm runs --all, 120 runs" in names
    assert sum(line["name"] == "  ratio, run by run" for line in lines) == len(names)


def test_the_table_says_median_spread_and_limit(bench: Any) -> None:
    text = bench.Line("a poll is answered", "ms", [2.0, 4.0, 1234.0], most=10.0).text()
    assert " ".join(text.split()) == "a poll is answered 4.00 ms 2.00 to 1,234 3 at most 10.0: ok"


def test_an_unknown_benchmark_is_a_usage_error() -> None:
    done = run("speed")
    assert done.returncode == 2
    assert "graph" in done.stderr


def test_the_phases_of_an_evaluation_are_seconds_and_not_their_sum() -> None:
    from yt_fsm.lab.eval_bench import phases

    timing = {"reference": 0.1, "decode": 2, "total": 5.0, "tokens_per_second": 9.1, "computed": {"load": 1.0}}
    assert phases(timing) == {"reference": 0.1, "decode": 2.0}
