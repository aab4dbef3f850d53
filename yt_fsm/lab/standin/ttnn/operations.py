"""The general operations: matrix products, norms, activations, arithmetic and data movement."""

import enum
import math

import torch

from .errors import refuse, require
from .memory import DRAM_MEMORY_CONFIG, TensorMemoryLayout
from .numerics import TILE_SIZE, DataType, hold
from .tensor import (
    ROW_MAJOR_LAYOUT,
    TILE_LAYOUT,
    Shape,
    Tensor,
    each,
    operation,
    produce,
    settle,
)


class UnaryOpType(enum.Enum):
    """Activations that another operation can apply on its way."""

    SILU = "silu"
    GELU = "gelu"
    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"


class UnaryWithParam:
    """An activation and its parameter."""

    def __init__(self, op_type, param=None):
        self.op_type, self.param = op_type, param


class GeluVariant(enum.Enum):
    """gelu exactly, by table, or by tanh."""

    Accurate = "none"
    FastLut = "lut"
    Tanh = "tanh"


ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "relu": torch.nn.functional.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def _activation(which):
    if isinstance(which, UnaryWithParam):
        which = which.op_type
    name = which.value if isinstance(which, UnaryOpType) else which
    if name not in ACTIVATIONS:
        refuse(f"no fused activation {which!r}")
    return ACTIVATIONS[name]


def _tiled(name, *tensors):
    for one in tensors:
        require(one.layout is TILE_LAYOUT, f"ttnn.{name}: operands must be in TILE layout, got {one.layout.name}")


def _floating(name, *tensors):
    for one in tensors:
        require(one.dtype.floating, f"ttnn.{name}: unsupported data type {one.dtype.name}")


@operation("linear")
def linear(
    input_tensor_a,
    input_tensor_b,
    *,
    bias=None,
    transpose_a=False,
    transpose_b=False,
    memory_config=None,
    dtype=None,
    program_config=None,
    activation=None,
    compute_kernel_config=None,
    core_grid=None,
    output_tile=None,
    optional_output_tensor=None,
):
    """input_tensor_a @ input_tensor_b (+ bias), accumulated in float32, in the first operand's dtype."""
    operands = [input_tensor_a, input_tensor_b] + ([bias] if bias is not None else [])
    _tiled("linear", *operands)
    _floating("linear", *operands)
    if input_tensor_a.is_sharded():
        kind = input_tensor_a.memory_config().memory_layout
        require(
            kind is not TensorMemoryLayout.HEIGHT_SHARDED or program_config is not None,
            "ttnn.linear: a height-sharded input needs a program config",
        )
    require(not input_tensor_b.is_sharded(), "ttnn.linear: sharded weights are not supported by the stand-in")
    a_shape, b_shape = input_tensor_a.shape, input_tensor_b.shape
    inner_a = a_shape[-2] if transpose_a else a_shape[-1]
    inner_b = b_shape[-1] if transpose_b else b_shape[-2]
    require(inner_a == inner_b, f"ttnn.linear: widths do not match: {tuple(a_shape)} @ {tuple(b_shape)}")
    flat = math.prod(b_shape[:-2]) == 1

    def product(a, b, *rest):
        a = a.transpose(-1, -2) if transpose_a else a
        b = b.transpose(-1, -2) if transpose_b else b
        if flat:
            matrix = b.reshape(b.shape[-2], b.shape[-1])
            out = (a.reshape(-1, a.shape[-1]) @ matrix).view(*a.shape[:-1], matrix.shape[-1])
        else:
            out = torch.matmul(a, b)
        if rest:
            out = out + rest[0]
        return _activation(activation)(out) if activation else out

    return produce(each(product, *operands), input_tensor_a, dtype, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def matmul(input_tensor_a, input_tensor_b, **options):
    """As linear, without a bias."""
    return linear(input_tensor_a, input_tensor_b, **options)


@operation("rms_norm")
def rms_norm(
    input_tensor,
    *,
    epsilon=1e-12,
    weight=None,
    bias=None,
    residual_input_tensor=None,
    memory_config=None,
    program_config=None,
    compute_kernel_config=None,
):
    """x / sqrt(mean(x²) + epsilon) * weight over the last dimension."""
    _tiled("rms_norm", input_tensor)
    _floating("rms_norm", input_tensor)
    if input_tensor.is_sharded():
        kind = input_tensor.memory_config().memory_layout
        require(
            kind is not TensorMemoryLayout.HEIGHT_SHARDED,
            "ttnn.rms_norm: sharded inputs cannot be height-sharded",
        )
    others = [one for one in (weight, bias) if one is not None]
    for one in others:
        _floating("rms_norm", one)
        require(
            one.volume() == input_tensor.shape[-1],
            f"ttnn.rms_norm: weight of {tuple(one.shape)} for a width of {input_tensor.shape[-1]}",
        )

    def norm(x, *rest):
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)
        rest = [one.reshape(-1) for one in rest]
        if weight is not None:
            x = x * rest.pop(0)
        return x + rest[0] if rest else x

    tensors = [input_tensor, *others]
    if residual_input_tensor is not None:
        return rms_norm(
            add(input_tensor, residual_input_tensor),
            epsilon=epsilon,
            weight=weight,
            bias=bias,
            memory_config=memory_config,
        )
    return produce(each(norm, *tensors), input_tensor, memory_config=memory_config or input_tensor.memory_config())


