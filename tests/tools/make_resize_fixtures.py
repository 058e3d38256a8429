"""Writes tests/media/fixtures/resize.json: random sizes and hashes of what torchvision resizes them to.

    python make_resize_fixtures.py [--count N] [--seed S]

Needs torch and torchvision. Pictures are made from a seed by a counter-based generator that the test has too, so that only
hashes (FNV-1a, 64 bits) are kept.
"""
import argparse, json, pathlib, random
import numpy as np, torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


def noise(seed, count):
    """splitmix64 at positions seed * 2^32 + i, the highest byte."""
    z = np.arange(count, dtype=np.uint64) + np.uint64(seed << 32)
    with np.errstate(over="ignore"):
        z = z * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.uint8)


def picture(kind, seed, width, height):
    values = noise(seed, width * height * 3)
    if kind == "extremes":      # black and white only: rounding and clamping at their hardest
        values = np.where(values > 127, 255, 0).astype(np.uint8)
    if kind == "ramp":
        values = (np.arange(values.size) // 3 * 255 // max(width * height - 1, 1)).astype(np.uint8)
    return values.reshape(height, width, 3)


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng, cases = random.Random(args.seed), []
    for i in range(args.count):
        side = lambda: rng.choice([rng.randint(1, 8), rng.randint(1, 120), rng.randint(1, 700)])
        width, height = side(), side()
        to = [48 * rng.randint(1, 6) if rng.random() < 0.7 else rng.randint(1, 400) for _ in range(2)]
        kind = rng.choice(["noise", "extremes", "ramp"])
        source = torch.from_numpy(picture(kind, i, width, height)).permute(2, 0, 1)
        out = F.resize(source, [to[1], to[0]], interpolation=InterpolationMode.BICUBIC, antialias=True)
        cases.append(dict(kind=kind, seed=i, width=width, height=height, to_width=to[0], to_height=to[1],
                          hash=fnv1a(out.permute(1, 2, 0).contiguous().numpy().tobytes())))
    out = pathlib.Path(__file__).parents[1] / "media" / "fixtures" / "resize.json"
    out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
