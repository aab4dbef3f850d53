"""The evaluation (§9.1 F): four commands in YT_PYTHON, on a tree that codex could not prepare.

Commands: `python -m pytest -q`, then `python scripts/run_eval.py --mode hf`, `--mode tt --trace 0`, `--trace 1`.
The tree is the base commit with the model's folder and codex's own tests laid over it, so the harness is always the
base's; it is what will be committed and pushed, and nobody can write to it while it is judged. Each command has a HOME
and a TMPDIR of its own and no network. Metrics are believed only when the printed line and the private file agree and
are of what was asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.bringup.errors import BadReference, BringupError, NotToEvaluate
from yt_fsm.engine.errors import AnswerTooLarge, CommandFailed, SetupError
from yt_fsm.engine.jsonable import clean
from yt_fsm.engine.outside import shown
from yt_fsm.engine.removal import remove
from yt_fsm.engine.sandbox import Sandbox
from yt_fsm.engine.shell import Result, Shell
from yt_fsm.tools.gate import secrets_in_tree
from yt_fsm.tools.git import Repository
from yt_fsm.tools.progress import tokens_of

from . import metrics as m
from .workspace import Workspace

if TYPE_CHECKING:
    from yt_fsm.bringup.settings import Settings

    from .brief import Brief

PYTEST_SECS = 900.0
FILES = 20_000  # more than the base has
BYTES = 2 << 30
STANDIN = "cpu-standin"
USAGE, UNFIT, CLOSED = 2, 3, 4  # exit codes of run_eval.py beside 0 and 1, as its docstring has them
HARNESS = ("scripts/", "tests/", "conftest.py", "pytest.ini", "pyproject.toml", "setup.cfg", "tox.ini")


@dataclass
class Report:
    """What one check found: `error` is what codex is told (None: all passed), `failing` the command that failed.

    `tree` is the git tree of what was judged: the base, the model's folder and codex's own tests, and nothing else.
    `case` is the key of the evaluation that failed, "" for the tests or for none; `ended` says how its command failed,
    None where it ran and measured too little.
    """

    error: str | None = None
    failing: str | None = None
    case: str = ""
    ended: CommandFailed | None = None
    metrics: dict[str, m.Metrics] = field(default_factory=dict)
    tampered: list[str] = field(default_factory=list)
    tree: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Case:
    """One evaluation command: its key in an attempt's metrics, its mode and whether the decode step is traced."""

    key: str
    mode: str
    trace: bool


HF = Case("hf", "hf", False)
TT0 = Case("tt0", "tt", False)
TT1 = Case("tt1", "tt", True)


def model_folder(brief: Brief, system: str) -> str:
    """Where a bringup's code belongs (§10): `models/<org>/<name>/<system>`."""
    return f"models/{brief.hf_model_id}/{system}"


def tests_folder(brief: Brief, system: str) -> str:
    """Where codex may add tests of its own; they are kept, and decide nothing."""
    return f"tests/{model_folder(brief, system)}"


def eval_argv(python: str, brief: Brief, revision: str, case: Case) -> list[str]:
    """The evaluation command of §10.1 for one case."""
    argv = [python, "scripts/run_eval.py", "--mode", case.mode]
    if case.mode == "tt":
        argv += ["--trace", str(int(case.trace))]
    argv += ["--hf-model", brief.hf_model_id, "--revision", revision]
    argv += ["--prefill-len", str(brief.prefill_len), "--decode-len", str(brief.decode_len)]
    return [*argv, "--batch", str(brief.batch)]


