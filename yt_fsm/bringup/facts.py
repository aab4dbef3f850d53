"""Facts of a bringup: what its states learn, in one place."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from yt_fsm.engine.facts import Facts


class BringupFacts(Facts):
    """What the bringup states learn."""

    model: str = ""
    revision: str = ""  # the exact commit of the model
    bytes: int | None = None  # of its weights
    isolation: str = ""  # the walls in force: bwrap or none
    base: str = ""  # the commit of the models repo that the work begins at
    into: str = ""  # the branch that it is to be merged into
    branch: str = ""
    tip: str | None = None  # where that branch is on the remote
    earlier: Mapping[str, Any] = MappingProxyType({})  # whose work it began from, and what was tried
    pristine: str = ""  # sha256 of the remote's history, from before unreviewed code ran
    reference: Mapping[str, Any] = MappingProxyType({})  # the HF reference that is good, with its digest
    thread: str | None = None  # codex's
    commit: str = ""  # what is, or was, to be pushed
    withheld: str = ""  # why work was not pushed: it holds a secret
    kept: Mapping[str, Any] = MappingProxyType({})  # of its unfinished work: the `file`, and what was `left_out`
