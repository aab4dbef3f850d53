"""Write a tiny Llama with its tokenizer: `python tiny_model.py OUTDIR [--random]`, run by the evaluation's Python.

Four heads over two key heads, head width 64, two layers, tied embeddings, a byte-level tokenizer of 288 tokens. The
layers are random, and strong against the residual, so that a mistake in one of them changes the answers; these are far
enough apart for bfloat16 activations and BFP8 weights. The embeddings are half fitted to the evaluation's corpus: the
model knows of English what a reference must (better than the counts of letters), and no more, as a model that knew it
well would answer right in spite of many mistakes. With --random they are left random.
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


CORPUS = pathlib.Path(__file__).resolve().parents[1] / "ttnn_models" / "corpus" / "corpus.txt"
STEPS, ROWS, LENGTH, RATE = 150, 16, 64, 0.02
FITTED = 0.65  # of the embeddings; the rest stays what it was


def fit(found: dict[str, Any]) -> None:
    """Move the embeddings in `found` towards those that predict the corpus best through the layers as they are."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    model = LlamaForCausalLM(LlamaConfig(**{name: CONFIG[name] for name in CONFIG if name != "architectures"})).float()
    model.load_state_dict({**found, "lm_head.weight": found["model.embed_tokens.weight"]})
    model.requires_grad_(False)
    embeddings = model.model.embed_tokens.weight.requires_grad_(True)
    text = torch.tensor(tokenizer().encode(CORPUS.read_text(encoding="utf-8")).ids)
    optimizer = torch.optim.Adam([embeddings], lr=RATE)
    chance = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        starts = torch.randint(0, len(text) - LENGTH - 1, (ROWS,), generator=chance).tolist()
        rows = torch.stack([text[start : start + LENGTH + 1] for start in starts])
        logits = model(rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        optimizer.step()
    old = found["model.embed_tokens.weight"].float()
    found["model.embed_tokens.weight"] = torch.lerp(old, embeddings.detach(), FITTED).to(torch.bfloat16)


def tokenizer() -> Any:
    """One token a byte, and two special ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return made


def write(folder: pathlib.Path, seed: int = 0, fitted: bool = True) -> None:
    """Write config.json, model.safetensors, tokenizer.json and tokenizer_config.json into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    found = weights(seed)
    if fitted:
        fit(found)
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]), fitted="--random" not in sys.argv[2:])
