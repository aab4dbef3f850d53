"""A Llama-family model in TTNN: the reference bringup (README, "What a model file offers").

Runs configurations of Llama, SmolLM2, Mistral, Qwen2 and Qwen3: grouped heads, tied embeddings, attention biases,
normed queries and keys, default, linear and llama3 rope. Weights are BFP8, rope is the fused HF-format operation,
attention is SDPA. Prefill works in DRAM, interleaved; decode works in L1, its residual, norms and heads sharded, and
reads its token and its position from device tensors, so that one captured trace serves every step.

On a mesh, heads and MLP columns are split over the devices where they divide, and copied where they do not.
"""

import math

import torch
import ttnn

TILE = 32
WEIGHTS = ttnn.bfloat8_b
DRAM = ttnn.DRAM_MEMORY_CONFIG
L1 = ttnn.L1_MEMORY_CONFIG


def build_model(source, tt_device, max_seq_len):
    """A model on the device from `source.config` and `source.state_dict()`, with a cache of `max_seq_len`."""
    return Llama(source.config, source.state_dict(), tt_device, max_seq_len, getattr(source, "batch", 1))


class Llama:
    """Embedding, layers, final norm and head, and the tensors through which decode gets its input."""

    def __init__(self, config, weights, device, max_seq_len, batch):
        if config.hidden_act != "silu":
            raise ValueError(f"hidden_act {config.hidden_act!r} is not supported; this bringup has silu only")
        self.device = device
        self.batch = batch
        self.mesh = Mesh(device)
        embeddings = weights["model.embed_tokens.weight"]
        self.embeddings = self.mesh.put(embeddings[None, None], ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT)
        self.rope = Rope(config, self.mesh, max_seq_len, batch)
        self.layers = [
            Layer(config, weights, f"model.layers.{index}.", self.mesh, max_seq_len, batch)
            for index in range(config.num_hidden_layers)
        ]
        self.norm = Norm(weights["model.norm.weight"], config.rms_norm_eps, self.mesh)
        self.head = self.mesh.put_transposed(weights.get("lm_head.weight", embeddings))
        self.residual = self.mesh.width_sharded(config.hidden_size)
        self.tokens = self.mesh.put(torch.zeros(1, 1, 1, batch, dtype=torch.int32), ttnn.uint32)
        self.positions = self.mesh.put(torch.zeros(batch, dtype=torch.int32), ttnn.int32)
        self.rope_rows = self.mesh.put(torch.zeros(1, 1, 1, batch, dtype=torch.int32), ttnn.uint32)

    def prefill(self, tokens, user):
        """Run one user's prompt (int32, whole tiles long) and fill its cache; logits [1, 1, length, vocab]."""
        ids = self.mesh.put(tokens.reshape(1, 1, 1, -1), ttnn.uint32)
        x = ttnn.embedding(ids, self.embeddings, layout=ttnn.TILE_LAYOUT, memory_config=DRAM)
        cos, sin = self.rope.prefill(tokens.numel())
        for layer in self.layers:
            x = layer.prefill(x, cos, sin, user)
        return ttnn.linear(self.norm(x), self.head, memory_config=DRAM)

    def prepare_decode(self, tokens, positions):
        """Write one token and its position a user into the tensors that decode_step reads (host to device)."""
        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)
        self.mesh.write(positions, ttnn.int32, self.positions)
        self.mesh.write(positions.reshape(1, 1, 1, -1), ttnn.uint32, self.rope_rows)

    def decode_step(self):
        """One token a user, on the device alone: nothing is read from or written to the host. Logits [1, 1, users, vocab]."""
        x = ttnn.embedding(self.tokens, self.embeddings, layout=ttnn.TILE_LAYOUT, memory_config=L1)
        x = ttnn.to_memory_config(x, self.residual)
        cos, sin = self.rope.decode(self.rope_rows)
        for layer in self.layers:
            x = layer.decode(x, cos, sin, self.positions, self.residual)
        return ttnn.linear(interleaved(self.norm(x)), self.head, memory_config=DRAM)


