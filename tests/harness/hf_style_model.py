"""A TTNN model of the shape that public bringups have: called as Hugging Face's are, one position for all rows.

It is data for the tests: every one of the operations that those files use, in the ways they use them.
"""

import math
from dataclasses import dataclass

import torch
import ttnn
from transformers import GenerationConfig
from transformers.generation.utils import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

ROWS = 32
KERNEL = ttnn.WormholeComputeKernelConfig(
    math_fidelity=ttnn.MathFidelity.HiFi4, math_approx_mode=False, fp32_dest_acc_en=True
)


@dataclass
class Sizes:
    heads: int
    kv_heads: int
    head_dim: int
    layers: int
    eps: float
    theta: float

    @classmethod
    def of(cls, config):
        theta = getattr(config, "rope_theta", None) or config.rope_parameters["rope_theta"]
        return cls(
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
            config.num_hidden_layers,
            config.rms_norm_eps,
            theta,
        )


def on_device(tensor, device, dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT):
    return ttnn.as_tensor(
        tensor.contiguous(), dtype=dtype, layout=layout, device=device, memory_config=ttnn.DRAM_MEMORY_CONFIG
    )


class Block:
    def __init__(self, sizes, weights, prefix, device, length, tables):
        self.sizes, self.device, self.tables = sizes, device, tables

        def matrix(name, dtype):
            return on_device(weights[prefix + name].T[None, None].to(torch.bfloat16), device, dtype)

        def row(name):
            return on_device(weights[prefix + name].reshape(1, 1, 1, -1).to(torch.bfloat16), device)

        self.q, self.k, self.v, self.o = (matrix(f"self_attn.{one}_proj.weight", ttnn.bfloat16) for one in "qkvo")
        self.gate, self.up, self.down = (
            matrix(f"mlp.{one}_proj.weight", ttnn.bfloat8_b) for one in ("gate", "up", "down")
        )
        self.norm_in, self.norm_mlp = row("input_layernorm.weight"), row("post_attention_layernorm.weight")
        empty = (ROWS, sizes.kv_heads, length, sizes.head_dim)
        self.keys = ttnn.zeros(empty, dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=device)
        self.values = on_device(torch.zeros(empty, dtype=torch.bfloat16), device)

    def __call__(self, x, position, length, positions):
        x = ttnn.add(
            x, self.attend(ttnn.rms_norm(x, epsilon=self.sizes.eps, weight=self.norm_in), position, length, positions)
        )
        h = ttnn.rms_norm(x, epsilon=self.sizes.eps, weight=self.norm_mlp)
        return ttnn.add(
            x, ttnn.linear(ttnn.mul(ttnn.silu(ttnn.linear(h, self.gate)), ttnn.linear(h, self.up)), self.down)
        )

    def attend(self, x, position, length, positions):
        s = self.sizes
        x = ttnn.to_dtype(x, dtype=ttnn.bfloat16)
        parts = [
            ttnn.linear(x, one, dtype=ttnn.bfloat16, compute_kernel_config=KERNEL) for one in (self.q, self.k, self.v)
        ]
        qkv = ttnn.concat(parts, dim=-1)
        cos, sin = self.tables
        scale = 1.0 / math.sqrt(s.head_dim)
        if length > 1:
            q, k, v = ttnn.experimental.nlp_create_qkv_heads(
                qkv,
                num_heads=s.heads,
                num_kv_heads=s.kv_heads,
                transpose_k_heads=False,
                memory_config=ttnn.DRAM_MEMORY_CONFIG,
            )
            ttnn.deallocate(qkv)
            padded = x.shape[2]
            q = ttnn.experimental.rotary_embedding(q, cos[:, :, :padded, :], sin[:, :, :padded, :])
            k = ttnn.experimental.rotary_embedding(k, cos[:, :, :padded, :], sin[:, :, :padded, :])
            ttnn.fill_cache(self.keys, k, batch_idx=0)
            ttnn.fill_cache(self.values, v, batch_idx=0)
            mixed = ttnn.transformer.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=scale, compute_kernel_config=KERNEL
            )
        else:
            q, k, v = ttnn.experimental.nlp_create_qkv_heads_decode(
                qkv, num_heads=s.heads, num_kv_heads=s.kv_heads, memory_config=ttnn.DRAM_MEMORY_CONFIG
            )
            ttnn.deallocate(qkv)
            q_memory, k_memory = ttnn.get_memory_config(q), ttnn.get_memory_config(k)
            q, k = (ttnn.to_memory_config(one, ttnn.DRAM_MEMORY_CONFIG) for one in (q, k))
            q = ttnn.reshape(q, (1, 1, q.shape[1] * s.heads, s.head_dim))
            q = ttnn.experimental.rotary_embedding(q, cos, sin, position)
            q = ttnn.reshape(q, (1, q.shape[2] // s.heads, s.heads, s.head_dim))
            k = ttnn.reshape(k, (1, 1, k.shape[1] * s.kv_heads, s.head_dim))
            k = ttnn.experimental.rotary_embedding(k, cos, sin, position)
            k = ttnn.reshape(k, (1, k.shape[2] // s.kv_heads, s.kv_heads, s.head_dim))
            q, k = ttnn.to_memory_config(q, q_memory), ttnn.to_memory_config(k, k_memory)
            ttnn.experimental.paged_update_cache(self.keys, k, update_idxs_tensor=positions)
            ttnn.experimental.paged_update_cache(self.values, v, update_idxs_tensor=positions)
            mixed = ttnn.transformer.scaled_dot_product_attention_decode(
                q, self.keys, self.values, cur_pos_tensor=positions, scale=scale
            )
            mixed = ttnn.transpose(mixed, 1, 2)
        mixed = ttnn.experimental.nlp_concat_heads(mixed, memory_config=ttnn.DRAM_MEMORY_CONFIG)
        width = s.heads * s.head_dim
        if mixed.shape[-1] != width:
            mixed = ttnn.slice(mixed, (0, 0, 0, 0), (mixed.shape[0], mixed.shape[1], mixed.shape[2], width))
        return ttnn.linear(mixed, self.o)


class CalledModel(torch.nn.Module, GenerationMixin):
    def __init__(self, hf_model, tt_device, max_seq_len):
        super().__init__()
        self.config, self.device_ = hf_model.config, tt_device
        self.generation_config = GenerationConfig.from_model_config(self.config)
        self.sizes = Sizes.of(self.config)
        weights = hf_model.state_dict()
        embeddings = weights["model.embed_tokens.weight"]
        self.embed = on_device(embeddings[None, None].to(torch.bfloat16), tt_device, layout=ttnn.ROW_MAJOR_LAYOUT)
        inv = 1.0 / self.sizes.theta ** (torch.arange(0, self.sizes.head_dim, 2).float() / self.sizes.head_dim)
        angle = torch.outer(torch.arange(max_seq_len).float(), inv)
        angle = torch.cat((angle, angle), dim=-1)[None, None]
        self.tables = [on_device(one.to(torch.bfloat16), tt_device) for one in (angle.cos(), angle.sin())]
        self.blocks = [
            Block(self.sizes, weights, f"model.layers.{index}.", tt_device, max_seq_len, self.tables)
            for index in range(self.sizes.layers)
        ]
        self.norm = on_device(weights["model.norm.weight"].reshape(1, 1, 1, -1).to(torch.bfloat16), tt_device)
        head = weights.get("lm_head.weight", embeddings)
        self.head = on_device(head.T[None, None].to(torch.bfloat16), tt_device, ttnn.bfloat8_b)
        self.position = 0

    def forward(self, input_ids, past_key_values=None, use_cache=True, **kwargs):
        batch, length = input_ids.shape
        if past_key_values is None:
            self.position = 0
        positions = None
        if length == 1:
            positions = ttnn.from_torch(
                torch.full((ROWS,), self.position, dtype=torch.int32), dtype=ttnn.int32, device=self.device_
            )
        padded = -(-length // ROWS) * ROWS
        ids = torch.nn.functional.pad(input_ids, (0, padded - length), value=0)
        tokens = ttnn.from_torch(ids.reshape(1, 1, 1, -1), dtype=ttnn.uint32, device=self.device_)
        x = ttnn.embedding(tokens, self.embed, layout=ttnn.TILE_LAYOUT)
        for block in self.blocks:
            x = block(x, self.position, length, positions)
        logits = ttnn.linear(ttnn.rms_norm(x, epsilon=self.sizes.eps, weight=self.norm), self.head)
        logits = ttnn.to_torch(logits).reshape(batch, padded, -1)[:, :length, :]
        self.position += length
        return CausalLMOutputWithPast(logits=logits.float(), past_key_values=object() if use_cache else None)


def build_model(hf_model, tt_device, max_seq_len):
    return CalledModel(hf_model, tt_device, max_seq_len)
