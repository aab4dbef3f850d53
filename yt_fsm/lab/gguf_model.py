"""Turn a GGUF file into a model folder as the Hub has it: `gguf_model.py FILE FOLDER`."""

import json
import sys
from pathlib import Path


def main(source: Path, folder: Path) -> None:
    """Write config, tokenizer and bf16 safetensors of the model in `source` to `folder`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    # The weights are plain numbers now; what still says "gguf" would make a later load look for a GGUF file.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)
    # transformers 5 nests what transformers 4 reads at the top level; with both, either loads it right.
    config = json.loads((folder / "config.json").read_text())
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