def _unary(name, function):
    @operation(name)
    def run(input_tensor, *, memory_config=None, output_tensor=None, **options):
        _floating(name, input_tensor)
        apply = function
        if name == "gelu" and options.get("variant") is GeluVariant.Tanh:
            apply = lambda x: torch.nn.functional.gelu(x, approximate="tanh")  # noqa: E731
        return produce(
            each(apply, input_tensor), input_tensor, memory_config=memory_config or input_tensor.memory_config()
        )

    run.__name__ = name
    run.__doc__ = f"{name} of every element."
    return run


silu = _unary("silu", ACTIVATIONS["silu"])
gelu = _unary("gelu", ACTIVATIONS["gelu"])
relu = _unary("relu", ACTIVATIONS["relu"])
sigmoid = _unary("sigmoid", torch.sigmoid)
tanh = _unary("tanh", torch.tanh)
exp = _unary("exp", torch.exp)
rsqrt = _unary("rsqrt", torch.rsqrt)
neg = _unary("neg", torch.neg)


def _binary(name, function):
    @operation(name)
    def run(
        input_tensor_a,
        input_tensor_b,
        *,
        memory_config=None,
        dtype=None,
        output_tensor=None,
        activations=None,
        input_tensor_a_activations=None,
        input_tensor_b_activations=None,
        **options,
    ):
        def apply(a, b):
            for one in input_tensor_a_activations or ():
                a = _activation(one)(a)
            for one in input_tensor_b_activations or ():
                b = _activation(one)(b)
            out = function(a, b)
            for one in activations or ():
                out = _activation(one)(out)
            return out

        memory = memory_config or input_tensor_a.memory_config()
        if not isinstance(input_tensor_b, Tensor):
            shards = each(lambda a: apply(a, torch.tensor(float(input_tensor_b))), input_tensor_a)
            return produce(shards, input_tensor_a, dtype, memory_config=memory)
        a, b = input_tensor_a, input_tensor_b
        require(a.layout is b.layout, f"ttnn.{name}: layouts {a.layout.name} and {b.layout.name} differ")
        for left, right in zip(reversed(a.shape), reversed(b.shape)):
            require(left == right or 1 in (left, right), f"ttnn.{name}: {tuple(a.shape)} with {tuple(b.shape)}")
        if a.is_sharded() and b.is_sharded():
            require(
                a.memory_config().memory_layout is b.memory_config().memory_layout,
                f"ttnn.{name}: operands are sharded differently",
            )
        return produce(each(apply, a, b), a, dtype, memory_config=memory)

    run.__name__ = name
    run.__doc__ = f"{name} of two tensors, or of a tensor and a number, with broadcasting."
    return run


add = _binary("add", torch.add)
subtract = sub = _binary("subtract", torch.sub)
multiply = mul = _binary("multiply", torch.mul)


