"""Running the Hugging Face model on the CPU: the only module that imports transformers for the reference."""

import inspect
import os
import time

import numpy
import torch

from . import corpus, fitness, limits, rounding, scoring
from .bar import Bar
from .errors import EvalError, UsageError

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache  # noqa: E402

BY_CONFIG = "config" in inspect.signature(DynamicCache.__init__).parameters  # since transformers 4.56
DRAWS = 3  # of a seed's windows, at most
SPARE = 7  # windows beside those that are asked for: those that leave least to chance stay
CALIBRATED = 1.2  # times a step's noise, what turns its choice: predicts 7.5 % where BFP8 turned 7.2 % of 7,680 steps
TEXT = 128  # predicted tokens, at least, of which the perplexity is taken; twice as many where a window has fewer


def compute(found, asked):
    """(dtype name, meta, arrays) of one reference entry; ReferenceUnfit when the model cannot be one.

    A seed's windows are those of several that leave least to chance. Where a right model with BFP8 weights might still
    miss too many steps, another draw follows; of DRAWS the one that leaves it the most stays.
    """
    best = None
    for draw in range(DRAWS):
        entry = _compute(found, asked, draw)
        check = entry[1]["check"]
        if best is None or check["misses"] < best[1]["check"]["misses"]:
            best = entry
        if limits.chance(check["tokens"], check["misses"], limits.gate()) >= limits.WINDOWS:
            break
    return best


