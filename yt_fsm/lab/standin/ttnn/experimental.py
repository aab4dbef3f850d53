"""ttnn.experimental: splitting and joining heads, rotary embedding, cache updates."""

import torch

from .errors import refuse, require, unknown
from .memory import DRAM_MEMORY_CONFIG, BufferType, MemoryConfig, ShardSpec, TensorMemoryLayout, cores
from .numerics import DataType, hold
from .operations import _own, _tiled
from .tensor import ROW_MAJOR_LAYOUT, each, operation, produce, to_tile


def __getattr__(name):
    raise unknown(f"experimental.{name}")


def _head_width(name, width, num_heads, num_kv_heads):
    count = num_heads + 2 * num_kv_heads
    require(width % count == 0, f"{name}: a width of {width} is not {num_heads} + 2 x {num_kv_heads} heads")
    head = width // count
    require(head % 32 == 0, f"{name}: heads of {head} are not whole tiles")
    return head


@operation("experimental.nlp_create_qkv_heads")
def nlp_create_qkv_heads(
    input_tensor,
    input_tensor_kv=None,
    *,
    num_heads,
    num_kv_heads=None,
    transpose_k_heads=True,
    memory_config=None,
    output_tensors=None,
):
    """[B, 1, S, (h + 2 kv) d] -> [B, h, S, d], [B, kv, S, d] (or transposed), [B, kv, S, d]."""
    name = "nlp_create_qkv_heads"
    kv = num_kv_heads or num_heads
    _tiled(name, input_tensor)
    batch, one, length, width = input_tensor.shape
    require(one == 1, f"{name}: input is {tuple(input_tensor.shape)}")
    require(length % 32 == 0, f"{name}: a length of {length} is not whole tiles")
    require(not input_tensor.is_sharded(), f"{name}: the stand-in takes interleaved input only")
    d = _head_width(name, width, num_heads, kv)

    def heads(x, start, count):
        part = x[..., start * d : (start + count) * d]
        return part.reshape(batch, length, count, d).transpose(1, 2).contiguous()

    memory = memory_config or input_tensor.memory_config()
    q = each(lambda x: heads(x, 0, num_heads), input_tensor)
    k = each(lambda x: heads(x, num_heads, kv), input_tensor)
    v = each(lambda x: heads(x, num_heads + kv, kv), input_tensor)
    if transpose_k_heads:
        k = [part.transpose(-1, -2).contiguous() for part in k]
    exact = not input_tensor.dtype.block
    return tuple(produce(part, input_tensor, memory_config=memory, rounded=exact) for part in (q, k, v))


@operation("experimental.nlp_create_qkv_heads_decode")
def nlp_create_qkv_heads_decode(
    input_tensor,
    *,
    num_heads,
    num_kv_heads=None,
    overlap_qk_coregrid=None,
    batch_offset=None,
    slice_size=None,
    memory_config=None,
    output_tensors=None,
):
    """[1, 1, B, (h + 2 kv) d] -> [1, B, h, d], [1, B, kv, d], [1, B, kv, d], height-sharded over B cores."""
    name = "nlp_create_qkv_heads_decode"
    kv = num_kv_heads or num_heads
    _tiled(name, input_tensor)
    require(input_tensor.dtype in (DataType.BFLOAT16, DataType.FLOAT32), f"{name}: {input_tensor.dtype.name} input")
    first, second, users, width = input_tensor.shape
    require(first == second == 1, f"{name}: input is {tuple(input_tensor.shape)}")
    require(users <= 32, f"{name}: {users} users; 32 at most")
    require(num_heads <= 32, f"{name}: {num_heads} heads; 32 at most")
    require(num_heads >= kv, f"{name}: more key heads than query heads")
    if input_tensor.is_sharded():
        require(
            input_tensor.memory_config().memory_layout is TensorMemoryLayout.WIDTH_SHARDED,
            f"{name}: a sharded input must be width-sharded",
        )
    d = _head_width(name, width, num_heads, kv)

    def heads(start, count):
        shards = each(
            lambda x: x[..., start * d : (start + count) * d].reshape(1, users, count, d).contiguous(), input_tensor
        )
        spec = ShardSpec(cores(users), (to_tile(count), d))
        memory = MemoryConfig(TensorMemoryLayout.HEIGHT_SHARDED, BufferType.L1, spec)
        return produce(shards, input_tensor, memory_config=memory, rounded=True)

    return heads(0, num_heads), heads(num_heads, kv), heads(num_heads + kv, kv)


