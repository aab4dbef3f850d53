"""`--mode tt`: run the TTNN model in a process of its own, then score the logits it left behind (§10.2)."""

import os
import sys
import time

import numpy

from . import accounts, device_process, limits, options, reference, scoring
from .errors import EvalError

# A wrong model is wrong in its choices too; right choices over unlike logits are put there.
COUNTERFEIT_TOP1, COUNTERFEIT_PCC = 0.8, 0.5
BEST = 100  # a choice that is not among as many of the reference's is garbage, however rare


def evaluate(asked):
    """Metrics of tt mode. The process that imports model.py sees config, weights and input tokens, nothing else."""
    started = time.perf_counter()
    file = options.model_file(asked)
    if not file.is_file():
        raise EvalError(f"there is no TTNN model for {asked.hf_model} on {asked.system}: {_shown(file)} is missing")
    found = reference.get(asked)
    with device_process.task_folder() as folder:
        report = device_process.run(asked, file, found, folder, _private(asked))
        facts, timing = accounts.believed(report, asked, _row_seconds(found, asked))
        logits = _logits(folder / "logits.npy", found.logits.shape)
        prefilled = None
        if (folder / "prefilled.npy").exists():
            rows, probed, vocab = found.prompt.shape
            shape = (rows, probed + asked.decode_len, vocab)
            prefilled = _logits(folder / "prefilled.npy", shape)
    kind = limits.weights_format(facts["formats"], found.meta["parameters"])
    scored = judge(found, logits, prefilled, kind)
    for one in scored["suspect"]:
        print(f"suspect: {one}", file=sys.stderr)
    floor = found.meta["check"].get("noise_floor")
    return {
        **scored,
        **facts,
        "noise_floor_top1": floor["top1"] if floor else None,
        "commit": found.snapshot.commit,
        "reference": found.digest,
        "reference_cached": found.cached,
        "timing": {
            **timing,
            "reference": round(found.seconds, 3),
            "total": round(time.perf_counter() - started, 3),
        },
    }


def judge(found, logits, prefilled, kind):
    """The scores of a model's logits, and what is suspect about them, beside the reference and beside themselves.

    `prefilled` are device_run's, None of a model that has no prefill; `kind` is the format of its weights. EvalError
    when no model made them, when one choice of them is garbage, or when their choices would pass and they are far from
    what the format explains.
    """
    reference = found.logits
    scored = scoring.compare(reference, logits)
    if scored["top1"] > COUNTERFEIT_TOP1 and scored["pcc_median"] < COUNTERFEIT_PCC:
        raise EvalError(
            f"the model chooses the reference's tokens (top1 {scored['top1']:.2f}) with logits that are nothing like "
            f"the reference's (median correlation {scored['pcc_median']:.2f}): these are not a model's logits"
        )
    _check_choices(reference, logits, scored)
    if prefilled is not None:
        scored.update(consistency(found, logits, prefilled))
    suspect, wrong = limits.divergent(scored, found.meta["check"]["explained"], kind)
    if wrong and scored["top1"] >= limits.gate():
        raise EvalError(
            f"the model is not the reference's: {'; '.join(wrong)} (top1 {scored['top1']:.4f}, top5 "
            f"{scored['top5']:.4f}). Where decoding differs from prefilling, look at positions, rope rows and cache "
            "rows; where both do, at what they share"
        )
    return {**scored, "suspect": wrong + suspect}


def consistency(found, logits, prefilled):
    """How far a prefill over the first and the last user's window is from the reference, and decoding from that."""
    rows, probed, vocab = found.prompt.shape
    outer = sorted({0, len(logits) - 1})
    wanted = numpy.concatenate([found.prompt, found.logits[outer]], axis=1)
    prefill = scoring.divergence(wanted.reshape(-1, vocab), prefilled.reshape(-1, vocab))
    own = scoring.divergence(prefilled[:, probed:].reshape(-1, vocab), logits[outer].reshape(-1, vocab))
    return {
        "prefill_kl": float(prefill.mean()),
        "prefill_kl_max": float(prefill.max()),
        "own_kl": float(own.mean()),
        "own_kl_max": float(own.max()),
    }


def _check_choices(reference, logits, scored):
    """EvalError for a step whose choice is not among the reference's best: right ones are, at every step."""
    chosen = numpy.take_along_axis(reference, logits.argmax(-1)[..., None], -1)
    ranks = (reference > chosen).sum(-1) + 1
    bad = numpy.argwhere(ranks > BEST)
    if len(bad):
        row, step = bad[0]
        raise EvalError(
            f"the model chooses garbage in {len(bad)} of {ranks.size} steps, first in row {row}, step {step} (step 0 "
            f"is prefill's): its token {logits[row, step].argmax()} is the reference's choice number "
            f"{ranks[row, step]}, and must be among its {BEST} best at every step (top1 {scored['top1']:.4f}, top5 "
            f"{scored['top5']:.4f}, KL {scored['kl']:.4f})"
        )


def _logits(path, shape):
    try:
        with device_process.plain(path) as file:
            logits = numpy.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EvalError(f"the device process left no logits: {error}") from error
    if logits.dtype != numpy.float32 or logits.ndim != 3 or logits.shape[:2] != shape[:2]:
        raise EvalError(f"the model's logits are {logits.dtype} {logits.shape}, expected float32 {shape}")
    if logits.shape[2] < shape[2]:
        raise EvalError(f"the model's logits are {logits.shape[2]} wide; the vocabulary is {shape[2]}")
    logits = logits[:, :, : shape[2]]  # a padded head
    if not numpy.isfinite(logits).all():
        bad = numpy.argwhere(~numpy.isfinite(logits).all(-1))[0]
        raise EvalError(f"the model's logits are not finite: row {bad[0]}, step {bad[1]}")
    return logits


def _row_seconds(found, asked):
    """How long the reference took for one decode step of one row; 0 where its entry does not say."""
    return found.meta.get("seconds", {}).get("steps", 0) / (asked.batch * asked.decode_len)


def _private(asked):
    """The places of this machine that are the scorer's: references, and the file of the private metrics."""
    remote = "://" in asked.reference_cache and not asked.reference_cache.startswith("file://")
    cache = [] if remote else [os.path.abspath(asked.reference_cache.removeprefix("file://"))]
    return [*cache, *([os.path.abspath(asked.metrics_file)] if asked.metrics_file else [])]


def _shown(file):
    try:
        return file.relative_to(options.ROOT)
    except ValueError:
        return file
