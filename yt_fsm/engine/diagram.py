"""Diagrams of a machine's table: Mermaid and Graphviz, with a run's way through it."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Route:
    """A run's way through its machine, for drawing: edges taken (with how often) and seconds in each state."""

    taken: dict[tuple[str, str, str], int]
    seconds: dict[str, float]
    state: str


def mermaid(table: dict[str, Any], path: Route | None = None) -> str:
    """The table as a Mermaid state diagram; with `path`, the way taken and the time in each state."""
    lines = ["stateDiagram-v2", f"    [*] --> {table['initial']}"]
    if path:
        lines += [
            f"    {name}: {name} ({duration(path.seconds[name])})" for name in table["states"] if name in path.seconds
        ]
    for event, source, dest, status in table["edges"]:
        times = path.taken.get((event, source, dest), 0) if path else 0
        label = _label(event, status, times)
        lines.append(f"    {source} --> {dest}: {label}")
    lines += [f"    {name} --> [*]" for name in table["states"] if name in table["final"]]
    if path:
        visited = [name for name in table["states"] if name in path.seconds and name != path.state]
        lines.append("    classDef visited fill:#dbeafe,stroke:#1d4ed8,color:#1e3a8a")
        lines.append("    classDef here fill:#1d4ed8,stroke:#1e3a8a,color:#ffffff")
        lines += [f"    class {name} visited" for name in visited] + [f"    class {path.state} here"]
    return "\n".join(lines) + "\n"


def dot(table: dict[str, Any], path: Route | None = None) -> str:
    """The table as a Graphviz digraph; with `path`, the way taken and the time in each state."""
    lines = [
        f'digraph "{table["name"]}" {{',
        '    rankdir="TB"; node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica"];',
        '    edge [fontname="Helvetica", fontsize=10];',
    ]
    for name in table["states"]:
        shape = ", peripheries=2" if name in table["final"] else ""
        if path and name in path.seconds:
            colour = "#93c5fd" if name == path.state else "#dbeafe"
            shape += f', fillcolor="{colour}", label="{name}\\n{duration(path.seconds[name])}"'
        lines.append(f'    "{name}" [id="{name}"{shape}];')
    for event, source, dest, status in table["edges"]:
        times = path.taken.get((event, source, dest), 0) if path else 0
        style = ", penwidth=2.5, color=blue" if times else (", color=gray70, fontcolor=gray50" if path else "")
        lines.append(f'    "{source}" -> "{dest}" [label="{_label(event, status, times)}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def _label(event: str, status: str | None, times: int) -> str:
    label = f"{event} / {status}" if status else event
    return f"{label} ×{times}" if times > 1 else label


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `0.4s`, `12s`, `3m05s`, `2h04m`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
