"""The `ytfsm lab` commands: serve a lab, run a command in one, look at it, seed it, make it misbehave."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from yt_fsm.engine.outside import Malformed, at, parse, plain, shown

app = typer.Typer(
    help="A world in a folder: GitHub, the Hub, codex's model and a board for the real clients to talk to.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Option("--dir", help="the lab's folder; made if it is not there", file_okay=False)]
Inside = Annotated[
    Path | None, typer.Option("--dir", help="the lab's folder (default: the lab we are in)", file_okay=False)
]
ModelName = Annotated[str | None, typer.Option("--model", help="the model its Hub serves: tiny or smollm2")]
ScriptName = Annotated[str | None, typer.Option("--script", help="what codex's model does: bringup, right, hopeless …")]
System = Annotated[str | None, typer.Option("--system", help="the machine's type: n150, n300 or lb")]
AtStart = Annotated[
    list[str] | None,
    typer.Option("--fault", help="set this fault first, in the words of `ytfsm lab faults`: 'hub gated count=2'"),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]


@app.command()
def serve(
    folder: Folder,
    model: ModelName = None,
    script: ScriptName = None,
    system: System = None,
    fault: AtStart = None,
    guarded: Annotated[bool, typer.Option("--guarded", hidden=True)] = False,
) -> None:
    """Serve a lab until SIGTERM; says where it is in one JSON line.

    Example: ytfsm lab serve --dir /var/tmp/lab --fault 'hub gated'
    """
    import asyncio

    from yt_fsm.lab.serving import serve as serving

    def ready(line: dict[str, Any]) -> None:
        print(json.dumps(line), flush=True)

    faults = [_fault(text) for text in fault or []]
    choices = {"model": model, "script": script, "system": system}
    _worded(lambda: asyncio.run(serving(folder, ready, guarded, faults, **choices)))


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    }
)
def run(
    context: typer.Context,
    folder: Folder,
    model: ModelName = None,
    script: ScriptName = None,
    system: System = None,
    fault: AtStart = None,
) -> None:
    """Run a command inside a lab, with the environment set; the exit code is the command's.

    Example: ytfsm lab run --dir /var/tmp/lab -- gh issue list -R yieldthought/ttnn_models
    """
    from yt_fsm.lab.serving import run as running

    if not context.args:
        print("which command? ytfsm lab run --dir DIR -- COMMAND …", file=sys.stderr)
        raise typer.Exit(2)
    faults = [_fault(text) for text in fault or []]
    choices = {"model": model, "script": script, "system": system, "faults": faults}
    code = _worded(lambda: running(folder, context.args, **choices))
    raise typer.Exit(code)


@app.command()
def state(folder: Inside = None, as_json: AsJson = False) -> None:
    """Show the lab's GitHub: issues, pull requests, branches; with --json all of it, every request included.

    Example: ytfsm lab state --json
    """
    found = _ask(folder, "GET", "/state")
    if as_json:
        print(json.dumps(found))
        return
    for issue in found["issues"]:
        where = issue["status"] or "not on the board"
        print(f"#{issue['number']} {issue['title']} · {where} · {issue['state'].lower()}")
        for comment in issue["comments"]:
            print(f"    {comment['author']}: {comment['body'].splitlines()[0] if comment['body'] else ''}")
    for pull in found["pull_requests"]:
        where = f"{pull['head']} -> {pull['base']}"
        print(f"PR #{pull['number']} {pull['title']} · {pull['state'].lower()} · {where}")
    for branch in found["branches"]:
        print(f"{branch['sha'][:10]} {branch['name']}")
    counts = {
        "GitHub": len(found["requests"]),
        "the Hub": len(found["hub"]["requests"]),
        "codex's model": len(found["codex"]["requests"]),
        "tt-smi": len(found["tt_smi"]["requests"]),
    }
    if missing := sorted({one for request in found["requests"] for one in request.get("not_implemented", ())}):
        print("\n".join(missing))
    print("requests: " + ", ".join(f"{count} to {name}" for name, count in counts.items()))


@app.command()
def seed(
    folder: Inside = None,
    model: Annotated[str | None, typer.Option(help="hf_model_id (default: the model the lab serves)")] = None,
    system: Annotated[str | None, typer.Option(help="the label: n150, n300 or lb")] = None,
    status: Annotated[str, typer.Option(help="its Project Status; `none` keeps it off the board")] = "ready",
    title: Annotated[str | None, typer.Option(help="the issue's title")] = None,
    body: Annotated[str | None, typer.Option(help="the issue's whole body (default: made from the fields)")] = None,
    field: Annotated[list[str] | None, typer.Option(help="another line of the body: NAME=VALUE")] = None,
    label: Annotated[list[str] | None, typer.Option(help="labels instead of the system's")] = None,
    count: Annotated[int, typer.Option(help="how many such issues", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Open an issue on the lab's board.

    Example: ytfsm lab seed --field prefill_len=8 --field decode_len=4
    """
    asked: dict[str, Any] = dict(_pair(text) for text in field or [])
    asked |= {"status": None if status == "none" else status}
    given = {"model": model, "system": system, "title": title, "body": body, "labels": label}
    asked |= {name: value for name, value in given.items() if value is not None}
    numbers = [_ask(folder, "POST", "/seed", asked)["number"] for _ in range(count)]
    if as_json:
        print(json.dumps({"numbers": numbers}))
    else:
        for number in numbers:
            print(f"#{number}")


