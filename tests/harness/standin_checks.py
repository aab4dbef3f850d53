"""Checks of the CPU stand-in for ttnn, run by the evaluation's Python (it needs torch)."""

import math
import os
import subprocess
import sys

import pytest
import torch
import ttnn
from torch.nn import functional

DRAM, L1 = ttnn.DRAM_MEMORY_CONFIG, ttnn.L1_MEMORY_CONFIG
TILE, ROWS = ttnn.TILE_LAYOUT, ttnn.ROW_MAJOR_LAYOUT

# The callables that public model files use (and the trace calls).
USED = [
    "embedding",
    "linear",
    "rms_norm",
    "silu",
    "gelu",
    "relu",
    "add",
    "mul",
    "concat",
    "slice",
    "reshape",
    "transpose",
    "zeros",
    "deallocate",
    "fill_cache",
    "all_reduce",
    "to_dtype",
    "from_torch",
    "as_tensor",
    "to_torch",
    "get_memory_config",
    "to_memory_config",
    "create_sharded_memory_config",
    "CoreGrid",
    "WormholeComputeKernelConfig",
    "ReplicateTensorToMesh",
    "ShardTensorToMesh",
    "ConcatMeshToTensor",
    "experimental.rotary_embedding",
    "experimental.nlp_create_qkv_heads",
    "experimental.nlp_create_qkv_heads_decode",
    "experimental.nlp_concat_heads",
    "experimental.paged_update_cache",
    "transformer.scaled_dot_product_attention",
    "transformer.scaled_dot_product_attention_decode",
    "begin_trace_capture",
    "end_trace_capture",
    "execute_trace",
    "release_trace",
]


@pytest.fixture
def device():
    """One device with room for traces."""
    made = ttnn.open_device(device_id=0, trace_region_size=1 << 20)
    yield made
    ttnn.close_device(made)


@pytest.fixture
def mesh():
    """Opens a mesh: mesh(2, 4)."""
    opened = []

    def open_mesh(rows, columns):
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
        opened.append(ttnn.open_mesh_device(ttnn.MeshShape(rows, columns), trace_region_size=1 << 20))
        return opened[-1]

    yield open_mesh
    for one in opened:
        ttnn.close_mesh_device(one)
    ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)


@pytest.fixture
def put(device):
    """A torch tensor on the device: put(tensor, dtype, memory_config)."""

    def run(tensor, dtype=ttnn.bfloat16, memory_config=DRAM, layout=TILE):
        return ttnn.from_torch(tensor, dtype=dtype, layout=layout, device=device, memory_config=memory_config)

    return run


