"""The command line: parses, calls, prints; errors become text and an exit code in one place.

Heavy modules (settings, worker, lab) are imported inside the commands that need them, so that `graph`, `replay`,
`runs` and `--help` stay quick.
"""

import contextlib
import errno
import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from yt_fsm.engine import diagram, store
from yt_fsm.engine.errors import Exists, JournalDamaged, NotFound, PreflightFailed, SetupError, Usage, YtfsmError
from yt_fsm.engine.machine import Definition
from yt_fsm.engine.outside import plain, shown
from yt_fsm.engine.replay import path_of
from yt_fsm.engine.replay import replay as replayed

from . import show

Machines = dict[str, Definition]

DRAWINGS = ("mermaid", "dot", "svg", "png")
REASON_CHARS = 4000
LOG_CHARS = 20_000  # of one message
_FAILING_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class _Commands(TyperGroup):
    """Turns our errors into their text and exit code, a traceback only with --debug; loads the lab for `lab` alone."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), "lab"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name != "lab":
            return super().get_command(ctx, cmd_name)
        from yt_fsm.lab.cli import app as lab

        return typer.main.get_command(lab)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> Any:
        with _short_usage():
            for arg in args:
                if arg != arg.encode(errors="replace").decode():
                    raise click.UsageError(f"an argument is not UTF-8: {arg}")
            return super().make_context(info_name, args, *more, **extra)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _short_usage():
                return super().invoke(ctx)
        except YtfsmError as problem:
            if ctx.params.get("debug"):
                raise
            typer.echo(plain(f"ytfsm: {problem}"), err=True)
            raise typer.Exit(problem.exit_code) from None
        except BrokenPipeError:
            sys.stderr.close()  # whoever read our output has gone
            raise typer.Exit(1) from None
        except OSError as problem:  # of a file or folder that was named to us; a run's own become words in the engine
            if ctx.params.get("debug"):
                raise
            named = f"{shown(problem.filename)}: " if problem.filename else ""
            typer.echo(f"ytfsm: {named}{problem.strerror or shown(problem)}", err=True)
            raise typer.Exit(1 if problem.errno in _FAILING_DISK else Usage.exit_code) from None


@contextmanager
def _short_usage() -> Iterator[None]:
    """What click says of a bad argument quotes it: on one line, and not all of it."""
    try:
        yield
    except click.UsageError as problem:
        problem.message = shown(problem.message, 400)  # type: ignore[misc]
        raise


class _Plain(logging.Formatter):
    """Log lines quote issues, branches and programs: none of their escape sequences reaches the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = plain(super().format(record))
        return text if len(text) <= LOG_CHARS else f"{text[:LOG_CHARS]} … {len(text) - LOG_CHARS:,} characters more"


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Bring Hugging Face models up on Tenstorrent machines, every transition persisted.",
)


