"""What a person sees of runs: lines of text, coloured on a terminal only."""

import functools
import itertools
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from yt_fsm.bringup.metrics import summary
from yt_fsm.engine.diagram import duration
from yt_fsm.engine.journal import Record
from yt_fsm.engine.outside import harmless, plain
from yt_fsm.engine.replay import transitions_of

if TYPE_CHECKING:
    from yt_fsm.engine.needs import Need
    from yt_fsm.engine.settings import Effective

BAD = {"failed", "setup_error", "reference_error"}


def replay(told: dict[str, Any], records: list[Record], folder: Path, step: bool = False) -> None:
    """One line a transition, each failed check under the state it belongs to, then how the record stands."""
    told = harmless(told)
    where = told["subject"].get("words", "no subject")
    typer.secho(f"{told['run_id']}  {told['machine']}  {where}  {told['model'] or ''}".rstrip(), bold=True)
    moves = {move["seq"]: move for move in told["transitions"]}
    for record in records:
        line = _line(record, moves)
        if line is None:
            continue
        typer.echo(line)
        if step and sys.stdin.isatty():
            input()
    typer.echo(_ending(told, folder))


def _line(record: Record, moves: dict[int, dict[str, Any]]) -> str | None:
    record = harmless(record)
    when = record["at"][:19].replace("T", " ")
    kind = record["kind"]
    if kind == "transition":
        return _transition(when, moves[record["seq"]])
    if kind == "attempt":
        return _attempt(when, record)
    if kind == "verdict":
        return typer.style(f"{when}    {record['error']}: {record['text'].splitlines()[0]}", fg="red")
    if kind == "fact" and record["name"] in ("kept", "earlier"):
        return f"{when}    {_work(record['name'], record['value'])}"
    if kind == "waiting":
        return typer.style(f"{when}    {_wait(record)}", fg="yellow")
    if kind in ("stopped", "crashed", "resumed", "repaired", "refused"):
        why = record.get("why") or record.get("error") or record.get("detail") or ""
        return typer.style(f"{when}    {kind}: {why}", fg="yellow")
    return None


def _work(name: str, value: Any) -> str:
    """Where unfinished work was kept, or whose work a run began from."""
    told = value if isinstance(value, dict) else {}
    left = f", but for {told['left_out']}" if told.get("left_out") else ""
    if name == "earlier":
        return f"begins from the work of {told.get('run_id')}{left}"
    return f"its work is kept in artifacts/{told.get('file')}{left}; the next run of this issue here starts from it"


def _wait(told: dict[str, Any]) -> str:
    return f"waiting until {told['until'][:19].replace('T', ' ')} UTC: {told['why'].splitlines()[0]}"


def _attempt(at: str, record: Record) -> str:
    first = (record.get("error") or "").strip().splitlines()
    failing = record.get("failing") or (first[0] if first else "")
    said, colour = (
        (f"check {record['n']} passed", "green")
        if record["passed"]
        else (
            f"check {record['n']} failed: {failing}",
            "red",
        )
    )
    lines = [typer.style(f"{at}    {said}", fg=colour)]
    for key, data in (record.get("metrics") or {}).items():
        lines.append(f"{'':19}    {key:<5}{summary(data)}")
    return "\n".join(lines)


def _transition(at: str, move: dict[str, Any]) -> str:
    status = f"[{move['status']}]" if move["status"] else ""
    colour = "red" if move["dest"] in BAD else ("green" if move["dest"] == "review" else "cyan")
    path = f"{move['source']} → {move['dest']}"
    return f"{at}  {move['event']:<9}{typer.style(f'{path:<28}', fg=colour)}{status:<19}{duration(move['seconds']):>8}"


def _ending(told: dict[str, Any], folder: Path) -> str:
    integrity = told["integrity"]
    lines = []
    if integrity["verdict"] == "ok":
        lines.append(f"journal ok: {integrity['records']} records, last {integrity['last']}")
    elif integrity["verdict"] == "torn":
        lines.append(f"journal torn: {integrity['detail']}; resuming the run repairs it")
    else:
        lines.append(f"journal DAMAGED: {integrity['detail']}; what stands above was verified")
    if told["definition"]["drift"]:
        lines.append("the machine has changed since this run began")
    if told["waiting"]:
        lines.append(_wait(told["waiting"]))
    if not told["complete"]:
        lines.append(f"not complete: it stands in `{told['state']}`")
    lines.append(f"files: {folder}")
    return "\n".join(lines)


def follow(folder: Path, seen: int) -> None:
    """Print what a running run adds, until it ends or the reader presses Ctrl-C."""
    from yt_fsm.engine.store import reading_of

    while True:
        reading = reading_of(folder)
        moves = {move["seq"]: move for move in transitions_of(reading.records)}
        for record in reading.records[seen:]:
            line = _line(record, moves)
            if line:
                typer.echo(line)
        seen = len(reading.records)
        if reading.verdict == "corrupt" or (reading.records and reading.records[-1]["kind"] == "end"):
            return
        try:
            time.sleep(0.5)
        except KeyboardInterrupt:
            return


def runs(rows: Iterable[dict[str, Any]], folder: Path) -> None:
    """A line a run; many at once, as each print is a system call."""
    lines = map(_run, rows)
    part = list(itertools.islice(lines, 1000))
    if not part:
        typer.echo(f"no runs in {folder}")
    while part:
        typer.echo("\n".join(part))
        part = list(itertools.islice(lines, 1000))


@functools.cache
def _state(state: str | None) -> str:
    colour = "red" if state in (*BAD, "damaged") else ("green" if state == "review" else "yellow")
    return typer.style(f"{state!s:<16}", fg=colour)


def _run(row: dict[str, Any]) -> str:
    row = harmless(row)
    whole = "" if row["complete"] else "  (not complete)"
    about = f"{row['attempts']} attempts  #{row['issue']} {row['model'] or ''}" if row["issue"] is not None else ""
    return f"{row['run_id']:<38}{_state(row['state'])}{duration(row['seconds']):>8}  {about}{whole}".rstrip()


def needs(found: "list[Need]") -> None:
    """A line a prerequisite, and what to do about each that is missing."""
    for check in found:
        mark = typer.style("ok     ", fg="green") if check.ok else typer.style("missing", fg="red")
        typer.echo(f"{mark} {check.check}: {plain(check.found)}")
        if not check.ok:
            typer.echo(f"        {plain(check.fix)}")


def settings(found: "list[Effective]") -> None:
    """A line a setting: its variable, its value, and who set it where that was somebody."""
    wide = max(len(one.variable) for one in found)
    for one in found:
        value = "–" if one.value is None else json.dumps(one.value, ensure_ascii=False)
        by = "not set, and required" if one.origin == "missing" else " ".join(filter(None, (one.origin, one.where)))
        typer.echo(plain(f"{one.variable:<{wide}}  {value}  ({by})"))