def random(*shape):
    """bfloat16 values as float32."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16().float()


def back(tensor):
    return ttnn.to_torch(tensor).float()


def close(tensor, expected, steps=2):
    """Equal but for a few bfloat16 roundings of the largest value in a row."""
    found = back(tensor)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    allowed = expected.abs().amax(-1, keepdim=True) * steps * 2**-8 + 1e-6
    assert ((found - expected).abs() <= allowed).all(), (found - expected).abs().max()


def sharded(height, width, users=1):
    """Height-sharded over one core a user."""
    return ttnn.create_sharded_memory_config(
        (height, width),
        core_grid=ttnn.num_cores_to_corerangeset(users, ttnn.CoreCoord(8, 8), True),
        strategy=ttnn.ShardStrategy.HEIGHT,
        use_height_and_width_as_shard_shape=True,
    )


def positions(device, *values):
    return ttnn.from_torch(torch.tensor(values, dtype=torch.int32), dtype=ttnn.int32, device=device)


# What it is


def test_it_says_what_it_is():
    assert ttnn.STANDIN is True
    assert "standin" in ttnn.__version__


@pytest.mark.parametrize("name", USED)
def test_every_callable_that_model_files_use_is_there(name):
    found = ttnn
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("name", ["conv2d", "experimental.no_such_op", "transformer.ring_attention"])
def test_an_unknown_operation_is_named_with_the_line_that_used_it(name):
    *path, last = name.split(".")
    holder = ttnn
    for part in path:
        holder = getattr(holder, part)
    with pytest.raises(AttributeError) as caught:
        getattr(holder, last)
    assert f"no {name} (used at {__file__}:" in str(caught.value)
    assert not hasattr(holder, last)


# Number formats


def test_bfloat16_rounds_as_torch_does(put):
    values = torch.randn(64, 64)
    assert torch.equal(back(put(values)), values.bfloat16().float())


def test_block_formats_are_those_of_the_real_package():
    """Values that ttnn 0.81.1 itself converted."""
    given = [0.1, -0.3, 1.7, 0.0123, -2.5, 0.7, 3.99, -0.004, 1e-3, 0.5, -0.25, 0.33, -1.111, 2.2222, -3.3333, 0.9]
    known = {
        ttnn.bfloat8_b: [0.09375, -0.3125, 1.6875, 0.0, -2.5, 0.6875, 3.96875, 0.0, 0.0, 0.5, -0.25, 0.34375, -1.125,
                         2.21875, -3.34375, 0.90625],
        ttnn.bfloat4_b: [0.0, -0.5, 1.5, 0.0, -2.5, 0.5, 3.5, 0.0, 0.0, 0.5, 0.0, 0.5, -1.0, 2.0, -3.5, 1.0],
    }  # fmt: skip
    values = torch.tensor([given + [0.0] * 16]).repeat(32, 1)
    for dtype, expected in known.items():
        found = back(ttnn.from_torch(values, dtype=dtype, layout=TILE))[0, :16].tolist()
        assert found == expected


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("dtype", "bits"), [(ttnn.bfloat8_b, 7), (ttnn.bfloat4_b, 3)])
def test_sixteen_values_share_the_largest_one_s_exponent(dtype, bits, seed):
    chance = torch.Generator().manual_seed(seed)
    values = torch.randn(32, 160, generator=chance) * torch.logspace(-20, 20, 160)
    found = back(ttnn.from_torch(values, dtype=dtype, layout=TILE))
    blocks, held = values.view(32, 10, 16), found.view(32, 10, 16)
    step = 2.0 ** (torch.floor(torch.log2(blocks.abs().amax(-1, keepdim=True))) + 1 - bits)
    assert torch.equal((held / step).round(), held / step)  # whole steps
    assert ((held - blocks).abs() <= step).all()  # half a step, a whole one where the largest would overflow
    assert (held.abs() <= step * (2**bits - 1)).all()
    assert torch.equal(back(ttnn.from_torch(found, dtype=dtype, layout=TILE)), found)  # held exactly
    assert torch.equal(back(ttnn.from_torch(-values, dtype=dtype, layout=TILE)), -found)
    assert torch.equal(back(ttnn.from_torch(values * 4, dtype=dtype, layout=TILE)), found * 4)


def test_zeros_and_rows_that_are_not_whole_blocks_are_held():
    values = torch.zeros(3, 37)
    values[1, 36] = 1.5
    assert torch.equal(back(ttnn.from_torch(values, dtype=ttnn.bfloat8_b, layout=TILE)), values)


def test_block_formats_exist_in_tiles_only():
    with pytest.raises(RuntimeError, match="BFLOAT8_B exists in TILE layout only"):
        ttnn.from_torch(torch.zeros(32, 32), dtype=ttnn.bfloat8_b, layout=ROWS)


# Shapes and places


def test_tiles_pad_the_last_two_dimensions(put):
    made = put(torch.zeros(1, 2, 33, 7))
    assert tuple(made.shape) == (1, 2, 33, 7)
    assert tuple(made.padded_shape) == (1, 2, 64, 32)
    assert tuple(put(torch.zeros(1, 2, 33, 7), layout=ROWS).padded_shape) == (1, 2, 33, 7)


def test_tensors_go_to_the_device_and_back(device):
    host = ttnn.from_torch(random(32, 64), layout=TILE)
    assert host.device() is None
    there = ttnn.to_device(host, device)
    assert there.device() is device
    assert ttnn.get_memory_config(there) == DRAM
    assert torch.equal(back(ttnn.from_device(there)), random(32, 64))


def test_writing_to_a_device_tensor_needs_the_same_kind(device):
    target = ttnn.from_torch(torch.zeros(4, dtype=torch.int32), device=device)
    ttnn.copy_host_to_device_tensor(ttnn.from_torch(torch.arange(4, dtype=torch.int32)), target)
    assert ttnn.to_torch(target).tolist() == [0, 1, 2, 3]
    for other in (torch.zeros(5, dtype=torch.int32), torch.zeros(4)):
        with pytest.raises(RuntimeError, match="copy_host_to_device_tensor"):
            ttnn.copy_host_to_device_tensor(ttnn.from_torch(other), target)


def test_sharded_memory_configs_cut_what_divides():
    grid = ttnn.CoreGrid(y=2, x=4)
    width = ttnn.create_sharded_memory_config((1, 1, 32, 256), core_grid=grid, strategy=ttnn.ShardStrategy.WIDTH)
    assert width.shard_spec.shape == (32, 32)
    assert width.buffer_type is ttnn.BufferType.L1
    height = ttnn.create_sharded_memory_config((1, 8, 32, 64), core_grid=grid, strategy=ttnn.ShardStrategy.HEIGHT)
    assert height.shard_spec.shape == (32, 64)
    block = ttnn.create_sharded_memory_config((1, 1, 64, 128), core_grid=grid, strategy=ttnn.ShardStrategy.BLOCK)
    assert block.shard_spec.shape == (32, 32)
    with pytest.raises(RuntimeError, match="does not divide"):
        ttnn.create_sharded_memory_config((1, 1, 32, 100), core_grid=grid, strategy=ttnn.ShardStrategy.WIDTH)
    with pytest.raises(RuntimeError, match="larger than the device"):
        ttnn.create_sharded_memory_config(
            (32, 900), core_grid=ttnn.CoreGrid(y=9, x=9), strategy=ttnn.ShardStrategy.WIDTH
        )


def test_a_tensor_must_fit_its_shards(put):
    with pytest.raises(RuntimeError, match="makes 4 shards"):
        put(torch.zeros(1, 4, 32, 64), memory_config=sharded(32, 64, users=2))
    with pytest.raises(RuntimeError, match="height shards are 32 wide, the tensor is 64"):
        put(torch.zeros(1, 1, 32, 64), memory_config=sharded(32, 32, users=2))


# Operations against torch


@pytest.mark.parametrize("dtype", [ttnn.bfloat16, ttnn.bfloat8_b])
def test_linear(put, dtype):
    x, w, b = random(1, 1, 33, 96), random(1, 1, 96, 64), random(1, 1, 1, 64)
    weight = put(w, dtype)
    close(ttnn.linear(put(x), weight, bias=put(b)), x @ back(weight) + b)
    close(ttnn.linear(put(x), weight, activation="silu"), functional.silu(x @ back(weight)))
    close(ttnn.matmul(put(x), put(w.transpose(2, 3)), transpose_b=True), x @ w)


def test_linear_answers_in_the_first_operand_s_dtype_unless_told(put):
    x, w = put(random(1, 1, 32, 64)), put(random(1, 1, 64, 64), ttnn.bfloat8_b)
    assert ttnn.linear(x, w).dtype is ttnn.bfloat16
    assert ttnn.linear(x, w, dtype=ttnn.float32).dtype is ttnn.float32
    assert ttnn.get_memory_config(ttnn.linear(x, w, memory_config=L1)) == L1


def test_batched_products(put):
    a, b = random(2, 3, 32, 64), random(2, 3, 64, 32)
    close(ttnn.matmul(put(a), put(b)), a @ b)


def test_rms_norm(put):
    x, w = random(1, 1, 32, 96), random(1, 1, 1, 96)
    expected = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * w
    close(ttnn.rms_norm(put(x), weight=put(w), epsilon=1e-5), expected)
    close(ttnn.rms_norm(put(x), epsilon=1e-5), expected / w * 1.0, steps=4)
    close(ttnn.rms_norm(put(x), weight=put(w.view(1, 1, 3, 32), layout=ROWS), epsilon=1e-5), expected)


@pytest.mark.parametrize("name", ["silu", "gelu", "relu", "sigmoid", "tanh", "exp", "neg", "rsqrt"])
def test_elementwise(put, name):
    x = random(1, 2, 32, 32).abs() + 0.1 if name == "rsqrt" else random(1, 2, 32, 32)
    expected = getattr(functional, name, None) or getattr(torch, name)
    close(getattr(ttnn, name)(put(x)), expected(x))


def test_gelu_by_tanh(put):
    x = random(32, 32)
    close(ttnn.gelu(put(x), variant=ttnn.GeluVariant.Tanh), functional.gelu(x, approximate="tanh"))


def test_arithmetic_broadcasts_and_takes_numbers_and_activations(put):
    a, b = random(1, 2, 32, 64), random(1, 1, 32, 1)
    close(ttnn.add(put(a), put(b)), a + b)
    close(ttnn.mul(put(a), put(b)), a * b)
    close(ttnn.subtract(put(a), put(b)), a - b)
    close(ttnn.mul(put(a), 0.5), a * 0.5)
    close(put(a) + put(b), a + b)
    fused = ttnn.mul(put(a), put(a), input_tensor_a_activations=[ttnn.UnaryOpType.SILU])
    close(fused, functional.silu(a) * a)
    with pytest.raises(RuntimeError, match=r"ttnn.add: "):
        ttnn.add(put(a), put(random(1, 3, 32, 64)))


def test_data_movement(put):
    a, b = random(1, 2, 64, 96), random(1, 2, 64, 32)
    close(ttnn.concat([put(a), put(b)], dim=-1), torch.cat((a, b), -1), 0)
    close(ttnn.slice(put(a), (0, 1, 0, 32), (1, 2, 32, 96)), a[:, 1:2, :32, 32:], 0)
    close(ttnn.slice(put(a), (0, 0, 0, 0), (1, 2, 64, 96), (1, 1, 2, 1)), a[:, :, ::2], 0)
    close(put(a)[:, :, :32, :], a[:, :, :32], 0)
    close(ttnn.reshape(put(a), (1, 1, 128, 96)), a.view(1, 1, 128, 96), 0)
    close(ttnn.reshape(put(a), (1, 1, -1, 96)), a.view(1, 1, 128, 96), 0)
    close(ttnn.transpose(put(a), 1, 2), a.transpose(1, 2), 0)
    close(ttnn.permute(put(a), (0, 2, 3, 1)), a.permute(0, 2, 3, 1), 0)
    close(ttnn.to_layout(put(a), ROWS), a, 0)
    for bad in (lambda: ttnn.reshape(put(a), (1, 1, 5, 96)), lambda: ttnn.slice(put(a), (0, 0, 0, 0), (1, 2, 65, 96))):
        with pytest.raises(RuntimeError, match=r"TT_FATAL.*called at .*standin_checks\.py:\d+"):
            bad()


def test_a_reshape_with_a_padded_shape_is_a_view_of_the_padding(put):
    x = put(random(1, 2, 9, 64))  # nine heads in a tile of 32
    whole = ttnn.reshape(x, (1, 2, 32, 64), (1, 2, 32, 64))
    assert torch.equal(back(whole)[:, :, :9], random(1, 2, 9, 64))
    assert torch.equal(back(ttnn.reshape(whole, (1, 2, 9, 64), (1, 2, 32, 64))), random(1, 2, 9, 64))


def test_zeros_ones_full(device):
    for made, value in ((ttnn.zeros, 0.0), (ttnn.ones, 1.0)):
        assert torch.equal(back(made((1, 1, 32, 32), device=device, layout=TILE)), torch.full((1, 1, 32, 32), value))
    assert ttnn.full((2,), 7, dtype=ttnn.int32).dtype is ttnn.int32


@pytest.mark.parametrize("layout", [TILE, ROWS])
def test_embedding(device, put, layout):
    table = random(1, 1, 50, 64)
    ids = torch.tensor([[[[3, 0, 49, 3]]]], dtype=torch.int32)
    tokens = ttnn.from_torch(ids, dtype=ttnn.uint32, device=device)
    found = ttnn.embedding(tokens, put(table, layout=layout), layout=TILE)
    close(found, table[0, 0][ids.flatten().long()].view(1, 1, 4, 64), 0)
    two = ttnn.from_torch(ids.view(2, 2), dtype=ttnn.uint32, device=device)
    assert tuple(ttnn.embedding(two, put(table, layout=layout)).shape) == (2, 2, 64)
    beyond = ttnn.from_torch(ids + 1, dtype=ttnn.uint32, device=device)
    with pytest.raises(RuntimeError, match="an index is not below 50"):
        ttnn.embedding(beyond, put(table, layout=layout))


def test_typecasts(put):
    x = put(random(32, 32))
    assert ttnn.to_dtype(x, ttnn.float32).dtype is ttnn.float32
    assert ttnn.typecast(x, ttnn.bfloat8_b).dtype is ttnn.bfloat8_b
    assert ttnn.to_dtype(ttnn.from_torch(random(32, 32), layout=TILE), ttnn.bfloat8_b).device() is None


# Attention


def rotated(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def test_heads_are_split_and_joined(put):
    heads, kv, d = 6, 2, 32
    fused = random(1, 1, 64, (heads + 2 * kv) * d)
    q, k, v = ttnn.experimental.nlp_create_qkv_heads(
        put(fused), num_heads=heads, num_kv_heads=kv, transpose_k_heads=False
    )
    parts = fused.view(1, 64, heads + 2 * kv, d).transpose(1, 2)
    for found, expected in ((q, parts[:, :heads]), (k, parts[:, heads : heads + kv]), (v, parts[:, heads + kv :])):
        close(found, expected, 0)
    turned = ttnn.experimental.nlp_create_qkv_heads(put(fused), num_heads=heads, num_kv_heads=kv)[1]
    close(turned, parts[:, heads : heads + kv].transpose(2, 3), 0)
    close(ttnn.experimental.nlp_concat_heads(q), fused[..., : heads * d], 0)


def test_heads_of_one_token_are_split_user_by_user_into_shards(put):
    heads, kv, d, users = 4, 2, 64, 3
    fused = random(1, 1, users, (heads + 2 * kv) * d)
    for memory_config in (DRAM, ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG, None):
        q, k, v = ttnn.experimental.nlp_create_qkv_heads_decode(
            put(fused), num_heads=heads, num_kv_heads=kv, memory_config=memory_config
        )
        parts = fused.view(1, users, heads + 2 * kv, d)
        close(q, parts[:, :, :heads], 0)
        close(v, parts[:, :, heads + kv :], 0)
        assert k.is_sharded()
        assert ttnn.get_memory_config(k).shard_spec.shape == (32, d)
        assert ttnn.get_memory_config(k).shard_spec.grid.num_cores() == users


def test_heads_of_one_token_are_joined(put):
    x = random(1, 2, 32, 64)
    joined = ttnn.experimental.nlp_concat_heads_decode(put(x, memory_config=sharded(32, 64, 2)), num_heads=9)
    assert torch.equal(back(joined)[:, :, :2], x[0, :, :9].reshape(1, 1, 2, 9 * 64))


def test_rotary_embedding_by_rows_and_by_one_row(put):
    x, angle = random(1, 3, 40, 64), random(1, 1, 64, 64)
    cos, sin = put(angle.cos()), put(angle.sin())
    found = ttnn.experimental.rotary_embedding(put(x), cos, sin)
    assert tuple(found.shape) == (1, 3, 64, 64)  # whole tiles of rows
    c, s = back(cos), back(sin)
    assert ((back(found)[:, :, :40] - rotated(x, c[:, :, :40], s[:, :, :40])).abs() < 0.05).all()
    one = random(1, 1, 32, 64)
    close(ttnn.experimental.rotary_embedding(put(one), cos, sin, 17), rotated(one, c[:, :, 17:18], s[:, :, 17:18]))


def test_rotary_embedding_hf_gives_each_user_its_own_position(put):
    users, heads, d = 4, 9, 64
    x, angle = random(1, users, heads, d), random(1, users, 1, d)
    memory = sharded(32, d, users)
    cos, sin = (put(one, memory_config=memory) for one in (angle.cos(), angle.sin()))
    found = ttnn.experimental.rotary_embedding_hf(put(x, memory_config=memory), cos, sin, is_decode_mode=True)
    assert tuple(found.shape) == (1, users, 32, d)  # whole tiles of heads
    expected = rotated(x, back(cos), back(sin))
    assert ((back(found)[:, :, :heads] - expected).abs() < 0.05).all()


def test_padded_heads_must_be_trimmed_before_they_are_grouped(put, device):
    """Nine query heads over three: a tile of 32 does not divide by three."""
    cache = put(torch.zeros(1, 3, 64, 64))
    at = positions(device, 5)
    padded = put(random(1, 1, 32, 64), memory_config=sharded(32, 64))
    with pytest.raises(RuntimeError, match="q has 32 heads, which is not a multiple of the cache's 3"):
        ttnn.transformer.scaled_dot_product_attention_decode(padded, cache, cache, cur_pos_tensor=at)
    trimmed = ttnn.reshape(padded, (1, 1, 9, 64), (1, 1, 32, 64))
    ttnn.transformer.scaled_dot_product_attention_decode(trimmed, cache, cache, cur_pos_tensor=at)


@pytest.mark.parametrize(("heads", "kv"), [(4, 4), (6, 2), (9, 3), (8, 1)])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_over_a_prompt(put, heads, kv, causal):
    q, k, v = random(1, heads, 64, 32), random(1, kv, 64, 32), random(1, kv, 64, 32)
    expected = functional.scaled_dot_product_attention(
        q, k.repeat_interleave(heads // kv, 1), v.repeat_interleave(heads // kv, 1), is_causal=causal
    )
    found = ttnn.transformer.scaled_dot_product_attention(put(q), put(k), put(v), is_causal=causal)
    close(found, expected)


def test_attention_with_a_scale_a_mask_and_a_window(put):
    q = random(2, 4, 64, 32)
    mask = torch.full((64, 64), float("-inf")).triu(1)
    expected = functional.scaled_dot_product_attention(q, q, q, attn_mask=mask, scale=0.3)
    given = put(mask.clamp(min=-1e9).expand(2, 1, 64, 64))
    run = ttnn.transformer.scaled_dot_product_attention
    close(run(put(q), put(q), put(q), is_causal=False, attn_mask=given, scale=0.3), expected)
    window = mask + torch.full((64, 64), float("-inf")).tril(-8)
    expected = functional.scaled_dot_product_attention(q, q, q, attn_mask=window)
    close(run(put(q), put(q), put(q), sliding_window_size=8), expected)


@pytest.mark.parametrize("at", [(0, 0), (31, 31), (5, 40)])
def test_attention_of_one_token_sees_its_user_s_cache_up_to_its_position(put, device, at):
    heads, kv, d = 6, 2, 32
    keys, values, q = random(2, kv, 64, d), random(2, kv, 64, d), random(1, 2, heads, d)
    found = ttnn.transformer.scaled_dot_product_attention_decode(
        put(q), put(keys), put(values), cur_pos_tensor=positions(device, *at)
    )
    for user, place in enumerate(at):
        k = keys[user, :, : place + 1].repeat_interleave(heads // kv, 0)
        v = values[user, :, : place + 1].repeat_interleave(heads // kv, 0)
        expected = functional.scaled_dot_product_attention(q[0, user][:, None], k, v)[:, 0]
        assert (back(found)[0, user] - expected).abs().max() < 0.02


def test_caches_are_filled_and_updated(put, device):
    cache = put(torch.zeros(2, 3, 64, 32))
    prompt, token = random(1, 3, 32, 32), random(1, 2, 3, 32)
    ttnn.fill_cache(cache, put(prompt), 1)
    ttnn.experimental.paged_update_cache(
        cache, put(token, memory_config=sharded(32, 32, 2)), update_idxs_tensor=positions(device, -1, 40)
    )
    expected = torch.zeros(2, 3, 64, 32)
    expected[1, :, :32] = prompt[0]
    expected[1, :, 40] = token[0, 1]  # position -1 writes nothing
    assert torch.equal(back(cache), expected)


def test_pages_are_the_same_cache_in_another_order(put, device):
    pages = ttnn.from_torch(torch.tensor([[2, 0], [3, 1]], dtype=torch.int32), dtype=ttnn.int32, device=device)
    flat, paged = put(torch.zeros(2, 2, 64, 32)), put(torch.zeros(4, 2, 32, 32))
    q = put(random(1, 2, 4, 32))
    at = positions(device, 32, 35)
    for user in range(2):
        prompt = put(random(1, 2, 64, 32) * (user + 1))
        ttnn.fill_cache(flat, prompt, user)
        ttnn.experimental.paged_fill_cache(paged, prompt, pages, batch_idx=user)
    token = put(random(1, 2, 2, 32), memory_config=sharded(32, 32, 2))
    ttnn.experimental.paged_update_cache(flat, token, update_idxs_tensor=at)
    ttnn.experimental.paged_update_cache(paged, token, update_idxs_tensor=at, page_table=pages)
    one = ttnn.transformer.scaled_dot_product_attention_decode(q, flat, flat, cur_pos_tensor=at)
    other = ttnn.transformer.paged_scaled_dot_product_attention_decode(
        q, paged, paged, page_table_tensor=pages, cur_pos_tensor=at
    )
    assert (back(one) - back(other)).abs().max() < 0.01


# Refusals


REFUSED = {
    "a row-major operand": (lambda t: ttnn.linear(t.rows, t.square), "operands must be in TILE layout"),
    "a host operand": (lambda t: ttnn.add(t.host, t.square), "operands must be on the device"),
    "a freed operand": (lambda t: (ttnn.deallocate(t.square), ttnn.silu(t.square)), "a deallocated tensor"),
    "a freed tensor read": (lambda t: (ttnn.deallocate(t.square), ttnn.to_torch(t.square)), "a deallocated tensor"),
    "widths that do not match": (
        lambda t: ttnn.linear(t.square, t.put(torch.zeros(1, 1, 64, 32))),
        "widths do not match",
    ),
    "integers as numbers": (lambda t: ttnn.silu(t.ids), "unsupported data type INT32"),
    "floats as indices": (lambda t: ttnn.embedding(t.square, t.square), "indices are BFLOAT16"),
    "a norm of height shards": (lambda t: ttnn.rms_norm(t.shards), "cannot be height-sharded"),
    "a norm's weight of another width": (
        lambda t: ttnn.rms_norm(t.square, weight=t.put(torch.zeros(1, 1, 1, 64))),
        "for a width of 32",
    ),
    "heads that do not divide": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads(t.square, num_heads=3),
        "is not 3 + 2 x 3 heads",
    ),
    "heads that are not whole tiles": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads(t.put(torch.zeros(1, 1, 32, 48)), num_heads=1),
        "heads of 16 are not whole tiles",
    ),
    "a length that is not whole tiles": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads(t.put(torch.zeros(1, 1, 33, 96)), num_heads=1),
        "a length of 33 is not whole tiles",
    ),
    "33 users": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads_decode(t.put(torch.zeros(1, 1, 33, 96)), num_heads=1),
        "33 users; 32 at most",
    ),
    "33 heads": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads_decode(
            t.put(torch.zeros(1, 1, 1, 35 * 32)), num_heads=33, num_kv_heads=1
        ),
        "33 heads; 32 at most",
    ),
    "block values split for decode": (
        lambda t: ttnn.experimental.nlp_create_qkv_heads_decode(
            t.put(torch.zeros(1, 1, 1, 96), ttnn.bfloat8_b), num_heads=1
        ),
        "BFLOAT8_B input",
    ),
    "rope of odd heads": (
        lambda t: ttnn.experimental.rotary_embedding(
            t.put(torch.zeros(1, 1, 32, 96)), t.put(torch.zeros(1, 1, 32, 96)), t.put(torch.zeros(1, 1, 32, 96))
        ),
        "heads of 96 do not divide by 64",
    ),
    "rope beyond its table": (
        lambda t: ttnn.experimental.rotary_embedding(t.wide, t.wide, t.wide, 64),
        "token 64 is beyond",
    ),
    "rope without shards in decode": (
        lambda t: ttnn.experimental.rotary_embedding_hf(t.wide, t.wide, t.wide, is_decode_mode=True),
        "every operand must be height-sharded",
    ),
    "an update without shards": (
        lambda t: ttnn.experimental.paged_update_cache(t.cache, t.token, update_idxs_tensor=t.at),
        "the input must be sharded",
    ),
    "an update beyond the cache": (
        lambda t: ttnn.experimental.paged_update_cache(
            t.cache, t.shards, update_idxs_tensor=t.put(torch.tensor([64], dtype=torch.int32), ttnn.int32, layout=ROWS)
        ),
        "position 64 is beyond the cache of 64",
    ),
    "an update at unsigned positions": (
        lambda t: ttnn.experimental.paged_update_cache(
            t.cache, t.shards, update_idxs_tensor=t.put(torch.tensor([6], dtype=torch.int32), ttnn.uint32, layout=ROWS)
        ),
        "positions must be INT32",
    ),
    "an update at positions in L1": (
        lambda t: ttnn.experimental.paged_update_cache(
            t.cache, t.shards, update_idxs_tensor=t.put(torch.tensor([6], dtype=torch.int32), ttnn.int32, L1, ROWS)
        ),
        "positions must lie in DRAM",
    ),
    "an update without positions": (
        lambda t: ttnn.experimental.paged_update_cache(t.cache, t.shards),
        "not both or neither",
    ),
    "an update for other users": (
        lambda t: ttnn.experimental.paged_update_cache(
            t.put(torch.zeros(2, 1, 64, 32)), t.shards, update_idxs_tensor=t.at
        ),
        "1 users, a cache for 2",
    ),
    "a prompt longer than the cache": (
        lambda t: ttnn.fill_cache(t.cache, t.put(torch.zeros(1, 1, 96, 32)), 0),
        "96 tokens do not fit the cache of 64",
    ),
    "a prompt for no user": (lambda t: ttnn.fill_cache(t.cache, t.square, 1), "no user 1 in the cache"),
    "a prompt of other heads": (
        lambda t: ttnn.fill_cache(t.cache, t.put(torch.zeros(1, 2, 32, 32)), 0),
        "into a cache of",
    ),
    "queries in L1, interleaved": (
        lambda t: ttnn.transformer.scaled_dot_product_attention_decode(
            t.put(torch.zeros(1, 1, 1, 32), ttnn.bfloat16, L1), t.cache, t.cache, cur_pos_tensor=t.at
        ),
        "q must be height-sharded or lie in DRAM",
    ),
    "a cache in L1": (
        lambda t: ttnn.transformer.scaled_dot_product_attention_decode(
            t.token, t.put(torch.zeros(1, 1, 64, 32), ttnn.bfloat16, L1), t.cache, cur_pos_tensor=t.at
        ),
        "the cache must lie in DRAM",
    ),
    "attention beyond the cache": (
        lambda t: ttnn.transformer.scaled_dot_product_attention_decode(t.token, t.cache, t.cache, cur_pos=[64]),
        "position 64 is beyond",
    ),
    "sharded output of grouped heads": (
        lambda t: ttnn.transformer.scaled_dot_product_attention_decode(
            t.put(torch.zeros(1, 1, 4, 32)),
            t.put(torch.zeros(1, 2, 64, 32)),
            t.put(torch.zeros(1, 2, 64, 32)),
            cur_pos_tensor=t.at,
            memory_config=sharded(32, 32),
        ),
        "sharded output is not supported",
    ),
    "prompt attention in L1": (
        lambda t: ttnn.transformer.scaled_dot_product_attention(
            t.put(torch.zeros(1, 1, 32, 32), ttnn.bfloat16, L1), t.square, t.square
        ),
        "operands must lie in DRAM",
    ),
    "a mask and causality": (
        lambda t: ttnn.transformer.scaled_dot_product_attention(t.square, t.square, t.square, attn_mask=t.square),
        "give a mask or is_causal",
    ),
    "two devices": (lambda t: ttnn.open_device(device_id=1), "already open"),
    "a fabric change with an open device": (
        lambda t: ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D),
        "while a device is open",
    ),
    "no tensor": (lambda t: ttnn.silu(3), "was given no tensor"),
    "a list for a tensor": (lambda t: ttnn.from_torch([1, 2]), "from_torch got a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_device_refuses_is_refused_with_the_line(put, device, name):
    class Things:
        pass

    t = Things()
    t.put = put
    t.square = put(torch.ones(1, 1, 32, 32))
    t.rows = put(torch.ones(1, 1, 32, 32), layout=ROWS)
    t.host = ttnn.from_torch(torch.ones(1, 1, 32, 32), layout=TILE)
    t.ids = put(torch.ones(1, 1, 32, 32, dtype=torch.int32), ttnn.int32)
    t.wide = put(torch.ones(1, 1, 64, 64))
    t.cache = put(torch.zeros(1, 1, 64, 32))
    t.token = put(torch.zeros(1, 1, 1, 32))
    t.shards = put(torch.zeros(1, 1, 1, 32), memory_config=sharded(32, 32))
    t.at = positions(device, 6)
    act, says = REFUSED[name]
    with pytest.raises(RuntimeError) as caught:
        act(t)
    assert says in str(caught.value)
    assert str(caught.value).startswith("TT_FATAL: ")
    assert "standin_checks.py:" in str(caught.value)


# Meshes


def test_pieces_go_to_devices_and_come_back(mesh):
    device = mesh(2, 4)
    values = random(1, 8, 32, 64)
    piece = ttnn.from_torch(values, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=1))
    assert tuple(piece.shape) == (1, 1, 32, 64)
    assert torch.equal(ttnn.to_torch(piece, mesh_composer=ttnn.ConcatMeshToTensor(device, dim=1)).float(), values)
    copies = ttnn.from_torch(values, layout=TILE, device=device, mesh_mapper=ttnn.ReplicateTensorToMesh(device))
    assert len(ttnn.get_device_tensors(copies)) == 8
    assert torch.equal(ttnn.to_torch(ttnn.get_device_tensors(copies)[7]).float(), values)
    with pytest.raises(RuntimeError, match="needs a mesh_composer"):
        ttnn.to_torch(copies)


def test_two_dimensions_are_cut_over_rows_and_columns(mesh):
    device = mesh(2, 4)
    values = random(1, 1, 64, 128)
    mapper = ttnn.ShardTensor2dMesh(device, (2, 4), dims=(2, 3))
    piece = ttnn.from_torch(values, layout=TILE, device=device, mesh_mapper=mapper)
    assert tuple(piece.shape) == (1, 1, 32, 32)
    composer = ttnn.ConcatMesh2dToTensor(device, (2, 4), dims=(2, 3))
    assert torch.equal(ttnn.to_torch(piece, mesh_composer=composer).float(), values)
    half = ttnn.from_torch(
        values, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensor2dMesh(device, (2, 4), dims=(None, 3))
    )
    assert tuple(half.shape) == (1, 1, 64, 32)


def test_a_product_split_over_devices_is_summed(mesh):
    device = mesh(1, 2)
    x, w = random(1, 1, 32, 128), random(1, 1, 128, 64)
    xs = ttnn.from_torch(x, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=3))
    ws = ttnn.from_torch(w, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=2))
    total = ttnn.all_reduce(ttnn.linear(xs, ws), cluster_axis=1, num_links=1, topology=ttnn.Topology.Linear)
    for one in ttnn.get_device_tensors(total):
        assert (ttnn.to_torch(one).float() - x @ w).abs().max() < 0.3


def test_sums_go_along_one_axis_or_over_all(mesh):
    device = mesh(2, 4)
    values = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 32, 32).contiguous()
    piece = ttnn.from_torch(values, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=1))

    def corners(tensor):
        return [int(ttnn.to_torch(one)[0, 0, 0, 0]) for one in ttnn.get_device_tensors(tensor)]

    assert corners(piece) == list(range(8))
    assert corners(ttnn.all_reduce(piece, cluster_axis=1)) == [6] * 4 + [22] * 4
    assert corners(ttnn.all_reduce(piece, cluster_axis=0)) == [4, 6, 8, 10] * 2
    assert corners(ttnn.all_reduce(piece)) == [28] * 8


def test_pieces_are_gathered(mesh):
    device = mesh(1, 2)
    values = random(1, 1, 32, 64)
    piece = ttnn.from_torch(values, layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=3))
    whole = ttnn.all_gather(piece, 3)
    assert torch.equal(ttnn.to_torch(ttnn.get_device_tensors(whole)[1]).float(), values)


def test_a_mesh_needs_its_fabric_and_pieces_that_divide(mesh):
    with pytest.raises(RuntimeError, match="set_fabric_config"):
        ttnn.open_mesh_device(ttnn.MeshShape(1, 2))
    device = mesh(1, 2)
    with pytest.raises(RuntimeError, match="does not divide over 2 devices"):
        ttnn.from_torch(
            random(1, 3, 32, 32), layout=TILE, device=device, mesh_mapper=ttnn.ShardTensorToMesh(device, dim=1)
        )


# Traces


def step(x, w):
    return ttnn.silu(ttnn.linear(x, w))


def test_a_captured_step_runs_when_it_is_executed_and_on_what_its_inputs_hold_then(device, put):
    x, w = put(random(1, 1, 32, 64)), put(random(1, 1, 64, 32))
    step(x, w)
    number = ttnn.begin_trace_capture(device, cq_id=0)
    out = step(x, w)
    ttnn.end_trace_capture(device, number, cq_id=0)
    assert back(out).isnan().all()  # captured, not run
    for factor in (1.0, -2.0):
        values = random(1, 1, 32, 64) * factor
        ttnn.copy_host_to_device_tensor(ttnn.from_torch(values, dtype=ttnn.bfloat16, layout=TILE), x)
        ttnn.execute_trace(device, number, cq_id=0, blocking=True)
        close(out, functional.silu(values @ random(1, 1, 64, 32)), steps=3)
    ttnn.release_trace(device, number)
    with pytest.raises(RuntimeError, match="no trace"):
        ttnn.execute_trace(device, number)


def test_a_cache_is_not_written_while_it_is_captured(device, put):
    cache, token, at = (
        put(torch.zeros(1, 1, 64, 32)),
        put(torch.ones(1, 1, 1, 32), memory_config=sharded(32, 32)),
        positions(device, 3),
    )
    ttnn.experimental.paged_update_cache(cache, token, update_idxs_tensor=at)
    ttnn.copy_host_to_device_tensor(ttnn.from_torch(torch.tensor([9], dtype=torch.int32)), at)
    number = ttnn.begin_trace_capture(device)
    ttnn.experimental.paged_update_cache(cache, token, update_idxs_tensor=at)
    ttnn.end_trace_capture(device, number)
    assert back(cache)[0, 0, 9].sum() == 0
    ttnn.execute_trace(device, number)
    assert back(cache)[0, 0, 9].sum() == 32


IN_CAPTURE = {
    "a host write": (
        lambda t: ttnn.from_torch(torch.zeros(32, 32), device=t.device),
        "written to the device inside a trace capture",
    ),
    "a constant": (
        lambda t: ttnn.zeros((32, 32), device=t.device, layout=TILE),
        "written to the device inside a trace capture",
    ),
    "a copy to the device": (
        lambda t: ttnn.copy_host_to_device_tensor(t.host, t.x),
        "written to the device inside a trace capture",
    ),
    "a read": (lambda t: ttnn.to_torch(t.x), "read inside a trace capture"),
    "a copy to the host": (lambda t: t.x.cpu(), "read inside a trace capture"),
    "freeing": (lambda t: ttnn.deallocate(t.x), "deallocated inside a trace capture"),
    "waiting": (lambda t: ttnn.synchronize_device(t.device), "synchronize_device inside a trace capture"),
    "another capture": (lambda t: ttnn.begin_trace_capture(t.device), "inside another capture"),
    "a replay": (lambda t: ttnn.execute_trace(t.device, t.number), "execute_trace inside a trace capture"),
    "what never ran": (lambda t: ttnn.gelu(t.x), "ttnn.gelu was captured before it ran once"),
    "a shape that never ran": (lambda t: ttnn.silu(t.other), "ttnn.silu was captured before it ran once"),
}


@pytest.mark.parametrize("name", IN_CAPTURE)
def test_what_a_capture_refuses(device, put, name):
    class Things:
        pass

    t = Things()
    t.device, t.host = device, ttnn.from_torch(torch.zeros(1, 1, 32, 32), layout=TILE)
    t.x, t.other = put(torch.zeros(1, 1, 32, 32)), put(torch.zeros(1, 1, 32, 64))
    ttnn.silu(t.x)
    t.number = ttnn.begin_trace_capture(device)
    act, says = IN_CAPTURE[name]
    with pytest.raises(RuntimeError, match="TT_FATAL") as caught:
        act(t)
    assert says in str(caught.value)
    ttnn.end_trace_capture(device, t.number)


def test_a_trace_needs_room():
    device = ttnn.open_device(device_id=0)
    try:
        with pytest.raises(RuntimeError, match="open the device with trace_region_size"):
            ttnn.begin_trace_capture(device)
    finally:
        ttnn.close_device(device)


def test_tensors_made_and_kept_while_a_trace_lives_are_warned_of(device, put, capfd):
    x = put(torch.zeros(1, 1, 32, 32))
    ttnn.silu(x)
    number = ttnn.begin_trace_capture(device)
    out = ttnn.silu(x)
    ttnn.end_trace_capture(device, number)
    ttnn.execute_trace(device, number)
    assert capfd.readouterr().err == ""
    kept = put(torch.zeros(1, 1, 32, 32))
    ttnn.execute_trace(device, number)
    ttnn.execute_trace(device, number)
    said = capfd.readouterr().err
    assert "1 device tensors made after the trace was captured are still alive" in said
    assert said.count("warning") == 1
    assert kept.is_allocated()
    assert out.is_allocated()


# Against the real package, where there is one


@pytest.mark.skipif("REAL_TTNN" not in os.environ, reason="needs the ttnn package in a Python of its own")
def test_the_real_package_s_golden_functions_agree(put, tmp_path):
    table = random(1, 1, 50, 64)
    x, y, w = random(1, 2, 32, 64), random(1, 2, 32, 64), random(1, 1, 64, 96)
    row, angle = random(1, 1, 1, 64), random(1, 1, 64, 64)
    cache, prompt = random(2, 2, 64, 64), random(1, 2, 32, 64)
    torch.save(
        {
            "x": x,
            "y": y,
            "w": w,
            "row": row,
            "cos": angle.cos().bfloat16().float(),
            "sin": angle.sin().bfloat16().float(),
            "table": table,
            "cache": cache,
            "prompt": prompt,
            "one": random(1, 1, 32, 64),
        },
        tmp_path / "given.pt",
    )
    script = """