@operation("concat")
def concat(tensors, dim=0, *, memory_config=None, output_tensor=None, groups=1, sub_core_grids=None):
    """Join tensors along `dim`; in TILE layout the joined dimension must be whole tiles."""
    first = tensors[0]
    dim = dim % len(first.shape)
    for one in tensors:
        require(one.layout is first.layout and one.dtype is first.dtype, "ttnn.concat: layouts or dtypes differ")
        for at, size in enumerate(one.shape):
            require(at == dim or size == first.shape[at], "ttnn.concat: shapes differ off the joined dimension")
    shards = each(lambda *pieces: torch.cat(pieces, dim), *tensors)
    memory = memory_config or (DRAM_MEMORY_CONFIG if first.is_sharded() else first.memory_config())
    return produce(shards, first, memory_config=memory, rounded=not first.dtype.block)


@operation("slice")
def slice(  # noqa: A001 - ttnn's name
    input_tensor, slice_start, slice_end, slice_step=None, *, memory_config=None, output_tensor=None, **options
):
    """The part between two corners, the second excluded."""
    start, end = list(slice_start), list(slice_end)
    step = list(slice_step) if slice_step is not None else [1] * len(start)
    require(len(start) == len(end) == len(input_tensor.shape), "ttnn.slice: one start and end a dimension")
    parts = []
    for size, one, other, stride in zip(input_tensor.shape, start, end, step):
        require(0 <= one < other <= size, f"ttnn.slice: {one}:{other} is outside 0:{size}")
        parts.append(_slice(one, other, stride))
    memory = memory_config or (DRAM_MEMORY_CONFIG if input_tensor.is_sharded() else input_tensor.memory_config())
    shards = each(lambda x: x[tuple(parts)].contiguous(), input_tensor)
    return produce(shards, input_tensor, memory_config=memory, rounded=not input_tensor.dtype.block)


_slice = __builtins__["slice"] if isinstance(__builtins__, dict) else __builtins__.slice


def index(tensor, key):
    """tensor[key] with slices only, as ttnn.slice."""
    key = key if isinstance(key, tuple) else (key,)
    require(all(isinstance(one, _slice) for one in key), "a ttnn tensor is indexed with slices")
    key = key + (_slice(None),) * (len(tensor.shape) - len(key))
    bounds = [one.indices(size) for one, size in zip(key, tensor.shape)]
    return slice(tensor, [one[0] for one in bounds], [one[1] for one in bounds], [one[2] for one in bounds])


@operation("reshape")
def reshape(input_tensor, shape, padded_shape=None, *, memory_config=None, pad_value=0, **options):
    """The same values in another shape; with a padded shape, a view of the padded values."""
    shape = list(shape)
    if -1 in shape:
        known = math.prod(one for one in shape if one != -1)
        shape[shape.index(-1)] = input_tensor.volume() // known
    if padded_shape is not None:
        padded = tuple(padded_shape)
        ours = input_tensor.padded_shape
        require(
            math.prod(padded) in (math.prod(ours), input_tensor.volume()),
            f"ttnn.reshape: padded {tuple(ours)} cannot become padded {padded}",
        )

        def view(x):
            if math.prod(padded) != x.numel():
                grow = []
                for want, have in zip(reversed(ours), reversed(x.shape)):
                    grow += [0, want - have]
                x = torch.nn.functional.pad(x, grow)
            return x.reshape(padded)[tuple(_slice(0, one) for one in shape)].contiguous()

    else:
        require(
            math.prod(shape) == input_tensor.volume(),
            f"ttnn.reshape: {tuple(input_tensor.shape)} cannot become {tuple(shape)}",
        )

        def view(x):
            return x.reshape(shape)

    memory = memory_config
    if memory is None:
        memory = input_tensor.memory_config()
        if memory.is_sharded():
            memory = _same_kind(memory, Shape(shape), input_tensor)
    shards = each(view, input_tensor)
    return produce(shards, input_tensor, memory_config=memory, rounded=not input_tensor.dtype.block)


def _same_kind(memory, shape, like):
    """`memory` for another shape: its own shards where they still fit, else shards of the same kind."""
    padded = Tensor([torch.empty(tuple(shape), device="meta")], like.dtype, like.layout).padded_shape
    try:
        return settle(memory, padded, like.device().grid)
    except RuntimeError:
        return settle(type(memory)(memory.memory_layout, memory.buffer_type), padded, like.device().grid)


