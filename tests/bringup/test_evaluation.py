"""The evaluation: the four commands, what is believed of them, and what codex is told (§9.1 F)."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.bringup import evaluation as module
from yt_fsm.bringup.brief import Brief
from yt_fsm.bringup.errors import BadReference
from yt_fsm.bringup.evaluation import HF, TT0, TT1, Evaluation, Report, eval_argv
from yt_fsm.bringup.settings import Settings
from yt_fsm.bringup.workspace import Workspace
from yt_fsm.engine.errors import AnswerTooLarge, CommandFailed, SetupError, StopRequested
from yt_fsm.engine.sandbox import Sandbox, roots_of
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.git import Repository

BRIEF = Brief.model_validate({"hf_model_id": "org/name", "prefill_len": 8, "decode_len": 4})
REVISION = "a" * 40
FOLDER = "models/org/name/n300"
MODEL = f"{FOLDER}/functional/model.py"

# A harness as §10 has it; what it measures stands in the model's file, as JSON, for each case.
HARNESS = """
import json, os, sys
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert set(args) >= {"--mode", "--hf-model", "--revision", "--prefill-len", "--decode-len", "--batch"}, args
mode, trace = args["--mode"], args.get("--trace", "0") == "1"
key = "hf" if mode == "hf" else f"tt{int(trace)}"
file = f"models/{args['--hf-model']}/n300/functional/model.py"
plan = json.load(open(file)).get(key, {}) if os.path.exists(file) else {}
metrics = {"top1": 1.0, "top5": 1.0, "tokens": int(args["--decode-len"]) * int(args["--batch"]), "mode": mode,
           "trace": trace, "timing": {"s": 0.1}, "model": args["--hf-model"], "gate": float(os.environ["YT_TOP1_MIN"])}
metrics.update(plan.get("metrics", {}))
print("evaluating", key, "in", os.getcwd())
print("a word on stderr", file=sys.stderr)
if plan.get("exit"):
    sys.exit(plan["exit"])
sealed = {**metrics, **plan.get("sealed", {})}
with open(os.environ["YT_METRICS_FILE"], "w") as file:
    json.dump({"nonce": plan.get("nonce", os.environ["YT_METRICS_NONCE"]), "metrics": sealed}, file)
print("YT_METRICS=" + json.dumps(metrics))
for line in plan.get("more", []):
    print(line)
"""


class Bench:
    """A models repo with a small harness, codex's clone of it, and an evaluation over both."""

    def __init__(self, shell: Shell, settings: Callable[..., Settings], folder: Path) -> None:
        self.shell, self._settings = shell, settings
        self.workspace = Workspace(folder / "work")
        self.workspace.make()
        self.artifacts = folder / "artifacts"
        self.cache = folder / "cache"
        seed = folder / "seed"
        for name, text in {
            "scripts/run_eval.py": HARNESS,
            "tests/test_smoke.py": "def test_smoke():\n    pass\n",
            "README.md": "models\n",
        }.items():
            file = seed / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
            who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
            shell.run(["git", *who, *argv], cwd=seed, timeout=20)
        self.repository = Repository(shell, self.workspace.clean)
        self.base = self.repository.clone(str(seed))
        self.repository.git("checkout", "--quiet", "-b", "b")
        self.repository.copy_for_agent(self.workspace.agent)

    def evaluation(
        self, skip_tt: bool = False, pinned: str | None = None, seeds: bool = False, **given: Any
    ) -> Evaluation:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.workspace.evaluation.home), "PYTHONDONTWRITEBYTECODE": "1"}
        settings = self._settings(**{"python": sys.executable, "eval_secs": 30, **given})
        places = (self.workspace, env, self.cache, self.artifacts)
        return Evaluation(self.shell, settings, BRIEF, REVISION, *places, skip_tt, pinned, seeds=seeds)

    def write(self, name: str = MODEL, **plan: Any) -> None:
        file = self.workspace.agent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(plan))

    def check(self, **given: Any) -> Report:
        return self.evaluation(**given).check(self.repository, self.base, "01")

    def commands(self) -> list[str]:
        noted: list[dict[str, Any]] = self.shell.noted  # type: ignore[attr-defined]
        return [" ".join(n["argv"][1:]) for n in noted if n["argv"][0] == sys.executable]


