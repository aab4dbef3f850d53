"""A model that cannot be a reference is found before anybody is paid to match it; a damaged file is not its fault."""

import shutil

import pytest

SHORT = ("--prefill-len", 8, "--decode-len", 4)


def test_the_checks_of_a_reference_s_fitness_pass(checks, tiny):
    assert "passed" in checks("fitness_checks.py", TINY=str(tiny))


def test_an_untrained_reference_ends_with_code_3_in_words_and_with_its_metrics(evaluate, untrained):
    done = evaluate("--mode", "hf", *SHORT, model=untrained)
    assert done.code == 3
    assert done.error.startswith(
        "reference error: the model predicts corpus.txt no better than the counts of its tokens"
    )
    assert "Traceback" not in done.err
    assert done.metrics["perplexity"] > done.metrics["unigram_perplexity"]


@pytest.mark.parametrize("size", [0, 200, 100_000])
def test_a_file_that_is_cut_off_ends_with_code_1_in_words(evaluate, tiny, tmp_path, size):
    copy = shutil.copytree(tiny, tmp_path / "cut")
    raw = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(raw[:size])
    done = evaluate("--mode", "hf", *SHORT, model=copy)
    assert done.code == 1
    assert "model.safetensors is damaged" in done.error
    assert "Traceback" not in done.err
