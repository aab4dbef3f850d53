"""Devices and meshes of devices, as far as opening, closing and their shape go."""

import enum

from .board import refuse_where_broken
from .errors import refuse, require
from .memory import GRID, CoreCoord, CoreGrid

DEFAULT_L1_SMALL_SIZE = 0
DEFAULT_TRACE_REGION_SIZE = 0
SYSTEM_DEVICES = 32  # the stand-in has as many as anyone asks for, up to this


class FabricConfig(enum.Enum):
    """Ways to join devices."""

    DISABLED = "DISABLED"
    FABRIC_1D = "FABRIC_1D"
    FABRIC_1D_RING = "FABRIC_1D_RING"
    FABRIC_2D = "FABRIC_2D"


class Topology(enum.Enum):
    """The shape of a collective operation."""

    Linear = "Linear"
    Ring = "Ring"
    Mesh = "Mesh"


class DispatchCoreType(enum.Enum):
    """Which cores dispatch."""

    WORKER = "WORKER"
    ETH = "ETH"


class DispatchCoreConfig:
    """Accepted and kept; it changes nothing here."""

    def __init__(self, type=None, axis=None, fabric_tensix_config=None):
        self.type = type


class MeshShape:
    """Rows and columns of a mesh; iterates and indexes like a tuple."""

    def __init__(self, *dims):
        if len(dims) == 1 and not isinstance(dims[0], int):
            dims = tuple(dims[0])
        self._dims = tuple(int(one) for one in dims)

    def __iter__(self):
        return iter(self._dims)

    def __getitem__(self, index):
        return self._dims[index]

    def __len__(self):
        return len(self._dims)

    def __eq__(self, other):
        return tuple(self) == tuple(other)

    def __hash__(self):
        return hash(self._dims)

    def __repr__(self):
        return f"MeshShape{self._dims}"

    def mesh_size(self):
        size = 1
        for one in self._dims:
            size *= one
        return size


class MeshCoordinate:
    """A device's place in a mesh."""

    def __init__(self, *coords):
        self.coords = coords


class MeshDevice:
    """One or more devices; every tensor on it has one shard a device, or one for all when they are equal."""

    _open = None
    fabric = FabricConfig.DISABLED

    def __init__(self, shape, trace_region_size=0, device_id=0):
        require(MeshDevice._open is None, "a device is already open in this process; close it first")
        shape = MeshShape(shape)
        refuse_where_broken(shape)
        require(shape.mesh_size() <= SYSTEM_DEVICES, f"mesh {shape} is larger than the system")
        if shape.mesh_size() > 1:
            require(
                MeshDevice.fabric is not FabricConfig.DISABLED,
                "call ttnn.set_fabric_config before opening a mesh of several devices",
            )
        self.shape = shape
        # The chips of a card with two have a row of cores less.
        self.grid = GRID if shape.mesh_size() == 1 else CoreGrid(y=GRID.y - 1, x=GRID.x)
        self.trace_region_size = trace_region_size
        self._id = device_id
        self.programs = set()  # what has run once: the program cache
        self.traces = {}
        self.capturing = None
        MeshDevice._open = self

    def get_num_devices(self):
        return self.shape.mesh_size()

    num_devices = property(get_num_devices)

    def id(self):
        return self._id

    def get_device_ids(self):
        return list(range(self.get_num_devices()))

    def compute_with_storage_grid_size(self):
        return CoreCoord(self.grid.x, self.grid.y)

    def dram_grid_size(self):
        return CoreCoord(12, 1)

    @property
    def core_grid(self):
        return self.grid

    def arch(self):
        return "wormhole_b0"

    def enable_program_cache(self):
        """The program cache is always on."""

    def num_program_cache_entries(self):
        return len(self.programs)

    def close(self):
        MeshDevice._open = None

    def __repr__(self):
        return f"MeshDevice({tuple(self.shape)}, cpu stand-in)"


Device = MeshDevice


def open_mesh_device(
    mesh_shape=None,
    l1_small_size=DEFAULT_L1_SMALL_SIZE,
    trace_region_size=DEFAULT_TRACE_REGION_SIZE,
    num_command_queues=1,
    dispatch_core_config=None,
    offset=None,
    physical_device_ids=(),
    worker_l1_size=0,
):
    """Open a mesh; a second one in the same process is refused."""
    return MeshDevice(mesh_shape or MeshShape(1, 1), trace_region_size)


def close_mesh_device(mesh_device):
    """Close a mesh."""
    mesh_device.close()


def open_device(
    *,
    device_id=0,
    l1_small_size=DEFAULT_L1_SMALL_SIZE,
    trace_region_size=DEFAULT_TRACE_REGION_SIZE,
    num_command_queues=1,
    dispatch_core_config=None,
    worker_l1_size=0,
):
    """Open one device as a 1x1 mesh."""
    return MeshDevice(MeshShape(1, 1), trace_region_size, device_id)


def close_device(device):
    """Close a device."""
    device.close()


def CreateDevice(device_id, **options):  # noqa: N802 - ttnn's name
    """The older spelling of open_device."""
    options.pop("num_hw_cqs", None)
    return open_device(device_id=device_id, **options)


def CloseDevice(device):  # noqa: N802 - ttnn's name
    """The older spelling of close_device."""
    device.close()


def SetDefaultDevice(device):  # noqa: N802 - ttnn's name
    """The one open device is the default."""


def GetDefaultDevice():  # noqa: N802 - ttnn's name
    """The open device, or None."""
    return MeshDevice._open


def GetNumAvailableDevices():  # noqa: N802 - ttnn's name
    """How many devices a mesh may have."""
    return SYSTEM_DEVICES


get_num_devices = GetNumAvailableDevices


def set_fabric_config(config, *args, **options):
    """Join devices before a mesh is opened, or part them after it is closed."""
    if MeshDevice._open is not None:
        refuse("set_fabric_config must not be called while a device is open")
    MeshDevice.fabric = config


def get_arch_name():
    """The architecture that the stand-in imitates."""
    return "wormhole_b0"


def synchronize_device(device, cq_id=None, sub_device_ids=()):
    """Nothing runs behind the caller's back here; inside a capture it is an error."""
    require(device.capturing is None, "synchronize_device inside a trace capture")
