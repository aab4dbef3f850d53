"""ttnn.transformer: attention over a prompt and over a cache."""

import math

import torch

from .errors import refuse, require, unknown
from .experimental import check_pages, check_positions
from .memory import DRAM_MEMORY_CONFIG, BufferType, TensorMemoryLayout
from .numerics import DataType
from .operations import _tiled
from .tensor import TILE_LAYOUT, each, operation, produce


def __getattr__(name):
    raise unknown(f"transformer.{name}")


class SDPAProgramConfig:
    """Accepted and kept; it changes nothing here."""

    def __init__(self, **options):
        self.__dict__.update(options)


@operation("transformer.scaled_dot_product_attention")
def scaled_dot_product_attention(
    input_tensor_q,
    input_tensor_k,
    input_tensor_v,
    *,
    attn_mask=None,
    is_causal=True,
    scale=None,
    sliding_window_size=None,
    memory_config=None,
    program_config=None,
    compute_kernel_config=None,
    attention_sink=None,
):
    """Attention of q [B, h, S, d] over k and v [B, kv, S, d]; h is a multiple of kv."""
    name = "scaled_dot_product_attention"
    q, k, v = input_tensor_q, input_tensor_k, input_tensor_v
    _tiled(name, q, k, v)
    require(not (is_causal and attn_mask is not None), f"{name}: give a mask or is_causal, not both")
    require(attention_sink is None, f"{name}: attention_sink is not in the stand-in")
    for one in (q, k, v):
        require(not one.is_sharded(), f"{name}: operands must be interleaved")
        require(one.memory_config().buffer_type is BufferType.DRAM, f"{name}: operands must lie in DRAM")
    require(k.shape == v.shape, f"{name}: k is {tuple(k.shape)}, v {tuple(v.shape)}")
    require(
        q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3] and q.shape[1] % k.shape[1] == 0,
        f"{name}: q of {tuple(q.shape)} over k of {tuple(k.shape)}",
    )
    require(not is_causal or q.shape[2] == k.shape[2], f"{name}: causal attention needs equal lengths")
    scale = scale if scale is not None else 1 / math.sqrt(q.shape[3])
    length = q.shape[2]
    mask = None
    if is_causal:
        mask = torch.full((length, length), float("-inf")).triu(1)
        if sliding_window_size:
            mask = mask + torch.full((length, length), float("-inf")).tril(-sliding_window_size)

    def attend(q, k, v, *given):
        return _attend(q, k, v, scale, given[0] if given else mask)

    tensors = [q, k, v] + ([attn_mask] if attn_mask is not None else [])
    return produce(each(attend, *tensors), q, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def _attend(q, k, v, scale, mask):
    """Softmax attention in float32 with grouped heads: q [B, h, n, d], k and v [B, kv, m, d]."""
    batch, heads, rows, d = q.shape
    kv = k.shape[1]
    # The heads of a group lie one below the other, so that each group is one matrix product.
    grouped = q.reshape(batch, kv, heads // kv * rows, d)
    scores = torch.matmul(grouped, k.transpose(-1, -2)) * scale
    if mask is not None:
        scores = scores.view(batch, heads, rows, -1) + mask
        scores = scores.view(batch, kv, heads // kv * rows, -1)
    return torch.matmul(torch.softmax(scores, -1), v).view(batch, heads, rows, d)


def _decode(name, q, k, v, cur_pos_tensor, cur_pos, scale, window, memory_config, pages=None):
    require(q.shape[0] == 1, f"{name}: q is {tuple(q.shape)}")
    for one in (k, v):
        require(one.layout is TILE_LAYOUT, f"{name}: the cache must be in TILE layout")
        require(one.memory_config().buffer_type is BufferType.DRAM, f"{name}: the cache must lie in DRAM")
    memory = q.memory_config()
    if memory.is_sharded():
        require(
            memory.memory_layout is TensorMemoryLayout.HEIGHT_SHARDED, f"{name}: a sharded q must be height-sharded"
        )
    else:
        require(memory.buffer_type is BufferType.DRAM, f"{name}: q must be height-sharded or lie in DRAM")
    require(k.shape == v.shape and k.shape[3] == q.shape[3], f"{name}: q {tuple(q.shape)}, k {tuple(k.shape)}")
    users, heads, kv = q.shape[1], q.shape[2], k.shape[1]
    require(heads % kv == 0, f"{name}: q has {heads} heads, which is not a multiple of the cache's {kv}")
    if kv > 1:
        require(q.dtype is DataType.BFLOAT16, f"{name}: grouped heads need a BFLOAT16 q")
        require(
            memory_config is None or not memory_config.is_sharded(),
            f"{name}: sharded output is not supported for grouped heads",
        )
    if cur_pos_tensor is not None:
        check_positions(name, cur_pos_tensor)
        cur_pos = cur_pos_tensor.shards[0].reshape(-1).tolist()
    require(cur_pos is not None and len(cur_pos) == users, f"{name}: one position a user")
    if pages is None:
        require(k.shape[0] == users, f"{name}: {users} users, a cache for {k.shape[0]}")
        limit = k.shape[2]
    else:
        limit = pages.shape[1] * k.shape[2]
    if max(cur_pos) >= limit:
        refuse(f"{name}: position {max(cur_pos)} is beyond the cache of {limit}")
    scale = scale if scale is not None else 1 / math.sqrt(q.shape[3])
    # Users at the same position (in practice all of them) are computed together.
    together = len(set(cur_pos)) == 1 and pages is None

    def rows(cache, user, at):
        if pages is None:
            return cache[user : user + 1, :, : at + 1]
        listed = pages.shards[0][user].tolist()
        joined = torch.cat([cache[page] for page in listed], 1)
        return joined[None, :, : at + 1]

    def attend(q, k, v):
        out = torch.zeros_like(q)
        groups = [(list(range(users)), cur_pos[0])] if together else [([n], at) for n, at in enumerate(cur_pos)]
        for group, at in groups:
            if at < 0:
                continue
            first = group[0]
            keys = k[:, :, : at + 1] if together else rows(k, first, at)
            values = v[:, :, : at + 1] if together else rows(v, first, at)
            start = max(0, at + 1 - window) if window else 0
            query = q[0, group][:, :, None]
            got = _attend(query, keys[:, :, start:], values[:, :, start:], scale, None)
            out[0, group] = got[:, :, 0]
        return out

    return produce(each(attend, q, k, v), q, memory_config=memory_config or DRAM_MEMORY_CONFIG)


@operation("transformer.scaled_dot_product_attention_decode")
def scaled_dot_product_attention_decode(
    input_tensor_q,
    input_tensor_k,
    input_tensor_v,
    *,
    is_causal=True,
    attn_mask=None,
    cur_pos=None,
    cur_pos_tensor=None,
    scale=None,
    sliding_window_size=None,
    memory_config=None,
    program_config=None,
    compute_kernel_config=None,
):
    """Attention of one token a user, q [1, B, h, d], over caches [B, kv, length, d] up to each position."""
    name = "scaled_dot_product_attention_decode"
    require(is_causal and attn_mask is None, f"{name}: the stand-in has causal attention only")
    return _decode(
        name,
        input_tensor_q,
        input_tensor_k,
        input_tensor_v,
        cur_pos_tensor,
        cur_pos,
        scale,
        sliding_window_size,
        memory_config,
    )


@operation("transformer.paged_scaled_dot_product_attention_decode")
def paged_scaled_dot_product_attention_decode(
    input_tensor_q,
    input_tensor_k,
    input_tensor_v,
    *,
    page_table_tensor,
    is_causal=True,
    attn_mask=None,
    cur_pos_tensor=None,
    scale=None,
    sliding_window_size=None,
    memory_config=None,
    program_config=None,
    compute_kernel_config=None,
):
    """As scaled_dot_product_attention_decode over caches [pages, kv, page length, d]."""
    name = "paged_scaled_dot_product_attention_decode"
    require(is_causal and attn_mask is None, f"{name}: the stand-in has causal attention only")
    check_pages(name, page_table_tensor, input_tensor_q.shape[1])
    return _decode(
        name,
        input_tensor_q,
        input_tensor_k,
        input_tensor_v,
        cur_pos_tensor,
        None,
        scale,
        sliding_window_size,
        memory_config,
        page_table_tensor,
    )
