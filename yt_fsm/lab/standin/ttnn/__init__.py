"""A CPU stand-in for ttnn: its tensors, layouts, number formats and refusals on torch, for machines without a card."""

import enum
import types

from . import experimental, transformer
from .device import (
    CloseDevice,
    CreateDevice,
    Device,
    DispatchCoreConfig,
    DispatchCoreType,
    FabricConfig,
    GetDefaultDevice,
    GetNumAvailableDevices,
    MeshCoordinate,
    MeshDevice,
    MeshShape,
    SetDefaultDevice,
    Topology,
    close_device,
    close_mesh_device,
    get_arch_name,
    get_num_devices,
    open_device,
    open_mesh_device,
    set_fabric_config,
    synchronize_device,
)
from .errors import unknown
from .memory import (
    DRAM_MEMORY_CONFIG,
    L1_BLOCK_SHARDED_MEMORY_CONFIG,
    L1_HEIGHT_SHARDED_MEMORY_CONFIG,
    L1_MEMORY_CONFIG,
    L1_WIDTH_SHARDED_MEMORY_CONFIG,
    BufferType,
    CoreCoord,
    CoreGrid,
    CoreRange,
    CoreRangeSet,
    MemoryConfig,
    ShardOrientation,
    ShardSpec,
    ShardStrategy,
    TensorMemoryLayout,
    create_sharded_memory_config,
    num_cores_to_corerangeset,
)
from .numerics import TILE_SIZE, DataType
from .operations import (
    GeluVariant,
    UnaryOpType,
    UnaryWithParam,
    add,
    all_gather,
    all_reduce,
    argmax,
    concat,
    embedding,
    exp,
    fill_cache,
    gelu,
    get_memory_config,
    interleaved_to_sharded,
    linear,
    matmul,
    mul,
    multiply,
    neg,
    permute,
    plus_one,
    relu,
    reshape,
    rms_norm,
    rsqrt,
    sharded_to_interleaved,
    sigmoid,
    silu,
    slice,
    sub,
    subtract,
    tanh,
    to_dtype,
    to_layout,
    to_memory_config,
    transpose,
    typecast,
)
from .tensor import (
    ROW_MAJOR_LAYOUT,
    TILE_LAYOUT,
    ConcatMesh2dToTensor,
    ConcatMeshToTensor,
    Layout,
    ReplicateTensorToMesh,
    Shape,
    ShardTensor2dMesh,
    ShardTensorToMesh,
    StorageType,
    Tensor,
    as_tensor,
    copy_host_to_device_tensor,
    deallocate,
    from_device,
    from_torch,
    full,
    get_device_tensors,
    ones,
    to_device,
    to_torch,
    zeros,
)
from .trace import MeshTraceId, begin_trace_capture, end_trace_capture, execute_trace, release_trace
from .transformer import SDPAProgramConfig

__version__ = "0.81.1+cpu.standin"
STANDIN = True

bfloat16 = DataType.BFLOAT16
float32 = DataType.FLOAT32
bfloat8_b = DataType.BFLOAT8_B
bfloat4_b = DataType.BFLOAT4_B
uint32 = DataType.UINT32
int32 = DataType.INT32
uint16 = DataType.UINT16
uint8 = DataType.UINT8

CONFIG = types.SimpleNamespace(throw_exception_on_fallback=False, enable_fast_runtime_mode=True)


class MathFidelity(enum.Enum):
    """How many passes a multiplication takes; the stand-in always computes in float32."""

    LoFi = 0
    HiFi2 = 2
    HiFi3 = 3
    HiFi4 = 4


class WormholeComputeKernelConfig:
    """Accepted and kept; it changes nothing here."""

    def __init__(self, **options):
        self.__dict__.update(options)


def init_device_compute_kernel_config(arch, config=None, **options):
    """A kernel config with these options."""
    return config or WormholeComputeKernelConfig(**options)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise unknown(name)
