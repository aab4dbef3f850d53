"""Effects: changes to the outside world, each with an intent before it and a done after it in the journal.

Most services have no idempotency key, so every effect brings an `observe` beside its `apply`: a request whose outcome
nobody knows is looked for, and sent again only when it is surely not there. Nothing is ever repeated blindly.
"""

from collections.abc import Callable
from typing import Any

from .clock import Clock
from .errors import ServiceError
from .journal import Journal, Record

LOOK_SECS = 3.0
UNKNOWN = 2  # outcomes in a row that nobody knows: then it is a wait, which is said

Observe = Callable[[Record], dict[str, Any] | None]
Apply = Callable[[Record], dict[str, Any] | None]


class Effects:
    """The effects of one run; what was done is known from the journal alone.

    Reads lag and requests land late, so absence counts only `settle` seconds after the last request that may have
    landed, by a clock that goes on in suspend (faults W16). That is after its intent, after its `unknown`, and for a
    process that died after the record by which the next one took over: clocks of another boot are never compared.
    """

    def __init__(self, journal: Journal, clock: Clock, settle: float) -> None:
        self._journal = journal
        self._clock = clock
        self._settle = settle

    def done(self, effect: str, key: str) -> dict[str, Any] | None:
        """The result of an effect that is done, or None."""
        record = self._last(effect, key, "effect.done")
        return record["result"] if record else None

    def pending(self) -> list[Record]:
        """Intents without a done, oldest first."""
        return [r for r in self._journal.all("effect.intent") if self.done(r["effect"], r["key"]) is None]

    def once(self, effect: str, key: str, apply: Apply, observe: Observe, proof: bool = True) -> dict[str, Any]:
        """Do `effect` unless it is done; returns its result, {} when it has none.

        `apply` gets the intent record, so that what it writes can carry the record's seq and hash, and returns what is
        to be remembered of it, if anything. `observe` gets the last record of the effect and returns that when the
        outside world shows it, and None when it does not. Raises what `apply` raises, and TypeError when one of the
        two returns something else than a dict or None. An outcome that nobody knows is looked for until it settles, and
        raised when the next one is the like: to be called again, which looks first. Without `proof` seeing the result
        is none (the card stood there before, say), so the request may still land: that is waited for too.
        """
        result = self.done(effect, key)
        if result is not None:
            return result
        doubt = self._last(effect, key, "effect.intent", "effect.unknown")
        unknown = 0
        while True:
            if doubt is not None:
                found = self._observe(doubt, observe, proof)
                if found is not None:
                    return self._finish(doubt, found)
            self._settle_others(effect, key)
            intent = self._journal.append("effect.intent", effect=effect, key=key)
            try:
                result = _remembered(apply(intent), effect, "apply") or {}
            except ServiceError as problem:
                if problem.landed is not None:
                    raise
                doubt = self._journal.append("effect.unknown", effect=effect, key=key, error=str(problem))
                unknown += 1
                if unknown == UNKNOWN:
                    raise
                continue
            return self._finish(intent, result)

    def look(self, effect: str, key: str, observe: Observe) -> dict[str, Any] | None:
        """The result of an effect that may have happened, looked for until its absence counts; applies nothing."""
        result = self.done(effect, key)
        doubt = self._last(effect, key, "effect.intent", "effect.unknown")
        return self._observe(doubt, observe) if result is None and doubt else result

    def _observe(self, doubt: Record, observe: Observe, proof: bool = True) -> dict[str, Any] | None:
        """Look until the effect shows, where that is proof, or its absence counts."""
        since = self._since(doubt)
        while True:
            quiet = self._clock.now() - since > self._settle
            found = _remembered(observe(doubt), doubt["effect"], "observe") if proof or quiet else None
            if found is not None or quiet:
                return found
            self._clock.wait(min(LOOK_SECS, self._settle))

    def _settle_others(self, effect: str, key: str) -> None:
        """Wait while a request of the same kind may still land: it would undo what comes now (a card's other move)."""
        for record in self.pending():
            if record["effect"] == effect and record["key"] != key:
                since = self._since(self._last(effect, record["key"], "effect.intent", "effect.unknown") or record)
                while (left := since + self._settle - self._clock.now()) > 0:
                    self._clock.wait(min(LOOK_SECS, left))

    def _since(self, doubt: Record) -> float:
        """When the last request of an effect was sent, at the latest, by this boot's clock."""
        taken = self._journal.last("header", "resumed") or doubt
        last = max(doubt, taken, key=lambda record: int(record["seq"]))
        return min(float(last["mono"]), self._clock.now())

    def _finish(self, record: Record, result: dict[str, Any]) -> dict[str, Any]:
        self._journal.append("effect.done", effect=record["effect"], key=record["key"], result=result)
        return result

    def _last(self, effect: str, key: str, *kinds: str) -> Record | None:
        for record in reversed(self._journal.records):
            if record["kind"] in kinds and record["effect"] == effect and record["key"] == key:
                return record
        return None


def _remembered(found: Any, effect: str, by: str) -> dict[str, Any] | None:
    """What `apply` or `observe` found: False is not "not there", and would pass for "done"."""
    if found is None or isinstance(found, dict):
        return found
    words = "returns a dict of what is to be remembered, or None" + (" where it is not there" * (by == "observe"))
    raise TypeError(f"`{by}` of the effect `{effect}` returned {f'{found!r:.80}'}: it {words}")
