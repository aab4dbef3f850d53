"""Whether a Hugging Face model can be a reference at all: its weights are all there, it is a language model of this
text, and the tokenizer is its own. What speaks against it is ReferenceUnfit; no model's code can make up for it.
"""

import collections
import difflib
import re
import unicodedata

import torch

from .errors import ReferenceUnfit

NAMED = 4  # keys in a message
ROUND_TRIP = 0.02  # of the text may come back otherwise: rare signs that a vocabulary has not
# Positions and causal masks that old checkpoints carry along; a model computes them.
COMPUTED = re.compile(r"(^|\.)(inv_freq|(attn|attention)\.(masked_)?bias|position_ids)$")


def check_keys(model, info, stored):
    """Each parameter came from the checkpoint, and each tensor of the checkpoint went into one.

    `info` is what from_pretrained says with output_loading_info, `stored` the names in the files and a way to read one.
    """
    wrong = [f"{one[0]} is {tuple(one[1])} and must be {tuple(one[2])}" for one in _sorted(info["mismatched_keys"])]
    if wrong:
        raise _unfit("weights of the checkpoint have other shapes than the config says", wrong)
    missing = sorted(set(info["missing_keys"]) & _own(model, set(info["missing_keys"])))
    if missing:
        raise _unfit("weights are missing from the checkpoint and would be random", missing)
    unexpected = sorted(name for name in info["unexpected_keys"] if not COMPUTED.search(name))
    if unexpected:
        raise _unfit("the checkpoint has weights that the model of its config has no place for", unexpected)
    _check_tied(model, stored)


def _own(model, missing):
    """The names of parameters that nothing fills: neither the checkpoint, under any of their names, nor the class."""
    names = collections.defaultdict(set)
    for name, value in model.named_parameters(remove_duplicate=False):
        names[id(value)].add(name)
    legal = re.compile("|".join(getattr(model, "_keys_to_ignore_on_load_missing", None) or ["(?!)"]))
    return {name for same in names.values() if same <= missing for name in same if not legal.search(name)}


def _check_tied(model, stored):
    """Embeddings that the config ties are one matrix: transformers 4 takes the first of two, 5 takes both."""
    first, last = model.get_input_embeddings(), model.get_output_embeddings()
    if last is None or not getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        return
    names = {name for name, value in model.named_parameters(remove_duplicate=False) if value is first.weight}
    names |= {name for name, value in model.named_parameters(remove_duplicate=False) if value is last.weight}
    there = [stored.read(name) for name in sorted(names & stored.names)]
    if any(not torch.equal(there[0], other.to(there[0].dtype)) for other in there[1:]):
        raise _unfit("the config ties the embeddings, and the checkpoint has two different", sorted(names))


def check_numbers(model):
    """Every weight is a finite number."""
    for name, value in model.named_parameters():
        if value.numel():
            low, high = torch.aminmax(value.detach())
            if not bool(torch.isfinite(low) & torch.isfinite(high)):
                raise _unfit("weights are not finite numbers", [name])


def check_tokenizer(tokenizer, text, tokens):
    """What the tokenizer makes of the text is the text: letters do not get lost on the way there and back."""
    if not tokens:
        raise ReferenceUnfit("the tokenizer makes no tokens of the text", {})
    back = tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if _letters(back) == _letters(text):
        return
    lost, seen, example = 0.0, 0, ""
    for line in filter(None, text.splitlines()):
        own = tokenizer(line, add_special_tokens=False, verbose=False)["input_ids"]
        came = _letters(tokenizer.decode(own, skip_special_tokens=False, clean_up_tokenization_spaces=False))
        gone = _letters(line)
        seen += len(gone)
        if came != gone:
            lost += len(gone) * (1 - difflib.SequenceMatcher(None, gone[:400], came[:400], autojunk=False).ratio())
            example = example or f"; {line[:40]!r} comes back as {came[:40]!r}"
    if lost > ROUND_TRIP * seen:
        raise ReferenceUnfit(
            f"{lost / seen:.0%} of the text is lost when the tokenizer encodes and decodes it{example}: this is not "
            "the tokenizer of a model of this language, or it is broken",
            {},
        )


def _letters(text):
    """Text without what tokenizers may rightly change: blanks, case, accents and their forms."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(one for one in plain if not one.isspace() and not unicodedata.combining(one))


def check_vocabulary(model, tokens):
    """Each token has a row in the embeddings."""
    rows = model.get_input_embeddings().weight.shape[0]
    if max(tokens) >= rows:
        raise ReferenceUnfit(
            f"the tokenizer's token {max(tokens)} has no embedding: the model has {rows} rows. The tokenizer is "
            "another model's",
            {},
        )


def prediction(logits, targets, tokens):
    """How well `logits` [n, vocab] predict `targets` [n], and how well the counts of `tokens`, the text's, would.

    A number that is not finite is None.
    """
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="mean")
    five = logits.topk(min(5, logits.shape[-1]), -1).indices
    counts = torch.bincount(torch.as_tensor(tokens), minlength=logits.shape[-1]).double()
    blind = -(counts[targets] / counts.sum()).log().mean()
    return {
        "corpus_top1": float((five[..., 0] == targets).float().mean()),
        "corpus_top5": float((five == targets[..., None]).any(-1).float().mean()),
        "perplexity": float(torch.exp(losses.clamp(max=80))) if bool(torch.isfinite(losses)) else None,
        "unigram_perplexity": float(torch.exp(blind)),
        "vocabulary": int(logits.shape[-1]),
    }


def _sorted(keys):
    return sorted((tuple(one) for one in keys), key=str)


def _unfit(what, names):
    shown = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
    return ReferenceUnfit(f"{what}: {shown}", {})
