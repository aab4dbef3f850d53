"""The evaluation without hardware: hf mode on a tiny model made on the spot, and the arithmetic of the scores (§10.4)."""

import json
import os
import pathlib
import subprocess
import sys

import numpy
import pytest
from harness import corpus, scoring
from harness.errors import EvalError

ROOT = pathlib.Path(__file__).resolve().parents[1]
METRICS = "YT_METRICS="
HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, WIDTH, VOCAB = 128, 128, 2, 4, 2, 32, 288


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A folder with a Llama and a tokenizer of one token a byte; all that it knows is which byte follows which."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("models") / "tiny" / "llama"
    folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": WIDTH,
        "vocab_size": VOCAB,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    chance = numpy.random.default_rng(0)

    def normal(rows, columns, scale=1.0):
        return (scale * chance.standard_normal((rows, columns)) / columns**0.5).astype(numpy.float32)

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    embeddings = normal(VOCAB, HIDDEN)
    weights = {
        "model.embed_tokens.weight": embeddings,
        "lm_head.weight": head_of_pairs(embeddings, tokenizer.encode(corpus.read(ROOT / "corpus" / "corpus.txt")).ids),
        "model.norm.weight": numpy.ones(HIDDEN, numpy.float32),
    }
    for index in range(LAYERS):
        layer = f"model.layers.{index}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{layer}{norm}.weight"] = numpy.ones(HIDDEN, numpy.float32)
        for name, heads in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)):
            weights[f"{layer}self_attn.{name}_proj.weight"] = normal(heads * WIDTH, HIDDEN)
        weights[f"{layer}self_attn.o_proj.weight"] = normal(HIDDEN, HEADS * WIDTH, 0.05)
        weights[f"{layer}mlp.gate_proj.weight"] = normal(INNER, HIDDEN)
        weights[f"{layer}mlp.up_proj.weight"] = normal(INNER, HIDDEN)
        weights[f"{layer}mlp.down_proj.weight"] = normal(HIDDEN, INNER, 0.05)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def head_of_pairs(embeddings, tokens):
    """The head with which normed embeddings give the logarithms of how often one token follows another."""
    pairs = numpy.full((VOCAB, VOCAB), 0.05)
    numpy.add.at(pairs, (tokens[:-1], tokens[1:]), 1)
    often = pairs.sum(1, keepdims=True)
    inputs = embeddings / numpy.sqrt((embeddings**2).mean(1, keepdims=True))
    found = numpy.linalg.lstsq(often**0.5 * inputs, often**0.5 * numpy.log(pairs / often), rcond=None)[0]
    return numpy.ascontiguousarray(found.T, dtype=numpy.float32)


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """A reference cache of this test run's own."""
    return tmp_path_factory.mktemp("references")


def run_eval(*options, **environment):
    """The command, as the worker and people run it."""
    return subprocess.run(
        [sys.executable, "scripts/run_eval.py", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def metrics_of(done):
    """The metrics on the last line printed."""
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(METRICS), done.stdout
    return json.loads(last.removeprefix(METRICS))


def test_hf_mode_prints_metrics_of_a_reference_that_agrees_with_itself(tiny_model, references, tmp_path):
    options = ("--mode", "hf", "--hf-model", tiny_model, "--prefill-len", 8, "--decode-len", 4, "--batch", 1)
    options += ("--reference-cache", references)
    metrics = metrics_of(run_eval(*options))
    assert metrics["mode"] == "hf"
    assert metrics["trace"] is False
    assert metrics["tokens"] == 4
    assert metrics["top1"] >= 0.99
    assert metrics["top5"] >= 0.99
    assert metrics["timing"]
    assert not metrics["reference_cached"]

    private = tmp_path / "metrics.json"
    again = metrics_of(run_eval(*options, YT_METRICS_FILE=str(private), YT_METRICS_NONCE="n0"))
    assert again["reference_cached"]
    assert json.loads(private.read_text()) == {"nonce": "n0", "metrics": again}
    assert {**again, "timing": 0, "reference_cached": 0, "nonce": 0} == {
        **metrics, "timing": 0, "reference_cached": 0, "nonce": 0
    }  # fmt: skip


def test_trace_with_hf_mode_is_a_usage_error():
    done = run_eval("--mode", "hf", "--trace", 1, "--hf-model", "any/model")
    assert done.returncode == 2
    assert "--trace is for --mode tt only" in done.stderr


def test_a_model_without_a_bringup_is_named(tiny_model, references):
    done = run_eval("--mode", "tt", "--hf-model", tiny_model, "--system", "n300", "--reference-cache", references)
    assert done.returncode == 1
    assert "models/tiny/llama/n300/functional/model.py is missing" in done.stderr


def test_agreement_counts_argmax_and_top_five_as_the_specification_says():
    reference = numpy.array([[[5.0, 4, 3, 2, 1, 0, -1], [0, 1, 2, 3, 4, 5, 6]]])
    model = numpy.array([[[1.0, 2, 3, 4, 5, 6, 0], [0, 1, 2, 3, 4, 5, 6]]])
    found = scoring.compare(reference, model)
    assert (found["top1"], found["top5"], found["tokens"]) == (0.5, 0.5, 2)
    assert scoring.compare(reference, reference)["kl"] == 0


def test_windows_repeat_with_their_seed_and_stay_inside_the_corpus():
    tokens = list(range(1000))
    first = corpus.windows(tokens, 100, 4, seed=1)
    assert first == corpus.windows(tokens, 100, 4, seed=1)
    assert first != corpus.windows(tokens, 100, 4, seed=2)
    assert all(window == list(range(window[0], window[0] + 100)) for window in first)
    with pytest.raises(EvalError, match="the most is 1000"):
        corpus.windows(tokens, 1001, 1, seed=0)
