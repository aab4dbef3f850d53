"""The Hugging Face reference: one pass over corpus windows, kept so that every later evaluation shares it."""

import hashlib
import importlib.metadata
import json
import sys
import time

import numpy

from . import corpus, snapshot
from .errors import EvalError
from .store import Store

METHOD = 5  # raise it when what an entry holds, or how it is computed, changes
DTYPES = ("float32", "bfloat16")


class Reference:
    """Tokens [batch, prefill + decode], logits [batch, decode, vocab] and what hf mode reports; `prompt`
    has those of the first and the last row's prompt, [1 or 2, probed, vocab].
    """

    def __init__(self, found, meta, arrays, cached, seconds):
        self.snapshot = found
        self.meta = meta
        self.tokens, self.logits, self.prompt = arrays["tokens"], arrays["logits"], arrays["prompt"]
        self.cached, self.seconds = cached, seconds

    @property
    def digest(self):
        """Identifies what is judged by: the tokens and, at every step, the five best. 16 hex digits."""
        best = numpy.sort(numpy.argpartition(-self.logits, 4, axis=-1)[:, :, :5], axis=-1)
        found = hashlib.sha256()
        for array in (self.tokens, self.logits.argmax(-1), best):
            found.update(numpy.ascontiguousarray(array, dtype=numpy.int64).tobytes())
        return found.hexdigest()[:16]


def get(asked):
    """The reference for these options, from the store or computed now."""
    started = time.perf_counter()
    found = snapshot.find(asked.hf_model, asked.revision)
    store = Store(asked.reference_cache)
    fixed = {
        "method": METHOD,
        "model": asked.hf_model if found.commit != "local" else "local",
        "commit": found.commit,
        "weights": found.fingerprint(store),
        "corpus": corpus.digest(asked.corpus),
        "prefill": asked.prefill_len,
        "decode": asked.decode_len,
        "batch": asked.batch,
        "seed": f"spliced/{asked.seed}" if asked.seed else 0,
        "versions": {name: _version(name) for name in ("torch", "transformers", "tokenizers")},
    }
    # The wider dtype first: which one memory allowed when an entry was made is not known before it is read.
    for dtype in DTYPES:
        entry = store.read(_key(fixed, dtype))
        if entry is not None:
            return Reference(found, *entry, True, time.perf_counter() - started)
    print("computing the Hugging Face reference (kept for later evaluations)", file=sys.stderr)
    from . import hf_model

    try:
        dtype, meta, arrays = hf_model.compute(found, asked)
    except EvalError:
        raise
    except Exception as error:  # in the model's own code, whose errors are of every kind
        raise EvalError(
            f"transformers {_version('transformers')} fails to run the model in {found.folder}: "
            f"{type(error).__name__}: {error}"
        ) from error
    store.write(_key(fixed, dtype), meta, arrays)
    return Reference(found, meta, arrays, False, time.perf_counter() - started)


def _key(fixed, dtype):
    return hashlib.sha256(json.dumps({**fixed, "dtype": dtype}, sort_keys=True).encode()).hexdigest()


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise EvalError(f"{name} is not installed in {sys.executable}; the evaluation needs it") from error
