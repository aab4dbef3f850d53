"""Write a tiny random Llama with its tokenizer: `python tiny_model.py OUTDIR`, run by the evaluation's Python.

Four heads over two key heads, head width 64, two layers, tied embeddings, a byte-level tokenizer of 288 tokens. The
layers are strong against the residual, so that a mistake in one of them changes the answers, and answers are far
enough apart for bfloat16 activations and BFP8 weights.
"""

import json
import math
import pathlib
import sys
from typing import Any

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, WIDTH, VOCAB = 128, 256, 2, 4, 2, 64, 288
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "head_dim": WIDTH,
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": INNER,
    "max_position_embeddings": 2048,
    "mlp_bias": False,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": VOCAB,
}


def weights(seed: int) -> dict[str, Any]:
    """The state dict, bfloat16."""
    import torch

    chance = torch.Generator().manual_seed(seed)

    def normal(rows: int, columns: int, scale: float) -> Any:
        values = torch.randn(rows, columns, generator=chance) * scale / columns**0.5
        # Whole multiples, up to 127, of a power of two: BFP8 holds them exactly.
        step = 2.0 ** round(math.log2(4 * scale / columns**0.5 / 127))
        return ((values / step).round().clamp(-127, 127) * step).to(torch.bfloat16)

    def norm(scale: float) -> Any:
        return (scale * (1 + 0.2 * torch.randn(HIDDEN, generator=chance))).to(torch.bfloat16)

    # Rows of unequal length leave few tokens in the running, so that the best two are far apart.
    lengths = torch.exp(0.5 * torch.randn(VOCAB, 1, generator=chance))
    found = {
        "model.embed_tokens.weight": (normal(VOCAB, HIDDEN, 1.0) * lengths).to(torch.bfloat16),
        "model.norm.weight": norm(2.0),
    }
    for index in range(LAYERS):
        layer = f"model.layers.{index}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}{name}.weight"] = norm(1.0)
        found[f"{layer}self_attn.q_proj.weight"] = normal(HEADS * WIDTH, HIDDEN, 1.5)
        found[f"{layer}self_attn.k_proj.weight"] = normal(KV_HEADS * WIDTH, HIDDEN, 1.5)
        found[f"{layer}self_attn.v_proj.weight"] = normal(KV_HEADS * WIDTH, HIDDEN, 1.0)
        found[f"{layer}self_attn.o_proj.weight"] = normal(HIDDEN, HEADS * WIDTH, 1.0)
        found[f"{layer}mlp.gate_proj.weight"] = normal(INNER, HIDDEN, 1.0)
        found[f"{layer}mlp.up_proj.weight"] = normal(INNER, HIDDEN, 1.0)
        found[f"{layer}mlp.down_proj.weight"] = normal(HIDDEN, INNER, 1.0)
    return found


def tokenizer() -> Any:
    """One token a byte, and two special ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return made


def write(folder: pathlib.Path, seed: int = 0) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    save_file(weights(seed), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
