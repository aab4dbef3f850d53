"""What `scripts/bench` runs: one function a benchmark, one line a measurement (median, spread, and its limit).

Commands that are compared run in turns, so that a busy machine slows both. Exit code 1 when a limit was missed.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDS = 400


@dataclass
class Line:
    """One measurement: `values` of the same thing in `unit`; at most or at least `limit`, where there is one."""

    name: str
    unit: str
    values: list[float]
    most: float | None = None
    least: float | None = None

    @property
    def median(self) -> float:
        """What counts; a single slow run does not."""
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        """Whether the median is on the wrong side of the limit."""
        over = self.most is not None and self.median > self.most
        return over or (self.least is not None and self.median < self.least)

    def text(self) -> str:
        """The line as it is printed."""
        spread = f"{_number(min(self.values))} to {_number(max(self.values))}"
        line = f"  {self.name:<40}{_number(self.median):>9} {self.unit:<10}{spread:<20}{len(self.values):>4}"
        for word, limit in (("at most", self.most), ("at least", self.least)):
            if limit is not None:
                line += f"   {word} {_number(limit)}: {'MISSED' if self.missed else 'ok'}"
        return line

    def as_json(self) -> dict[str, object]:
        """The same for a program."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "values": self.values,
            "ok": not self.missed,
        }


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def graph(times: int) -> list[Line]:
    """`ytfsm graph` against importing the two libraries that it is made of."""
    ytfsm = shutil.which("ytfsm", path=sysconfig.get_path("scripts"))
    if ytfsm is None:
        sys.exit("bench: ytfsm is not installed in this environment; scripts/install does that")
    drawing = [ytfsm, "graph"]
    imports = [sys.executable, "-c", "import typer, transitions"]
    # Without compiled files each start would compile; that is a setting of some machines, and no part of the answer.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def milliseconds(command: list[str]) -> float:
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
        return (time.perf_counter() - started) * 1000

    for command in (drawing, imports):
        milliseconds(command)
    pairs = [(milliseconds(drawing), milliseconds(imports)) for _ in range(5 * times)]
    return [
        Line("ytfsm graph", "ms", [ours for ours, _ in pairs]),
        Line('python -c "import typer, transitions"', "ms", [theirs for _, theirs in pairs]),
        Line("ratio of the two, run by run", "", [ours / theirs for ours, theirs in pairs], most=1.5),
    ]


def journal(times: int) -> list[Line]:
    """Records appended, each on disk before the next, and records read back and verified."""
    from machines.bringup import MACHINE
    from yt_fsm.engine.journal import Journal, parse

    written, read = [], []
    detail = {"argv": ["git", "status", "--porcelain"], "cwd": "clean", "code": 0, "seconds": 0.012, "log": "001.log"}
    disk = ROOT / ".venv"  # /tmp may be memory, which syncs nothing
    header = {"run_id": "bench", "machine": "bringup", "machine_table": MACHINE.table(), "system": "n300"}
    with tempfile.TemporaryDirectory(dir=disk if disk.is_dir() else None) as folder:
        for number in range(times):
            path = Path(folder) / str(number) / "journal.jsonl"
            book = Journal.create(path, **header, issue={"number": 1})
            started = time.perf_counter()
            for _ in range(RECORDS):
                book.append("command", **detail)
            written.append(RECORDS / (time.perf_counter() - started))
            book.close()
            data = path.read_bytes()
            started = time.perf_counter()
            reading = parse(data)
            read.append(len(reading.records) / (time.perf_counter() - started))
            if reading.verdict != "ok":
                sys.exit(f"bench: the journal did not verify: {reading.detail}")
    return [
        Line("durable append", "records/s", written),
        Line("read and verify", "records/s", read),
    ]


