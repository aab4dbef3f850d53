"""The reference as a device's number formats would have it: what of a divergence they explain, and what they cannot."""

import contextlib
import math

import torch

BITS = {"bfloat8_b": 7, "bfloat4_b": 3}  # of magnitude, beside a sign, under the exponent that sixteen values share
BLOCK = 16
BEST = 100  # of a step's logits, of which its noise is told
NEXT = 5  # tokens that a step may choose instead
ROWS = 4096  # rounded at a time, so that no large matrix is there three times


@torch.no_grad()
def round_weights(model, kind):
    """Round the model's matrices in place: to bfloat16, or to blocks that share an exponent.

    A matrix lies on the device transposed, so a block is of sixteen outputs of one input.
    """
    for parameter in model.parameters():
        if kind == "bfloat16":
            parameter.copy_(parameter.to(torch.bfloat16))
        elif parameter.dim() == 2:
            for at in range(0, parameter.shape[0], ROWS):
                part = parameter[at : at + ROWS]
                part.copy_(blocks(part.float(), BITS[kind]))


def blocks(matrix, bits):
    """A float32 matrix of which each sixteen values below one another share the exponent of the largest."""
    rows, columns = matrix.shape
    padded = torch.nn.functional.pad(matrix, (0, 0, 0, -rows % BLOCK)).reshape(-1, BLOCK, columns)
    largest = padded.abs().amax(1, keepdim=True).clamp_min(2.0**-126)
    step = torch.exp2(torch.floor(torch.log2(largest)) + 1 - bits)
    most = 2.0**bits - 1
    return ((padded / step).round().clamp(-most, most) * step).reshape(-1, columns)[:rows]


@contextlib.contextmanager
def rounded_outputs(model):
    """While every part of the model hands on bfloat16's values, in whatever type it computes."""

    def narrow(value):
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.to(torch.bfloat16).to(value.dtype)
        if type(value) is tuple:
            return tuple(narrow(one) for one in value)
        return value

    hooks = [part.register_forward_hook(lambda _, __, out: narrow(out)) for part in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def noise(wide, narrow):
    """How far each step's logits are from those of `wide`, [steps, vocab]: the deviation among its best."""
    best, at = wide.topk(min(BEST, wide.shape[-1]), -1)
    return (narrow.gather(-1, at) - best).std(-1)


def turned(wide, deviation):
    """The chance of each step of `wide`, [steps, vocab], that noise of this deviation, [steps], turns its choice."""
    best = wide.topk(min(NEXT + 1, wide.shape[-1]), -1).values
    gaps = (best[:, :1] - best[:, 1:]) / deviation.clamp_min(1e-30)[:, None]
    return 1 - (1 - torch.erfc(gaps / 2) / 2).prod(-1)