def run_app(machines: Machines) -> None:
    """Run the command line over `machines`; never returns normally."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show a letter is no reason to fail
    app(obj=machines, prog_name="ytfsm")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and every command.")] = False,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="Settings from this file, not ytfsm.toml [YTFSM_SETTINGS]."),
    ] = None,
) -> None:
    """Bring Hugging Face models up on Tenstorrent machines, every transition persisted."""
    if settings is not None:
        os.environ["YTFSM_SETTINGS"] = str(settings.expanduser().absolute())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    for noisy in ("transitions", "asyncio", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Any unique fragment of a run id.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="End instead of waiting for a limit or a service; the run can be resumed.")
]
Machine = Annotated[str, typer.Option("--machine", help="One of machines/.")]


@app.command(epilog="Example: ytfsm run --system n300")
def run(
    ctx: typer.Context,
    system: Annotated[
        str | None, typer.Option(help="This machine's type: n150, n300, lb or one of your own [YT_SYSTEM].")
    ] = None,
    machine: Machine = "bringup",
    once: Annotated[bool, typer.Option("--once", help="One run, or none, and exit.")] = False,
    issue: Annotated[
        str | None,
        typer.Option(metavar="N", help="Only this issue; in a dry run also a file with an issue's text."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done: no gh, no reset, no codex.")
    ] = False,
    skip_tt: Annotated[
        bool, typer.Option("--skip-tt", help="HF evaluation only, on a machine without a card; said in the PR.")
    ] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """The worker: poll, claim, walk, repeat."""
    from yt_fsm.engine.worker import Worker

    definition = _machine(ctx.obj, machine)
    settings = _settings(ctx.obj, definition, system=system, skip_tt=skip_tt or None)
    if dry_run:
        _dry_run(definition, settings, issue)
        return
    worker = Worker(definition, settings, _shell("worker", settings), patient=not no_wait)
    worker.listen()
    _say(worker.work(once=once, name=_number(issue)), as_json)


def _shell(who: str, settings: Any) -> Any:
    """The command's shell; from here on neither it nor the terminal shows a secret."""
    from yt_fsm.engine.redaction import guard_terminal
    from yt_fsm.engine.shell import Shell

    redact = settings.redactor()
    guard_terminal(redact)
    shell = Shell(f"{who}-{os.getpid()}", redact)
    if not any(os.environ.get(name) for name in ("GH_TOKEN", "GITHUB_TOKEN")):
        with contextlib.suppress(SetupError):  # gh may keep its token in a keyring, where nobody else finds it
            said = shell.run(["gh", "auth", "token"], timeout=20, check=False)
            if said.ok:
                redact.learn({said.out.strip(): "gh's login"})
    return shell


def _say(outcome: Any, as_json: bool) -> None:
    """The last line of `run`, `resume` and `abandon`, and their exit code."""
    if as_json:
        typer.echo(json.dumps(outcome.as_json()))
    elif outcome.run_id is None:
        typer.echo(outcome.reason)
    else:
        status = f" ({outcome.status or 'status untouched'})" if outcome.issue else ""
        typer.echo(plain(f"{outcome.run_id}: {outcome.words}: {outcome.state}{status} {outcome.url or ''}".rstrip()))
        if outcome.waiting:
            typer.echo(plain("waits until {until}: {why}".format(**outcome.waiting)))
    raise typer.Exit(outcome.code)


def _dry_run(definition: Definition, settings: Any, issue: str | None) -> None:
    import tempfile

    from yt_fsm.bringup import dry
    from yt_fsm.engine.redaction import guard_terminal
    from yt_fsm.engine.run import create
    from yt_fsm.engine.walk import walk

    if definition.name != "bringup":
        raise Usage(f"--dry-run shows a bringup, and {definition.name!r} is another machine")
    if issue is None:
        raise Usage("--dry-run reads nothing from GitHub, so name the issue: --issue N, or --issue FILE with its text")
    chosen = dry.issue_from(issue, settings.system, settings.owner, settings.repo_models)
    with tempfile.TemporaryDirectory(prefix="ytfsm-dry-") as folder:
        pretend = settings.model_copy(update={"home": Path(folder), "tmp_root": Path(folder)})
        redact = pretend.redactor()
        guard_terminal(redact)
        shell = dry.DryShell("dry-run", redact)
        subject = dry.subject(definition.queue(pretend, shell), shell, chosen)
        typer.echo(f"selected issue: {chosen.url} {chosen.title}")
        logging.getLogger("ytfsm").setLevel(logging.WARNING)
        run = create(definition, pretend, subject, shell, {})
        walk(run)
    typer.echo(f"would end in: {run.state}")
    if run.problem:
        raise run.problem


def _number(issue: str | None) -> str | None:
    if issue is None:
        return None
    number = issue.removeprefix("#")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise Usage(f"--issue {shown(issue, 80)}: must be an issue's number (a file only with --dry-run)")
    return str(int(number))


