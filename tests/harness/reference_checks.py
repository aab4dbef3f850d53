"""Checks of the reference and its store, run by the evaluation's Python (it needs torch and transformers)."""

import json
import os
import pathlib
import shutil
import sys
import types

import pytest
import torch

sys.path.insert(0, os.path.join(os.environ["TEMPLATE"], "scripts"))

from harness import hf_mode, hf_model, limits, options, reference, rounding, store
from harness.errors import EvalError, ReferenceUnfit

TINY = pathlib.Path(os.environ["TINY"])


@pytest.fixture
def computed(monkeypatch):
    """How often the reference was computed."""
    calls = []
    real = hf_model.compute
    monkeypatch.setattr(hf_model, "compute", lambda *given: calls.append(given) or real(*given))
    return calls


@pytest.fixture
def ask(tmp_path):
    """Gets a reference: ask("--seed", 1)."""

    def run(*more, model=TINY):
        command = ["--mode", "hf", "--hf-model", model, "--prefill-len", 8, "--decode-len", 4]
        if "--reference-cache" not in more:
            command += ["--reference-cache", tmp_path / "references"]
        return reference.get(options.parse([str(one) for one in (*command, *more)]))

    return run


def entries(folder):
    return sorted(folder.glob("*.ytref"))


@pytest.mark.parametrize(
    "other", [("--prefill-len", 9), ("--decode-len", 5), ("--batch", 2), ("--seed", 1), ("--corpus", __file__)]
)
def test_each_setting_has_a_reference_of_its_own(ask, computed, other):
    ask()
    assert ask().cached
    assert not ask(*other).cached
    assert ask(*other).cached
    assert len(computed) == 2


def test_a_reference_that_somebody_rewrote_is_known_by_its_digest(ask, tmp_path):
    first = ask()
    assert ask().digest == ask("--reference-cache", tmp_path / "elsewhere").digest == first.digest
    (entry,) = entries(tmp_path / "references")
    kept = store.Store(str(tmp_path / "references"))
    meta, arrays = kept.read(entry.stem)
    kept.write(entry.stem, meta, {**arrays, "logits": -arrays["logits"]})  # with a checksum that is right
    assert ask("--seed", 1).digest != first.digest
    assert ask().cached
    assert ask().digest != first.digest


@pytest.mark.parametrize("name", ["torch", "transformers", "tokenizers"])
def test_another_library_version_is_another_reference(ask, monkeypatch, name):
    ask()
    real = reference._version
    monkeypatch.setattr(reference, "_version", lambda one: "9.9" if one == name else real(one))
    assert not ask().cached


def test_another_method_is_another_reference(ask, monkeypatch):
    ask()
    monkeypatch.setattr(reference, "METHOD", reference.METHOD + 1)
    assert not ask().cached