def _compute(found, asked, draw):
    seconds = {}
    started = time.perf_counter()
    config = _config(found)
    tokenizer = _tokenizer(found, asked)
    text = corpus.read(asked.corpus)
    if asked.seed != 0:
        text = corpus.spliced(text, asked.seed)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    fitness.check_tokenizer(tokenizer, text, ids)
    drawn = f"{asked.seed}/{draw}" if draw else asked.seed
    windows = torch.tensor(corpus.windows(ids, asked.prefill_len + asked.decode_len, asked.batch + SPARE, drawn))
    _check_length(config, windows.shape[1])
    dtype = _dtype(found, config)
    stored = Stored(found)
    model = _load(found, dtype, stored)
    fitness.check_vocabulary(model, ids)
    seconds["load"] = time.perf_counter() - started
    started = time.perf_counter()
    tokens, full = _surest(model, windows, asked.batch, asked.prefill_len)
    seconds["pass"] = time.perf_counter() - started
    started = time.perf_counter()
    logits = full[:, asked.prefill_len - 1 :]
    stepwise = _steps(model, tokens[:, :-1], asked.prefill_len)
    seconds["steps"] = time.perf_counter() - started
    check = _agreement(logits, stepwise, dtype)
    check.update(_text(model, tokenizer, full, tokens, ids))
    started = time.perf_counter()
    check.update(_noise(model, tokens[:, :-1], full, dtype, asked.prefill_len, _piece(model, ids)))
    seconds["noise"] = time.perf_counter() - started
    meta = {
        "dtype": str(dtype).removeprefix("torch."),
        "parameters": sum(one.numel() for one in model.parameters()),
        "check": check,
        "config": _plain(model.config.to_dict()),
        "weights": _state(model, stored),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    arrays = {
        "tokens": tokens.numpy(),
        "logits": logits.numpy().astype(numpy.float32),
        "prompt": full[sorted({0, asked.batch - 1})][:, corpus.probed(asked.prefill_len)].numpy().astype(numpy.float32),
    }
    return meta["dtype"], meta, arrays


def _config(found):
    try:
        return AutoConfig.from_pretrained(found.folder)
    except (OSError, ValueError, KeyError) as error:
        raise EvalError(f"transformers cannot read the configuration in {found.folder}: {error}") from error


def _tokenizer(found, asked):
    try:
        return AutoTokenizer.from_pretrained(found.folder)
    except Exception as error:  # what its parts raise is of many kinds
        raise EvalError(
            f"the tokenizer of {asked.hf_model} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _dtype(found, config):
    """float32 when it fits the free memory, else bfloat16, else an error."""
    stored = sum(path.stat().st_size for path in found.weight_files())
    width = 4 if str(getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)).endswith("float32") else 2
    parameters = stored / width
    free = _free_memory()
    for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
        if parameters * size * 1.15 + 2**29 <= free:
            return dtype
    raise EvalError(
        f"reference too big: {parameters / 1e9:.1f} billion parameters need {parameters * 2.3 / 2**30:.0f} GiB in "
        f"bfloat16, and {free / 2**30:.0f} GiB of memory are free"
    )


def _free_memory():
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 2**62


def _load(found, dtype, stored):
    """The model, all of whose weights are the checkpoint's and finite."""
    try:
        # A weight of another shape is then named in what is said of the loading, and not an error of transformers' own.
        model, info = AutoModelForCausalLM.from_pretrained(
            found.folder, output_loading_info=True, ignore_mismatched_sizes=True, **_dtype_option(dtype)
        )
    except Exception as error:  # of many kinds, from many files: none of them says that the model is wrong
        raise EvalError(
            f"transformers cannot load the model in {found.folder}: {type(error).__name__}: {error}"
        ) from error
    fitness.check_keys(model, info, stored)
    fitness.check_numbers(model)
    return model.eval()


def _dtype_option(dtype):
    import transformers

    return {"dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype": dtype}


def _check_length(config, length):
    limit = getattr(config, "max_position_embeddings", None)
    if limit and length > limit:
        raise UsageError(f"prefill + decode is {length} tokens; the model has positions for {limit}")


@torch.no_grad()
def _pass(model, tokens):
    return torch.cat([model(row[None], use_cache=False).logits.float() for row in tokens])


def _surest(model, windows, count, prefill):
    """The `count` of `windows` whose scored steps are least near a tie, in their order, and the logits along them."""
    kept = []
    for number, window in enumerate(windows):
        logits = _pass(model, window[None, :-1])
        best = logits[0, prefill - 1 :].max(-1).values
        # What formats of a device do to a logit is of the size of bfloat16's step at the largest.
        doubt = float(rounding.turned(logits[0, prefill - 1 :], torch.from_numpy(scoring.bf16_ulp(best.numpy()))).sum())
        kept = sorted([*kept, (doubt, number, logits)], key=lambda one: one[:2])[:count]
    kept.sort(key=lambda one: one[1])
    return windows[[number for _, number, _ in kept]], torch.cat([logits for _, _, logits in kept])


@torch.no_grad()
def _steps(model, tokens, prefill):
    """The same logits as the device computes them: the prompt at once, then token by token over a cache."""
    rows = []
    bar = Bar(tokens.shape[0] * (tokens.shape[1] - prefill + 1))
    done = 0
    for row in tokens:
        cache = _new_cache(model, len(row))
        out = model(row[None, :prefill], use_cache=True, **cache)
        logits = [out.logits[:, -1].float()]
        for at in range(prefill, len(row)):
            # Of old, Gemma's models take the mask's width, and not the cache's, for what came before.
            seen = {"attention_mask": torch.ones(1, at + 1, dtype=torch.long)} if cache and not BY_CONFIG else {}
            out = model(row[None, at : at + 1], use_cache=True, **seen, **_cache(out))
            logits.append(out.logits[:, -1].float())
            bar.show(done + len(logits))
        done += len(logits)
        rows.append(torch.stack(logits, 1))
    bar.end()
    return torch.cat(rows)


def _new_cache(model, length):
    """An empty cache that grows up to `length` tokens, as the first call takes it.

    Left to themselves, Gemma's models of transformers before 4.56 make one that has room for the prompt alone; given
    this one, they can use it within their sliding window. A model with a state of its own kind makes that itself.
    """
    named = inspect.signature(getattr(model, "forward", model)).parameters
    name = next((one for one in ("cache", "past_key_values") if one in named), None)
    grows = getattr(model, "_supports_default_dynamic_cache", lambda: True)
    if name is None or getattr(model, "_is_stateful", False) or not grows():
        return {}
    if BY_CONFIG:
        return {name: DynamicCache(config=model.config)}
    config = model.config.get_text_config()
    if getattr(config, "cache_implementation", None) == "hybrid" and length > config.sliding_window:
        raise EvalError(
            f"this version of transformers cannot decode the model beyond its sliding window of "
            f"{config.sliding_window} tokens: install transformers 4.57 or later"
        )
    return {name: DynamicCache()}


def _cache(out):
    """The cache in `out` as the next call takes it; transformers before 5.24 has the older of the two names."""
    name = "cache" if hasattr(out, "cache") else "past_key_values"
    return {name: getattr(out, name)}


def _agreement(full, stepwise, dtype):
    finite = bool(torch.isfinite(full).all() and torch.isfinite(stepwise).all())
    found = {"finite": finite}
    if not finite:
        return {**found, "top1": 0.0, "top5": 0.0, "tokens": full.shape[0] * full.shape[1]}
    largest = float(full.abs().max())
    # float32 differs by rounding alone (4e-5 seen); bfloat16 by a few of its steps.
    allowed = largest * (2e-3 if dtype is torch.float32 else 2**-5)
    found.update(scoring.compare(full.numpy(), stepwise.numpy()))
    found["max_difference"] = float((full - stepwise).abs().max())
    found["max_difference_allowed"] = allowed
    return found


@torch.no_grad()
def _text(model, tokenizer, full, tokens, ids):
    """How well the model predicts the corpus itself: a wrong checkpoint or tokenizer shows here.

    Of few tokens it says nothing, and some models know a text only after their first token: where the windows speak
    against the model, a longer piece that begins with the tokenizer's own first token decides.
    """
    found = fitness.prediction(full.flatten(0, 1), tokens[:, 1:].flatten(), ids)
    if tokens[:, 1:].numel() >= TEXT and limits.knows_the_text(found):
        return found
    first = _first_tokens(tokenizer, ids)
    piece = _piece(model, first + ids)
    logits = model(piece[None, :-1], use_cache=False).logits[0].float()[max(0, len(first) - 1) :]
    return fitness.prediction(logits, piece[max(1, len(first)) :], ids)


def _piece(model, ids):
    """The beginning of the text, long enough to tell something."""
    limit = getattr(model.config, "max_position_embeddings", None) or 2 * TEXT
    return torch.tensor(ids[: min(2 * TEXT, limit)])


def _first_tokens(tokenizer, ids):
    """What the tokenizer sets before a text of its own accord."""
    word = tokenizer.decode(ids[:1])
    whole = tokenizer(word)["input_ids"]
    bare = tokenizer(word, add_special_tokens=False)["input_ids"]
    at = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    return whole[:at]


def _noise(model, tokens, full, dtype, prefill, piece):
    """The model in the number formats of a device against itself: no device can be expected to do better.

    `doubts` are the scored steps in which bfloat16, or a near-tie, makes another choice as good; `doubt_rate` is their
    part in all of the windows, or in `piece` where they are short. `noise_floor` is None where the reference is in
    bfloat16. `explained` is, for each format of the weights, the mean KL over all of the windows; `misses` is how many
    scored steps weights in BFP8 are expected to choose otherwise.
    """
    floor, narrow, explained, misses = None, full, {}, 0.0
    more = _pass(model, piece[None]) if tokens.numel() < TEXT else None
    finite = bool(torch.isfinite(full).all())
    with rounding.rounded_outputs(model):
        for kind in ("bfloat16", *rounding.BITS) if finite else ():
            rounding.round_weights(model, kind)
            found = _pass(model, tokens)
            if not bool(torch.isfinite(found).all()):
                break
            explained[kind] = float(scoring.divergence(full.flatten(0, 1).numpy(), found.flatten(0, 1).numpy()).mean())
            if kind == "bfloat8_b":
                wide, noisy = (one[:, prefill - 1 :].flatten(0, 1) for one in (full, found))
                misses = float(rounding.turned(wide, CALIBRATED * rounding.noise(wide, noisy)).sum())
            if kind == "bfloat16" and dtype is torch.float32:
                narrow = found
                scored = scoring.compare(full[:, prefill - 1 :].numpy(), found[:, prefill - 1 :].numpy())
                floor = {name: scored[name] for name in ("top1", "top5", "top1_near_ties", "kl", "pcc")}
            if kind == "bfloat16" and more is not None:
                many = limits.doubtful(more, _pass(model, piece[None]))
    doubts = limits.doubtful(full, narrow).reshape(full.shape[:2])
    many = doubts if more is None or not explained else many
    return {
        "explained": explained,
        "misses": round(misses, 3),
        "noise_floor": floor,
        "doubts": int(doubts[:, prefill - 1 :].sum()),
        "doubt_rate": float(many.mean()),
    }


def _plain(config):
    """The config as JSON can hold it."""
    import json

    return json.loads(json.dumps(config, default=str))


class Stored:
    """The tensors of the safetensors files by name."""

    def __init__(self, found):
        from safetensors import safe_open

        self._files, self.shapes = {}, {}
        for path in sorted(found.folder.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a dict
                    self._files[name] = path
                    self.shapes[name] = tuple(file.get_slice(name).get_shape())

    @property
    def names(self):
        return self._files.keys()

    def file(self, name):
        """The name of the file that has it."""
        return self._files[name].name

    def read(self, name):
        from safetensors import safe_open

        with safe_open(self._files[name], "pt") as file:
            return file.get_tensor(name)


def _state(model, stored):
    """How the device process gets the state dict: straight from safetensors when the names are the same.

    {"direct": {name: file}, "tied": {name: other name}}, or None when transformers has to build it.
    """
    direct, tied, seen = {}, {}, {}
    for name, value in model.state_dict().items():
        if stored.shapes.get(name) == tuple(value.shape):
            direct[name] = stored.file(name)
            seen.setdefault(value.data_ptr(), name)
    for name, value in model.state_dict().items():
        if name not in direct:
            if value.data_ptr() not in seen:
                return None
            tied[name] = seen[value.data_ptr()]
    return {"direct": direct, "tied": tied}