@app.command(epilog="Example: ytfsm resume 7f3c")
def resume(ctx: typer.Context, run: RunArgument, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Go on with a run after a crash or a stop."""
    from yt_fsm.engine.recovery import resume as go_on

    _take_over(ctx.obj, run, go_on, as_json, patient=not no_wait)


@app.command(epilog='Example: ytfsm abandon 7f3c --reason "wrong revision"')
def abandon(
    ctx: typer.Context,
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Why, for the issue and the journal.")],
    as_json: Json = False,
) -> None:
    """End a run properly: work preserved, status set, workspace gone."""
    from yt_fsm.engine.recovery import abandon as end

    if not reason.strip() or len(reason) > REASON_CHARS:
        raise Usage(f"--reason is {len(reason):,} characters long: write between 1 and {REASON_CHARS:,}")
    _take_over(ctx.obj, run, lambda walked: end(walked, reason), as_json, ending=True)


def _take_over(
    machines: Machines, fragment: str, walk: Any, as_json: bool, ending: bool = False, patient: bool = True
) -> None:
    from yt_fsm.engine.worker import Worker

    folder = store.find(_runs(), fragment)
    reading = _sound(folder, machines)
    header = reading.records[0]
    definition = _machine(machines, header["machine"])
    settings = _settings(machines, definition, system=header.get("system"))
    worker = Worker(definition, settings, _shell("worker", settings), patient)
    worker.listen()
    _say(worker.take_over(folder, walk, ending), as_json)


@app.command(epilog="Example: ytfsm replay 7f3c --json")
def replay(
    ctx: typer.Context,
    run: RunArgument,
    until: Annotated[int | None, typer.Option(metavar="SEQ", help="Stop after this record.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter after each line.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as the run goes on.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the end with the issue's comment (uses the network).")
    ] = False,
    as_json: Json = False,
) -> None:
    """The run's transitions, verified against the machine in its journal."""
    folder = store.find(_runs(), run)
    reading = store.reading_of(folder, ctx.obj)
    if until is not None:
        reading.records = [record for record in reading.records if record["seq"] <= until]
    today = ctx.obj.get(reading.records[0].get("machine")) if reading.records else None
    told = replayed(reading, today)
    lost = _lost_records(ctx.obj, folder, reading) if verify and reading.records else None
    if lost:
        told["integrity"].update(verdict="corrupt", detail=lost)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        show.replay(told, reading.records, folder, step=step)
        if verify and not lost:
            typer.echo("verified: the issue's comment names a record that stands in this journal")
    if follow and told["integrity"]["verdict"] != "corrupt":
        show.follow(folder, len(reading.records))
    if told["integrity"]["verdict"] == "corrupt":
        raise JournalDamaged(f"{folder / 'journal.jsonl'}: {told['integrity']['detail']}")


@app.command(epilog="Example: ytfsm graph --format dot | dot -Tsvg > bringup.svg")
def graph(
    ctx: typer.Context,
    machine: Machine = "bringup",
    format: Annotated[str, typer.Option(help="mermaid, dot, svg or png.")] = "mermaid",
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Draw this run's path, with the time in each state.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Write here instead of stdout.")] = None,
) -> None:
    """The state diagram."""
    if format not in DRAWINGS:
        raise Usage(f"--format {shown(format, 80)}: must be one of {', '.join(DRAWINGS)}")
    table, path = _machine(ctx.obj, machine).table(), None
    if run is not None:
        reading = store.reading_of(store.find(_runs(), run), ctx.obj)
        if not reading.records:
            raise JournalDamaged(f"the journal of {shown(run)} has no header: {reading.detail}")
        table, path = reading.records[0]["machine_table"], path_of(reading.records)
    if format == "mermaid":
        drawn = diagram.mermaid(table, path).encode()
    else:
        drawn = diagram.dot(table, path).encode()
        if format != "dot":
            drawn = _graphviz(drawn, format)
    if output:
        output.write_bytes(drawn)
    else:
        sys.stdout.buffer.write(drawn)
        sys.stdout.buffer.flush()


def _graphviz(drawn: bytes, format: str) -> bytes:
    import shutil
    import subprocess

    program = shutil.which("dot")
    if not program:
        raise PreflightFailed(
            f"--format {format} needs Graphviz, and there is no `dot` on PATH: install the package graphviz, "
            "or use --format mermaid or dot"
        )
    return subprocess.run([program, f"-T{format}"], input=drawn, stdout=subprocess.PIPE, check=True).stdout


@app.command(epilog="Example: ytfsm runs --state failed")
def runs(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only runs in this state.")] = None,
    issue: Annotated[int | None, typer.Option(metavar="N", help="Only runs of this issue.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Not only the newest twenty.")] = False,
    as_json: Json = False,
) -> None:
    """The runs on this machine, newest first."""
    lines = itertools.islice(store.rows(_runs(), ctx.obj, state, issue), None if everything else 20)
    if as_json:
        typer.echo(f"[{', '.join(lines)}]")
    else:
        show.runs(map(json.loads, lines), _runs())


@app.command(epilog="Example: ytfsm doctor --system n300")
def doctor(
    ctx: typer.Context,
    system: Annotated[str | None, typer.Option(help="This machine's type [YT_SYSTEM].")] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Clear away what dead runs left.")] = False,
    as_json: Json = False,
) -> None:
    """Every prerequisite: found, version, ok or what to do."""
    from yt_fsm.engine import janitor

    logging.getLogger("ytfsm").setLevel(logging.WARNING)
    definition = _machine(ctx.obj, "bringup")
    settings = _settings(ctx.obj, definition, system=system)
    shell = _shell("doctor", settings)
    for done in janitor.clean(settings, ctx.obj.values()) if clean else []:
        typer.echo(f"cleared away: {done}", err=True)
    queue = definition.queue(settings, shell)
    found = [*definition.needs(queue), *_hindrances(ctx.obj, definition, queue, settings)]
    if as_json:
        typer.echo(json.dumps([check.as_json() for check in found]))
    else:
        show.needs(found)
    if not all(check.ok for check in found):
        raise typer.Exit(PreflightFailed.exit_code)


def _hindrances(machines: Machines, definition: Definition, queue: Any, settings: Any) -> Iterator[Any]:
    """What this machine's workers wait for, and what they take nothing for, as doctor's lines."""
    from yt_fsm.engine import breaker
    from yt_fsm.engine.needs import Need

    for told in breaker.opened(settings.home):
        found = "stopped claiming at {since}, and looks again at {next}: {why}".format(**told)
        yield Need(f"worker {told['worker']}", False, found, "mend that; the worker goes on by itself")
    if hindrance := definition.hindered(queue):
        at = store.stamp(hindrance.until) if hindrance.until else "somebody knows better"
        yield Need("new work", True, f"none is taken until {at}: {hindrance}")
    for row in store.waiting(settings.runs, machines):
        yield Need("waiting", True, "{run_id} ({words}) waits in `{state}` until {until}: {why}".format(**row))


@app.command(epilog="Example: ytfsm config --system n300")
def config(
    ctx: typer.Context,
    system: Annotated[str | None, typer.Option(help="This machine's type [YT_SYSTEM].")] = None,
    machine: Machine = "bringup",
    as_json: Json = False,
) -> None:
    """Every setting as it counts, and who set it: a flag, the environment, a file's line, or nobody."""
    from yt_fsm.engine.settings import effective

    found = effective(_machine(ctx.obj, machine).settings(), _kinds(ctx.obj), system=system)
    if as_json:
        typer.echo(json.dumps([setting.as_json() for setting in found]))
    else:
        show.settings(found)


@app.command("init-models", epilog="Example: ytfsm init-models ../ttnn_models")
def init_models(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
) -> None:
    """Write the skeleton of a models repo: evaluation harness, issue forms, an example bringup."""
    from yt_fsm.bringup import template

    try:
        written = template.write(folder)
    except (FileExistsError, NotADirectoryError) as problem:
        raise Exists(str(problem)) from None
    typer.echo(f"{len(written)} files written to {shown(folder)}; next: git init, commit, push, `ytfsm init-board`")


@app.command("init-board", epilog="Example: ytfsm init-board --check")
def init_board(
    ctx: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Only look; exit code 1 when something is missing.")] = False,
    as_json: Json = False,
) -> None:
    """Labels, Project and Status options (§3.1, §3.2), found by number or title; safe to repeat."""
    from yt_fsm.bringup.settings import ProjectSettings
    from yt_fsm.engine.settings import load
    from yt_fsm.github import project
    from yt_fsm.github.queue import github_of
    from yt_fsm.tools import systems

    logging.getLogger("ytfsm").setLevel(logging.WARNING)
    settings = load(ProjectSettings, _kinds(ctx.obj))
    shell = _shell("init-board", settings)
    labels = [
        project.Label(system.name, system.label.colour, system.label.description)
        for system in systems.known(settings.systems_dir)
    ]
    made = project.ensure(github_of(settings, shell), labels, check=check)
    if as_json:
        typer.echo(json.dumps([part.as_json() for part in made]))
    else:
        for part in made:
            typer.echo(f"{part.state:<8} {part.part}: {part.detail}")
    if check and any(part.state == "missing" for part in made):
        raise typer.Exit(1)


@app.command(epilog="Example: ytfsm demo")
def demo(
    folder: Annotated[Path | None, typer.Option("--dir", help="Where everything goes (default: a new folder).")] = None,
    model: Annotated[str, typer.Option(help="smollm2, or tiny for a quick look.")] = "smollm2",
    as_json: Json = False,
) -> None:
    """One whole bringup in a lab: real gh, git, codex and transformers; no account and no card."""
    import tempfile

    from yt_fsm.lab.demo import demo as show_all

    code = show_all(folder or Path(tempfile.mkdtemp(prefix="ytfsm-demo-")), model, as_json)
    raise typer.Exit(code)


def _kinds(machines: Machines) -> list[Any]:
    return [definition.settings() for definition in machines.values()]


def _settings(machines: Machines, definition: Definition, **flags: Any) -> Any:
    """A machine's settings; what only others know of ytfsm.toml is passed over."""
    from yt_fsm.engine.settings import load

    kind = definition.settings()
    for name, flag in flags.items():
        if flag is not None and name not in kind.model_fields:
            raise Usage(
                f"--{name.replace('_', '-')} {shown(flag, 80)}: the machine {definition.name!r} has no such setting"
            )
    return load(kind, _kinds(machines), **{name: flag for name, flag in flags.items() if name in kind.model_fields})


def _lost_records(machines: Machines, folder: Path, reading: Any) -> str | None:
    """What the issue's comment says is missing from the journal's end, asked where config.json says the issue is."""
    from yt_fsm.engine.outside import Malformed, at, parse, read
    from yt_fsm.engine.settings import load
    from yt_fsm.github.publishing import lost_records
    from yt_fsm.github.queue import github_of
    from yt_fsm.github.settings import GitHubSettings

    try:
        config = at(dict, parse(read(folder / "config.json", 1 << 20)), "settings")
    except (OSError, Malformed) as problem:
        raise NotFound(f"{folder / 'config.json'} does not say where the issue is: {problem}") from None
    named_in = ("owner", "repo_models", "project_number", "project_title")
    settings = load(GitHubSettings, _kinds(machines), **{name: config.get(name) for name in named_in})
    issue = reading.records[0].get("issue")
    if not issue:
        raise NotFound(f"{reading.records[0]['run_id']} is about no issue, so no comment ends it")
    return lost_records(github_of(settings, _shell("verify", settings)), reading, issue)


def _machine(machines: Machines, name: str) -> Definition:
    if name not in machines:
        raise NotFound(f"--machine {shown(name, 80)}: there is no such machine; there are {', '.join(machines)}")
    return machines[name]


def _sound(folder: Path, machines: Machines) -> Any:
    """A run's verified records. Raises JournalDamaged when some cannot be believed; a torn tail is no damage."""
    reading = store.reading_of(folder, machines)
    if reading.verdict == "corrupt" or not reading.records:
        raise JournalDamaged(f"{folder / 'journal.jsonl'} is damaged: {reading.detail or 'it has no header'}")
    return reading


def _runs() -> Path:
    from yt_fsm.engine import configuration

    return configuration.home() / "runs"
