#!/usr/bin/env python3
"""Writes tests/reference/quant: rows of every quantised type, encoded and decoded by the `gguf` package (pip install gguf).

NAME.bin holds encoded rows, NAME.f32 what they decode to; input.f32 holds the rows that were encoded. The package cannot
encode the K types, so their rows are random bytes with finite scales.
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

OUT = pathlib.Path(__file__).resolve().parent.parent / "reference" / "quant"
ROWS, COLS = 6, 256


def inputs(rng):
    x = rng.standard_normal((ROWS, COLS)).astype(np.float32) * 0.05
    x[1] *= rng.uniform(0, 4, COLS).astype(np.float32) ** 3  # outliers
    x[2, :96] = 0  # whole blocks of zeros
    x[3] = np.abs(x[3]) + 0.25  # one sign
    x[4] *= 1e-5
    x[5, 0::32], x[5, 1::32] = 1, -1  # ties of the largest magnitude
    return x


def k_rows(rng, kind):
    block, size = {T.Q4_K: (256, 144), T.Q5_K: (256, 176), T.Q6_K: (256, 210)}[kind]
    raw = rng.integers(0, 256, (ROWS, COLS // block * size), dtype=np.uint8)
    scale = (rng.uniform(0.001, 0.02, ROWS)).astype(np.float16)
    minimum = (rng.uniform(0.001, 0.02, ROWS)).astype(np.float16)
    if kind == T.Q6_K:
        raw[:, 208:210] = scale.view(np.uint8).reshape(ROWS, 2)
    else:
        raw[:, 0:2] = scale.view(np.uint8).reshape(ROWS, 2)
        raw[:, 2:4] = minimum.view(np.uint8).reshape(ROWS, 2)
    return raw


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    x = inputs(rng)
    (OUT / "input.f32").write_bytes(x.tobytes())
    for kind in (T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K):
        raw = k_rows(rng, kind) if kind.name.endswith("_K") else quants.quantize(x, kind)
        back = quants.dequantize(raw, kind).astype(np.float32)
        (OUT / f"{kind.name.lower()}.bin").write_bytes(np.ascontiguousarray(raw).tobytes())
        (OUT / f"{kind.name.lower()}.f32").write_bytes(np.ascontiguousarray(back).tobytes())


if __name__ == "__main__":
    main()
