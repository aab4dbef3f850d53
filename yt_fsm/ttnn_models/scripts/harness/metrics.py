"""The metrics line, and the same metrics through the private file."""

import json
import os
import pathlib


def publish(found, asked, channel):
    """Print `YT_METRICS=<json>` as the last line; write {"nonce", "metrics"} to the private file when there is one."""
    complete = {
        **found,
        "mode": asked.mode,
        "trace": asked.trace,
        "model": asked.hf_model,
        "revision": asked.revision,
        "system": asked.system,
        "prefill_len": asked.prefill_len,
        "decode_len": asked.decode_len,
        "batch": asked.batch,
        "seed": asked.seed,
        "harness": asked.harness,
    }
    path, nonce, _ = channel
    if nonce is not None:
        complete["nonce"] = nonce
    line = json.dumps(complete, allow_nan=False, sort_keys=True)
    if path is not None:
        target = pathlib.Path(path)
        draft = target.with_name(target.name + ".part")
        draft.write_text(json.dumps({"nonce": nonce, "metrics": complete}, allow_nan=False))
        os.replace(draft, target)
    print(f"YT_METRICS={line}", flush=True)
