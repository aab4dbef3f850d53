"""Rules that fail, so that we know that the search finds it: §6.2 taken literally, the lease less one condition."""

import __future__

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from yt_fsm.engine.errors import Lost
from yt_fsm.github import lease as leases

from .issue import READY
from .worker import Far, Program, Worker


class Literal(Program):
    """§6.2 as it stands: post, then win if the last `[yt-claim]` is one's own, else `--delete-last`."""

    def _look(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return ("bid" if far.snapshot("issue").status == READY else "look"), ""

    def _verify(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        found = far.snapshot("issue")
        if not self._mine(found.comments[-1].id):
            raise Lost("another claim is later")
        lease.sent = lease.shown = far.now()
        return "mark", "won"

    def _withdraw(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        far.delete_last()
        return "over", ""

    @staticmethod
    def _mine(comment: str) -> bool:
        return comment == "C-me"


class LiteralById(Literal):
    """The same with a look at the status, and a loser that deletes its own claim by id."""

    def _verify(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        found = far.snapshot("issue")
        if found.status != READY:
            raise Lost("the status has moved on")
        if not self._mine(found.comments[-1].id):
            raise Lost("another claim is later")
        lease.sent = lease.shown = far.now()
        return "mark", "won"

    def _withdraw(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        lease.withdraw()
        return "over", ""


def conditions(function: Callable[..., Any]) -> list[str]:
    """The conditions of a function's `if` statements that decide by themselves, as they stand in its source."""
    return [ast.unparse(node.test) for node in ast.walk(_tree(function)) if _decides(node)]


@contextmanager
def without(where: Any, name: str, condition: str) -> Iterator[None]:
    """The real function `name` of a module or class, but that `condition` is never true."""
    whole = getattr(where, name)
    tree = _tree(whole)
    for node in ast.walk(tree):
        if _decides(node) and ast.unparse(node.test) == condition:
            node.test = ast.BoolOp(ast.And(), [node.test, ast.Constant(False)])
            break
    else:
        raise LookupError(f"{name} has no condition {condition!r}")
    space: dict[str, Any] = {}
    flags = __future__.annotations.compiler_flag
    code = compile(ast.fix_missing_locations(tree), f"<{name} without {condition}>", "exec", flags)
    exec(code, vars(leases), space)
    setattr(where, name, space[name])
    try:
        yield
    finally:
        setattr(where, name, whole)


def _tree(function: Callable[..., Any]) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def _decides(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Raise)
