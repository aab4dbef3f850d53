"""Windows of natural text: the tokens that every evaluation is forced along."""

import hashlib
import random
import re

from .errors import EvalError, UsageError

PROBED = 128  # positions of a prompt, beside its last


def digest(path):
    """The corpus's sha256; a missing or undecodable file is an error."""
    return hashlib.sha256(read(path).encode()).hexdigest()


def read(path):
    """The text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EvalError(f"the corpus {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvalError(f"the corpus {path} is not UTF-8 text: {error}") from error


def spliced(text, seed):
    """The text cut up and put together otherwise, three times over: what follows what is known from the seed alone.

    Sentences come in another order, and where two have a comma or a semicolon they change their second halves. A
    model that knows the corpus by heart has seen their words, and neither these sentences nor what leads to them.
    """
    chance = random.Random(f"{seed}/text")
    sentences = re.findall(r"[^\s.!?][^.!?\n]*[.!?]+[\"”’)]*", text)
    halves = [re.fullmatch(r"((?:\S+ ){2,}?\S+[,;]) (.+)", one) for one in sentences]
    whole = [one for one, half in zip(sentences, halves) if half is None]
    heads, tails = ([half[part] for half in halves if half] for part in (1, 2))
    found = []
    for _ in range(3):
        chance.shuffle(tails)
        mixed = [*whole, *(f"{head} {tail}" for head, tail in zip(heads, tails))]
        chance.shuffle(mixed)
        found += [" ".join(mixed[at : at + 5]) for at in range(0, len(mixed), 5)]
    return "\n\n".join(found)


def probed(prefill):
    """The positions of a prompt whose logits are compared, beside its last, which is step 0: all, or PROBED of them."""
    last = prefill - 2
    return sorted({round(last * n / (PROBED - 1)) for n in range(PROBED)}) if last >= PROBED else list(range(last + 1))


def windows(tokens, length, batch, seed):
    """`batch` windows of `length` consecutive tokens, chosen by seed; they overlap only when they must."""
    if length > len(tokens):
        raise UsageError(
            f"a window of {length} tokens (prefill + decode) does not fit the corpus, which has {len(tokens)} for "
            f"this tokenizer: the most is {len(tokens)}; give a longer text with --corpus"
        )
    chance = random.Random(f"{seed}/{length}/{batch}")
    slots = (len(tokens) - length) // length + 1
    if batch <= slots:
        slack = len(tokens) - slots * length
        shift = chance.randrange(slack + 1)
        starts = [shift + slot * length for slot in chance.sample(range(slots), batch)]
    else:
        starts = [chance.randrange(len(tokens) - length + 1) for _ in range(batch)]
    return [list(tokens[start : start + length]) for start in starts]
