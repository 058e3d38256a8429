"""Gives a checkpoint features of patches to begin with: half of them what it has, half of them principal components of drawn
patches, each as strong as the others.

    examples/pebble/python examples/pebble/patch_features.py CHECKPOINT OUT

Of what the patch layer sees, the colour is nearly all and the form next to nothing: what tells one letter from another is 6 % of the
variance behind a layer that has learnt colours, and a classifier on top of it needs eight times the examples. The layer's
weights are made large as well. A norm follows, so that nothing changes but the pace: a step of AdamW is as large for each of the
6912 inputs as for one of 256, and would turn the features over every few steps.
"""
import argparse
import json
import pathlib
import random
import string
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from pebble import checkpoint, reading, scenes, words  # noqa: E402
from pebble.media import PATCH  # noqa: E402
from pebble.split import TRAIN  # noqa: E402

VISION = "model.vision_embedder."
PROJECTION = "model.embed_vision.embedding_projection.weight"
FEATURES = 512
EVEN = 64  # components beyond this one stay weaker than the others
SLOWER = 100
PART = 0.6  # of what the old features give the decoder, to begin with


def norm(x, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def patches(picture) -> np.ndarray:
    """Those with something in them."""
    pixels = np.asarray(picture, np.float32) / 255
    rows, columns = pixels.shape[0] // PATCH, pixels.shape[1] // PATCH
    cut = pixels.reshape(rows, PATCH, columns, PATCH, 3).swapaxes(1, 2).reshape(rows * columns, -1)
    return cut[cut.reshape(len(cut), -1, 3).std(1).max(1) > 0.01]


def drawn(rng, each) -> np.ndarray:
    """`each` patches of each kind of picture that the skills show."""
    def line(n):
        return "".join(rng.choices(string.ascii_lowercase + string.ascii_uppercase, k=n))

    def things():
        return scenes.random_things(rng, rng.randint(3, 6), distinct=rng.random() < 0.5)

    typefaces = reading.fonts(TRAIN)
    kinds = [
        lambda: reading.paint_spaced(rng, [line(11) for _ in range(6)], rng.choice(typefaces)),
        lambda: reading.paint_running(rng, [rng.choice(words.WRITTEN) for _ in range(6)], (528, 288), rng.choice(typefaces)),
        lambda: scenes.paint_things(rng, things()),
        lambda: scenes.paint_things(rng, things(), free=True),
        lambda: scenes.paint_tiles(rng, things()[:2], "left"),
    ]
    out = []
    for kind in kinds:
        found = np.empty((0, PATCH * PATCH * 3), np.float32)
        while len(found) < each:
            found = np.concatenate([found, patches(kind())])
        out.append(found[:each])
    return np.concatenate(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=800, help="patches of each kind of picture that the components are of")
    args = parser.parse_args()
    if args.each < 100:
        parser.error("--each: 256 components need 100 patches of each kind, or more")
    values = checkpoint.load(args.checkpoint / "model.safetensors")
    old = FEATURES // 2
    v = {name: values[VISION + name] for name in ("patch_ln1.weight", "patch_ln1.bias", "patch_dense.weight", "patch_dense.bias",
                                                  "patch_ln2.weight", "patch_ln2.bias", "pos_embedding", "pos_norm.weight",
                                                  "pos_norm.bias")}
    rng = np.random.default_rng(args.seed)
    seen = norm(drawn(random.Random(args.seed), args.each)) * v["patch_ln1.weight"] + v["patch_ln1.bias"]
    dense, bias = v["patch_dense.weight"][:old], v["patch_dense.bias"][:old]
    was = seen @ dense.T + bias

    _, size, parts = np.linalg.svd(seen - seen.mean(0), full_matrices=False)
    variance = size**2 / len(seen)
    fresh = parts[:FEATURES - old] / np.sqrt(variance[:FEATURES - old, None] + variance[EVEN])
    given = seen @ fresh.T
    fresh *= np.sqrt((was**2).mean() / (given**2).mean())

    def more(name, fill):
        kept = v[name][..., :old]
        shape = (*kept.shape[:-1], FEATURES - old)
        values[VISION + name] = np.concatenate([kept, fill(kept, shape).astype(np.float32)], -1)

    values[VISION + "patch_dense.weight"] = (np.concatenate([dense, fresh]) * SLOWER).astype(np.float32)
    values[VISION + "patch_dense.bias"] = (np.concatenate([bias, np.zeros(FEATURES - old)]) * SLOWER).astype(np.float32)
    more("patch_ln2.weight", lambda kept, shape: np.full(shape, np.abs(kept).mean()))
    more("patch_ln2.bias", lambda kept, shape: np.zeros(shape))
    more("pos_embedding", lambda kept, shape: np.zeros(shape))
    more("pos_norm.weight", lambda kept, shape: np.full(shape, np.abs(kept).mean()))
    more("pos_norm.bias", lambda kept, shape: np.zeros(shape))
    projection = values[PROJECTION][:, :old]
    values[PROJECTION] = np.concatenate([projection, rng.normal(0, PART * projection.std(), (len(projection), FEATURES - old))],
                                        -1).astype(np.float32)

    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint.copy_rest(args.checkpoint, args.out)
    config = json.loads((args.out / "config.json").read_text())
    config["vision_config"] |= {"mm_embed_dim": FEATURES, "output_proj_dims": FEATURES}
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    checkpoint.save(args.out / "model.safetensors", values)


if __name__ == "__main__":
    main()