@app.command()
def faults(
    target: Annotated[str | None, typer.Argument(help="github, hub, codex, tt-smi, board, evaluation or disk")] = None,
    kind: Annotated[str | None, typer.Argument(help="what goes wrong; with `codex script=NAME`, the script")] = None,
    setting: Annotated[
        list[str] | None, typer.Argument(help="NAME=VALUE: operation, count, after, probability …")
    ] = None,
    folder: Inside = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="behave again (all, TARGET, or GitHub's or the Hub's KIND)")
    ] = False,
    kinds: Annotated[bool, typer.Option("--kinds", help="what can go wrong (everywhere, or with TARGET)")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the lab misbehave, or show how it does.

    When is said the same way everywhere: operation=NAME, count=N (null: for ever), after=N (so many go free first),
    probability=P and seed=N; lasts=SECONDS where it is not a board that is wounded.

    Examples: ytfsm lab faults --kinds · ytfsm lab faults hub gated · ytfsm lab faults tt-smi fails operation=reset
    count=2 · ytfsm lab faults github bad-gateway operation=mutation probability=0.2 seed=7 count=null ·
    ytfsm lab faults codex script=hopeless · ytfsm lab faults codex harness after=1 · ytfsm lab faults github went-wrong
    operation=add_comment landed=true lasts=60 · ytfsm lab faults hub away --clear · ytfsm lab faults --clear
    """
    if kinds:
        _show_kinds(target, as_json)
        return
    where = f"/faults/{target}" if target else "/faults"
    if clear:
        _ask(folder, "DELETE", f"{where}?kind={kind}" if kind else where)
        return
    if target == "codex" and kind and kind.startswith("script="):
        asked = dict(_pair(text) for text in [kind, *(setting or [])])
        found = _ask(folder, "POST", "/script", asked)
    elif target and kind:
        found = _ask(folder, "POST", where, {"kind": kind, **dict(_pair(text) for text in setting or [])})
    else:
        found = _ask(folder, "GET", where)
    if as_json:
        print(json.dumps(found))
        return
    shown = found.items() if isinstance(found, dict) else [(target, found)]
    for name, value in shown:
        print(f"{name}: {json.dumps(value)}")


@app.command()
def act(
    deed: Annotated[str | None, typer.Argument(help="what a person does; without one: what there is")] = None,
    setting: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE; by=LOGIN: who does it")] = None,
    folder: Inside = None,
) -> None:
    """Do what a person does on GitHub while a run is on: move a card, close an issue, delete a claim …

    Examples: ytfsm lab act · ytfsm lab act move_card issue=1 status=done · ytfsm lab act edit_comment issue=1
    containing=[yt-claim] append='released: by hand'
    """
    if deed is None:
        from yt_fsm.lab.github.person import DEEDS

        for name, takes in DEEDS.items():
            print(f"{name}: {takes}" if takes else name)
        return
    print(json.dumps(_ask(folder, "POST", "/act", {"do": deed, **dict(_pair(text) for text in setting or [])})))


@app.command()
def clock(
    ahead: Annotated[float, typer.Argument(help="seconds; less than 0: behind; 0: as the host's")],
    folder: Inside = None,
) -> None:
    """Set the clock of the lab's GitHub ahead of this machine's, so that this machine's looks behind.

    Example: ytfsm lab clock -- -7200
    """
    print(_ask(folder, "POST", "/clock", {"offset": ahead})["now"])


@app.command()
def prepare(model: ModelName = None) -> None:
    """Make the evaluation environment and the model now; the next lab then starts at once, without a network.

    Example: ytfsm lab prepare --model smollm2
    """
    from yt_fsm.lab.environment import evaluation_python
    from yt_fsm.lab.models import model_folder, model_named

    _worded(lambda: model_named(model or "tiny"))  # before minutes are spent on the environment
    print(_worded(evaluation_python))
    print(_worded(lambda: model_folder(model or "tiny")))


def _ask(folder: Path | None, method: str, target: str, body: Any = None) -> Any:
    from yt_fsm.lab.client import ask, socket_of

    return _worded(lambda: ask(socket_of(folder), method, target, body))


def _worded(work: Any) -> Any:
    """What `work` returns; a lab's own problem becomes a line on stderr and its exit code."""
    from yt_fsm.engine.errors import YtfsmError

    try:
        return work()
    except YtfsmError as problem:
        print(plain(f"ytfsm: {problem}"), file=sys.stderr)
        raise typer.Exit(problem.exit_code) from None


def _show_kinds(target: str | None, as_json: bool) -> None:
    from yt_fsm.lab.misbehaviour import KINDS

    shown = {name: dict(kinds) for name, kinds in KINDS.items() if target in (None, name)}
    if as_json:
        print(json.dumps(shown))
        return
    for name, kinds in shown.items():
        for kind, meaning in kinds.items():
            print(f"{name} {kind}: {meaning}")


def _fault(text: str) -> dict[str, Any]:
    """A fault in the words of `ytfsm lab faults`, or as JSON."""
    if text.startswith("{"):
        try:
            return at(dict, parse(text))
        except Malformed as problem:
            raise typer.BadParameter(f"{shown(text)} is no fault: {problem}") from None
    import shlex

    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise typer.BadParameter(f"{shown(repr(text))} is no fault: {problem}") from None
    if len(words) < 2:
        raise typer.BadParameter(f"{text!r} is no fault: TARGET KIND NAME=VALUE …")
    return {"target": words[0], "kind": words[1], **dict(_pair(word) for word in words[2:])}


def _pair(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as JSON when it is JSON."""
    name, sign, value = text.partition("=")
    if not sign:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name, parse(value)
    except Malformed:
        return name, value


if __name__ == "__main__":
    app()
