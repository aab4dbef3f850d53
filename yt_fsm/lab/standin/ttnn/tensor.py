"""Tensors on the host and on the device, and the ways between torch and them."""

import enum
import functools
import math

import torch

from . import device as devices
from .errors import caller, refuse, require
from .memory import (
    DRAM_MEMORY_CONFIG,
    BufferType,
    MemoryConfig,
    ShardSpec,
    TensorMemoryLayout,
    cores,
)
from .numerics import FROM_TORCH, TILE_SIZE, DataType, hold


class Layout(enum.Enum):
    """Rows as they are, or 32x32 tiles."""

    ROW_MAJOR = "ROW_MAJOR"
    TILE = "TILE"


class StorageType(enum.Enum):
    """Where a tensor is."""

    HOST = "HOST"
    DEVICE = "DEVICE"


ROW_MAJOR_LAYOUT = Layout.ROW_MAJOR
TILE_LAYOUT = Layout.TILE


class Shape(tuple):
    """A tensor's logical shape."""

    @property
    def rank(self):
        return len(self)

    def to_rank(self, rank):
        return Shape([1] * (rank - len(self)) + list(self))


def to_tile(size):
    """`size` rounded up to whole tiles."""
    return -(-size // TILE_SIZE) * TILE_SIZE


@functools.lru_cache(maxsize=4096)
def padded(shape):
    """`shape` with its last two dimensions in whole tiles."""
    return Shape([*shape[:-2], *(to_tile(size) for size in shape[-2:])])


class Tensor:
    """A ttnn tensor: one torch tensor a device, or a single one while all devices hold the same.

    Float values are kept as float32 that already are what the dtype can hold. Its operators (`+`, `[]`, …) are put on
    it by `operations`, which makes tensors and so must know this module.
    """

    def __init__(self, shards, dtype, layout=ROW_MAJOR_LAYOUT, device=None, memory_config=None):
        self.shards = shards
        self.shape = Shape(shards[0].shape)
        self.dtype = dtype
        self.layout = layout
        self._device = device
        self._memory_config = memory_config if device is not None else None
        self.allocated = True
        if device is not None:
            for trace in device.traces.values():
                if trace.captured:
                    trace.made_since.add(self)

    @property
    def padded_shape(self):
        return padded(self.shape) if self.layout is TILE_LAYOUT else self.shape

    def device(self):
        return self._device

    def memory_config(self):
        return self._memory_config

    def is_sharded(self):
        return self._memory_config is not None and self._memory_config.is_sharded()

    def shard_spec(self):
        return self._memory_config.shard_spec if self._memory_config else None

    def is_allocated(self):
        return self.allocated

    def storage_type(self):
        return StorageType.DEVICE if self._device is not None else StorageType.HOST

    def volume(self):
        return math.prod(self.shape)

    def get_dtype(self):
        return self.dtype

    def get_layout(self):
        return self.layout

    def cpu(self, blocking=True):
        return from_device(self)

    def take(self, other):
        """Hold what `other` holds (a replayed result)."""
        self.shards = other.shards

    def forget(self):
        """Hold nothing that means anything (captured and not yet executed)."""
        self.shards = [torch.full_like(one, float("nan") if self.dtype.floating else 0) for one in self.shards]

    def __repr__(self):
        return f"ttnn.Tensor({tuple(self.shape)}, {self.dtype.name}, {self.layout.name}, {self._memory_config})"


@functools.lru_cache(maxsize=4096)
def settle(memory_config, shape, grid):
    """The memory config of a tensor of padded `shape` on a device of `grid`; one without shards gets them here."""
    memory_config = memory_config or DRAM_MEMORY_CONFIG
    if not memory_config.is_sharded():
        return memory_config
    height, width = math.prod(shape[:-1]), shape[-1]
    spec = memory_config.shard_spec
    kind = memory_config.memory_layout
    if spec is None:
        if kind is TensorMemoryLayout.HEIGHT_SHARDED:
            count = _most_cores(height // TILE_SIZE, grid)
            spec = ShardSpec(cores(count), (height // count, width))
        elif kind is TensorMemoryLayout.WIDTH_SHARDED:
            count = _most_cores(width // TILE_SIZE, grid)
            spec = ShardSpec(cores(count), (height, width // count))
        else:
            refuse("a block-sharded memory config needs its shard spec")
        return MemoryConfig(kind, memory_config.buffer_type, spec)
    for one in spec.grid.ranges():
        require(
            one.end.x < grid.x and one.end.y < grid.y, f"the shards' cores {one} are not all on the device's grid {grid}"
        )
    needed = -(-height // spec.shape[0]) * -(-width // spec.shape[1])
    require(
        spec.grid.num_cores() >= needed,
        f"a tensor of {height}x{width} (padded) makes {needed} shards of {spec.shape}, "
        f"and the memory config has {spec.grid.num_cores()} cores",
    )
    if kind is TensorMemoryLayout.HEIGHT_SHARDED:
        require(spec.shape[1] == width, f"height shards are {spec.shape[1]} wide, the tensor is {width}")
    if kind is TensorMemoryLayout.WIDTH_SHARDED:
        require(spec.shape[0] == height, f"width shards are {spec.shape[0]} high, the tensor is {height}")
    return memory_config


def _most_cores(blocks, grid):
    require(blocks >= 1, "a sharded tensor needs whole tiles")
    return max(count for count in range(1, grid.num_cores + 1) if blocks % count == 0)


class _Mapper:
    """How a torch tensor is laid over a mesh."""

    def __init__(self, mesh_device, shard):
        self.mesh_device, self.shard = mesh_device, shard


def ReplicateTensorToMesh(mesh_device):  # noqa: N802 - ttnn's name
    """Every device gets the whole tensor."""
    return _Mapper(mesh_device, lambda tensor: [tensor])


def ShardTensorToMesh(mesh_device, dim):  # noqa: N802 - ttnn's name
    """Cut along `dim`, one piece a device, in row-major order."""
    return _Mapper(mesh_device, lambda tensor: _cut(tensor, dim, mesh_device.get_num_devices()))


def ShardTensor2dMesh(mesh_device, mesh_shape, dims):  # noqa: N802 - ttnn's name
    """Cut along dims[0] over rows and dims[1] over columns; None copies along that axis."""

    def shard(tensor):
        rows = [tensor] * mesh_shape[0] if dims[0] is None else _cut(tensor, dims[0], mesh_shape[0])
        return [
            piece
            for row in rows
            for piece in ([row] * mesh_shape[1] if dims[1] is None else _cut(row, dims[1], mesh_shape[1]))
        ]

    return _Mapper(mesh_device, shard)


def _cut(tensor, dim, count):
    require(
        tensor.shape[dim] % count == 0,
        f"dimension {dim} of {tuple(tensor.shape)} does not divide over {count} devices",
    )
    return [piece.contiguous() for piece in torch.chunk(tensor, count, dim)]


def ConcatMeshToTensor(mesh_device, dim):  # noqa: N802 - ttnn's name
    """Join the devices' pieces along `dim`."""
    return lambda shards: torch.cat(shards, dim)


def ConcatMesh2dToTensor(mesh_device, mesh_shape, dims):  # noqa: N802 - ttnn's name
    """Join columns along dims[1], then rows along dims[0]."""

    def compose(shards):
        rows = [
            torch.cat(shards[row * mesh_shape[1] : (row + 1) * mesh_shape[1]], dims[1]) for row in range(mesh_shape[0])
        ]
        return torch.cat(rows, dims[0])

    return compose


def from_torch(
    tensor,
    dtype=None,
    *,
    spec=None,
    tile=None,
    pad_value=None,
    layout=None,
    device=None,
    memory_config=None,
    mesh_mapper=None,
    cq_id=None,
):
    """A ttnn tensor with torch's values; on the device when one is given. Writing inside a capture is refused."""
    require(isinstance(tensor, torch.Tensor), f"from_torch got a {type(tensor).__name__}")
    if tensor.dtype not in FROM_TORCH:
        refuse(f"from_torch has no ttnn dtype for {tensor.dtype}")
    dtype = dtype or FROM_TORCH[tensor.dtype]
    if layout is None:
        layout = TILE_LAYOUT if dtype.block else ROW_MAJOR_LAYOUT
    _check_layout(dtype, layout)
    if device is not None:
        require(device.capturing is None, "a host tensor was written to the device inside a trace capture")
        require(devices.MeshDevice._open is device, "the device is closed")
    pieces = mesh_mapper.shard(tensor) if mesh_mapper is not None else [tensor]
    made = Tensor([hold(piece, dtype) for piece in pieces], dtype, layout, device, memory_config)
    if device is not None:
        made._memory_config = settle(memory_config, made.padded_shape, made._device.grid)
    return made


def as_tensor(
    tensor,
    dtype=None,
    *,
    layout=None,
    device=None,
    memory_config=None,
    cache_file_name=None,
    preprocess=None,
    mesh_mapper=None,
    **options,
):
    """As from_torch; a cache file is neither read nor written."""
    if preprocess is not None:
        tensor = preprocess(tensor)
    return from_torch(tensor, dtype, layout=layout, device=device, memory_config=memory_config, mesh_mapper=mesh_mapper)


def _check_layout(dtype, layout):
    require(not dtype.block or layout is TILE_LAYOUT, f"{dtype.name} exists in TILE layout only")


def to_torch(tensor, dtype=None, *, torch_rank=None, mesh_composer=None, device=None, cq_id=None):
    """The values as a torch tensor: bfloat16 and the block formats as torch.bfloat16, as ttnn returns them."""
    require(tensor.allocated, "to_torch of a deallocated tensor")
    if tensor._device is not None:
        require(tensor._device.capturing is None, "a device tensor was read inside a trace capture")
    shards = tensor.shards
    many = tensor._device.get_num_devices() if tensor._device is not None else len(shards)
    if mesh_composer is not None:
        shards = shards * many if len(shards) == 1 else shards
        values = mesh_composer(shards)
    else:
        require(many == 1, f"to_torch of a tensor on {many} devices needs a mesh_composer")
        values = shards[0]
    if dtype is not None:
        values = values.to(dtype)
    elif tensor.dtype is DataType.FLOAT32:
        values = values.to(torch.float32)
    elif tensor.dtype.floating:
        values = values.to(torch.bfloat16)
    else:
        values = values.to(torch.int32)
    if torch_rank is not None:
        while values.dim() > torch_rank:
            require(values.shape[0] == 1, f"cannot squeeze {tuple(values.shape)} to rank {torch_rank}")
            values = values.squeeze(0)
    return values.clone()


def to_device(tensor, device, memory_config=None, cq_id=None):
    """A copy of a host tensor on the device."""
    require(tensor._device is None, "to_device of a tensor that is on a device")
    require(device.capturing is None, "a host tensor was written to the device inside a trace capture")
    made = Tensor([one.clone() for one in tensor.shards], tensor.dtype, tensor.layout, device, memory_config)
    made._memory_config = settle(memory_config, made.padded_shape, made._device.grid)
    return made


def from_device(tensor, blocking=True, cq_id=None):
    """A copy of a device tensor on the host."""
    if tensor._device is not None:
        require(tensor._device.capturing is None, "a device tensor was read inside a trace capture")
    return Tensor([one.clone() for one in tensor.shards], tensor.dtype, tensor.layout)


def copy_host_to_device_tensor(host_tensor, device_tensor, cq_id=None):
    """Write a host tensor's values into a device tensor of the same shape, dtype and layout."""
    require(host_tensor._device is None, "copy_host_to_device_tensor: the first tensor is not on the host")
    require(device_tensor._device is not None, "copy_host_to_device_tensor: the second is not on a device")
    require(device_tensor._device.capturing is None, "a host tensor was written to the device inside a trace capture")
    for name in ("shape", "dtype", "layout"):
        ours, theirs = getattr(host_tensor, name), getattr(device_tensor, name)
        require(ours == theirs, f"copy_host_to_device_tensor: {name} {ours} is not {theirs}")
    device_tensor.shards = [one.clone() for one in host_tensor.shards]


def get_device_tensors(tensor):
    """One tensor a device."""
    many = tensor._device.get_num_devices() if tensor._device is not None else len(tensor.shards)
    shards = tensor.shards * many if len(tensor.shards) == 1 else tensor.shards
    return [Tensor([one], tensor.dtype, tensor.layout) for one in shards]


def deallocate(tensor, force=True):
    """Free a tensor; using it afterwards is refused, and so is freeing inside a capture."""
    if tensor._device is not None:
        require(tensor._device.capturing is None, "a tensor was deallocated inside a trace capture")
    tensor.allocated = False


def zeros(shape, dtype=None, layout=None, device=None, memory_config=None):
    """Zeros; see full."""
    return full(shape, 0.0, dtype, layout, device, memory_config)


def ones(shape, dtype=None, layout=None, device=None, memory_config=None):
    """Ones; see full."""
    return full(shape, 1.0, dtype, layout, device, memory_config)


def full(shape, fill_value, dtype=None, layout=None, device=None, memory_config=None):
    """A constant tensor; making one inside a capture is refused."""
    values = torch.full(tuple(shape), float(fill_value))
    dtype = dtype or DataType.BFLOAT16
    return from_torch(values, dtype, layout=layout, device=device, memory_config=memory_config)


def operation(name, writes=None):
    """Make a function of shards into a device operation.

    Its tensors must be allocated and on one device. In a capture the operation is recorded; one that has not
    run before is refused there. `writes` is the argument that it changes in place, if it does.
    """

    def wrap(function):
        @functools.wraps(function)
        def run(*args, **options):
            tensors = [one for one in args if isinstance(one, Tensor)]
            tensors += [one for one in options.values() if isinstance(one, Tensor)]
            for listed in args[:1]:
                if isinstance(listed, (list, tuple)):
                    tensors += [one for one in listed if isinstance(one, Tensor)]
            require(tensors, f"ttnn.{name} was given no tensor")
            device = tensors[0]._device
            for one in tensors:
                require(one.allocated, f"ttnn.{name} was given a deallocated tensor")
                require(one._device is not None, f"ttnn.{name}: operands must be on the device")
                require(one._device is device, f"ttnn.{name}: operands are on different devices")
            program = (name, *((one.shape, one.dtype, one.layout, one._memory_config) for one in tensors))
            trace = device.capturing
            if trace is None:
                device.programs.add(program)
                with torch._C.DisableTorchFunction():
                    return function(*args, **options)
            require(
                program in device.programs,
                f"ttnn.{name} was captured before it ran once with these shapes; run the step untraced first",
            )
            if writes is not None:
                trace.steps.append((function, args, options, []))
                return args[writes]
            with torch._C.DisableTorchFunction():
                results = function(*args, **options)
            made = list(results) if isinstance(results, (tuple, list)) else [results]
            trace.steps.append((function, args, options, made))
            return results

        return run

    return wrap


def each(function, *tensors):
    """`function` over the tensors' shards, device by device; once when every tensor has a single shard."""
    count = max(len(one.shards) for one in tensors)
    return [function(*(one.shards[0 if len(one.shards) == 1 else n] for one in tensors)) for n in range(count)]


def produce(shards, like, dtype=None, layout=None, memory_config=None, rounded=False):
    """A device tensor for an operation's result, in `like`'s format unless told otherwise."""
    dtype = dtype or like.dtype
    layout = layout or like.layout
    _check_layout(dtype, layout)
    if not rounded:
        shards = [hold(one, dtype) for one in shards]
    made = Tensor(shards, dtype, layout, like._device, memory_config)
    made._memory_config = settle(memory_config, made.padded_shape, made._device.grid)
    return made
