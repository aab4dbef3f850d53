"""The reference is computed once, shared, checked when read, and computed again when it cannot be trusted."""

import threading

SHORT = ("--prefill-len", 8, "--decode-len", 4)


def test_the_checks_of_the_reference_and_its_store_pass(checks):
    assert "passed" in checks("reference_checks.py")


def test_all_modes_share_one_reference_and_need_no_transformers_for_it(evaluate, bringup, tmp_path):
    bringup()
    cache = tmp_path / "references"
    options = (*SHORT, "--reference-cache", cache)
    assert not evaluate("--mode", "tt", "--trace", 1, *options).metrics["reference_cached"]
    assert evaluate("--mode", "tt", "--trace", 0, *options).metrics["reference_cached"]
    broken = tmp_path / "broken"
    for name in ("torch", "transformers", "huggingface_hub"):
        (broken / name).mkdir(parents=True)
        (broken / name / "__init__.py").write_text("raise RuntimeError('imported')")
    assert evaluate("--mode", "hf", *options, PYTHONPATH=str(broken)).metrics["reference_cached"]
    assert len(list(cache.glob("*.ytref"))) == 1


def test_concurrent_evaluations_agree_and_leave_one_whole_entry(evaluate, tmp_path):
    cache = tmp_path / "references"
    found = []

    def run():
        found.append(evaluate("--mode", "hf", *SHORT, "--reference-cache", cache))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {done.metrics["perplexity"] for done in found} == {found[0].metrics["perplexity"]}
    assert sorted(path.suffix for path in cache.iterdir()) == [".hashes", ".ytref"]
    assert evaluate("--mode", "hf", *SHORT, "--reference-cache", cache).metrics["reference_cached"]


def test_a_model_in_the_hub_cache_is_found_without_the_network(evaluate, bringup, tiny, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hf" / "hub" / "models--tiny--llama"
    (folder / "snapshots").mkdir(parents=True)
    (folder / "snapshots" / commit).symlink_to(tiny)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    bringup()
    home = str(tmp_path / "hf")
    for revision in ((), ("--revision", commit)):
        done = evaluate("--mode", "tt", *SHORT, *revision, model="tiny/llama", HF_HOME=home)
        assert done.code == 0, done.err
        assert done.metrics["commit"] == commit
        assert done.metrics["model"] == "tiny/llama"
    error = evaluate("--mode", "hf", "--revision", "v9", model="tiny/llama", HF_HOME=home).error
    assert "tiny/llama at revision v9 could not be fetched" in error