class Layer:
    """Attention and MLP, each behind a norm and with a residual."""

    def __init__(self, config, weights, name, mesh, max_seq_len, batch):
        self.attention_norm = Norm(weights[name + "input_layernorm.weight"], config.rms_norm_eps, mesh)
        self.attention = Attention(config, weights, name + "self_attn.", mesh, max_seq_len, batch)
        self.mlp_norm = Norm(weights[name + "post_attention_layernorm.weight"], config.rms_norm_eps, mesh)
        self.mlp = Mlp(config, weights, name + "mlp.", mesh)

    def prefill(self, x, cos, sin, user):
        x = ttnn.add(x, self.attention.prefill(self.attention_norm(x), cos, sin, user))
        return ttnn.add(x, self.mlp.prefill(self.mlp_norm(x)))

    def decode(self, x, cos, sin, positions, residual):
        mixed = self.attention.decode(interleaved(self.attention_norm(x)), cos, sin, positions)
        x = ttnn.add(x, ttnn.to_memory_config(mixed, residual))
        mixed = self.mlp.decode(interleaved(self.mlp_norm(x)))
        return ttnn.add(x, ttnn.to_memory_config(mixed, residual))


class Attention:
    """Grouped-head attention over a cache [users, kv heads, max_seq_len, head width]."""

    def __init__(self, config, weights, name, mesh, max_seq_len, batch):
        heads, kv_heads, self.width = config.num_attention_heads, config.num_key_value_heads, head_width(config)
        self.mesh = mesh
        self.parts = mesh.parts(heads, kv_heads)
        self.heads, self.kv_heads = heads // self.parts, kv_heads // self.parts
        self.scale = 1 / math.sqrt(self.width)
        q, k, v, out = (weights[f"{name}{part}_proj.weight"] for part in "qkvo")
        self.qkv = mesh.put_transposed(interleave([q, k, v], self.parts), split=3 if self.parts > 1 else None)
        self.out = mesh.put_transposed(out, split=2 if self.parts > 1 else None)
        self.qkv_bias = self.out_bias = None
        if name + "q_proj.bias" in weights:
            biases = [weights[f"{name}{part}_proj.bias"][:, None] for part in "qkv"]
            bias = interleave(biases, self.parts)
            self.qkv_bias = mesh.put_row(bias, split=3 if self.parts > 1 else None)
        if name + "o_proj.bias" in weights:
            self.out_bias = mesh.put_row(weights[name + "o_proj.bias"])
        self.q_norm = self.k_norm = None
        if name + "q_norm.weight" in weights:
            self.q_norm = Norm(weights[name + "q_norm.weight"], config.rms_norm_eps, mesh)
            self.k_norm = Norm(weights[name + "k_norm.weight"], config.rms_norm_eps, mesh)
        empty = torch.zeros(batch, kv_heads, max_seq_len, self.width, dtype=torch.bfloat16)
        self.keys, self.values = (
            mesh.put(empty, ttnn.bfloat16, split=1 if self.parts > 1 else None, layout=ttnn.TILE_LAYOUT)
            for _ in range(2)
        )

    def prefill(self, x, cos, sin, user):
        qkv = ttnn.linear(x, self.qkv, bias=self.qkv_bias, memory_config=DRAM)
        q, k, v = ttnn.experimental.nlp_create_qkv_heads(
            qkv, num_heads=self.heads, num_kv_heads=self.kv_heads, transpose_k_heads=False, memory_config=DRAM
        )
        ttnn.deallocate(qkv)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q = ttnn.experimental.rotary_embedding_hf(q, cos, sin, is_decode_mode=False)
        k = ttnn.experimental.rotary_embedding_hf(k, cos, sin, is_decode_mode=False)
        ttnn.fill_cache(self.keys, k, user)
        ttnn.fill_cache(self.values, v, user)
        mixed = ttnn.transformer.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=self.scale, memory_config=DRAM
        )
        mixed = ttnn.experimental.nlp_concat_heads(mixed, memory_config=DRAM)
        return self.project(mixed, DRAM)

    def decode(self, x, cos, sin, positions):
        qkv = ttnn.linear(x, self.qkv, bias=self.qkv_bias, memory_config=L1)
        q, k, v = ttnn.experimental.nlp_create_qkv_heads_decode(
            qkv,
            num_heads=self.heads,
            num_kv_heads=self.kv_heads,
            memory_config=ttnn.L1_HEIGHT_SHARDED_MEMORY_CONFIG,
        )
        if self.q_norm is not None:
            q, k = norm_heads(q, self.q_norm), norm_heads(k, self.k_norm)
        q = ttnn.experimental.rotary_embedding_hf(q, cos, sin, is_decode_mode=True)
        k = ttnn.experimental.rotary_embedding_hf(k, cos, sin, is_decode_mode=True)
        # The rotation returns whole tiles of heads; attention needs the real count to group them.
        users = q.shape[1]
        q = ttnn.reshape(q, (1, users, self.heads, self.width), (1, users, TILE, self.width))
        ttnn.experimental.paged_update_cache(self.keys, k, update_idxs_tensor=positions)
        ttnn.experimental.paged_update_cache(self.values, v, update_idxs_tensor=positions)
        mixed = ttnn.transformer.scaled_dot_product_attention_decode(
            q, self.keys, self.values, cur_pos_tensor=positions, scale=self.scale, memory_config=DRAM
        )
        mixed = ttnn.transpose(mixed, 1, 2)
        mixed = ttnn.experimental.nlp_concat_heads(mixed, memory_config=L1)
        return self.project(mixed, L1)

    def project(self, mixed, memory_config):
        out = ttnn.linear(mixed, self.out, memory_config=memory_config)
        if self.parts > 1:
            out = self.mesh.sum(out, memory_config)
        return ttnn.add(out, self.out_bias) if self.out_bias is not None else out


