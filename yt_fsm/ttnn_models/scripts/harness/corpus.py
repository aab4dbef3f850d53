"""Windows of natural text: the tokens that every evaluation is forced along."""

import hashlib
import random

from .errors import EvalError, UsageError


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