@pytest.fixture
def bench(bare: Path, shell: Shell, settings: Callable[..., Settings], tmp_path: Path) -> Bench:
    return Bench(shell, settings, tmp_path)


@pytest.fixture(autouse=True)
def quick_gate(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """pytest inside pytest costs half a second; two tests do it, the others let the gate pass."""
    if "real_gate" not in request.fixturenames:
        monkeypatch.setattr(Evaluation, "tests", lambda self, report: None)


@pytest.fixture
def real_gate() -> None:
    """The fast gate as it is."""


# --- the commands


def test_the_commands_are_the_specs() -> None:
    """§9.1 F and §10.1."""
    common = f"--hf-model org/name --revision {REVISION} --prefill-len 8 --decode-len 4 --batch 1"
    assert [" ".join(eval_argv("python", BRIEF, REVISION, case)) for case in (HF, TT0, TT1)] == [
        f"python scripts/run_eval.py --mode hf {common}",
        f"python scripts/run_eval.py --mode tt --trace 0 {common}",
        f"python scripts/run_eval.py --mode tt --trace 1 {common}",
    ]


def test_a_model_has_its_folders() -> None:
    assert module.model_folder(BRIEF, "lb") == "models/org/name/lb"
    assert module.tests_folder(BRIEF, "lb") == "tests/models/org/name/lb"


@pytest.mark.usefixtures("real_gate")
def test_a_check_that_passes_runs_all_four_in_order(bench: Bench) -> None:
    bench.write()
    report = bench.check()
    assert (report.error, report.failing, report.tampered) == (None, None, [])
    assert list(report.metrics) == ["hf", "tt0", "tt1"]
    assert [command.split(" --hf-model")[0] for command in bench.commands()] == [
        "-m pytest -q",
        "scripts/run_eval.py --mode hf",
        "scripts/run_eval.py --mode tt --trace 0",
        "scripts/run_eval.py --mode tt --trace 1",
    ]
    names = sorted(file.name for file in bench.artifacts.iterdir())
    assert names == [
        "diff-01.patch",
        "judged.bundle",
        "metrics-01-hf.json",
        "metrics-01-tt0.json",
        "metrics-01-tt1.json",
    ]
    assert report.seconds > 0


@pytest.mark.usefixtures("real_gate")
def test_a_failing_gate_ends_the_check(bench: Bench) -> None:
    bench.write()
    (bench.workspace.agent / FOLDER / "test_mine.py").write_text("def test_mine():\n    assert 1 == 2\n")
    report = bench.check()
    assert report.error
    assert report.failing == f"{sys.executable} -m pytest -q"
    assert "assert 1 == 2" in report.error
    assert report.metrics == {}


# --- what codex is told


@pytest.mark.parametrize(
    ("key", "plan", "words", "measured"),
    [
        ("hf", {"exit": 3}, "exited 3", []),
        ("tt0", {"exit": 4}, "exited 4", ["hf"]),
        ("tt0", {"exit": 1}, "a word on stderr", ["hf"]),
        ("tt0", {"metrics": {"top1": 0.5}}, "top1 is 0.5000 and must be at least 0.90", ["hf", "tt0"]),
        ("tt1", {"metrics": {"top5": 0.96}}, "top5 is 0.9600 and must be at least 0.97", ["hf", "tt0", "tt1"]),
        ("tt1", {"metrics": {"top1": 0.1, "top5": 0.2}}, "0.90; top5 is 0.2000", ["hf", "tt0", "tt1"]),
        ("tt1", {"metrics": {"trace": False}}, "of trace = False, and True was asked for", ["hf", "tt0"]),
        ("tt0", {"metrics": {"mode": "hf"}}, "of mode = 'hf', and 'tt' was asked for", ["hf"]),
        ("tt0", {"metrics": {"tokens": 3}}, "of tokens = 3, and 4 was asked for", ["hf"]),
        ("tt0", {"metrics": {"model": "org/easy"}}, "of model = 'org/easy'", ["hf"]),
        ("tt0", {"metrics": {"top1": 95.0}}, "top1 is 95.0, not between 0 and 1", ["hf"]),
        ("tt0", {"more": ["YT_METRICS={}"]}, "the metrics lack top1", ["hf"]),
        ("tt0", {"sealed": {"top1": 0.3}}, "the printed metrics contradict the private ones", ["hf"]),
        ("tt0", {"nonce": "guessed"}, "another attempt's nonce", ["hf"]),
    ],
)
def test_what_is_wrong_is_said_with_its_command(
    bench: Bench, key: str, plan: dict[str, Any], words: str, measured: list[str]
) -> None:
    bench.write(MODEL, **{key: plan})
    report = bench.check()
    assert report.error
    assert words in report.error
    assert report.failing
    assert f"failing command: {report.failing}" in report.error
    case = {"hf": HF, "tt0": TT0, "tt1": TT1}[key]
    assert report.failing == " ".join(eval_argv(sys.executable, BRIEF, REVISION, case))
    assert list(report.metrics) == measured
    assert report.case == key
    assert (report.ended.code if report.ended else None) == plan.get("exit")


def test_a_metric_below_its_threshold_is_told_with_all_the_metrics(bench: Bench) -> None:
    bench.write(tt0={"metrics": {"top1": 0.5, "kl": 0.3}})
    error = bench.check().error or ""
    assert '"top1": 0.5' in error
    assert '"kl": 0.3' in error


def test_thresholds_are_the_settings(bench: Bench) -> None:
    bench.write(tt0={"metrics": {"top1": 0.5, "kl": 0.2}}, tt1={"metrics": {"kl": 0.2}})
    assert bench.check(top1_min=0.5).error is None
    assert "the mean KL is 0.2000 and may be at most 0.1" in (bench.check(top1_min=0.5, kl_max=0.1).error or "")


def test_the_kl_of_the_reference_itself_has_no_limit(bench: Bench) -> None:
    bench.write(hf={"metrics": {"kl": 9.0}})
    assert bench.check(kl_max=0.1).error is None


def test_an_evaluation_that_hangs_is_the_models_fault_in_a_check(bench: Bench) -> None:
    bench.write()
    hanging = "import sys, time\nif '--trace' in sys.argv: time.sleep(60)\n" + HARNESS
    _rebase(bench, {"scripts/run_eval.py": hanging})
    report = bench.check(eval_secs=1.5)
    assert report.error
    assert "was killed after its 2 s were over" in report.error
    assert list(report.metrics) == ["hf"]


def _rebase(bench: Bench, files: dict[str, str]) -> None:
    """Another base commit, in both clones."""
    for name, text in files.items():
        (bench.workspace.clean / name).write_text(text)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    bench.shell.run([*git, "commit", "-q", "-a", "-m", "again"], cwd=bench.workspace.clean, timeout=20)
    bench.base = bench.repository.head()
    for name, text in files.items():
        (bench.workspace.agent / name).write_text(text)


def test_a_python_that_is_not_there_is_the_worlds_fault(bench: Bench) -> None:
    bench.write()
    with pytest.raises(SetupError, match="`no-python` cannot be started"):
        bench.check(python="no-python")


def test_a_stop_in_a_check_is_a_stop(bench: Bench) -> None:
    bench.write()
    bench.shell.stop.set(StopRequested("stopped by SIGTERM", 0))
    with pytest.raises(StopRequested):
        bench.check()


# --- what codex may not do


@pytest.mark.parametrize("name", ["scripts/run_eval.py", "tests/test_smoke.py"])
def test_a_changed_harness_is_restored_and_reported(bench: Bench, name: str) -> None:
    bench.write(tt0={"metrics": {"top1": 0.1}})
    (bench.workspace.agent / name).write_text("print('all good')\n")
    report = bench.check()
    assert report.tampered == [name]
    assert "top1 is 0.1000" in (report.error or "")


def test_a_deleted_harness_is_restored_too(bench: Bench) -> None:
    bench.write()
    (bench.workspace.agent / "tests" / "test_smoke.py").unlink()
    report = bench.check()
    assert (report.error, report.tampered) == (None, ["tests/test_smoke.py"])
    assert (bench.workspace.check / "tests" / "test_smoke.py").exists()


@pytest.mark.parametrize(
    "name",
    ["models/org/other/n300/model.py", "models/org/name/n150/model.py", "helper.py", "conftest.py", "tests/conftest.py",
     "models/org/name/n300.py", "scripts/cheat.py", ".gitignore"],
)  # fmt: skip
def test_files_outside_the_models_folder_are_not_taken(bench: Bench, name: str) -> None:
    bench.write()
    bench.write(name)
    report = bench.check()
    assert report.error
    assert f"files outside `{FOLDER}/` were changed: {name}" in report.error
    assert report.metrics == {}


def test_a_changed_file_outside_is_named(bench: Bench) -> None:
    bench.write()
    (bench.workspace.agent / "README.md").write_text("mine\n")
    assert "were changed: README.md" in (bench.check().error or "")


def test_tests_of_codexs_own_are_allowed_and_decide_nothing(bench: Bench, real_gate: None) -> None:
    bench.write()
    for name in ("test_mine.py", "conftest.py"):
        bench.write(f"tests/models/org/name/n300/{name}")
        (bench.workspace.agent / "tests/models/org/name/n300" / name).write_text("import os\nos._exit(7)\n")
    assert bench.check().error is None
    assert (bench.workspace.check / "tests" / "models").exists(), "what is judged is what is committed"


def test_links_are_not_allowed(bench: Bench) -> None:
    bench.write()
    (bench.workspace.agent / FOLDER / "weights").symlink_to("/etc/passwd")
    assert "links and submodules are not allowed: models/org/name/n300/weights" in (bench.check().error or "")


def test_a_repository_inside_the_repo_is_not_allowed(bench: Bench) -> None:
    bench.write()
    bench.shell.run(["git", "init", "-q"], cwd=bench.workspace.agent / FOLDER, timeout=20)
    assert "there is a git repository inside the repo (models/org/name/n300): remove it" in (bench.check().error or "")


def test_nothing_written_is_said_to_be_nothing(bench: Bench) -> None:
    assert f"there is nothing new in `{FOLDER}/`" in (bench.check().error or "")


def test_each_check_starts_from_the_base(bench: Bench) -> None:
    bench.write()
    bench.write(f"{FOLDER}/extra.json")
    bench.check()
    assert (bench.workspace.check / FOLDER / "extra.json").exists()
    (bench.workspace.agent / FOLDER / "extra.json").unlink()
    (bench.workspace.check / "left-behind").write_text("x")
    assert bench.check().error is None
    assert not (bench.workspace.check / FOLDER / "extra.json").exists()
    assert not (bench.workspace.check / "left-behind").exists()
    assert not (bench.workspace.check / ".git").exists()


def test_a_harness_that_was_rewritten_while_it_judged_is_not_believed(bench: Bench) -> None:
    """Where there are no walls, the model's code may write to the tree."""
    bench.write()
    patched = "if '--trace' in sys.argv: open('scripts/scoring.py', 'w').write('top1 = 1')"
    _rebase(bench, {"scripts/run_eval.py": f"import sys\n{patched}\n{HARNESS}"})
    report = bench.check()
    assert "the harness that judged is not the base's" in (report.error or "")
    assert list(report.metrics) == ["hf"]


def test_metrics_of_another_harness_are_not_believed(bench: Bench) -> None:
    bench.write(tt0={"metrics": {"harness": "0" * 64}})
    assert "the harness that judged is not the base's" in (bench.check().error or "")


def test_nothing_that_one_command_writes_meets_the_next(bench: Bench) -> None:
    bench.write()
    planted = (
        "import os, sys\nassert not os.path.exists('models/planted'), 'met'\nopen('models/planted', 'w').close()\n"
    )
    _rebase(bench, {"scripts/run_eval.py": planted + HARNESS})
    assert bench.check().error is None


def test_a_secret_seed_is_told_on_stdin_and_published_with_the_verdict(bench: Bench) -> None:
    bench.write()
    told = "import sys\nseed = int(sys.stdin.read()) if sys.argv[-2:] == ['--seed', '-'] else 0\n"
    _rebase(bench, {"scripts/run_eval.py": told + HARNESS.replace('"mode": mode,', '"mode": mode, "seed": seed,')})
    evaluation = bench.evaluation(seeds=True)
    report = evaluation.check(bench.repository, bench.base, "03", (TT0,))
    assert report.error is None
    seeds = {key: found["seed"] for key, found in report.metrics.items()}
    assert (seeds["hf"], seeds["tt1"]) == (0, 0)
    assert seeds["tt0"] > 0
    assert str(seeds["tt0"]) not in json.dumps(bench.shell.noted)  # type: ignore[attr-defined]
    evaluation.measure(report, "final", (HF, TT0, TT1))
    assert len({found["seed"] for found in report.metrics.values()} - {seeds["tt0"]}) == 1, "one, and a new one"


def test_metrics_of_another_seed_are_not_believed(bench: Bench) -> None:
    bench.write(tt0={"metrics": {"seed": 0}})
    report = bench.evaluation(seeds=True).check(bench.repository, bench.base, "03", (TT0,))
    assert "the metrics are of seed = 0" in (report.error or "")


@pytest.mark.usefixtures("walls")
def test_a_model_that_ran_in_the_scorers_sandbox_is_not_believed(bench: Bench) -> None:
    bench.write()
    evaluation = bench.evaluation(seeds=True)
    evaluation.sandbox = Sandbox(True, tuple(roots_of(sys.executable)))
    report = evaluation.check(bench.repository, bench.base, "01")
    assert "did not have the model run in its sandbox" in (report.error or "")
    assert list(report.metrics) == ["hf"]


def test_a_harness_that_knows_no_secret_seed_is_asked_for_none(bench: Bench) -> None:
    bench.write()
    report = bench.evaluation().check(bench.repository, bench.base, "03", (HF, TT0, TT1))
    assert report.error is None
    assert not any("--seed" in command for command in bench.commands())


# --- the reference (the end of `download`)


def test_the_reference_is_the_hf_command_alone(bench: Bench) -> None:
    found = bench.evaluation().reference(bench.workspace.clean)
    assert found["mode"] == "hf"
    assert len(bench.commands()) == 1
    assert (bench.artifacts / "metrics-reference-hf.json").exists()
    assert not list(bench.workspace.folder.glob("metrics-*.json")), "the private file is gone"


def test_the_harness_is_told_the_gate_by_which_it_judges_the_lengths(bench: Bench) -> None:
    assert bench.evaluation(top1_min=0.8).reference(bench.workspace.clean)["gate"] == 0.8


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"exit": 3}, "the HF reference is unfit: .* exited 3"),
        ({"metrics": {"top1": 0.2}}, "the HF reference disagrees with itself: top1 is 0.2000"),
    ],
)
def test_a_reference_that_fails_is_a_bad_reference(bench: Bench, plan: dict[str, Any], words: str) -> None:
    _rebase_model(bench, hf=plan)
    with pytest.raises(BadReference, match=f"(?s){words}"):
        bench.evaluation().reference(bench.workspace.clean)