def sandbox(times: int) -> list[Line]:
    """What walls add to the start of a program, and a clean clone made anew of what `init-models` writes."""
    from yt_fsm.bringup import template
    from yt_fsm.engine.redaction import Redactor
    from yt_fsm.engine.sandbox import Sandbox, available, roots_of
    from yt_fsm.engine.shell import Shell
    from yt_fsm.tools.git import Repository

    shell = Shell("bench", Redactor())
    walls = Sandbox(available(), tuple(roots_of(sys.executable)))

    def milliseconds(box: Sandbox | None) -> float:
        started = time.perf_counter()
        shell.run(["true"], timeout=60, cwd=ROOT.parent, sandbox=box)
        return (time.perf_counter() - started) * 1000

    milliseconds(walls)
    pairs = [(milliseconds(walls), milliseconds(None)) for _ in range(4 * times)]
    renewed = []
    with tempfile.TemporaryDirectory() as folder:
        source, bundle = Path(folder) / "source", Path(folder) / "bundle"
        template.write(source)
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        for argv in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
            subprocess.run(["git", *who, *argv], cwd=source, check=True)
        Repository(shell, source).keep(bundle)
        for _ in range(times):
            clone = Repository(shell, Path(folder) / "clean")
            started = time.perf_counter()
            clone.renew(bundle, str(source))
            renewed.append((time.perf_counter() - started) * 1000)
    return [
        Line(
            f"`true` {'behind walls' if walls.walls else 'with limits (no bubblewrap here)'}",
            "ms",
            [a for a, _ in pairs],
        ),
        Line("`true` without", "ms", [b for _, b in pairs]),
        Line("the clean clone made anew", "ms", renewed),
    ]


def lab(times: int) -> list[Line]:
    """How soon a lab is ready, and how fast it answers a poll over 300 issues."""
    from yt_fsm.lab import bench

    limits = {"a lab is ready, warm": 1000.0, "a poll is answered": 10.0}
    rounds = [bench.measure() for _ in range(times)]
    return [Line(name, "ms", [found[name] for found in rounds], most=limits.get(name)) for name in rounds[0]]


def evaluation(times: int) -> list[Line]:
    """A first and a later check of codex's work (pytest, hf, tt0, tt1), by phase, and the straightforward way."""
    from yt_fsm.lab import eval_bench

    rounds = [eval_bench.measure() for _ in range(min(times, 3))]
    lines = []
    for place, title in enumerate(("first check", "later check", "straightforward")):
        for name in ("total", *(name for name in rounds[0][place] if name != "total")):
            values = [found[place][name] for found in rounds]
            if statistics.median(values) >= 0.05:
                lines.append(Line(title if name == "total" else f"  {name}", "s", values))
    for place, title in enumerate(("first check", "later check")):
        ratios = [found[2]["total"] / found[place]["total"] for found in rounds]
        lines.append(Line(f"straightforward / {title}", "", ratios))
    return lines


def scale(times: int, many: int) -> list[Line]:
    """What looks at all runs, over `many` that are over and over 100: in this process, and as whole commands."""
    few = 100
    with tempfile.TemporaryDirectory(prefix="ytfsm-scale-") as folder:
        homes = {count: Path(folder) / str(count) for count in (few, many)}
        for count, home in homes.items():
            _finished_runs(home / "runs", count)
        first = {count: _milliseconds(_looks(home)["worker start"]) for count, home in homes.items()}
        lines = [Line(f"each run at the first start, {count:,}", "ms", [took / count]) for count, took in first.items()]
        for name, look in _looks(homes[many]).items():
            small = _looks(homes[few])[name]
            look()
            pairs = [(_milliseconds(look), _milliseconds(small)) for _ in range(times)]
            lines.append(Line(f"{name}, {many:,} runs", "ms", [large for large, _ in pairs], most=1000.0))
            lines.append(Line(f"  against {few} runs", "ms", [little for _, little in pairs]))
            lines.append(Line("  ratio, run by run", "", [large / little for large, little in pairs]))
    return lines


def _milliseconds(what: Callable[[], object]) -> float:
    started = time.perf_counter()
    what()
    return (time.perf_counter() - started) * 1000