class Mlp:
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config, weights, name, mesh):
        self.mesh = mesh
        self.parts = mesh.parts(config.intermediate_size // TILE)
        split = self.parts > 1
        self.gate = mesh.put_transposed(weights[name + "gate_proj.weight"], split=3 if split else None)
        self.up = mesh.put_transposed(weights[name + "up_proj.weight"], split=3 if split else None)
        self.down = mesh.put_transposed(weights[name + "down_proj.weight"], split=2 if split else None)

    def prefill(self, x):
        return self.run(x, DRAM)

    def decode(self, x):
        return self.run(x, L1)

    def run(self, x, memory_config):
        gate = ttnn.silu(ttnn.linear(x, self.gate, memory_config=memory_config))
        up = ttnn.linear(x, self.up, memory_config=memory_config)
        out = ttnn.linear(ttnn.mul(gate, up), self.down, memory_config=memory_config)
        return self.mesh.sum(out, memory_config) if self.parts > 1 else out


class Norm:
    """RMS norm over the last dimension."""

    def __init__(self, weight, epsilon, mesh):
        self.weight = mesh.put_row(weight)
        self.epsilon = epsilon

    def __call__(self, x):
        return ttnn.rms_norm(x, weight=self.weight, epsilon=self.epsilon)


class Rope:
    """Cosines and sines in HF format: by length for prefill, by position from a device tensor for decode."""

    def __init__(self, config, mesh, max_seq_len, batch):
        angles = torch.outer(torch.arange(max_seq_len, dtype=torch.float64), rope_frequencies(config))
        angles = torch.cat((angles, angles), -1)[None, None]
        tables = [angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)]
        self.tiles = [mesh.put(table, ttnn.bfloat16, layout=ttnn.TILE_LAYOUT) for table in tables]
        self.rows = [mesh.put(table, ttnn.bfloat16, layout=ttnn.ROW_MAJOR_LAYOUT) for table in tables]
        self.width = head_width(config)
        self.sharded = ttnn.create_sharded_memory_config(
            (TILE, self.width),
            core_grid=ttnn.num_cores_to_corerangeset(batch, mesh.grid, True),
            strategy=ttnn.ShardStrategy.HEIGHT,
            use_height_and_width_as_shard_shape=True,
        )

    def prefill(self, length):
        return [table[:, :, :length, :] for table in self.tiles]

    def decode(self, positions):
        found = []
        for table in self.rows:
            rows = ttnn.embedding(positions, table, layout=ttnn.TILE_LAYOUT, memory_config=L1)
            rows = ttnn.transpose(rows, 1, 2)  # [1, 1, users, width] -> [1, users, 1, width]
            found.append(ttnn.to_memory_config(rows, self.sharded))
        return found