def test_the_same_weights_elsewhere_share_a_reference_and_changed_ones_do_not(ask, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    ask(model=TINY)
    assert ask(model=copy).cached
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-100] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert not ask(model=copy).cached


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_changed_config_or_tokenizer_is_another_reference(ask, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    ask(model=copy)
    (copy / name).write_text((copy / name).read_text() + "\n")
    assert not ask(model=copy).cached


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "renamed", "text"])
def test_a_damaged_entry_is_computed_again_with_a_word(ask, computed, tmp_path, capfd, damage):
    good = ask()
    (entry,) = entries(tmp_path / "references")
    raw = bytearray(entry.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 4
    elif damage == "cut":
        del raw[len(raw) // 2 :]
    elif damage == "empty":
        raw.clear()
    elif damage == "renamed":
        raw = bytearray(raw.replace(entry.stem.encode(), b"0" * len(entry.stem)))
    else:
        raw = bytearray(b"not an entry\nat all")
    entry.write_bytes(raw)
    again = ask()
    said = capfd.readouterr().err
    assert "is damaged" in said
    assert "computing it again" in said
    assert not again.cached
    assert (again.logits == good.logits).all()
    assert ask().cached
    assert len(computed) == 2


@pytest.mark.parametrize("scheme", ["memory://references", "file://{folder}/references"])
def test_a_url_is_as_good_as_a_folder(ask, computed, tmp_path, scheme):
    place = scheme.format(folder=tmp_path)
    first = ask("--reference-cache", place)
    again = ask("--reference-cache", place)
    assert (first.cached, again.cached) == (False, True)
    assert (again.logits == first.logits).all()
    assert len(computed) == 1


def test_a_damaged_entry_behind_a_url_is_computed_again_with_a_word(ask, computed, capfd):
    import fsspec

    place = "memory://damaged"
    ask("--reference-cache", place)
    memory = fsspec.filesystem("memory")
    (name,) = memory.glob("/damaged/*.ytref")
    raw = memory.cat_file(name)
    memory.pipe_file(name, raw[: len(raw) // 2])
    assert not ask("--reference-cache", place).cached
    assert "is damaged" in capfd.readouterr().err
    assert ask("--reference-cache", place).cached
    assert len(computed) == 2


def test_no_entry_is_believed_at_any_cut_or_flipped_byte(ask, tmp_path):
    ask()
    (entry,) = entries(tmp_path / "references")
    raw = entry.read_bytes()
    place = store.Store(str(tmp_path / "references"))
    meta, _ = place.read(entry.stem)
    for at in range(0, len(raw), max(1, len(raw) // 97)):
        entry.write_bytes(raw[:at])
        assert place.read(entry.stem) is None, at
        changed = bytearray(raw)
        changed[at] ^= 0x10
        entry.write_bytes(changed)
        found = place.read(entry.stem)
        # Two spellings of the first line may mean the same.
        assert found is None or (at < raw.index(b"\n") and found[0] == meta), at


def test_the_least_recently_used_entry_goes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LIMIT", 5000)
    place = store.Store(str(tmp_path))
    arrays = {"tokens": __import__("numpy").zeros(200)}
    for number, key in enumerate(("aa", "bb")):
        place.write(key, {}, arrays)
        os.utime(tmp_path / (key + store.SUFFIX), (number, number))
    assert place.read("aa") is not None  # used: now bb is the oldest
    place.write("cc", {}, arrays)
    assert [path.stem for path in entries(tmp_path)] == ["aa", "cc"]


def test_nothing_but_entries_is_ever_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LIMIT", 1)
    (tmp_path / "mine.txt").write_text("keep me")
    store.Store(str(tmp_path)).write("aa", {}, {})
    assert (tmp_path / "mine.txt").exists()


def test_the_store_may_be_behind_a_url(ask, tmp_path, computed):
    (tmp_path / "remote").mkdir()
    place = ("--reference-cache", f"simplecache::file://{tmp_path / 'remote'}")
    ask(*place)
    assert len(entries(tmp_path / "remote")) == 1
    assert ask(*place).cached
    assert len(computed) == 1


def test_a_store_that_cannot_be_written_costs_time_only(ask, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    assert not ask("--reference-cache", tmp_path / "file" / "references").cached
    assert "the reference could not be stored" in capfd.readouterr().err


def test_an_entry_is_a_json_line_and_npz(ask, tmp_path):
    ask()
    (entry,) = entries(tmp_path / "references")
    head, _, payload = entry.read_bytes().partition(b"\n")
    assert json.loads(head)["key"] == entry.stem
    assert payload.startswith(b"PK")
    others = [path.suffix for path in (tmp_path / "references").iterdir() if path != entry]
    assert others == [".hashes"]  # of the model's files


def test_memory_chooses_the_dtype(ask, monkeypatch, tmp_path):
    wide = ask()
    needed = 4 * 1.15 * wide.meta["parameters"] + 2**29
    assert wide.meta["dtype"] == "float32"
    monkeypatch.setattr(hf_model, "_free_memory", lambda: needed * 0.999)
    assert ask().cached  # a wider one that is there already is as good
    narrow = ask("--seed", 5)
    assert narrow.meta["dtype"] == "bfloat16"
    assert narrow.meta["check"]["noise_floor"] is None
    monkeypatch.setattr(hf_model, "_free_memory", lambda: 2**29)
    with pytest.raises(EvalError, match=r"reference too big: .* GiB of memory are free"):
        ask("--seed", 6)


def test_windows_are_taken_from_the_corpus_in_order(ask):
    found = ask("--batch", 3)
    text = "".join(chr(byte) for byte in range(256))
    assert found.tokens.shape == (3, 12)
    assert len({tuple(row) for row in found.tokens.tolist()}) == 3
    assert text  # the tokenizer has one token a byte
    assert (found.tokens < 256).all()


def test_a_window_beyond_the_corpus_names_the_maximum(ask, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("x" * 100)
    with pytest.raises(EvalError, match=r"a window of 110 tokens .* does not fit the corpus.*the most is 100"):
        ask("--corpus", text, "--prefill-len", 90, "--decode-len", 20)


def test_a_window_beyond_the_model_is_an_error(ask):
    with pytest.raises(EvalError, match=r"prefill \+ decode is 2060 tokens; the model has positions for 2048"):
        ask("--prefill-len", 2040, "--decode-len", 20)


@pytest.mark.parametrize(
    ("raw", "says"), [(None, "cannot be read: No such file"), (b"\xff\xfe\xfa", "is not UTF-8 text")]
)
def test_a_corpus_that_is_no_text_is_an_error(ask, tmp_path, raw, says):
    if raw is not None:
        (tmp_path / "text").write_bytes(raw)
    with pytest.raises(EvalError, match=says):
        ask("--corpus", tmp_path / "text")


@pytest.mark.parametrize(("name", "says"), [("config.json", "configuration"), ("tokenizer.json", "tokenizer")])
def test_a_broken_model_folder_is_an_error(ask, tmp_path, name, says):
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    (copy / name).write_text("{")
    with pytest.raises(EvalError, match=says):
        ask(model=copy)


def test_a_model_whose_code_fails_is_an_error_in_words(ask, monkeypatch):
    def fail(*_):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(hf_model, "_pass", fail)
    with pytest.raises(EvalError, match=r"fails to run the model in .*: RuntimeError: shapes cannot be multiplied"):
        ask()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"top1": 0.9}, "agrees with one full pass in only 0.900 of the steps"),
        ({"max_difference": 5.0}, "differ from those of one full pass by up to 5"),
        ({"finite": False}, "not finite"),
    ],
)
def test_an_unfit_reference_is_said_to_be_one_and_its_metrics_are_kept(ask, monkeypatch, change, says):
    asked = options.parse(["--mode", "hf", "--hf-model", str(TINY)])
    found = ask()
    found.meta["check"].update(change)
    monkeypatch.setattr(reference, "get", lambda _: found)
    with pytest.raises(ReferenceUnfit, match=says) as caught:
        hf_mode.evaluate(asked)
    assert caught.value.metrics["tokens"] == 4


def test_a_checkpoint_without_positions_in_its_cache_is_caught(ask, monkeypatch):
    """Cached decoding at the wrong positions, as broken model code has it."""
    real = hf_model._steps

    def broken(model, tokens, prefill):
        logits = real(model, tokens, prefill)
        logits[:, 1:] = real(model, tokens.roll(1, 1), prefill)[:, 1:]
        return logits

    monkeypatch.setattr(hf_model, "_steps", broken)
    check = ask().meta["check"]
    assert check["top1"] < hf_mode.AGREEMENT


def test_the_state_dict_is_read_straight_from_the_files_with_tied_names(ask):
    weights = ask().meta["weights"]
    assert weights["tied"] == {"lm_head.weight": "model.embed_tokens.weight"}
    assert set(weights["direct"].values()) == {"model.safetensors"}


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_a_cache_is_handed_back_under_the_name_that_it_came_with(name):
    asked = []

    def model(ids, use_cache, **more):
        asked.append(more)
        return types.SimpleNamespace(logits=torch.zeros(1, ids.shape[1], 4), **{name: f"after {len(asked)}"})

    hf_model._steps(model, torch.zeros(1, 4, dtype=torch.long), 2)
    assert asked == [{}, {name: "after 1"}, {name: "after 2"}]


@pytest.mark.parametrize("window", [6, 64])
@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text"])
def test_a_model_that_would_make_a_cache_for_its_prompt_alone_decodes_beyond_it(ask, tmp_path, kind, window):
    """Gemma's sliding window and its cache, at lengths beyond the one and within it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 288, "head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "query_pre_attn_scalar": 16, "sliding_window": window}
    more = {"max_position_embeddings": 256, "pad_token_id": 0, "bos_token_id": 256, "eos_token_id": 257}
    torch.manual_seed(0)
    folder = pathlib.Path(shutil.copytree(TINY, tmp_path / "gemma"))
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **heads, **more)).save_pretrained(folder)
    if window == 6 and not hf_model.BY_CONFIG:
        with pytest.raises(EvalError, match="cannot decode the model beyond its sliding window of 6 tokens"):
            ask("--prefill-len", 12, "--decode-len", 12, model=folder)
        return
    check = ask("--prefill-len", 12, "--decode-len", 12, model=folder).meta["check"]
    assert (check["top1"], check["top5"]) == (1.0, 1.0)
    assert check["max_difference"] < check["max_difference_allowed"]


@pytest.mark.skipif(
    not hasattr(hf_model.DynamicCache, "has_previous_state"),
    reason="in transformers 4 Mamba has a cache of its own kind",
)
def test_a_model_with_a_state_and_no_keys_decodes_as_it_is_run_whole(ask, tmp_path):
    """Mamba multiplies its inputs by whatever mask it is given."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 288, "state_size": 8}
    torch.manual_seed(0)
    folder = pathlib.Path(shutil.copytree(TINY, tmp_path / "mamba"))
    AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **sizes)).save_pretrained(folder)
    assert ask(model=folder).meta["check"]["top1"] == 1.0


@pytest.mark.parametrize(("misses", "chosen"), [([0.0], 0), ([0.9], 0), ([2.5, 1.9, 0.2], 2), ([2.5, 1.9, 2.1], 1)])
def test_windows_that_leave_a_right_model_to_chance_are_drawn_anew(monkeypatch, misses, chosen):
    drawn = []

    def draw(found, asked, number):
        drawn.append(number)
        return "float32", {"check": {"tokens": 32, "misses": misses[number]}}, {"draw": number}

    monkeypatch.setattr(hf_model, "_compute", draw)
    arrays = hf_model.compute(None, types.SimpleNamespace(seed=7))[2]
    assert drawn == list(range(len(misses)))
    assert arrays["draw"] == chosen


def test_of_several_windows_those_stay_whose_choices_are_the_surest():
    gaps = [1.0, 0.01, 2.0, 0.02, 3.0]  # between the best two logits of each window

    def model(tokens, use_cache):
        logits = torch.zeros(1, tokens.shape[1], 8)
        logits[..., 0], logits[..., 1] = 9.0, 9.0 - gaps[int(tokens[0, 0])]
        return types.SimpleNamespace(logits=logits)

    windows = torch.arange(5)[:, None].repeat(1, 7)
    tokens, full = hf_model._surest(model, windows, 3, 4)
    assert tokens[:, 0].tolist() == [0, 2, 4]
    assert torch.equal(full[:, 0, 0] - full[:, 0, 1], torch.tensor([1.0, 2.0, 3.0]))


def test_noise_tells_how_often_it_turns_a_choice():
    """Against the count: of 20,000 steps with a noise of known size, as many turn as are foretold."""
    torch.manual_seed(0)
    wide = torch.randn(20_000, 64)
    narrow = wide + 0.05 * torch.randn(wide.shape)
    foretold = float(rounding.turned(wide, rounding.noise(wide, narrow)).mean())
    assert foretold == pytest.approx(float((wide.argmax(-1) != narrow.argmax(-1)).float().mean()), rel=0.15)


@pytest.mark.parametrize("kind", rounding.BITS)
def test_matrices_are_rounded_as_they_lie_on_the_device(kind):
    import ttnn

    matrix = torch.randn(96, 64, generator=torch.Generator().manual_seed(0))
    there = ttnn.from_torch(matrix.T[None, None].contiguous(), dtype=getattr(ttnn, kind), layout=ttnn.TILE_LAYOUT)
    assert torch.equal(ttnn.to_torch(there).float()[0, 0].T, rounding.blocks(matrix, rounding.BITS[kind]))


def test_blocks_of_fewer_than_sixteen_and_of_nothing_are_rounded_too():
    matrix = torch.zeros(19, 3)
    matrix[18] = torch.tensor([1.0, 3.0, 1.0078125])
    assert torch.equal(rounding.blocks(matrix, 7), matrix.where(matrix != 1.0078125, torch.tensor(1.0)))


def test_narrower_formats_explain_more(ask):
    explained = ask().meta["check"]["explained"]
    assert 0 < explained["bfloat16"] < explained["bfloat8_b"] < explained["bfloat4_b"]


@pytest.mark.parametrize(
    ("formats", "kind"),
    [
        ({}, "bfloat16"),
        ({"bfloat16": 1000}, "bfloat16"),
        ({"bfloat8_b": 900, "bfloat16": 100}, "bfloat8_b"),
        ({"bfloat8_b": 900, "bfloat4_b": 49}, "bfloat8_b"),
        ({"bfloat8_b": 900, "bfloat4_b": 50}, "bfloat4_b"),
    ],
)
def test_the_narrowest_format_of_a_good_part_of_the_weights_is_theirs(formats, kind):
    assert limits.weights_format(formats, 1000) == kind


@pytest.mark.parametrize(
    ("kl", "suspect", "wrong"), [(0.006, 0, 0), (0.0061, 1, 0), (0.02, 1, 0), (0.0201, 0, 1), (float("inf"), 0, 1)]
)
def test_what_formats_do_not_explain_is_suspect_and_far_more_is_wrong(kl, suspect, wrong):
    found = limits.divergent({"kl": kl}, {"bfloat8_b": 0.002}, "bfloat8_b")
    assert tuple(map(len, found)) == (suspect, wrong)
