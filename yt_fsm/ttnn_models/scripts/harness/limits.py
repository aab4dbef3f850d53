"""What hf mode demands of a reference's numbers (no torch: a reference that is kept is judged without it)."""

import math
import os

import numpy

from . import scoring

SURE = 0.9  # the chance of a right model that lengths must leave
WINDOWS = 0.97  # and the one that windows are drawn for, of a model whose weights are bfloat8_b
SHARE = 0.05  # of a model's values, for a format to be that of its weights
LEAST_KL = 3e-4  # nats that are always explained
# A divergence, what it is said of, and how many times what the formats explain is suspect, and is a wrong model's.
DIVERGENCES = (
    ("kl", "KL", 3, 10),
    ("prefill_kl", "KL of prefilling the window", 3, 10),
    ("own_kl_max", "largest KL of decoding from prefilling", 2, 10),
)


def gate():
    """The top1 that a bringup needs (§9.1 G), where YT_TOP1_MIN names no other."""
    return float(os.environ.get("YT_TOP1_MIN") or 0.90)


def knows_the_text(found):
    """Whether `found`, of fitness.prediction, is better than the text's own counts of tokens, and than chance."""
    return found["perplexity"] is not None and found["perplexity"] < min(
        found["unigram_perplexity"], found["vocabulary"]
    )


def doubtful(wide, narrow):
    """Which steps a right model may miss: rounding to bfloat16 turned the choice, or the best two are a near-tie."""
    wide, narrow = (numpy.asarray(one, dtype=numpy.float32).reshape(-1, one.shape[-1]) for one in (wide, narrow))
    two = numpy.partition(wide, -2, axis=-1)[:, -2:]
    near = two[:, 1] - two[:, 0] <= scoring.bf16_ulp(two[:, 1])
    return near | (wide.argmax(-1) != narrow.argmax(-1))


def chance(steps, misses, gate):
    """That a right model passes `gate` in `steps`, of which it is expected to miss `misses` (each for itself: Poisson).

    1.0 where nobody knows what it misses.
    """
    if not misses:
        return 1.0
    ways = (n * math.log(misses) - math.lgamma(n + 1) for n in range(_allowed(steps, gate) + 1))
    return sum(math.exp(way - misses) for way in ways)


def budget(steps, doubts, rate, gate):
    """None when a right model passes `gate` in these `steps` all but surely, else words that say which lengths do.

    Each of the `doubts` is a coin tossed. `rate` is the part of doubtful steps in all of the text that was run.
    """
    allowed = _allowed(steps, gate)
    if _chance(doubts, allowed, 0.5) >= SURE:
        return None
    can = next((n for n in range(8, 4097, 8) if n > steps and _chance(n, _allowed(n, gate), rate / 2) >= SURE), None)
    return (
        f"in {doubts} of {steps} steps the reference's own choice is within rounding of another, and a top1 of "
        f"{gate:.2f} allows {allowed} misses: at these lengths chance decides, and not the model. "
        + (f"{can} steps (decode_len x batch) can tell" if can else "No lengths can: ask for another model")
    )


def weights_format(formats, parameters):
    """The narrowest format that a good part of the weights is in."""
    narrow = (kind for kind in ("bfloat4_b", "bfloat8_b") if formats.get(kind, 0) >= SHARE * parameters)
    return next(narrow, "bfloat16")


def divergent(scored, explained, kind):
    """(suspect, wrong): the divergences among `scored` that weights of the format `kind` do not explain, in words."""
    least = max(explained.get(kind, 0.0), LEAST_KL)
    found = ([], [])
    for name, what, suspect, wrong in DIVERGENCES:
        if scored.get(name) is None or scored[name] <= suspect * least:
            continue
        words = f"{what} {scored[name]:.4f}, {scored[name] / least:.0f} x what {kind} weights explain"
        found[scored[name] > wrong * least].append(words)
    return found


def _allowed(steps, gate):
    """How many steps may be missed."""
    return steps - math.ceil(gate * steps - 1e-9)


def _chance(steps, allowed, rate):
    """That at most `allowed` of `steps` are missed, each with the probability `rate`."""
    if allowed >= steps or rate <= 0:
        return 1.0
    # By logarithms: the numbers of ways are beyond a float.
    ways = (math.lgamma(steps + 1) - math.lgamma(n + 1) - math.lgamma(steps - n + 1) for n in range(allowed + 1))
    return sum(math.exp(way + n * math.log(rate) + (steps - n) * math.log1p(-rate)) for n, way in enumerate(ways))
