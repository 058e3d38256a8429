"""Reads and writes the weights of a checkpoint in float32 (safetensors)."""
import json
import pathlib
import shutil

import numpy as np

BESIDE = ["config.json", "generation_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json",
          "chat_template.jinja"]


def copy_rest(folder: pathlib.Path, out: pathlib.Path):
    """What a checkpoint has beside its weights."""
    for name in BESIDE:
        if (folder / name).exists():
            shutil.copy(folder / name, out)


def load(path: pathlib.Path) -> dict:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        out = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            if entry["dtype"] != "F32":
                raise SystemExit(f"{path}: {name} is {entry['dtype']}, expected F32")
            out[name] = np.frombuffer(file.read(end - begin), np.float32).reshape(entry["shape"]).copy()
    return out


def save(path: pathlib.Path, values: dict):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, value in values.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in values.values():
            file.write(value.tobytes())
