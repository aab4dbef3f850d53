"""Wrong models: the template's example with one small mistake each, by kind. A kind has a name and its edits by name.

An edit is a tuple of `(old, new)`; every `old` must stand in the example.
"""

SILU = "gate = ttnn.silu(ttnn.linear(x, self.gate, memory_config=memory_config))"
UP = "up = ttnn.linear(x, self.up, memory_config=memory_config)"
SCALE = "self.scale = 1 / math.sqrt(self.width)"
LAYERS = "for index in range(config.num_hidden_layers)"
NAME = 'f"model.layers.{index}."'
ANGLES = "angles = torch.outer(torch.arange(max_seq_len, dtype=torch.float64), rope_frequencies(config))"
PAIRS = "angles = torch.cat((angles, angles), -1)[None, None]"
TABLES = "tables = [angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)]"
THETA = "frequencies = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float64) / width)"
SLICE = "return [table[:, :, :length, :] for table in self.tiles]"
Q_DECODE = "q = ttnn.experimental.rotary_embedding_hf(q, cos, sin, is_decode_mode=True)"
K_DECODE = "k = ttnn.experimental.rotary_embedding_hf(k, cos, sin, is_decode_mode=True)"
Q_PREFILL = "q = ttnn.experimental.rotary_embedding_hf(q, cos, sin, is_decode_mode=False)"
K_PREFILL = "k = ttnn.experimental.rotary_embedding_hf(k, cos, sin, is_decode_mode=False)"
TOKENS = "self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)"
ROWS = "self.mesh.write(positions, ttnn.int32, self.positions)"
ROPE_ROWS = "self.mesh.write(positions.reshape(1, 1, 1, -1), ttnn.uint32, self.rope_rows)"
KEYS, VALUES = "ttnn.fill_cache(self.keys, k, user)", "ttnn.fill_cache(self.values, v, user)"
KEY_ROW = "ttnn.experimental.paged_update_cache(self.keys, k, update_idxs_tensor=positions)"
VALUE_ROW = "ttnn.experimental.paged_update_cache(self.values, v, update_idxs_tensor=positions)"
ATTENDS = "q, self.keys, self.values, cur_pos_tensor=positions"
STEP = "x = layer.decode(x, cos, sin, self.positions, self.residual)"
QKV = 'for part in "qkvo")'
NORMED = "return ttnn.rms_norm(x, weight=self.weight, epsilon=self.epsilon)"
PREFILL_ADD = "x = ttnn.add(x, self.attention.prefill(self.attention_norm(x), cos, sin, user))"
PREFILL_MLP = "return ttnn.add(x, self.mlp.prefill(self.mlp_norm(x)))"
DECODE_ADD = "x = ttnn.add(x, ttnn.to_memory_config(mixed, residual))"
DECODE_MLP = "return ttnn.add(x, ttnn.to_memory_config(mixed, residual))"
HEAD = 'self.head = self.mesh.put_transposed(weights.get("lm_head.weight", embeddings))'
EMBEDDED = 'embeddings = weights["model.embed_tokens.weight"]'
FINAL = 'self.norm = Norm(weights["model.norm.weight"]'
GATE, UP_PROJ, DOWN = (f'weights[name + "{one}_proj.weight"]' for one in ("gate", "up", "down"))
OUT = "self.out = mesh.put_transposed(out"
POSITIONS = '"""Write one token and its position a user into the tensors that decode_step reads (host to device)."""'
ROPE_TENSOR = "self.rope_rows = self.mesh.put("
OTHERS = "self.others = self.mesh.put(torch.zeros(batch, dtype=torch.int32), ttnn.int32)\n        "


def far(change):
    """Edits by which decode attends, or writes, by other positions than it is given; `change` of `positions`."""
    return (
        (ROPE_TENSOR, OTHERS + ROPE_TENSOR),
        (ROWS, ROWS + f"\n        self.mesh.write(({change}).to(torch.int32), ttnn.int32, self.others)"),
        (STEP, STEP.replace("self.positions", "(self.positions, self.others)")),
    )


ATTENDS_OTHERS = (
    (KEY_ROW, KEY_ROW.replace("positions", "positions[0]")),
    (VALUE_ROW, VALUE_ROW.replace("positions", "positions[0]")),
    (ATTENDS, ATTENDS.replace("=positions", "=positions[1]")),
)
WRITES_OTHERS = (
    (KEY_ROW, KEY_ROW.replace("positions", "positions[1]")),
    (VALUE_ROW, VALUE_ROW.replace("positions", "positions[1]")),
    (ATTENDS, ATTENDS.replace("=positions", "=positions[0]")),
)

