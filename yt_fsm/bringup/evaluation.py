"""The evaluation (§9.1 F): four commands in YT_PYTHON, on a tree that codex could not prepare.

Commands: `python -m pytest -q`, then `python scripts/run_eval.py --mode hf`, `--mode tt --trace 0`, `--trace 1`.
The tree is the base commit with the model's folder and codex's own tests laid over it, so the harness is always the
base's; it is what will be committed and pushed, and it is made anew for every command. Each command has a HOME and a
TMPDIR of its own and no network, and the model's code runs in a sandbox beside it (device.py). Metrics are believed
only when the printed line and the private file agree and are of what was asked for. A fresh secret seed is made for
each final evaluation, told on stdin, and published with the verdict.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from yt_fsm.bringup.errors import BadReference, BringupError, NotToEvaluate
from yt_fsm.engine.errors import CommandFailed, SetupError
from yt_fsm.engine.jsonable import clean
from yt_fsm.engine.outside import shown
from yt_fsm.engine.removal import remove
from yt_fsm.engine.sandbox import Sandbox
from yt_fsm.engine.shell import Result, Shell
from yt_fsm.tools.git import Repository
from yt_fsm.tools.progress import tokens_of

from . import device
from . import metrics as m
from .judged import JudgedTree, collected, judged_bundle
from .workspace import Workspace

if TYPE_CHECKING:
    from yt_fsm.bringup.settings import Settings

    from .brief import Brief

PYTEST_SECS = 900.0
STANDIN = "cpu-standin"
USAGE, UNFIT, CLOSED = 2, 3, 4  # exit codes of run_eval.py beside 0 and 1, as its docstring has them


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


def eval_argv(python: str, brief: Brief, revision: str, case: Case, seed: int | str = 0) -> list[str]:
    """The evaluation command of §10.1 for one case; seed `-` is one that stdin tells."""
    argv = [python, "scripts/run_eval.py", "--mode", case.mode]
    if case.mode == "tt":
        argv += ["--trace", str(int(case.trace))]
    argv += ["--hf-model", brief.hf_model_id, "--revision", revision]
    argv += ["--prefill-len", str(brief.prefill_len), "--decode-len", str(brief.decode_len)]
    return [*argv, "--batch", str(brief.batch), *(["--seed", str(seed)] if seed else [])]


def _local(cache: str) -> tuple[Path, ...]:
    """The folder of references, or nothing where they are behind a URL."""
    remote = "://" in cache and not cache.startswith("file://")
    return () if remote else (Path(cache.removeprefix("file://")),)


class Evaluation:
    """Runs the commands for one run; `env` is the isolated environment, `cache` where HF references are kept.

    `sandbox` is what every command gets; each is given its own folders besides (None: no sandbox at all). `pinned`
    identifies the reference that was there before codex wrote anything: nothing is judged by another one. `seeds` says
    whether the base's harness takes a seed on stdin.
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
        seeds: bool = False,
    ) -> None:
        self.sandbox, self.seeds = sandbox, seeds
        self.tree: JudgedTree | None = None  # none is judged before codex has worked
        self.shell, self.settings, self.brief, self.revision = shell, settings, brief, revision
        self.workspace, self.env, self.cache, self.artifacts = workspace, dict(env), str(cache), artifacts
        self.cases = (HF,) if skip_tt else (HF, TT0, TT1)
        self.pins = {0: pinned}  # by seed

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

    def check(self, repository: Repository, base: str, attempt: str, fresh: tuple[Case, ...] = ()) -> Report:
        """One whole check of codex's work (§9.1 F), `fresh` cases by a secret seed. Raises SetupError only for the
        world's faults.
        """
        started = time.monotonic()
        report = Report()
        try:
            self._collect(repository, base, report, attempt)
            self.tests(report)
            self.measure(report, attempt, fresh)
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

    def measure(self, report: Report, attempt: str, fresh: tuple[Case, ...] = ()) -> None:
        """The evaluations, in order, stopping at the first that fails. Raises BringupError in codex's words.

        The cases in `fresh` are measured along windows of a new seed that nobody knew before.
        """
        import secrets

        secret = 1 + secrets.randbits(52) if self.seeds and fresh else 0
        remove(self.workspace.secret)
        for case in self.cases:
            seed = secret if case in fresh else 0
            argv = eval_argv(self.settings.python, self.brief, self.revision, case, seed)
            try:
                found = self._eval(case, self.workspace.check, attempt, store=seed != 0, seed=seed)
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

    def _eval(self, case: Case, folder: Path, attempt: str, store: bool = False, seed: int = 0) -> m.Metrics:
        """Run one evaluation and return its metrics; only with `store` may it add to the references, which are others
        for a secret seed.

        Raises CommandFailed or BadMetrics.
        """
        import secrets

        nonce = secrets.token_hex(16)
        private = self.workspace.evaluation.tmp / f"metrics-{secrets.token_hex(4)}.json"
        argv = eval_argv(self.settings.python, self.brief, self.revision, case, "-" if seed else 0)
        cache = str(self.workspace.secret) if seed else self.cache
        env = {"YT_METRICS_FILE": str(private), "YT_METRICS_NONCE": nonce, "YT_REFERENCE_CACHE": cache}
        env["YT_TOP1_MIN"] = str(self.settings.top1_min)  # which lengths can tell depends on it
        beside = self._beside(case)
        progress = beside.room.folder / "progress" if beside else private.with_suffix(".progress")
        told: list[str] = []  # the metrics come last, under whatever a driver's log may print before

        def hear(line: str) -> None:
            if line.startswith(m.PREFIX):
                told[:] = [line]
            elif beside and self.sandbox and line == device.READY:
                hidden = (self.workspace.secret, *_local(self.cache))
                walls = replace(self.sandbox, write=(*self.sandbox.write, self.workspace.kernels), hidden=hidden)
                model = model_folder(self.brief, self.settings.system)
                beside.run(f"device-{case.key}", folder, model, {**self.env, **more}, walls)

        with tokens_of(f"evaluating {case.key}", progress) as more:
            result = self.command(
                argv,
                f"eval-{case.key}",
                self.settings.eval_secs,
                folder,
                {**env, **more, **(beside.variables if beside else {})},
                self._sandbox(folder, cache, store, (beside.folder,) if beside else ()),
                hear,
                f"{seed}\n" if seed else "",
            )
        if beside:
            remove(beside.folder)
            if beside.result and beside.overrun():
                raise beside.result.failed()
        if self.shell.dry:
            private.write_text(json.dumps({"nonce": nonce, "metrics": self._pretend(case)}))
        if not result.ok:
            raise result.failed()
        if beside and self.seeds and beside.result is None:
            raise m.BadMetrics("the evaluation did not have the model run in its sandbox")
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
        if seed:
            m.matches(found, seed=seed)
        if self.tree and (self.tree.changed() or found.get("harness", self.tree.harness) != self.tree.harness):
            raise m.BadMetrics(
                "the harness that judged is not the base's: scripts/ was written to while the evaluation ran"
            )
        pinned = self.pins.setdefault(seed, found.get("reference"))
        if pinned is not None and found.get("reference") != pinned:
            raise SetupError(
                f"the reference is {shown(repr(found.get('reference')))}, and was {pinned!r} before codex began: "
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
        sandbox: Sandbox | None = None,
        on_line: Callable[[str], None] | None = None,
        told: str = "",
    ) -> Result:
        """Run one command as isolated as all of a check's: a new HOME, no network, `folder` to read, which is laid out
        anew when it is the tree that is judged; `more` is added to its environment, `told` is its stdin, and `sandbox`
        is its own where it needs more. What it leaves running is ended.
        """
        pretend = ""
        if self.shell.dry and "run_eval.py" in " ".join(argv):
            case = next(c for c in (TT1, TT0, HF) if argv == eval_argv(argv[0], self.brief, self.revision, c))
            pretend = m.PREFIX + json.dumps(self._pretend(case))
        remove(self.workspace.evaluation.folder)
        self.workspace.evaluation.make()
        if self.tree and folder == self.tree.folder:
            self.tree.lay()
        result = self.shell.run(
            argv,
            cwd=folder,
            env={**self.env, **(more or {})},
            name=name,
            timeout=timeout,
            check=False,
            pretend=pretend,
            sandbox=sandbox or self._sandbox(folder, self.cache),
            on_line=on_line,
            input=told,
        )
        self.shell.end_survivors()
        return result

    def _beside(self, case: Case) -> device.DeviceProcess | None:
        """The process that will run the model, where walls can be put around it and a model is run at all."""
        if case.mode != "tt" or self.sandbox is None or not self.sandbox.walls:
            return None
        return device.DeviceProcess(self.shell, self.settings.python, self.workspace.device, self.settings.eval_secs)

    def _sandbox(self, folder: Path, cache: str, store: bool = False, more: tuple[Path, ...] = ()) -> Sandbox | None:
        """The sandbox of one command: the tree to read, its room and `more` to write, and the references in `cache`, to
        write only with `store`.
        """
        if self.sandbox is None:
            return None
        read, write = [folder], [self.workspace.evaluation.folder, self.workspace.kernels, *more]
        for place in _local(cache):
            place.mkdir(parents=True, exist_ok=True)
            (write if store else read).append(place)
        return replace(
            self.sandbox,
            read=(*self.sandbox.read, *read),
            write=(*self.sandbox.write, *write),
            network=not _local(cache),  # to where the references are; there is no other way to them
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
        folder = model_folder(self.brief, self.settings.system)
        allowed = (folder + "/", tests_folder(self.brief, self.settings.system) + "/")
        agent, dry = self.workspace.agent, self.shell.dry
        report.tree = collected(repository, base, agent, allowed, report.tampered, dry)
        self.artifacts.mkdir(parents=True, exist_ok=True)
        repository.take_aside(report.tree, base, judged_bundle(self.artifacts))
        self.tree = JudgedTree(repository.quietly(), report.tree, self.workspace.check)
        self.tree.lay()
        patch = self.artifacts / f"diff-{attempt}.patch"
        patch.write_text(self.shell.redact(repository.diff(base, report.tree)), errors="backslashreplace")