@operation("transpose")
def transpose(input_tensor, dim1, dim2, *, memory_config=None, pad_value=0.0, **options):
    """Two dimensions exchanged."""
    memory = memory_config or (DRAM_MEMORY_CONFIG if input_tensor.is_sharded() else input_tensor.memory_config())
    shards = each(lambda x: x.transpose(dim1, dim2).contiguous(), input_tensor)
    return produce(shards, input_tensor, memory_config=memory, rounded=not input_tensor.dtype.block)


@operation("permute")
def permute(input_tensor, dims, *, memory_config=None, pad_value=0.0):
    """Dimensions in another order."""
    memory = memory_config or (DRAM_MEMORY_CONFIG if input_tensor.is_sharded() else input_tensor.memory_config())
    shards = each(lambda x: x.permute(*dims).contiguous(), input_tensor)
    return produce(shards, input_tensor, memory_config=memory, rounded=not input_tensor.dtype.block)


@operation("embedding")
def embedding(
    input_tensor,
    weight,
    *,
    memory_config=None,
    output_tensor=None,
    padding_idx=None,
    layout=None,
    embeddings_type=None,
    dtype=None,
    compute_kernel_config=None,
):
    """Rows of `weight` [1, 1, rows, width] by index; indices [..., n] give [batch, n, width] as ttnn does.

    Indices [1, 1, 1, n] give [1, 1, n, width].
    """
    require(not input_tensor.dtype.floating, f"ttnn.embedding: indices are {input_tensor.dtype.name}")
    require(input_tensor.layout is ROW_MAJOR_LAYOUT, "ttnn.embedding: indices must be in ROW_MAJOR layout")
    _floating("embedding", weight)
    rows, width = weight.shape[-2], weight.shape[-1]
    shape = input_tensor.shape

    def gather(tokens, table):
        require(
            bool((tokens >= 0).all()) and bool((tokens < rows).all()), f"ttnn.embedding: an index is not below {rows}"
        )
        found = table.reshape(rows, width)[tokens.reshape(-1)]
        if len(shape) == 4:
            return (
                found.reshape(shape[0], shape[1], shape[3], width)
                if shape[2] == 1
                else found.reshape(shape[0], shape[1], -1, width)
            )
        return found.reshape(*shape, width)

    made = produce(
        each(gather, input_tensor, weight),
        weight,
        dtype or (DataType.BFLOAT16 if weight.dtype.block else weight.dtype),
        layout or weight.layout,
        memory_config or DRAM_MEMORY_CONFIG,
    )
    return made


@operation("fill_cache", writes=0)
def fill_cache(cache_tensor, input_tensor, batch_idx, *, update_idx=0):
    """Write [1, heads, n, width] into user `batch_idx` of a cache [users, heads, length, width]."""
    _tiled("fill_cache", cache_tensor, input_tensor)
    require(
        cache_tensor.shape[1] == input_tensor.shape[1] and cache_tensor.shape[3] == input_tensor.shape[3],
        f"ttnn.fill_cache: {tuple(input_tensor.shape)} into a cache of {tuple(cache_tensor.shape)}",
    )
    require(
        input_tensor.padded_shape[2] + update_idx <= cache_tensor.shape[2],
        f"ttnn.fill_cache: {input_tensor.shape[2]} tokens do not fit the cache of {cache_tensor.shape[2]}",
    )
    require(0 <= batch_idx < cache_tensor.shape[0], f"ttnn.fill_cache: no user {batch_idx} in the cache")

    def write(cache, values):
        cache[batch_idx, :, update_idx : update_idx + values.shape[2]] = hold(values[0], cache_tensor.dtype)
        return cache

    _own(cache_tensor, input_tensor)
    cache_tensor.shards = each(write, cache_tensor, input_tensor)
    return cache_tensor


def _own(cache, other):
    """Give every device its own copy before they begin to differ."""
    if len(cache.shards) < len(other.shards):
        cache.shards = [cache.shards[0].clone() for _ in other.shards]