class Evaluation:
    """Runs the commands for one run; `env` is the isolated environment, `cache` where HF references are kept.

    `sandbox` is what every command gets; each is given its own folders besides (None: no sandbox at all). `pinned`
    identifies the reference that was there before codex wrote anything: nothing is judged by another one.
    """

    def __init__(
        self,
        shell: Shell,
        settings: Settings,
        brief: Brief,
        revision: str,
        workspace: Workspace,
        env: Mapping[str, str],
        cache: Path | str,
        artifacts: Path,
        skip_tt: bool = False,
        pinned: str | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.shell, self.settings, self.brief, self.revision = shell, settings, brief, revision
        self.workspace, self.env, self.cache, self.artifacts = workspace, dict(env), str(cache), artifacts
        self.cases = (HF,) if skip_tt else (HF, TT0, TT1)
        self.pinned = pinned

    def reference(self, folder: Path) -> m.Metrics:
        """The HF-only evaluation at the end of `download`.

        Only the harness's exit code for it, and metrics below the thresholds, speak of the model: BadReference is
        raised for these alone (faults W10). Raises NotToEvaluate for lengths that this model does not have, and
        SetupError for what this machine lacks: packages, memory, time.
        """
        try:
            found = self._eval(HF, folder, "reference", store=True)
        except CommandFailed as problem:
            if problem.code == UNFIT:
                raise BadReference(f"the HF reference is unfit: {problem}") from None
            if problem.code == USAGE:
                raise NotToEvaluate(f"the evaluation refuses what the issue asks for: {problem}") from None
            if problem.code == 1:
                raise SetupError(
                    f"this machine cannot compute the HF reference, which says nothing about the model: {problem}"
                ) from None
            raise
        except m.BadMetrics as problem:
            raise SetupError(f"the HF reference's metrics cannot be believed: {problem}") from None
        problem_text = self._below(HF, found)
        if problem_text:
            raise BadReference(f"the HF reference disagrees with itself: {problem_text}")
        return found

    def check(self, repository: Repository, base: str, attempt: str) -> Report:
        """One whole check of codex's work (§9.1 F). Raises SetupError only for the world's faults."""
        started = time.monotonic()
        report = Report()
        try:
            self._collect(repository, base, report, attempt)
            self.tests(report)
            self.measure(report, attempt)
        except BringupError as problem:
            report.error = report.error or str(problem)
        report.seconds = time.monotonic() - started
        return report

    def gate(self) -> Result:
        """The models repo's own tests, on the tree that lies in the workspace to be checked."""
        # codex's own tests are in the tree that is judged, and decide nothing; nobody may write a cache into it.
        options = f"-p no:cacheprovider --ignore={tests_folder(self.brief, self.settings.system)}"
        argv = [self.settings.python, "-m", "pytest", "-q"]
        return self.command(argv, "pytest", PYTEST_SECS, self.workspace.check, {"PYTEST_ADDOPTS": options})

    def tests(self, report: Report) -> None:
        """The fast gate. Raises BringupError when it fails."""
        result = self.gate()
        if not result.ok:
            report.failing, report.ended = shlex.join(result.argv), result.failed()
            raise BringupError(f"failing command: {report.failing}\n{report.ended}")

    def measure(self, report: Report, attempt: str) -> None:
        """The evaluations, in order, stopping at the first that fails. Raises BringupError in codex's words."""
        for case in self.cases:
            argv = eval_argv(self.settings.python, self.brief, self.revision, case)
            try:
                found = self._eval(case, self.workspace.check, attempt)
                report.metrics[case.key] = found
                problem = self._below(case, found)
                if problem:
                    raise BringupError(f"`{shlex.join(argv)}` ran, but {problem}\nmetrics: {json.dumps(found)}")
            except (BringupError, CommandFailed) as error:
                if isinstance(error, CommandFailed):
                    if error.why == "was stopped":
                        raise
                    report.ended = error
                report.failing, report.case = shlex.join(argv), case.key
                raise BringupError(f"failing command: {report.failing}\n{error}") from None

    def _eval(self, case: Case, folder: Path, attempt: str, store: bool = False) -> m.Metrics:
        """Run one evaluation and return its metrics; only with `store` may it add to the references.

        Raises CommandFailed or BadMetrics.
        """
        import secrets

        nonce = secrets.token_hex(16)
        private = self.workspace.evaluation.tmp / f"metrics-{secrets.token_hex(4)}.json"
        argv = eval_argv(self.settings.python, self.brief, self.revision, case)
        env = {
            "YT_METRICS_FILE": str(private),
            "YT_METRICS_NONCE": nonce,
            "YT_REFERENCE_CACHE": self.cache,
            "YT_TOP1_MIN": str(self.settings.top1_min),  # which lengths can tell depends on it
        }
        told: list[str] = []  # the metrics come last, under whatever a driver's log may print before

        def hear(line: str) -> None:
            if line.startswith(m.PREFIX):
                told[:] = [line]

        with tokens_of(f"evaluating {case.key}", private.with_suffix(".progress")) as more:
            result = self.command(
                argv, f"eval-{case.key}", self.settings.eval_secs, folder, {**env, **more}, store, hear
            )
        if self.shell.dry:
            private.write_text(json.dumps({"nonce": nonce, "metrics": self._pretend(case)}))
        if not result.ok:
            raise result.failed()
        found = m.parse("\n".join(told))
        m.agree(found, private, nonce)
        if found.get("device") == STANDIN and not os.environ.get("YTFSM_LAB"):
            raise m.BadMetrics("the evaluation ran on the CPU stand-in for ttnn, which counts in a lab only")
        m.matches(
            found,
            mode=case.mode,
            trace=case.trace,
            tokens=self.brief.decode_len * self.brief.batch,
            model=self.brief.hf_model_id,
        )
        if self.pinned is not None and found.get("reference") != self.pinned:
            raise SetupError(
                f"the reference is {shown(repr(found.get('reference')))}, and was {self.pinned!r} before codex began: "
                f"somebody wrote to {self.cache}, or it was computed again with another result. Nothing is judged by "
                "it. Remove that folder and set the issue to ready again"
            )
        if self.settings.skip_tt:
            found["skip_tt"] = True
        self.artifacts.mkdir(parents=True, exist_ok=True)
        text = json.dumps(clean(found, self.shell.redact, ours=False), indent=2) + "\n"
        (self.artifacts / f"metrics-{attempt}-{case.key}.json").write_text(text)
        return found

    def _pretend(self, case: Case) -> m.Metrics:
        return {
            "top1": 1.0,
            "top5": 1.0,
            "tokens": self.brief.decode_len * self.brief.batch,
            "mode": case.mode,
            "trace": case.trace,
            "timing": {"total_s": 0.0},
            "model": self.brief.hf_model_id,
        }

    def command(
        self,
        argv: list[str],
        name: str,
        timeout: float,
        folder: Path,
        more: Mapping[str, str] | None = None,
        store: bool = False,
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        """Run one command as isolated as all of a check's: a new HOME, no network, `folder` to read; `more` is added
        to its environment. What it leaves running is ended.
        """
        pretend = ""
        if self.shell.dry and "run_eval.py" in " ".join(argv):
            case = next(c for c in (TT1, TT0, HF) if argv == eval_argv(argv[0], self.brief, self.revision, c))
            pretend = m.PREFIX + json.dumps(self._pretend(case))
        remove(self.workspace.evaluation.folder)
        self.workspace.evaluation.make()
        result = self.shell.run(
            argv,
            cwd=folder,
            env={**self.env, **(more or {})},
            name=name,
            timeout=timeout,
            check=False,
            pretend=pretend,
            sandbox=self._sandbox(folder, store),
            on_line=on_line,
        )
        self.shell.end_survivors()
        return result

    def _sandbox(self, folder: Path, store: bool) -> Sandbox | None:
        """The sandbox of one command: the tree to read, its room to write, and the references, to read after codex."""
        if self.sandbox is None:
            return None
        read, write = [folder], [self.workspace.evaluation.folder, self.workspace.kernels]
        remote = "://" in self.cache and not self.cache.startswith("file://")
        if not remote:
            cache = Path(self.cache.removeprefix("file://"))
            cache.mkdir(parents=True, exist_ok=True)
            (write if store else read).append(cache)
        return replace(
            self.sandbox,
            read=(*self.sandbox.read, *read),
            write=(*self.sandbox.write, *write),
            network=remote,  # to where the references are; there is no other way to them
        )

    def _below(self, case: Case, found: m.Metrics) -> str:
        """What is below its threshold, in words; "" when nothing is."""
        low = [
            f"{key} is {found[key]:.4f} and must be at least {least:.2f}"
            for key, least in (("top1", self.settings.top1_min), ("top5", self.settings.top5_min))
            if found[key] < least
        ]
        kl = found.get("kl")
        most = self.settings.kl_max
        if case.mode == "tt" and most is not None and isinstance(kl, int | float) and kl > most:
            low.append(f"the mean KL is {kl:.4f} and may be at most {most}")
        return "; ".join(low)

    def _collect(self, repository: Repository, base: str, report: Report, attempt: str) -> None:
        """Read what codex left, once, and lay what it may have written over the base in a new tree.

        Raises BringupError for what it may not have done.
        """
        agent = self.workspace.agent
        folder = model_folder(self.brief, self.settings.system)
        allowed = (folder + "/", tests_folder(self.brief, self.settings.system) + "/")
        try:
            survey(agent, repository.size(base) + FILES)
            read = repository.read(agent, base)
            changes = repository.changes(base, read)
        except CommandFailed as problem:
            if problem.why:
                raise
            raise BringupError(f"git cannot read the repo as it is now:\n{problem.tail}") from None
        except AnswerTooLarge:
            raise BringupError("far too many files were changed to list them: remove what is generated") from None
        report.tampered = sorted(c.path for c in changes if c.kind != "A" and _is_harness(c.path))
        outside = [c.path for c in changes if not c.path.startswith(allowed) and c.path not in report.tampered]
        if outside:
            raise BringupError(
                f"files outside `{allowed[0]}` were changed: {', '.join(outside[:20])}. Put everything that this "
                "bringup needs into that folder, and undo the rest"
            )
        links = [c.path for c in changes if c.mode in ("120000", "160000") and c.path.startswith(allowed)]
        if links:
            raise BringupError(f"links and submodules are not allowed: {', '.join(links[:20])}")
        if not any(c.path.startswith(allowed[0]) and c.kind != "D" for c in changes) and not self.shell.dry:
            raise BringupError(f"there is nothing new in `{allowed[0]}`: the bringup belongs there")
        report.tree = repository.tree_of(read, base, [name.rstrip("/") for name in allowed])
        leaking = secrets_in_tree(repository, base, report.tree)
        if leaking:
            raise BringupError(
                "these places hold secrets of this machine, which must never be published; take them out, and read "
                "nothing outside of the repo and the model's folder:\n" + "\n".join(leaking)
            )
        self.artifacts.mkdir(parents=True, exist_ok=True)
        repository.take_aside(report.tree, base, judged_bundle(self.artifacts))
        remove(self.workspace.check)
        repository.export(report.tree, self.workspace.check)
        patch = self.artifacts / f"diff-{attempt}.patch"
        patch.write_text(self.shell.redact(repository.diff(base, report.tree)), errors="backslashreplace")


def judged_bundle(artifacts: Path) -> Path:
    """Where the tree that is being judged is kept: what is committed comes from there."""
    return artifacts / "judged.bundle"


def survey(agent: Path, files: int) -> None:
    """Look at codex's tree before anything of it is read. Raises BringupError for what no bringup can need."""
    seen = size = 0
    for place, folders, names in os.walk(agent):
        here = Path(place)
        if here == agent:
            folders[:] = [name for name in folders if name != ".git"]
            names = [name for name in names if name != ".git"]
        elif ".git" in folders + names:
            raise BringupError(f"there is a git repository inside the repo ({here.relative_to(agent)}): remove it")
        seen += len(names) + len(folders)
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(here / name).st_size
        if seen > files:
            raise BringupError(f"the repo holds more than {files} files now: remove what the bringup does not need")
        if size > BYTES:
            raise BringupError(f"the repo holds more than {BYTES / 1e9:.0f} GB now: remove what it does not need")


def _is_harness(path: str) -> bool:
    return path.startswith(HARNESS)