@operation("experimental.nlp_concat_heads")
def nlp_concat_heads(input_tensor, *, memory_config=None):
    """[B, h, S, d] -> [B, 1, S, h d]."""
    _tiled("nlp_concat_heads", input_tensor)
    batch, count, length, d = input_tensor.shape
    require(d % 32 == 0, f"nlp_concat_heads: heads of {d} are not whole tiles")
    shards = each(lambda x: x.transpose(1, 2).reshape(batch, 1, length, count * d), input_tensor)
    memory = memory_config or DRAM_MEMORY_CONFIG
    return produce(shards, input_tensor, memory_config=memory, rounded=not input_tensor.dtype.block)


@operation("experimental.nlp_concat_heads_decode")
def nlp_concat_heads_decode(input_tensor, *, num_heads, memory_config=None, **options):
    """[1, B, h padded to 32, d], height-sharded -> [1, 1, B, h d], width-sharded."""
    name = "nlp_concat_heads_decode"
    _tiled(name, input_tensor)
    require(
        input_tensor.is_sharded() and input_tensor.memory_config().memory_layout is TensorMemoryLayout.HEIGHT_SHARDED,
        f"{name}: the input must be height-sharded",
    )
    _, users, count, d = input_tensor.shape
    require(num_heads <= count, f"{name}: {num_heads} heads of {count}")
    # One core a head: the device pads the users to a tile and keeps them as the logical shape.
    shards = each(
        lambda x: torch.nn.functional.pad(
            x[0, :, :num_heads].reshape(1, 1, users, num_heads * d), (0, 0, 0, to_tile(users) - users)
        ),
        input_tensor,
    )
    spec = ShardSpec(cores(num_heads), (to_tile(users), d))
    memory = MemoryConfig(TensorMemoryLayout.WIDTH_SHARDED, BufferType.L1, spec)
    return produce(shards, input_tensor, memory_config=memory, rounded=True)