@pytest.mark.parametrize(
    ("plan", "fault", "words"),
    [
        ({"exit": 1}, "machine", "this machine cannot compute the HF reference, which says nothing .* exited 1"),
        ({"exit": 2}, "issue", "the evaluation refuses what the issue asks for: .* exited 2"),
        ({"exit": 7}, "machine", "exited 7"),
        ({"metrics": {"top1": "x"}}, "machine", "the HF reference's metrics cannot be believed: .* top1"),
    ],
)
def test_only_its_own_exit_code_and_low_metrics_speak_of_the_reference(
    bench: Bench, plan: dict[str, Any], fault: str, words: str
) -> None:
    """Faults W10: a package or memory that this machine lacks was a reference error for the whole fleet."""
    _rebase_model(bench, hf=plan)
    with pytest.raises(SetupError, match=f"(?s){words}") as caught:
        bench.evaluation().reference(bench.workspace.clean)
    assert caught.value.fault == fault


def _rebase_model(bench: Bench, **plan: Any) -> None:
    file = bench.workspace.clean / MODEL
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(plan))


def test_nothing_is_judged_by_another_reference_than_the_one_before_codex_began(bench: Bench) -> None:
    bench.write(**{key: {"metrics": {"reference": "before"}} for key in ("hf", "tt0", "tt1")})
    assert bench.check(pinned="before").error is None
    bench.write(hf={"metrics": {"reference": "before"}}, tt0={"metrics": {"reference": "after"}})
    with pytest.raises(SetupError, match="the reference is 'after', and was 'before' before codex began"):
        bench.check(pinned="before")


