"""Number formats of the device: rounding a float32 torch tensor to what a ttnn dtype can hold."""

import enum

import torch

TILE_SIZE = 32
BLOCK = 16  # values of one row that share an exponent in the block formats
PIECE = 2**14  # blocks rounded at once: few enough to stay in the processor's cache


class DataType(enum.Enum):
    """ttnn's tensor dtypes; the block formats exist in TILE layout only."""

    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    BFLOAT8_B = "bfloat8_b"
    BFLOAT4_B = "bfloat4_b"
    UINT32 = "uint32"
    INT32 = "int32"
    UINT16 = "uint16"
    UINT8 = "uint8"

    @property
    def floating(self):
        return self in FLOATS

    @property
    def block(self):
        return self in (DataType.BFLOAT8_B, DataType.BFLOAT4_B)

    def __repr__(self):
        return f"DataType.{self.name}"


FLOATS = (DataType.BFLOAT16, DataType.FLOAT32, DataType.BFLOAT8_B, DataType.BFLOAT4_B)
FROM_TORCH = {
    torch.bfloat16: DataType.BFLOAT16,
    torch.float32: DataType.FLOAT32,
    torch.float16: DataType.BFLOAT16,
    torch.int32: DataType.INT32,
    torch.int64: DataType.UINT32,
    torch.uint8: DataType.UINT8,
}


def hold(values, dtype):
    """`values` as the dtype holds them: float32 for the float formats, int64 for the integers."""
    if not dtype.floating:
        return values.to(torch.int64)
    values = values.to(torch.float32)
    if dtype is DataType.BFLOAT16:
        return values.to(torch.bfloat16).to(torch.float32)
    if dtype is DataType.BFLOAT8_B:
        return share_exponents(values, 7)
    if dtype is DataType.BFLOAT4_B:
        return share_exponents(values, 3)
    return values


def share_exponents(values, bits):
    """Round each run of 16 values of a row to sign and `bits` of mantissa under their largest exponent.

    Nearest, ties to even; a mantissa that would overflow saturates, as the device's packer does.
    """
    width = values.shape[-1]
    short = -width % BLOCK
    if short:
        values = torch.nn.functional.pad(values, (0, short))
    rounded = torch.empty(values.shape)
    source, target = values.reshape(-1, BLOCK), rounded.view(-1, BLOCK)
    for start in range(0, len(source), PIECE):
        _round_blocks(source[start : start + PIECE], target[start : start + PIECE], bits)
    return rounded[..., :width].contiguous() if short else rounded


def _round_blocks(blocks, target, bits):
    largest = torch.maximum(blocks.amax(-1, keepdim=True), -blocks.amin(-1, keepdim=True))
    exponent = torch.frexp(largest).exponent  # largest = m * 2**exponent, m in [0.5, 1)
    # Where all are zero any step will do; the smallest normal numbers are below every step.
    step = torch.ldexp(torch.ones_like(largest), exponent.clamp_(min=-120) - bits)
    limit = float(2**bits - 1)
    torch.div(blocks, step, out=target)
    target.round_().clamp_(-limit, limit).mul_(step)
