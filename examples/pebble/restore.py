"""Turns pebble's GGUFs back into a checkpoint folder in float32, to be trained further:

    examples/pebble/python examples/pebble/restore.py models/pebble OUT

Q8_0 costs a little of what was learnt; the first steps of training win it back.
"""
import argparse
import pathlib
import shutil
import sys

import gguf
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from pebble import checkpoint  # noqa: E402
from pebble.media import PATCH  # noqa: E402

CHANNELS = 3

LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TEXT, VISION = "model.language_model.", "model.vision_embedder."
OTHER = {
    "token_embd.weight": TEXT + "embed_tokens.weight", "output_norm.weight": TEXT + "norm.weight",
    "v.patch_norm.1.weight": VISION + "patch_ln1.weight", "v.patch_norm.1.bias": VISION + "patch_ln1.bias",
    "v.patch_embd.weight": VISION + "patch_dense.weight", "v.patch_embd.bias": VISION + "patch_dense.bias",
    "v.patch_norm.2.weight": VISION + "patch_ln2.weight", "v.patch_norm.2.bias": VISION + "patch_ln2.bias",
    "v.position_embd.weight": VISION + "pos_embedding",
    "v.patch_norm.3.weight": VISION + "pos_norm.weight", "v.patch_norm.3.bias": VISION + "pos_norm.bias",
    "mm.input_projection.weight": "model.embed_vision.embedding_projection.weight",
    "mm.a.input_projection.weight": "model.embed_audio.embedding_projection.weight",
}
# Of a patch's numbers a GGUF has all of one colour first, a checkpoint all of one pixel.
BY_COLOUR = {"v.patch_norm.1.weight", "v.patch_norm.1.bias", "v.patch_embd.weight"}


def checkpoint_name(name: str):
    """None: a tensor that follows from the configuration."""
    if not name.startswith("blk."):
        return OTHER.get(name)
    _, layer, part, *_ = name.split(".")
    if part == "layer_output_scale":
        return f"{TEXT}layers.{layer}.layer_scalar"
    return f"{TEXT}layers.{layer}.{LAYER[part]}.weight" if part in LAYER else None


def tensors(path: pathlib.Path) -> dict:
    out = {}
    for tensor in gguf.GGUFReader(path).tensors:
        name = checkpoint_name(tensor.name)
        if name is None:
            continue
        value = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        value = value.reshape([int(n) for n in tensor.shape[::-1]])
        if tensor.name in BY_COLOUR:
            value = value.reshape(*value.shape[:-1] if value.ndim > 1 else (), CHANNELS, PATCH * PATCH)
            value = np.swapaxes(value, -1, -2).reshape(*value.shape[:-2], -1)
        if tensor.name == "v.position_embd.weight":
            value = value.swapaxes(0, 1)
        out[name] = np.ascontiguousarray(value)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path, help="folder with the GGUF and its mmproj*.gguf")
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    values = {}
    for path in sorted(args.models.glob("*.gguf")):
        if not any(word in path.name for word in ("assistant", "draft")):
            values |= tensors(path)
    args.out.mkdir(parents=True, exist_ok=True)
    for file in (HERE / "config").iterdir():
        shutil.copy(file, args.out)
    checkpoint.save(args.out / "model.safetensors", values)


if __name__ == "__main__":
    main()