@operation("all_reduce")
def all_reduce(input_tensor, *, cluster_axis=None, memory_config=None, num_links=None, topology=None, **options):
    """The sum over devices, on all of them (over one mesh axis when `cluster_axis` is given)."""
    device = input_tensor.device()
    rows, columns = tuple(device.shape)
    count = rows * columns
    shards = input_tensor.shards * count if len(input_tensor.shards) == 1 else input_tensor.shards
    if cluster_axis is None:
        groups = [list(range(count))]
    elif cluster_axis == 1:
        groups = [[row * columns + column for column in range(columns)] for row in range(rows)]
    else:
        groups = [[row * columns + column for row in range(rows)] for column in range(columns)]
    sums = [None] * count
    for group in groups:
        total = shards[group[0]]
        for at in group[1:]:
            total = hold(total + shards[at], input_tensor.dtype)
        for at in group:
            sums[at] = total
    if len(groups) == 1:
        sums = sums[:1]
    return produce(sums, input_tensor, memory_config=memory_config or DRAM_MEMORY_CONFIG)


@operation("all_gather")
def all_gather(input_tensor, dim, *, cluster_axis=None, memory_config=None, **options):
    """The devices' pieces joined along `dim`, on all of them."""
    require(cluster_axis is None or 1 in tuple(input_tensor.device().shape), "ttnn.all_gather: one axis only")
    count = input_tensor.device().get_num_devices()
    shards = input_tensor.shards * count if len(input_tensor.shards) == 1 else input_tensor.shards
    return produce([torch.cat(shards, dim)], input_tensor, memory_config=memory_config or DRAM_MEMORY_CONFIG)


def get_memory_config(tensor):
    """Where a tensor lies."""
    return tensor.memory_config()


@operation("to_memory_config")
def to_memory_config(tensor, memory_config, dtype=None, output_tensor=None):
    """The same values elsewhere."""
    same = dtype is None or dtype is tensor.dtype
    return produce(list(tensor.shards), tensor, dtype, memory_config=memory_config, rounded=same)


def interleaved_to_sharded(tensor, sharded_memory_config, *rest, **options):
    """To a sharded memory config."""
    require(sharded_memory_config.is_sharded(), "interleaved_to_sharded: the memory config is not sharded")
    require(not tensor.is_sharded(), "interleaved_to_sharded: the tensor is sharded already")
    return to_memory_config(tensor, sharded_memory_config)


def sharded_to_interleaved(tensor, memory_config=DRAM_MEMORY_CONFIG, *rest, **options):
    """To an interleaved memory config."""
    require(tensor.is_sharded(), "sharded_to_interleaved: the tensor is not sharded")
    return to_memory_config(tensor, memory_config)


@operation("to_layout")
def _to_layout(tensor, layout, dtype=None, memory_config=None, **options):
    same = dtype is None or dtype is tensor.dtype
    memory = memory_config or tensor.memory_config()
    return produce(list(tensor.shards), tensor, dtype, layout, memory, rounded=same)


def to_layout(tensor, layout, dtype=None, memory_config=None, **options):
    """The same values in another layout, on the host or the device."""
    if tensor.device() is None:
        return Tensor(list(tensor.shards), dtype or tensor.dtype, layout)
    return _to_layout(tensor, layout, dtype, memory_config)


@operation("typecast")
def typecast(input_tensor, dtype, *, memory_config=None, output_tensor=None):
    """The same values in another dtype."""
    return produce(
        list(input_tensor.shards), input_tensor, dtype, memory_config=memory_config or input_tensor.memory_config()
    )


def to_dtype(tensor, dtype):
    """The same values in another dtype, on the host or the device."""
    if tensor.device() is None:
        return Tensor([hold(one, dtype) for one in tensor.shards], dtype, tensor.layout)
    return typecast(tensor, dtype)


@operation("argmax")
def argmax(input_tensor, dim=None, keepdim=False, **options):
    """Index of the largest value along `dim`."""
    shards = each(lambda x: x.argmax(dim, keepdim=keepdim) if dim is not None else x.argmax().reshape(1), input_tensor)
    return produce(shards, input_tensor, DataType.UINT32, ROW_MAJOR_LAYOUT, DRAM_MEMORY_CONFIG)


@operation("plus_one", writes=0)
def plus_one(input_tensor, **options):
    """Add one to every integer, in place."""
    require(not input_tensor.dtype.floating, "ttnn.plus_one: integers only")
    input_tensor.shards = each(lambda x: x + 1, input_tensor)
    return input_tensor


# A tensor's operators are operations, and an operation makes tensors: the later module ties them, as ttnn's own does.
Tensor.__getitem__ = index
Tensor.__add__ = add
Tensor.__sub__ = subtract
Tensor.__mul__ = mul
Tensor.__matmul__ = matmul
