"""The mean of checkpoints that one training run has passed, each with a weight:

    examples/pebble/python examples/pebble/average.py OUT CHECKPOINT:WEIGHT CHECKPOINT:WEIGHT...

What each of them learnt last is partly luck, and different luck: their mean is better than any of them in nearly every skill
(Wortsman et al., Model soups, 2022). It works for checkpoints that began with the same weights, a few hundred steps ago.
"""
import argparse
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from pebble import checkpoint  # noqa: E402


def weighted(text: str):
    folder, colon, weight = text.rpartition(":")
    try:
        if colon and float(weight) > 0:
            return pathlib.Path(folder), float(weight)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected FOLDER:WEIGHT, a weight above 0, but got '{text}'")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("checkpoints", type=weighted, nargs="+", metavar="CHECKPOINT:WEIGHT")
    args = parser.parse_args()
    total = sum(weight for _, weight in args.checkpoints)
    mean = {}
    for folder, weight in args.checkpoints:
        values = checkpoint.load(folder / "model.safetensors")
        if mean and {k: v.shape for k, v in values.items()} != {k: v.shape for k, v in mean.items()}:
            raise SystemExit(f"{folder}: its tensors are not those of {args.checkpoints[0][0]}")
        for name, value in values.items():
            mean[name] = mean.get(name, 0) + value.astype(np.float64) * (weight / total)
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint.copy_rest(args.checkpoints[0][0], args.out)
    checkpoint.save(args.out / "model.safetensors", {name: value.astype(np.float32) for name, value in mean.items()})


if __name__ == "__main__":
    main()