import sys, torch, ttnn
t = torch.load(sys.argv[1])
golden = ttnn.get_golden_function
found = {
    "linear": golden(ttnn.linear)(t["x"], t["w"]),
    "rms_norm": golden(ttnn.rms_norm)(t["x"], t["row"], epsilon=1e-5),
    "silu": golden(ttnn.silu)(t["x"]),
    "gelu": golden(ttnn.gelu)(t["x"]),
    "relu": golden(ttnn.relu)(t["x"]),
    "add": golden(ttnn.add)(t["x"], t["y"]),
    "mul": golden(ttnn.mul)(t["x"], t["y"]),
    "concat": golden(ttnn.concat)([t["x"], t["y"]], -1),
    "transpose": golden(ttnn.transpose)(t["x"], 1, 2),
    "rotary": golden(ttnn.experimental.rotary_embedding)(t["one"], t["cos"], t["sin"], 17),
    "sdpa": golden(ttnn.transformer.scaled_dot_product_attention)(t["x"], t["y"], t["y"], is_causal=True),
    "fill": golden(ttnn.fill_cache)(t["cache"].clone(), t["prompt"], 1),
}
torch.save(found, sys.argv[2])
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [os.environ["REAL_TTNN"], "-c", script, str(tmp_path / "given.pt"), str(tmp_path / "found.pt")],
        check=True,
        env={**environment, "HOME": str(tmp_path)},
        stdout=sys.stderr,
    )
    real = torch.load(tmp_path / "found.pt")
    close(ttnn.linear(put(x), put(w)), real["linear"])
    close(ttnn.rms_norm(put(x), weight=put(row), epsilon=1e-5), real["rms_norm"].float(), steps=3)
    close(ttnn.silu(put(x)), real["silu"])
    close(ttnn.gelu(put(x)), real["gelu"])
    close(ttnn.relu(put(x)), real["relu"])
    close(ttnn.add(put(x), put(y)), real["add"])
    close(ttnn.mul(put(x), put(y)), real["mul"])
    close(ttnn.concat([put(x), put(y)], dim=-1), real["concat"], 0)
    close(ttnn.transpose(put(x), 1, 2), real["transpose"], 0)
    cos, sin = put(angle.cos()), put(angle.sin())
    close(ttnn.experimental.rotary_embedding(put(random(1, 1, 32, 64)), cos, sin, 17), real["rotary"])
    close(ttnn.transformer.scaled_dot_product_attention(put(x), put(y), put(y), is_causal=True), real["sdpa"].float())
    filled = put(cache)
    ttnn.fill_cache(filled, put(prompt), 1)
    close(filled, real["fill"], 0)
    assert math.isfinite(float(real["sdpa"].sum()))