def test_a_reference_that_was_killed_is_the_worlds_fault(bench: Bench) -> None:
    (bench.workspace.clean / "scripts" / "run_eval.py").write_text("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(CommandFailed, match="was killed by signal 9"):
        bench.evaluation().reference(bench.workspace.clean)
    (bench.workspace.clean / "scripts" / "run_eval.py").write_text("import time; time.sleep(60)")
    with pytest.raises(CommandFailed, match="was killed after"):
        bench.evaluation(eval_secs=0.5).reference(bench.workspace.clean)


def test_without_tt_only_the_reference_is_measured(bench: Bench) -> None:
    report = Report()
    bench.write()
    bench.repository.export(bench.base, bench.workspace.check)
    bench.evaluation(skip_tt=True).measure(report, "01")
    assert list(report.metrics) == ["hf"]


def test_what_an_evaluation_leaves_running_is_ended(bench: Bench) -> None:
    lingering = (
        "import subprocess, sys\n"
        "p = subprocess.Popen(['sleep', '60'], start_new_session=True, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n"
        "open('pid', 'w').write(str(p.pid))\n"
    )
    (bench.workspace.clean / "scripts" / "run_eval.py").write_text(lingering + HARNESS)
    bench.evaluation().reference(bench.workspace.clean)
    pid = int((bench.workspace.clean / "pid").read_text())
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        state = "gone"
    assert state in ("Z", "gone")


def test_metrics_under_more_noise_than_is_kept_are_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's log may be longer than what is kept of stdout, and the metrics come last."""
    monkeypatch.setattr("yt_fsm.engine.shell.KEEP_BYTES", 10)
    assert bench.evaluation().reference(bench.workspace.clean)["top1"] == 1.0


def test_more_changed_files_than_git_can_list_are_the_models_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flooded(*_: Any) -> Any:
        raise AnswerTooLarge(["git", "diff"], 16, None)

    monkeypatch.setattr(Repository, "changes", flooded)
    report = bench.check()
    assert "far too many files were changed" in str(report.error)