def _looks(home: Path) -> dict[str, Callable[[], object]]:
    """All that looks at every run of a home."""
    from machines.bringup import MACHINE
    from yt_fsm.bringup.settings import Settings
    from yt_fsm.engine import janitor, recovery, store
    from yt_fsm.engine.queue import Queue

    machines = {MACHINE.name: MACHINE}
    settings = Settings(system="n300", home=home, tmp_root=home / "tmp")
    ytfsm = shutil.which("ytfsm", path=sysconfig.get_path("scripts")) or sys.exit("bench: ytfsm is not installed here")
    environment = {**os.environ, "YTFSM_HOME": str(home)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def command(*argv: str) -> Callable[[], object]:
        return lambda: subprocess.run([ytfsm, *argv], stdout=subprocess.DEVNULL, env=environment, check=True)

    def start() -> None:
        found = [*recovery.unfinished(settings, MACHINE, Queue()), *janitor.clean(settings, [MACHINE])]
        if found:
            sys.exit(f"bench: of runs that are over nothing is left to do, and yet: {found[:3]}")

    return {
        "worker start": start,
        "doctor's part": lambda: list(store.waiting(settings.runs, machines)),
        "find": lambda: store.find(settings.runs, "-i7-0007"),
        "ytfsm runs": command("runs"),
        "ytfsm runs --issue 7": command("runs", "--issue", "7"),
        "ytfsm runs --state failed": command("runs", "--state", "failed"),
        "ytfsm runs --all --json": command("runs", "--all", "--json"),
        "ytfsm runs --all": command("runs", "--all"),
    }


def _finished_runs(runs: Path, count: int) -> None:
    """Runs that are over, each with a journal of its own whose hashes are right: short ones, as they are read once."""
    from datetime import datetime, timedelta, timezone

    from machines.bringup import MACHINE
    from yt_fsm.engine.journal import GENESIS, VERSION, digest

    began = datetime(2026, 1, 1, tzinfo=timezone.utc)
    subject = {"kind": "issue", "words": "issue 7"}
    header = {"machine": "bringup", "machine_table": MACHINE.table(), "system": "n300", "worker": "bench"}
    for number in range(count):
        moment = began + timedelta(minutes=number)
        run_id = f"{moment:%Y%m%dT%H%M%SZ}-n300-i{number % 100}-{number % 65536:04x}"
        issue = {"issue": {"number": number % 100}, "subject": {**subject, "number": number % 100}}
        records: list[dict[str, object]] = [
            {"kind": "header", "run_id": run_id, **header, **issue},
            {"kind": "transition", "event": "lose", "source": "ready", "dest": "released", "status": None},
            {"kind": "end", "state": "released", "published": True},
        ]
        prev, lines = GENESIS, b""
        for seq, record in enumerate(records):
            at = f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"
            whole = {"v": VERSION, "seq": seq, "at": at, "mono": float(seq), **record, "prev": prev}
            body = json.dumps(whole, separators=(",", ":")).encode()
            prev = digest(body)
            lines += body[:-1] + b',"hash":"' + prev.encode() + b'"}\n'
        (runs / run_id).mkdir(parents=True)
        (runs / run_id / "journal.jsonl").write_bytes(lines)


BENCHES: dict[str, Callable[[int], list[Line]]] = {
    "graph": graph,
    "journal": journal,
    "sandbox": sandbox,
    "lab": lab,
    "eval": evaluation,
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Medians and spread of what must stay fast.")
    parser.add_argument("bench", choices=[*BENCHES, "scale", "all"], help="all: but scale, which takes minutes")
    parser.add_argument("--times", type=int, default=5, help="how often each is measured (graph: five times that)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--runs", type=int, default=100_000, help="scale: how many runs that are over")
    asked = parser.parse_args()
    benches = {**BENCHES, "scale": lambda times: scale(times, max(100, asked.runs))}
    chosen = BENCHES if asked.bench == "all" else {asked.bench: benches[asked.bench]}
    results = {}
    if not asked.json:
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(
            f"{platform.platform()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}",
            flush=True,
        )
    for name, bench in chosen.items():
        results[name] = bench(max(1, asked.times))
        if not asked.json:
            print(f"{name:<42}{'median':>9} {'':<10}{'spread':<20}{'runs':>4}", flush=True)
            print("\n".join(line.text() for line in results[name]), flush=True)
    if asked.json:
        print(json.dumps({name: [line.as_json() for line in lines] for name, lines in results.items()}))
    sys.exit(any(line.missed for lines in results.values() for line in lines))


if __name__ == "__main__":
    main()
