"""`--mode hf`: is the reference fit to judge by? (README, "What hf mode measures")"""

import time

from . import limits, reference
from .errors import ReferenceUnfit, UsageError

AGREEMENT = 0.99


def evaluate(asked):
    """Metrics of hf mode.

    ReferenceUnfit when the model's cached decoding disagrees with its own full pass, or knows nothing of the text;
    UsageError when, at these lengths, rounding alone decides whether a right model passes.
    """
    started = time.perf_counter()
    found = reference.get(asked)
    check = dict(found.meta["check"])
    metrics = {
        **check,
        "dtype": found.meta["dtype"],
        "device": "cpu",
        "commit": found.snapshot.commit,
        "reference": found.digest,
        "reference_cached": found.cached,
        "timing": {
            "reference": round(found.seconds, 3),
            "total": round(time.perf_counter() - started, 3),
            "computed": found.meta["seconds"],
        },
    }
    if not check["finite"]:
        raise ReferenceUnfit("the model's logits are not finite", metrics)
    if check["top1"] < AGREEMENT or check["top5"] < AGREEMENT:
        raise ReferenceUnfit(
            f"decoding token by token over the cache agrees with one full pass in only {check['top1']:.3f} of the "
            f"steps (top5 {check['top5']:.3f}, needed {AGREEMENT})",
            metrics,
        )
    if check["max_difference"] > check["max_difference_allowed"]:
        raise ReferenceUnfit(
            f"logits of cached decoding differ from those of one full pass by up to {check['max_difference']:.3g}, "
            f"more than {check['max_difference_allowed']:.3g}",
            metrics,
        )
    if not limits.knows_the_text(check):
        raise ReferenceUnfit(
            f"the model predicts {asked.corpus.name} no better than the counts of its tokens do (perplexity "
            f"{_number(check['perplexity'])}; theirs is {check['unigram_perplexity']:.1f}, a guess among the "
            f"vocabulary {check['vocabulary']}): its weights are not trained, or not for this tokenizer, config or "
            "language",
            metrics,
        )
    chance = limits.budget(check["tokens"], check["doubts"], check["doubt_rate"], limits.gate())
    if chance:
        raise UsageError(chance)
    return metrics


def _number(value):
    return "not a number" if value is None else f"{value:.1f}"
