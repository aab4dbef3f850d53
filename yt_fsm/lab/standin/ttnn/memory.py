"""Where a tensor lies: DRAM or L1, interleaved or sharded over cores."""

import enum
import math

from .errors import refuse


class BufferType(enum.Enum):
    """The memory a buffer is in."""

    DRAM = "DRAM"
    L1 = "L1"
    L1_SMALL = "L1_SMALL"


class TensorMemoryLayout(enum.Enum):
    """How a buffer is spread."""

    INTERLEAVED = "INTERLEAVED"
    HEIGHT_SHARDED = "HEIGHT_SHARDED"
    WIDTH_SHARDED = "WIDTH_SHARDED"
    BLOCK_SHARDED = "BLOCK_SHARDED"


class ShardStrategy(enum.Enum):
    """The three ways to cut a tensor into shards."""

    HEIGHT = TensorMemoryLayout.HEIGHT_SHARDED
    WIDTH = TensorMemoryLayout.WIDTH_SHARDED
    BLOCK = TensorMemoryLayout.BLOCK_SHARDED


class ShardOrientation(enum.Enum):
    """The order in which cores take shards."""

    ROW_MAJOR = "ROW_MAJOR"
    COL_MAJOR = "COL_MAJOR"


class CoreCoord:
    """One core by column and row."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return isinstance(other, CoreCoord) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))

    def __repr__(self):
        return f"(x={self.x},y={self.y})"


class CoreRange:
    """The rectangle of cores between two corners, both included."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def size(self):
        return (self.end.x - self.start.x + 1) * (self.end.y - self.start.y + 1)

    def __eq__(self, other):
        return isinstance(other, CoreRange) and (self.start, self.end) == (other.start, other.end)

    def __hash__(self):
        return hash((self.start, self.end))

    def __repr__(self):
        return f"[{self.start}-{self.end}]"


class CoreRangeSet:
    """Several rectangles of cores."""

    def __init__(self, ranges):
        self._ranges = frozenset(ranges)

    def ranges(self):
        return sorted(self._ranges, key=repr)

    def num_cores(self):
        return sum(one.size() for one in self._ranges)

    def __eq__(self, other):
        return isinstance(other, CoreRangeSet) and self._ranges == other._ranges

    def __hash__(self):
        return hash(self._ranges)

    def __repr__(self):
        return f"CoreRangeSet({self.ranges()})"


class CoreGrid:
    """A grid of cores from (0, 0), `y` rows by `x` columns."""

    def __init__(self, *, y, x):
        self.y, self.x = y, x

    @property
    def num_cores(self):
        return self.x * self.y

    def __eq__(self, other):
        return isinstance(other, CoreGrid) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self):
        return hash((self.x, self.y))

    def __repr__(self):
        return f"CoreGrid(y={self.y}, x={self.x})"


class ShardSpec:
    """The cores that hold a tensor's shards and the (height, width) of one shard."""

    def __init__(self, grid, shape, orientation=ShardOrientation.ROW_MAJOR):
        self.grid, self.shape, self.orientation = grid, tuple(shape), orientation
        self._hash = hash((grid, self.shape))

    def __eq__(self, other):
        return isinstance(other, ShardSpec) and (self.grid, self.shape) == (other.grid, other.shape)

    def __hash__(self):
        return self._hash

    def __repr__(self):
        return f"ShardSpec(grid={self.grid}, shape={self.shape})"


class MemoryConfig:
    """A memory layout, a buffer type and, when sharded, the shards."""

    def __init__(self, memory_layout=TensorMemoryLayout.INTERLEAVED, buffer_type=BufferType.DRAM, shard_spec=None):
        self.memory_layout, self.buffer_type, self.shard_spec = memory_layout, buffer_type, shard_spec
        self._hash = hash((memory_layout, buffer_type, shard_spec))

    def is_sharded(self):
        return self.memory_layout is not TensorMemoryLayout.INTERLEAVED

    def __eq__(self, other):
        return self is other or (
            isinstance(other, MemoryConfig)
            and self.memory_layout is other.memory_layout
            and self.buffer_type is other.buffer_type
            and self.shard_spec == other.shard_spec
        )

    def __hash__(self):
        return self._hash

    def __repr__(self):
        spec = f", {self.shard_spec}" if self.shard_spec else ""
        return f"MemoryConfig({self.buffer_type.name} {self.memory_layout.name}{spec})"


DRAM_MEMORY_CONFIG = MemoryConfig()
L1_MEMORY_CONFIG = MemoryConfig(buffer_type=BufferType.L1)
L1_HEIGHT_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.HEIGHT_SHARDED, BufferType.L1)
L1_WIDTH_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.WIDTH_SHARDED, BufferType.L1)
L1_BLOCK_SHARDED_MEMORY_CONFIG = MemoryConfig(TensorMemoryLayout.BLOCK_SHARDED, BufferType.L1)

GRID = CoreGrid(y=8, x=8)  # a Wormhole card's compute cores


def cores(count):
    """A set of `count` cores in row-major order, as the device lays out one shard a core."""
    if count > GRID.num_cores:
        refuse(f"{count} shards need {count} cores; the grid has {GRID.num_cores}")
    rows, rest = divmod(count, GRID.x)
    ranges = []
    if rows:
        ranges.append(CoreRange(CoreCoord(0, 0), CoreCoord(GRID.x - 1, rows - 1)))
    if rest:
        ranges.append(CoreRange(CoreCoord(0, rows), CoreCoord(rest - 1, rows)))
    return CoreRangeSet(ranges)


def num_cores_to_corerangeset(target_num_cores, grid_size=None, row_wise=True):
    """The first `target_num_cores` cores."""
    return cores(target_num_cores)


def create_sharded_memory_config(
    shape, core_grid, strategy, orientation=None, use_height_and_width_as_shard_shape=False
):
    """An L1 memory config that cuts `shape` over `core_grid`; refuses a grid that does not divide it."""
    if isinstance(core_grid, CoreGrid):
        grid = CoreRangeSet([CoreRange(CoreCoord(0, 0), CoreCoord(core_grid.x - 1, core_grid.y - 1))])
        if core_grid.x > GRID.x or core_grid.y > GRID.y:
            refuse(f"core grid {core_grid} is larger than the device's {GRID}")
    elif isinstance(core_grid, CoreRangeSet):
        grid = core_grid
        if not use_height_and_width_as_shard_shape:
            refuse("height and width must be the shard's shape with a CoreRangeSet")
    else:
        refuse(f"core_grid is a {type(core_grid).__name__}, not a CoreGrid or CoreRangeSet")
    *batch, height, width = tuple(shape)
    if use_height_and_width_as_shard_shape:
        shard = (height, width)
    else:
        height *= math.prod(batch)
        over_height = {"HEIGHT": grid.num_cores(), "WIDTH": 1, "BLOCK": core_grid.y}[strategy.name]
        over_width = {"HEIGHT": 1, "WIDTH": grid.num_cores(), "BLOCK": core_grid.x}[strategy.name]
        if height % over_height or width % over_width:
            refuse(f"{height}x{width} does not divide into {over_height}x{over_width} shards")
        shard = (height // over_height, width // over_width)
    spec = ShardSpec(grid, shard, orientation or ShardOrientation.ROW_MAJOR)
    return MemoryConfig(strategy.value, BufferType.L1, spec)
