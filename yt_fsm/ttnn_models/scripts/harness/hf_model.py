"""Running the Hugging Face model on the CPU: the only module that imports transformers for the reference."""

import os
import time

import numpy
import torch

from . import corpus, scoring
from .bar import Bar
from .errors import EvalError, UsageError

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: E402


def compute(found, asked):
    """(dtype name, meta, arrays) of one reference entry."""
    seconds = {}
    started = time.perf_counter()
    config = _config(found)
    windows = _windows(found, asked)
    dtype = _dtype(found, config)
    model = _load(found, dtype)
    seconds["load"] = time.perf_counter() - started
    tokens = torch.tensor(windows)
    _check_length(config, tokens.shape[1])
    started = time.perf_counter()
    full = _pass(model, tokens[:, :-1])
    seconds["pass"] = time.perf_counter() - started
    started = time.perf_counter()
    logits = full[:, asked.prefill_len - 1 :]
    stepwise = _steps(model, tokens[:, :-1], asked.prefill_len)
    seconds["steps"] = time.perf_counter() - started
    check = _agreement(logits, stepwise, dtype)
    check.update(_text(full, tokens))
    started = time.perf_counter()
    check["noise_floor"] = _noise_floor(model, tokens[:, :-1], logits, dtype, asked.prefill_len)
    seconds["noise"] = time.perf_counter() - started
    meta = {
        "dtype": str(dtype).removeprefix("torch."),
        "parameters": sum(one.numel() for one in model.parameters()),
        "check": check,
        "config": _plain(model.config.to_dict()),
        "weights": _state(model, found),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }
    arrays = {"tokens": tokens.numpy(), "logits": logits.numpy().astype(numpy.float32)}
    return meta["dtype"], meta, arrays


def _config(found):
    try:
        return AutoConfig.from_pretrained(found.folder)
    except (OSError, ValueError, KeyError) as error:
        raise EvalError(f"transformers cannot read the configuration in {found.folder}: {error}") from error


def _windows(found, asked):
    try:
        tokenizer = AutoTokenizer.from_pretrained(found.folder)
    except (OSError, ValueError) as error:
        raise EvalError(f"the tokenizer of {asked.hf_model} cannot be loaded: {error}") from error
    text = corpus.read(asked.corpus)
    if asked.seed != 0:
        text = corpus.spliced(text, asked.seed)
    tokens = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return corpus.windows(tokens, asked.prefill_len + asked.decode_len, asked.batch, asked.seed)


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


def _load(found, dtype):
    try:
        model = AutoModelForCausalLM.from_pretrained(found.folder, **_dtype_option(dtype))
    except (OSError, ValueError, KeyError) as error:
        raise EvalError(f"transformers cannot load the model in {found.folder}: {error}") from error
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


@torch.no_grad()
def _steps(model, tokens, prefill):
    """The same logits as the device computes them: the prompt at once, then token by token over a cache."""
    rows = []
    bar = Bar(tokens.shape[0] * (tokens.shape[1] - prefill + 1))
    done = 0
    for row in tokens:
        out = model(row[None, :prefill], use_cache=True)
        logits = [out.logits[:, -1].float()]
        for at in range(prefill, len(row)):
            out = model(row[None, at : at + 1], use_cache=True, **_cache(out))
            logits.append(out.logits[:, -1].float())
            bar.show(done + len(logits))
        done += len(logits)
        rows.append(torch.stack(logits, 1))
    bar.end()
    return torch.cat(rows)


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


def _text(full, tokens):
    """How well the model predicts the corpus itself: a wrong checkpoint or tokenizer shows here."""
    targets = tokens[:, 1:]
    losses = torch.nn.functional.cross_entropy(full.flatten(0, 1), targets.flatten(), reduction="mean")
    five = full.topk(5, -1).indices
    return {
        "corpus_top1": float((five[..., 0] == targets).float().mean()),
        "corpus_top5": float((five == targets[..., None]).any(-1).float().mean()),
        "perplexity": float(torch.exp(losses.clamp(max=80))),
    }


def _noise_floor(model, tokens, logits, dtype, prefill):
    """The model in bfloat16 against itself in float32: no bfloat16 device can be expected to do better."""
    if dtype is not torch.float32:
        return None
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    narrow = _pass(model, tokens)[:, prefill - 1 :]
    if not bool(torch.isfinite(narrow).all()):
        return None
    found = scoring.compare(logits.numpy(), narrow.numpy())
    return {name: found[name] for name in ("top1", "top5", "top1_near_ties", "kl", "pcc")}


def _plain(config):
    """The config as JSON can hold it."""
    import json

    return json.loads(json.dumps(config, default=str))


def _state(model, found):
    """How the device process gets the state dict: straight from safetensors when the names are the same.

    {"direct": {name: file}, "tied": {name: other name}}, or None when transformers has to build it.
    """
    from safetensors import safe_open

    stored = {}
    for path in sorted(found.folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                stored[name] = (path.name, tuple(file.get_slice(name).get_shape()))
    direct, tied, seen = {}, {}, {}
    for name, value in model.state_dict().items():
        if name in stored and stored[name][1] == tuple(value.shape):
            direct[name] = stored[name][0]
            seen.setdefault(value.data_ptr(), name)
    for name, value in model.state_dict().items():
        if name not in direct:
            if value.data_ptr() not in seen:
                return None
            tied[name] = seen[value.data_ptr()]
    return {"direct": direct, "tied": tied}
