"""Checks of what hf mode finds wrong with a reference, many in one process, by the evaluation's Python."""

import json
import os
import pathlib
import shutil
import sys
import types

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.join(os.environ["TEMPLATE"], "scripts"))

from harness import files, hf_mode, limits, options, snapshot, store, tt_mode
from harness.errors import EvalError, ReferenceUnfit, UsageError

TINY = pathlib.Path(os.environ["TINY"])
HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
QUERY, DOWN = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def copy(tmp_path):
    """The tiny model's files, to be changed."""
    return pathlib.Path(shutil.copytree(TINY, tmp_path / "copy"))


@pytest.fixture
def judged(tmp_path):
    """hf mode's metrics of a folder."""

    def run(folder, *more):
        command = ["--mode", "hf", "--hf-model", folder, "--reference-cache", tmp_path / "references"]
        return hf_mode.evaluate(options.parse([str(one) for one in (*command, "--prefill-len", 8, *more)]))

    return run


def settings(folder, **changes):
    """Change the model's config."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def weights(folder, change):
    """Change the model's weights."""
    file = folder / "model.safetensors"
    found = load_file(file)
    change(found)
    save_file({name: value.clone() for name, value in found.items()}, file, metadata={"format": "pt"})


def vocabulary(folder, change):
    """Change the tokenizer's ids of its tokens."""
    file = folder / "tokenizer.json"
    found = json.loads(file.read_text())
    found["model"]["vocab"] = change(found["model"]["vocab"])
    file.write_text(json.dumps(found))


def random(found):
    """Embeddings as no training leaves them."""
    value = found[EMBEDDINGS]
    found[EMBEDDINGS] = torch.randn(value.shape, generator=torch.Generator().manual_seed(3)).to(value.dtype) / 11


def spoil(name, number):
    """One weight is no number."""

    def change(found):
        found[name][3, 5] = number

    return change


def second_head(found):
    """A head of its own beside tied embeddings."""
    found[HEAD] = found[EMBEDDINGS] * 0.5


def loud(found):
    """Finite weights, and logits beyond a float."""
    found["model.norm.weight"].fill_(3e38)


