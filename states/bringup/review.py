"""review: the work is published (§9.1 G): branch, pull request, status, comment."""

from yt_fsm.bringup import commits, metrics, report
from yt_fsm.bringup.run import BringupRun
from yt_fsm.github import publishing


def enter(run: BringupRun) -> None:
    """On entry the work has passed, is committed and bundled; that verdict is never revised.

    Final. Every step is an effect, so entering again goes on where the last time ended.
    """
    attempt = run.attempts()[-1]
    mark = run.subject.mark
    commits.push(run, mark)
    url = publishing.pull_request(run, run.facts.branch, run.facts.into, title(run), body(run, attempt), mark)
    publishing.set_status(run, "in review", mark)
    publishing.comment(
        run,
        "in review",
        f"Brought up {run.brief.hf_model_id} on {run.settings.system}: {url}\n\n"
        f"{report.table(attempt['metrics'])}\n\n"
        f"To reproduce:\n{report.reproduction(run, run.facts.branch)}",
    )


def title(run: BringupRun) -> str:
    """The pull request's title (§9.1 G)."""
    return f"Bringup: {run.brief.hf_model_id} ({run.settings.system})"


def body(run: BringupRun, attempt: dict[str, object]) -> str:
    """The pull request's text (§9.1 G): what it closes, how to run it, the metrics, what is known to be weak."""
    found = run.attempts()[-1]["metrics"]
    return "\n".join(
        [
            f"Closes #{run.issue.number}",
            "",
            f"`{run.brief.hf_model_id}` at `{run.facts.revision}` on {run.settings.system}.",
            "",
            report.table(found),
            "",
            "## How to run the evaluation",
            report.reproduction(run, run.facts.branch),
            "",
            "## Metrics",
            report.metrics_block(found),
            "",
            "## Known limitations",
            *limitations(run),
            "",
            f"Run `{run.run_id}` of worker {run.settings.worker_name}, attempt {attempt['n']} of "
            f"{run.settings.max_attempts}.",
        ]
    )


def limitations(run: BringupRun) -> list[str]:
    """What a reviewer should know: where the numbers are thin, and what codex changed that was put back."""
    last = run.attempts()[-1]
    found = last["metrics"]
    lines = [
        f"- Checked at prefill {run.brief.prefill_len}, decode {run.brief.decode_len}, batch {run.brief.batch} only "
        f"({run.brief.decode_len * run.brief.batch} tokens).",
        "- Functional bringup: performance was not tuned.",
    ]
    if run.facts.isolation == "none":
        lines.append("- **Without walls** (YT_ISOLATION=none): codex and the checks ran as the worker's own user.")
    else:
        lines.append("- codex and the checks ran isolated (bubblewrap), the checks without a network.")
    devices = {str(data.get("device")) for data in found.values() if data.get("device")}
    if run.settings.skip_tt:
        lines.append("- **The TT evaluation was skipped** (`--skip-tt`, no card): only the HF reference was run.")
    if "cpu-standin" in devices:
        lines.append("- Evaluated on the CPU stand-in for TTNN, not on a card.")
    seeds = sorted({str(data["seed"]) for data in found.values() if data.get("seed")})
    if seeds:
        lines.append(f"- Evaluated along windows of seed {', '.join(seeds)}, drawn after codex had finished.")
    else:
        lines.append(
            "- **Along windows that codex knew, and in the scorer's own sandbox**: this repo's harness is older than "
            "secret seeds and walls around the model. `ytfsm init-models` writes one that has both."
        )
    for key, data in found.items():
        lines += [
            f"- **Suspect** ({key}): {one}. A position that is off by one shows in little else."
            for one in metrics.suspicions(data)
        ]
    for attempt in run.attempts():
        if attempt.get("tampered"):
            lines.append(
                f"- Attempt {attempt['n']} changed files of the harness, which were restored before the check: "
                + ", ".join(f"`{path}`" for path in attempt["tampered"])
            )
    return lines
