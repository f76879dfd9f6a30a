"""Writes the trained model as a Hugging Face folder, half precision: export.py RECIPE MODEL CHECKPOINT OUT

MODEL is the folder whose vocabulary and tokenizer it has."""
import json, shutil, sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import Bert


def main():
    recipe, folder, checkpoint, out = json.loads(Path(sys.argv[1]).read_text()), *map(Path, sys.argv[2:5])
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    shape = recipe["shape"]
    model = Bert(len(vocabulary), **shape)
    model.load_state_dict(torch.load(checkpoint)["model"])
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to(torch.float16).contiguous().clone() for name, tensor in model.hugging_face().items()}
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"num_hidden_layers": shape["layers"], "hidden_size": shape["hidden"], "num_attention_heads": shape["heads"],
               "intermediate_size": shape["ffn"], "max_position_embeddings": shape["positions"]}
    (out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(folder / name, out / name)


if __name__ == "__main__":
    main()