class Mesh:
    """The device or mesh of devices, and how tensors are laid on it."""

    def __init__(self, device):
        self.device = device
        self.shape = tuple(device.shape)
        self.count = device.get_num_devices()
        self.grid = device.compute_with_storage_grid_size()

    def parts(self, *sizes):
        """How many parts to split something into: one a device when every size divides, else one."""
        return self.count if all(size % self.count == 0 for size in sizes) else 1

    def put(self, tensor, dtype, split=None, layout=ttnn.ROW_MAJOR_LAYOUT):
        """A tensor in DRAM, copied to every device or split along a dimension."""
        return ttnn.as_tensor(
            tensor.contiguous(),
            dtype=dtype,
            layout=layout,
            device=self.device,
            memory_config=DRAM,
            mesh_mapper=self.mapper(split),
        )

    def put_transposed(self, weight, split=None):
        """A torch weight [out, in] as a BFP8 matrix [1, 1, in, out]."""
        return self.put(weight.T[None, None], WEIGHTS, split, ttnn.TILE_LAYOUT)

    def put_row(self, vector, split=None):
        """A norm's weight or a bias as one row in bfloat16."""
        return self.put(vector.reshape(1, 1, 1, -1), ttnn.bfloat16, split, ttnn.TILE_LAYOUT)

    def write(self, tensor, dtype, target):
        """Overwrite a small device tensor from the host."""
        host = ttnn.from_torch(tensor, dtype=dtype, layout=ttnn.ROW_MAJOR_LAYOUT, mesh_mapper=self.mapper(None))
        ttnn.copy_host_to_device_tensor(host, target)

    def mapper(self, split):
        if self.count == 1:
            return None
        if split is None:
            return ttnn.ReplicateTensorToMesh(self.device)
        return ttnn.ShardTensorToMesh(self.device, dim=split)

    def width_sharded(self, width):
        """An L1 config for one tile of rows, cut into whole tiles over as many cores as divide it."""
        tiles = width // TILE
        grids = [(x, y) for x in range(1, self.grid.x + 1) for y in range(1, self.grid.y + 1) if tiles % (x * y) == 0]
        x, y = max(grids, key=lambda grid: grid[0] * grid[1])
        return ttnn.create_sharded_memory_config(
            (TILE, width // (x * y)),
            core_grid=ttnn.CoreGrid(y=y, x=x),
            strategy=ttnn.ShardStrategy.WIDTH,
            use_height_and_width_as_shard_shape=True,
        )

    def sum(self, tensor, memory_config):
        """The sum of every device's part, on every device."""
        axis = 1 if self.shape[0] == 1 else 0 if self.shape[1] == 1 else None
        return ttnn.all_reduce(
            tensor, cluster_axis=axis, num_links=1, topology=ttnn.Topology.Linear, memory_config=memory_config
        )


def head_width(config):
    """The width of one head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def interleave(weights, parts):
    """Rows of q, k and v so that the n-th of `parts` equal pieces holds the n-th piece of each."""
    pieces = [torch.chunk(weight, parts, 0) for weight in weights]
    return torch.cat([piece[part] for part in range(parts) for piece in pieces], 0)


def norm_heads(heads, norm):
    """Norm sharded heads: rms_norm takes no height-sharded input, so by way of DRAM."""
    sharded = ttnn.get_memory_config(heads)
    return ttnn.to_memory_config(norm(ttnn.to_memory_config(heads, DRAM)), sharded)


def interleaved(sharded):
    """A sharded tensor as matrix products take it without a program config."""
    return ttnn.to_memory_config(sharded, L1)


def rope_frequencies(config):
    """Angle per position for each pair of a head's values; transformers 4 and 5 spell the settings differently."""
    settings = dict(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {})
    theta = settings.get("rope_theta") or getattr(config, "rope_theta", 10000.0)
    width = head_width(config)
    frequencies = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    kind = settings.get("rope_type") or settings.get("type") or "default"
    if kind == "default":
        return frequencies
    if kind == "linear":
        return frequencies / settings["factor"]
    if kind == "llama3":
        low = settings["original_max_position_embeddings"] / settings["low_freq_factor"]
        high = settings["original_max_position_embeddings"] / settings["high_freq_factor"]
        wavelengths = 2 * math.pi / frequencies
        smooth = (settings["original_max_position_embeddings"] / wavelengths - settings["low_freq_factor"]) / (
            settings["high_freq_factor"] - settings["low_freq_factor"]
        )
        blended = (1 - smooth) * frequencies / settings["factor"] + smooth * frequencies
        scaled = torch.where(wavelengths > low, frequencies / settings["factor"], frequencies)
        return torch.where((wavelengths <= low) & (wavelengths >= high), blended, scaled)
    raise ValueError(f"rope type {kind!r} is not supported; this bringup has default, linear and llama3")
