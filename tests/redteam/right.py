"""Right variants: the template's example done otherwise, in formats, layouts and order, and as right."""

from .wrong import DECODE_ADD, HEAD, SCALE, SILU

BFP8 = "WEIGHTS = ttnn.bfloat8_b"
TRANSPOSED = "return self.put(weight.T[None, None], WEIGHTS, split, ttnn.TILE_LAYOUT)"
CACHE = "mesh.put(empty, ttnn.bfloat16,"
SHARDED = "self.residual = self.mesh.width_sharded(config.hidden_size)"
NORMED = "return ttnn.rms_norm(x, weight=self.weight, epsilon=self.epsilon)"
QKV = "interleave([q, k, v], self.parts)"
TWO_CACHES = "self.keys, self.values = ("
LONGER = """max_seq_len += 128
        empty = torch.zeros(batch, kv_heads, max_seq_len, self.width, dtype=torch.bfloat16)
        """
HALVES = "ttnn.linear(ttnn.mul(ttnn.mul(gate, 0.5), ttnn.mul(up, 2.0)), self.down, memory_config=memory_config)"
WHERE = "def put_transposed(self, weight, split=None):"
DOWN_OUT = "out = ttnn.linear(ttnn.mul(gate, up), self.down, memory_config=memory_config)"


def kept(names):
    """The matrices with these in their names in bfloat16, the others in BFP8."""
    return (
        (WHERE, "def put_transposed(self, weight, split=None, kind=WEIGHTS):"),
        (TRANSPOSED, TRANSPOSED.replace("WEIGHTS", "kind")),
        *((old, old + ", kind=ttnn.bfloat16") for old in names),
    )


RIGHT = {
    "as it is": (),
    "bfloat16 weights": ((BFP8, "WEIGHTS = ttnn.bfloat16"),),
    "float32 weights": ((BFP8, "WEIGHTS = ttnn.float32"),),
    "bfloat16 attention": kept((QKV,)),
    "bfloat16 output projection": kept(("self.out = mesh.put_transposed(out",)),
    "bfloat16 head": kept(('weights.get("lm_head.weight", embeddings)',)),
    "bfloat16 down projection": kept(('weights[name + "down_proj.weight"]',)),
    "bfloat16 gate and up": kept(('weights[name + "gate_proj.weight"]', 'weights[name + "up_proj.weight"]')),
    "a BFP8 cache": ((CACHE, "mesh.put(empty, ttnn.bfloat8_b,"),),
    "a BFP8 cache and bfloat16 weights": (
        (CACHE, "mesh.put(empty, ttnn.bfloat8_b,"),
        (BFP8, "WEIGHTS = ttnn.bfloat16"),
    ),
    "float32 norms": (
        (
            "return self.put(vector.reshape(1, 1, 1, -1), ttnn.bfloat16,",
            "return self.put(vector.reshape(1, 1, 1, -1), ttnn.float32,",
        ),
    ),
    "all in DRAM": (("L1 = ttnn.L1_MEMORY_CONFIG", "L1 = ttnn.DRAM_MEMORY_CONFIG"),),
    "the residual interleaved": ((SHARDED, "self.residual = L1"),),
    "silu from the sigmoid": (
        (SILU, SILU.replace("ttnn.silu(", "(") + "\n        gate = ttnn.mul(gate, ttnn.sigmoid(gate))"),
    ),
    "up before gate": (("ttnn.mul(gate, up)", "ttnn.mul(up, gate)"),),
    "residuals added the other way round": ((DECODE_ADD, "x = ttnn.add(ttnn.to_memory_config(mixed, residual), x)"),),
    "the scale in the queries' weights": (
        (SCALE, "self.scale = 1.0"),
        (
            "self.qkv_bias = self.out_bias = None",
            "self.qkv_bias = self.out_bias = None\n        assert name + 'q_norm.weight' not in weights",
        ),
        (QKV, "interleave([q / math.sqrt(self.width), k, v], self.parts)"),
    ),
    "the scale in the keys' weights": (
        (SCALE, "self.scale = 1.0"),
        (QKV, "interleave([q, k / math.sqrt(self.width), v], self.parts)"),
    ),
    "the down projection of halves": ((DOWN_OUT, "out = " + HALVES),),
    "more room in the cache": ((TWO_CACHES, LONGER + TWO_CACHES),),
    "rope from float32": (("dtype=torch.float64)", "dtype=torch.float32)"),),
    "an epsilon of ten times as much": (("self.epsilon = epsilon", "self.epsilon = 10 * epsilon"),),
    "the head over the last rows of prefill only in name": (
        (HEAD, HEAD + "\n        self.spare = self.mesh.put(torch.zeros(1, 1, 32, 32), ttnn.bfloat16)"),
    ),
    "the padded vocabulary": (
        (
            HEAD,
            HEAD.replace(
                'weights.get("lm_head.weight", embeddings)',
                'torch.nn.functional.pad(weights.get("lm_head.weight", embeddings), (0, 0, 0, 32))',
            ),
        ),
    ),
}