UNFIT = {
    "weights that nobody trained": (lambda folder: weights(folder, random), "no better than the counts of its tokens"),
    "a weight left out": (lambda folder: weights(folder, lambda found: found.pop(DOWN)), f"would be random: {DOWN}"),
    "a bias that the config has not": (
        lambda folder: weights(folder, lambda found: found.update({QUERY[:-6] + "bias": torch.zeros(256)})),
        "no place for: model.layers.0.self_attn.q_proj.bias",
    ),
    "a layer fewer in the config": (
        lambda folder: settings(folder, num_hidden_layers=1),
        "no place for: model.layers.1",
    ),
    "a layer more in the config": (
        lambda folder: settings(folder, num_hidden_layers=3),
        "would be random: model.layers.2",
    ),
    "other shapes than the config's": (lambda folder: settings(folder, intermediate_size=128), "other shapes"),
    "a head that is not there": (lambda folder: settings(folder, tie_word_embeddings=False), f"random: {HEAD}"),
    "a head beside tied embeddings": (lambda folder: weights(folder, second_head), "has two different"),
    "not a number": (lambda folder: weights(folder, spoil(QUERY, float("nan"))), f"not finite numbers: {QUERY}"),
    "infinite": (lambda folder: weights(folder, spoil(EMBEDDINGS, float("inf"))), "not finite numbers"),
    "logits beyond a float": (lambda folder: weights(folder, loud), "logits are not finite"),
    "another model's tokenizer": (
        lambda folder: vocabulary(folder, lambda found: {one: 255 - at for one, at in found.items()}),
        "no better than the counts of its tokens",
    ),
    "a tokenizer of more tokens": (
        lambda folder: vocabulary(folder, lambda found: {one: at + 300 for one, at in found.items()}),
        "has no embedding: the model has 288 rows",
    ),
    "a tokenizer that knows few letters": (
        lambda folder: vocabulary(folder, lambda found: {one: at for one, at in found.items() if one not in "etaoin"}),
        "of the text is lost when the tokenizer encodes and decodes it",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfit_reference_is_found_and_said_to_be_one(copy, judged, name):
    change, says = UNFIT[name]
    change(copy)
    with pytest.raises(ReferenceUnfit) as caught:
        judged(copy, "--decode-len", 4)
    assert says in str(caught.value)
    json.dumps(caught.value.metrics, allow_nan=False)  # they are printed


def same_head(found):
    """Tied embeddings that the checkpoint has twice."""
    found[HEAD] = found[EMBEDDINGS].clone()


def computed(found):
    """What old checkpoints carry along."""
    found["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(32)


FIT = {
    "nothing": lambda folder: None,
    "the tied head stored as well": lambda folder: weights(folder, same_head),
    "rotary frequencies in the checkpoint": lambda folder: weights(folder, computed),
}


@pytest.mark.parametrize("name", FIT)
def test_what_a_checkpoint_may_have_or_lack_is_no_fault(copy, judged, name):
    FIT[name](copy)
    found = judged(copy, "--decode-len", 4)
    assert found["top1"] == 1.0
    assert found["perplexity"] < found["unigram_perplexity"] < found["vocabulary"]


def cut(raw):
    """As a download that ended early."""
    return raw[: len(raw) - 1000]


DAMAGE = {
    "cut off": (cut, "its header promises"),
    "longer than it should be": (lambda raw: raw + b"\0" * 8, "its header promises"),
    "empty": (lambda raw: b"", "fewer than its header needs"),
    "cut off in its header": (lambda raw: raw[:100], "fewer than its header needs"),
    "a header of no JSON": (lambda raw: raw[:8] + b"#" + raw[9:], "its header is not that of a safetensors file"),
    "a page of a proxy": (lambda raw: b"<html>Forbidden" * 99, "is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_not_the_model_s_fault(copy, judged, name):
    change, says = DAMAGE[name]
    file = copy / "model.safetensors"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(EvalError, match="This says nothing about the model") as caught:
        judged(copy, "--decode-len", 4)
    assert says in str(caught.value)
    assert not isinstance(caught.value, ReferenceUnfit)


def test_any_byte_of_a_large_file_changes_the_fingerprint(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    file, kept = tmp_path / "pytorch_model.bin", store.Store(str(tmp_path / "references"))
    raw = bytearray(9_000_000)
    seen = set()
    for at in (0, 4_321_000, len(raw) - 1):
        raw[at] = 1
        file.write_bytes(raw)
        seen.add(snapshot.Snapshot(tmp_path, "x").fingerprint(kept))
    assert len(seen) == 3


def test_a_file_is_read_once_and_again_when_it_was_written(copy, tmp_path, monkeypatch):
    read = []
    real = files._sha256
    monkeypatch.setattr(files, "_sha256", lambda path: read.append(path.name) or real(path))
    kept, found = store.Store(str(tmp_path / "references")), snapshot.Snapshot(copy, "x")
    first = found.fingerprint(kept)
    assert read
    read.clear()
    assert found.fingerprint(kept) == first
    assert read == []
    os.utime(copy / "model.safetensors", ns=(1, 1))
    assert found.fingerprint(kept) == first
    assert "model.safetensors" in read


def test_hashes_that_cannot_be_kept_cost_time_only(copy, tmp_path):
    (tmp_path / "file").write_text("")
    found = snapshot.Snapshot(copy, "x")
    kept = found.fingerprint(store.Store(str(tmp_path / "references")))
    assert found.fingerprint(store.Store(str(tmp_path / "file" / "references"))) == kept


def test_a_file_of_the_hub_s_cache_must_be_what_its_name_says(copy, tmp_path):
    file = copy / "model.safetensors"
    blob = tmp_path / "blobs" / files._sha256(file)
    blob.parent.mkdir()
    file.rename(blob)
    file.symlink_to(blob)
    found = snapshot.Snapshot(copy, "x")
    found.fingerprint(store.Store(str(tmp_path / "references")))
    raw = bytearray(blob.read_bytes())
    raw[-5000] ^= 1
    blob.write_bytes(raw)
    with pytest.raises(EvalError, match="is damaged: its bytes are not those that the Hub gave it its name for"):
        found.fingerprint(store.Store(str(tmp_path / "references")))


def logits(rows=1, steps=32, vocabulary=500):
    """A reference's, as a right model may have them too."""
    return numpy.random.default_rng(0).standard_normal((rows, steps, vocabulary)).astype(numpy.float32)


@pytest.mark.parametrize(("rank", "passes"), [(100, True), (101, False), (500, False)])
def test_one_choice_beyond_the_reference_s_hundred_best_fails_the_mode(rank, passes):
    reference = logits(rows=2)
    found = types.SimpleNamespace(logits=reference, meta={"check": {"explained": {"bfloat16": 1.0}}})
    model = reference.copy()
    model[1, 7, numpy.argsort(-reference[1, 7])[rank - 1]] = 9.0
    if passes:
        assert tt_mode.judge(found, model, None, "bfloat16")["top1"] == 63 / 64
        return
    with pytest.raises(EvalError, match=rf"garbage in 1 of 64 steps, first in row 1, step 7 .*choice number {rank},"):
        tt_mode.judge(found, model, None, "bfloat16")


def test_lengths_at_which_one_near_tie_decides_are_refused_and_others_named(copy, judged, monkeypatch):
    assert judged(copy, "--decode-len", 4)["doubts"] == 0
    monkeypatch.setattr(limits, "doubtful", lambda wide, _: numpy.arange(wide.shape[0] * wide.shape[1]) % 25 == 9)
    with pytest.raises(
        UsageError, match=r"in 1 of 5 steps .*allows 0 misses.*: .*chance decides.* \d+ steps .* can tell"
    ):
        judged(copy, "--decode-len", 5)


@pytest.mark.parametrize(
    ("steps", "doubts", "gate", "passes"),
    [(4, 0, 0.9, True), (4, 1, 0.9, False), (32, 4, 0.9, True), (32, 6, 0.9, False), (4, 1, 0.75, True)],
)
def test_a_right_model_must_pass_all_but_surely(steps, doubts, gate, passes):
    assert (limits.budget(steps, doubts, 0.05, gate) is None) is passes


@pytest.mark.parametrize(
    ("steps", "misses", "chance"),
    [(32, 0.0, 1.0), (32, 1.0, 0.981), (32, 2.4, 0.779), (256, 18.0, 0.955), (4, 0.1, 0.905)],
)
def test_the_chance_of_a_right_model_follows_from_the_misses_expected_of_it(steps, misses, chance):
    assert limits.chance(steps, misses, 0.9) == pytest.approx(chance, abs=0.001)


def test_a_model_that_rounding_turns_everywhere_has_no_lengths():
    assert "No lengths can" in limits.budget(32, 20, 0.6, 0.9)


def test_near_ties_and_choices_that_rounding_turns_are_doubtful():
    wide = numpy.array([[[4.0, 3.0, 0.0], [4.0, 3.99, 0.0], [4.0, 3.0, 0.0]]])
    narrow = numpy.array([[[4.0, 3.0, 0.0], [4.0, 3.99, 0.0], [2.0, 3.0, 0.0]]])
    assert limits.doubtful(wide, narrow).tolist() == [False, True, True]
