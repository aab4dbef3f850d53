"""The template is written whole, into an empty folder only, and what it writes works by itself."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from yt_fsm.bringup import template


def test_every_required_file_is_written(repo):
    required = {  # §15.2
        "scripts/run_eval.py",
        "tests/test_eval_smoke.py",
        ".github/ISSUE_TEMPLATE/bringup_model.yml",
        ".github/ISSUE_TEMPLATE/new_model_candidate.yml",
        "README.md",
        ".gitignore",
    }
    written = {str(path.relative_to(repo)) for path in repo.rglob("*") if path.is_file()}
    assert required <= written
    assert written == {str(target) for _, target in template.files()}


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="is not empty, and nothing in it was changed; name a new folder"):
        template.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_fresh_clone_may_be_filled(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert tmp_path / "README.md" in template.write(tmp_path)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(NotADirectoryError, match="models is a file"):
        template.write(tmp_path / "models")


def test_the_template_imports_nothing_of_ours_and_names_no_folder_of_one_machine():
    for source, target in template.files():
        text = source.read_text()
        assert "yt_fsm" not in text, target
        assert "ytfsm" not in text, target
        if target.suffix == ".py":
            assert "/proj_sw" not in text, target
            assert "/home/" not in text, target


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (
            "bringup_model.yml",
            ["hf_model_id", "system", "hf_revision", "architecture", "notes", "prefill_len", "decode_len", "batch"],
        ),
        ("new_model_candidate.yml", ["hf_model_id", "system", "hf_revision", "notes"]),
    ],
)
def test_issue_forms_are_what_github_accepts(repo, python, form, fields):
    path = repo / ".github" / "ISSUE_TEMPLATE" / form
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    read = json.loads(subprocess.run([python, "-c", code, path], check=True, capture_output=True, text=True).stdout)
    assert {"name", "description", "body"} <= read.keys()
    assert read.keys() <= {"name", "description", "title", "labels", "assignees", "projects", "type", "body"}
    shapes = {
        "markdown": {"value"},
        "input": {"label", "description", "placeholder", "value"},
        "textarea": {"label", "description", "placeholder", "value", "render"},
        "dropdown": {"label", "description", "options", "multiple", "default"},
    }
    asked = []
    for part in read["body"]:
        assert part["attributes"].keys() <= shapes[part["type"]]
        if part["type"] == "markdown":
            continue
        assert part["id"] == part["attributes"]["label"]
        asked.append(part["id"])
        required = part.get("validations", {}).get("required", False)
        assert required == (part["id"] in ("hf_model_id", "system"))
        if part["type"] == "dropdown":
            assert part["attributes"]["options"] == ["n150", "n300", "lb"]
    assert asked == fields


def test_its_tests_pass_without_hardware_network_or_home(repo, python):
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(
        [python, "-m", "pytest", "-q"], cwd=repo, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_entry_point_may_be_executed(repo):
    assert os.access(repo / "scripts" / "run_eval.py", os.X_OK)
    assert not os.access(repo / "README.md", os.X_OK)


def test_the_readme_names_every_option_and_the_model_methods(repo):
    readme = (repo / "README.md").read_text()
    options = (repo / "scripts" / "harness" / "options.py").read_text()
    names = [line.split('"')[1] for line in options.splitlines() if line.strip().startswith('add("--')]
    assert len(names) > 10
    for name in [*names, "prefill(tokens, user)", "prepare_decode(tokens, positions)", "decode_step()", "§10.2"]:
        assert name in readme, name
    assert Path(readme.split("`models/example")[1].split("`")[0]).name == "model.py"