WRONG = {
    "activation": {
        "gelu for silu": (("ttnn.silu(", "ttnn.gelu("),),
        "relu for silu": (("ttnn.silu(", "ttnn.relu("),),
        "none": ((SILU, SILU.replace("ttnn.silu(", "(")),),
        "of the other half": ((SILU, SILU.replace("ttnn.silu(", "(")), (UP, "up = ttnn.silu(" + UP[5:] + ")")),
        "gate added": (("ttnn.mul(gate, up)", "ttnn.add(gate, up)"),),
        "no up": (("ttnn.mul(gate, up)", "gate"),),
    },
    "layers": {
        "one skipped": (("range(config.num_hidden_layers)", "range(config.num_hidden_layers - 1)"),),
        "in reverse": (("range(config.num_hidden_layers)", "reversed(range(config.num_hidden_layers))"),),
        "the first twice": ((NAME, 'f"model.layers.{index // 2}."'),),
        "one more": ((LAYERS, "for index in [*range(config.num_hidden_layers), 0]"),),
        "the last without its MLP in decode": ((DECODE_MLP, "return x"),),
    },
    "weights": {
        "gate and up swapped": ((GATE, 'weights[name + "GATE"]'), (UP_PROJ, GATE), ('weights[name + "GATE"]', UP_PROJ)),
        "the other layer's down": ((DOWN, 'weights["model.layers.0.mlp.down_proj.weight"]'),),
        "keys and values swapped": (("interleave([q, k, v], self.parts)", "interleave([q, v, k], self.parts)"),),
        "gate transposed": ((GATE, GATE + ".T.reshape(config.intermediate_size, -1)"),),
        "heads of the output in reverse": (
            (
                OUT,
                OUT.replace("out", "out.reshape(out.shape[0], -1, 64).flip(1).flatten(1)", 2).replace(
                    "self.out.reshape(out.shape[0], -1, 64).flip(1).flatten(1)", "self.out"
                ),
            ),
        ),
        "key heads swapped": (
            (
                "interleave([q, k, v], self.parts)",
                "interleave([q, k.reshape(2, -1, k.shape[1]).flip(0).flatten(0, 1), v], self.parts)",
            ),
        ),
        "one head lost": ((OUT, OUT[:-3] + "torch.cat((out[:, 64:] * 1, out[:, :64] * 0), 1)"),),
        "a column of down lost": ((DOWN, f"torch.cat(({DOWN}[:, 1:], {DOWN}[:, :1] * 0), 1)"),),
        "a tile of down lost": ((DOWN, f"torch.cat(({DOWN}[:, :-32], {DOWN}[:, -32:] * 0), 1)"),),
        "embeddings a row off": ((EMBEDDED, EMBEDDED + ".roll(1, 0)"),),
        "head a row off": ((HEAD, HEAD.replace("embeddings))", "embeddings).roll(1, 0))")),),
        "embeddings scaled": ((EMBEDDED, EMBEDDED + " * config.hidden_size ** 0.5"),),
        "the head's tile of columns lost": (
            (
                HEAD,
                HEAD.replace(
                    "embeddings))", "embeddings) * (torch.arange(embeddings.shape[1]) < embeddings.shape[1] - 32))"
                ),
            ),
        ),
    },
    "attention": {
        "not scaled": ((SCALE, "self.scale = 1.0"),),
        "scaled by the width": ((SCALE, "self.scale = 1 / self.width"),),
        "scaled by the hidden size": ((SCALE, "self.scale = 1 / math.sqrt(config.hidden_size)"),),
        "scaled a tenth more": ((SCALE, "self.scale = 1.1 / math.sqrt(self.width)"),),
        "prefill not causal": (("is_causal=True", "is_causal=False"),),
        "decode attends one too far": (*far("positions + 1"), *ATTENDS_OTHERS),
        "decode attends one too few": (*far("positions - 1"), *ATTENDS_OTHERS),
        "decode attends to whole tiles": (*far("(positions // 32 + 1) * 32 - 1"), *ATTENDS_OTHERS),
        "decode attends to what it began with": (*far("positions * 0 + 127"), *ATTENDS_OTHERS),
    },
    "rope": {
        "another theta": (("1.0 / theta **", "1.0 / (theta / 20) **"),),
        "a theta of newer models": (("1.0 / theta **", "1.0 / (theta * 50) **"),),
        "turned the wrong way": (("angles.sin()", "(-angles).sin()"),),
        "pairs side by side": ((PAIRS, "angles = torch.repeat_interleave(angles, 2, -1)[None, None]"),),
        "of half the width": ((ANGLES, ANGLES + "\n        angles[:, angles.shape[1] // 2 :] = 0"),),
        "scaled as if linear": ((ANGLES, ANGLES + " / 2"),),
        "in bfloat16 before the cosine": ((ANGLES, ANGLES + ".to(torch.bfloat16).double()"),),
        "frequencies of the whole width": ((THETA, THETA.replace("/ width)", "/ (width / 2))")),),
        "none in decode": ((Q_DECODE, ""), (K_DECODE, "")),
        "none on keys in decode": ((K_DECODE, ""),),
        "none on queries in decode": ((Q_DECODE, ""),),
        "none on keys in prefill": ((K_PREFILL, ""),),
        "none at all": ((Q_DECODE, ""), (K_DECODE, ""), (Q_PREFILL, ""), (K_PREFILL, "")),
        "off by one in decode": ((ROPE_ROWS, ROPE_ROWS.replace("positions.", "(positions + 1).")),),
        "one behind in decode": ((ROPE_ROWS, ROPE_ROWS.replace("positions.", "(positions - 1).")),),
        "off by one in prefill": (
            (SLICE, "return [ttnn.concat([table[:, :, 1:length, :], table[:, :, :1, :]], 2) for table in self.tiles]"),
        ),
        "by whole tiles in decode": ((ROPE_ROWS, ROPE_ROWS.replace("positions.", "(positions // 32 * 32).")),),
        "counted from the prompt's end": (
            (ROPE_ROWS, ROPE_ROWS.replace("positions.", "(positions - positions.min() // 32 * 32).")),
        ),
        "the sine for the cosine": (
            (TABLES, "tables = [angles.sin().to(torch.bfloat16), angles.cos().to(torch.bfloat16)]"),
        ),
    },
    "cache": {
        "row off by one": ((ROWS, ROWS.replace("positions,", "positions + 1,", 1)),),
        "row one behind": ((ROWS, ROWS.replace("positions,", "positions - 1,", 1)),),
        "the first user's for all in prefill": ((KEYS, KEYS.replace("user", "0")),),
        "keys for values in prefill": ((VALUES, VALUES.replace("v,", "k,")),),
        "values not written in decode": ((VALUE_ROW, ""),),
        "keys not written in decode": ((KEY_ROW, ""),),
        "keys not written in prefill": ((KEYS, ""),),
        "writes one row further than it attends": (*far("positions + 1"), *WRITES_OTHERS),
        "written without rope in prefill": ((KEYS, ""), (Q_PREFILL, KEYS + "\n        " + Q_PREFILL)),
        "the first tile lost": (
            (KEYS, "ttnn.fill_cache(self.keys, k if k.shape[2] <= 32 else k[:, :, 32:, :], user)"),
        ),
    },
    "inputs": {
        "the first user's position for all": (
            (POSITIONS, POSITIONS + "\n        positions = positions[:1].expand(len(positions)).contiguous()"),
        ),
        "every second token is the last one's": ((TOKENS, f"if int(positions[0]) % 2:\n            {TOKENS}"),),
        "every eighth position is the last one's": ((ROWS, f"if int(positions[0]) % 8:\n            {ROWS}"),),
        "tokens beyond 255 are lost": ((TOKENS, TOKENS.replace("tokens.", "(tokens % 64).")),),
    },
    "norms": {
        "another epsilon": (("self.epsilon = epsilon", "self.epsilon = 0.1"),),
        "a hundredfold epsilon": (("self.epsilon = epsilon", "self.epsilon = 1000 * epsilon"),),
        "weights from one, as Gemma's": (
            ("self.weight = mesh.put_row(weight)", "self.weight = mesh.put_row(weight + 1)"),
        ),
        "the final one left out": (("self.norm(x)", "ttnn.mul(x, 1.0)"),),
        "the two of a layer swapped": (
            ('"input_layernorm.weight"', '"A"'),
            ('"post_attention_layernorm.weight"', '"input_layernorm.weight"'),
            ('"A"', '"post_attention_layernorm.weight"'),
        ),
        "no weights": ((NORMED, "return ttnn.rms_norm(x, epsilon=self.epsilon)"),),
        "the attention's left out in prefill": ((PREFILL_ADD, PREFILL_ADD.replace("self.attention_norm(x)", "x")),),
    },
    "residuals": {
        "none around attention in decode": ((DECODE_ADD, "x = ttnn.to_memory_config(mixed, residual)"),),
        "none around the MLP in prefill": ((PREFILL_MLP, "return self.mlp.prefill(self.mlp_norm(x))"),),
        "attention a tenth less in decode": ((DECODE_ADD, DECODE_ADD.replace("mixed,", "ttnn.mul(mixed, 0.9),")),),
        "the MLP a twentieth more": (
            (
                PREFILL_MLP,
                PREFILL_MLP.replace(
                    "self.mlp.prefill(self.mlp_norm(x))", "ttnn.mul(self.mlp.prefill(self.mlp_norm(x)), 1.05)"
                ),
            ),
        ),
    },
}