def _rotate(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def _rows(x, count):
    """`x` with dimension -2 padded to `count` rows."""
    return torch.nn.functional.pad(x, (0, 0, 0, count - x.shape[-2]))


def _check_rotary(name, input_tensor, cos, sin):
    _tiled(name, input_tensor, cos, sin)
    d = input_tensor.shape[-1]
    require(cos.shape == sin.shape, f"{name}: cos is {tuple(cos.shape)}, sin {tuple(sin.shape)}")
    require(cos.shape[0] == 1 and cos.shape[-1] == d, f"{name}: cos of {tuple(cos.shape)} for heads of {d}")
    if input_tensor.is_sharded():
        require(
            input_tensor.memory_config().memory_layout is not TensorMemoryLayout.WIDTH_SHARDED,
            f"{name}: the input cannot be width-sharded",
        )


@operation("experimental.rotary_embedding")
def rotary_embedding(
    input_tensor, cos_cache, sin_cache, token_index=None, *, memory_config=None, compute_kernel_config=None
):
    """HF-format rotation of [B, h, S, d] by rows 0..S of the caches, or all rows by row `token_index`.

    The result's logical shape is the padded one: rows (or heads, in decode) come back as whole tiles.
    """
    name = "rotary_embedding"
    _check_rotary(name, input_tensor, cos_cache, sin_cache)
    d = input_tensor.shape[-1]
    require(d % 64 == 0, f"{name}: heads of {d} do not divide by 64")
    require(cos_cache.shape[1] == 1, f"{name}: cos must be [1, 1, length, {d}]")
    rows = input_tensor.padded_shape[-2]
    if token_index is None:
        require(cos_cache.padded_shape[-2] >= rows, f"{name}: the cos cache is shorter than {rows} rows")

        def rotate(x, cos, sin):
            x = _rows(x, rows)
            return _rotate(
                x, _rows(cos, max(rows, cos.shape[-2]))[:, :, :rows], _rows(sin, max(rows, sin.shape[-2]))[:, :, :rows]
            )

    else:
        require(input_tensor.shape[0] == 1, f"{name}: with a token index, dimension 0 must be 1")
        require(0 <= token_index < cos_cache.shape[-2], f"{name}: token {token_index} is beyond the cos cache")

        def rotate(x, cos, sin):
            at = slice(token_index, token_index + 1)
            return _rotate(_rows(x, rows), cos[:, :, at], sin[:, :, at])

    memory = memory_config or input_tensor.memory_config()
    return produce(each(rotate, input_tensor, cos_cache, sin_cache), input_tensor, memory_config=memory)


@operation("experimental.rotary_embedding_hf")
def rotary_embedding_hf(
    input_tensor, cos_cache, sin_cache, *, is_decode_mode=False, memory_config=None, compute_kernel_config=None
):
    """HF-format rotation: [1, h, S, d] by cos [1, 1, >=S, d]; in decode [1, B, h, d] by cos [1, B, 1, d].

    Decode takes height-sharded tensors only. The result's logical shape is the padded one.
    """
    name = "rotary_embedding_hf"
    _check_rotary(name, input_tensor, cos_cache, sin_cache)
    d = input_tensor.shape[-1]
    require(d == 32 or d % 64 == 0, f"{name}: heads of {d} are neither 32 nor a multiple of 64")
    rows = input_tensor.padded_shape[-2]
    if is_decode_mode:
        for one in (input_tensor, cos_cache, sin_cache):
            require(
                one.is_sharded() and one.memory_config().memory_layout is TensorMemoryLayout.HEIGHT_SHARDED,
                f"{name}: in decode mode every operand must be height-sharded",
            )
        require(
            cos_cache.shape[1] == input_tensor.shape[1] and cos_cache.shape[2] == 1,
            f"{name}: cos of {tuple(cos_cache.shape)} for an input of {tuple(input_tensor.shape)}",
        )

        def rotate(x, cos, sin):
            return _rotate(_rows(x, rows), cos, sin)

    else:
        require(cos_cache.shape[1] == 1 and cos_cache.shape[-2] >= rows, f"{name}: cos is shorter than {rows} rows")

        def rotate(x, cos, sin):
            return _rotate(_rows(x, rows), cos[:, :, :rows], sin[:, :, :rows])

    memory = memory_config or input_tensor.memory_config()
    return produce(each(rotate, input_tensor, cos_cache, sin_cache), input_tensor, memory_config=memory)


@operation("experimental.paged_update_cache", writes=0)
def paged_update_cache(
    cache_tensor,
    input_tensor,
    *,
    update_idxs=(),
    update_idxs_tensor=None,
    share_cache=None,
    page_table=None,
    batch_offset=0,
    **options,
):
    """Write one row a user, [1, B, kv (padded), d], at each user's position; a negative position writes nothing."""
    name = "paged_update_cache"
    _tiled(name, cache_tensor, input_tensor)
    require(input_tensor.is_sharded(), f"{name}: the input must be sharded")
    require(
        input_tensor.memory_config().memory_layout is not TensorMemoryLayout.WIDTH_SHARDED,
        f"{name}: the input cannot be width-sharded",
    )
    require(not cache_tensor.is_sharded(), f"{name}: the cache must be interleaved")
    require(input_tensor.dtype in (DataType.BFLOAT16, DataType.FLOAT32), f"{name}: {input_tensor.dtype.name} input")
    require(input_tensor.shape[0] == 1, f"{name}: input is {tuple(input_tensor.shape)}")
    require(input_tensor.shape[-1] == cache_tensor.shape[-1], f"{name}: widths differ")
    users, kv = input_tensor.shape[1], cache_tensor.shape[1]
    require(input_tensor.padded_shape[2] >= kv, f"{name}: {input_tensor.shape[2]} heads for a cache of {kv}")
    require(
        (update_idxs_tensor is None) != (len(update_idxs) == 0),
        f"{name}: give update_idxs or update_idxs_tensor, not both or neither",
    )
    positions = [torch.tensor(update_idxs)] if update_idxs_tensor is None else update_idxs_tensor.shards
    if update_idxs_tensor is not None:
        check_positions(name, update_idxs_tensor)
        memory = update_idxs_tensor.memory_config()
        require(memory.is_sharded() or memory.buffer_type is BufferType.DRAM, f"{name}: positions must lie in DRAM")
    require(positions[0].numel() == users, f"{name}: {positions[0].numel()} positions for {users} users")
    if page_table is None:
        require(cache_tensor.shape[0] == users, f"{name}: {users} users, a cache for {cache_tensor.shape[0]}")
        length = cache_tensor.shape[2]
    else:
        check_pages(name, page_table, users)
        length = page_table.shape[1] * cache_tensor.shape[2]
    _own(cache_tensor, input_tensor)
    where = positions[0].reshape(-1).tolist()
    if max(where) >= length:
        refuse(f"{name}: position {max(where)} is beyond the cache of {length}")

    def write(cache, values):
        values = hold(values[0], cache_tensor.dtype)
        for user, at in enumerate(where):
            if at < 0:
                continue
            if page_table is None:
                cache[user, :, at] = values[user, :kv]
            else:
                size = cache.shape[2]
                page = int(page_table.shards[0][user, at // size])
                cache[page, :, at % size] = values[user, :kv]
        return cache

    cache_tensor.shards = each(write, cache_tensor, input_tensor)
    return cache_tensor


@operation("experimental.paged_fill_cache", writes=0)
def paged_fill_cache(cache_tensor, input_tensor, page_table, *, batch_idx=0, batch_idx_tensor=None, **options):
    """Write [1, kv, n, d] into the pages of user `batch_idx`."""
    name = "paged_fill_cache"
    _tiled(name, cache_tensor, input_tensor)
    require(cache_tensor.dtype is input_tensor.dtype, f"{name}: dtypes differ")
    check_pages(name, page_table, page_table.shape[0])
    size = cache_tensor.shape[2]
    length = input_tensor.shape[2]
    require(length <= size * page_table.shape[1], f"{name}: {length} tokens do not fit the pages")
    pages = page_table.shards[0][batch_idx].tolist()
    _own(cache_tensor, input_tensor)

    def write(cache, values):
        for start in range(0, length, size):
            end = min(start + size, length)
            cache[pages[start // size], :, : end - start] = values[0, :, start:end]
        return cache

    cache_tensor.shards = each(write, cache_tensor, input_tensor)
    return cache_tensor


def check_positions(name, tensor):
    """Positions are int32 in ROW_MAJOR layout."""
    require(tensor.dtype is DataType.INT32, f"{name}: positions must be INT32, not {tensor.dtype.name}")
    require(tensor.layout is ROW_MAJOR_LAYOUT, f"{name}: positions must be in ROW_MAJOR layout")


def check_pages(name, page_table, users):
    """A page table is int32 in ROW_MAJOR layout with one row a user."""
    require(page_table.dtype is DataType.INT32, f"{name}: the page table must be INT32")
    require(page_table.layout is ROW_MAJOR_LAYOUT, f"{name}: the page table must be in ROW_MAJOR layout")
    require(page_table.shape[0] == users, f"{name}: {users} users, a page table for {page_table.shape[0]}")
