"""Numbers from two sets of logits: agreement, near-ties, divergence, correlation (numpy only)."""

import math

import numpy


def bf16_ulp(values):
    """The distance between bfloat16 neighbours at each value's size."""
    exponent = numpy.floor(numpy.log2(numpy.maximum(numpy.abs(values), 2.0**-126)))
    return numpy.exp2(exponent - 7)


def compare(reference, model):
    """Agreement of `model` with `reference`, both [rows, steps, vocab], per §10.2, and what qualifies it.

    top1: same argmax. top5: the reference's argmax among the model's five largest. A step is a near-tie when the
    reference's best two are within one bfloat16 step of the best; there top1_near_ties takes either.
    """
    reference = numpy.asarray(reference, dtype=numpy.float32)
    model = numpy.asarray(model, dtype=numpy.float32)
    steps = reference.shape[0] * reference.shape[1]
    reference, model = reference.reshape(steps, -1), model.reshape(steps, -1)
    best = reference.argmax(-1)
    chosen = model.argmax(-1)
    # The best five, ties counted in the reference's favour only when they would fit.
    five = numpy.argpartition(-model, min(5, model.shape[1] - 1), axis=-1)[:, :5]
    hit1 = best == chosen
    hit5 = (five == best[:, None]).any(-1)
    at = numpy.arange(steps)
    top = reference[at, best]
    gap = top - reference[at, chosen]
    allowed = gap <= bf16_ulp(top)
    second = numpy.partition(reference, -2, axis=-1)[:, -2]
    near = (top - second) <= bf16_ulp(top)
    kl, pcc = divergence(reference, model), correlation(reference, model)
    return {
        "top1": float(hit1.mean()),
        "top5": float(hit5.mean()),
        "tokens": steps,
        "top1_near_ties": float((hit1 | allowed).mean()),
        "near_ties": int(near.sum()),
        "kl": float(kl.mean()),
        "kl_max": float(kl.max()),
        "pcc": float(pcc.min()),
        "pcc_median": float(numpy.median(pcc)),
        "interval": interval(int(hit1.sum()), steps),
    }


def divergence(reference, model):
    """Kullback-Leibler divergence of each row's softmax, in nats."""
    p, q = _log_softmax(reference), _log_softmax(model)
    return numpy.maximum((numpy.exp(p) * (p - q)).sum(-1), 0.0)


def correlation(reference, model):
    """Pearson's correlation of each row's logits."""
    a = reference - reference.mean(-1, keepdims=True)
    b = model - model.mean(-1, keepdims=True)
    size = numpy.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return (a * b).sum(-1) / numpy.maximum(size, 1e-30)


def interval(hits, steps):
    """The 95 % confidence interval of a fraction (Wilson)."""
    z = 1.959964
    centre = (hits + z * z / 2) / (steps + z * z)
    half = z * math.sqrt(hits * (steps - hits) / steps + z * z / 4) / (steps + z * z)
    return [round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)]


def _log_softmax(logits):
    logits = logits.astype(numpy.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - numpy.log(numpy.exp(shifted).sum(-1, keepdims=True))
