#!/usr/bin/env python3
"""Quantised blocks and what they stand for, by the reference codec `gguf.quants` of the gguf package.

    python tools/reference/quants.py [--out tests/fixtures/quants.safetensors]

<type>.blocks   u8 [n, bytes per block]: random blocks of every type; the first ones hold the extremes of the scales
<type>.values   f32 [n, numbers per block]: what they decode to
input           f32 [64, 32]: rows to quantise: normal numbers of several sizes, zeros, ties, one spike, all equal
<type>.packed   u8 [64, bytes per block]: the rows in each type that the codec can write (those of 32 numbers)
"""
import argparse

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import save_file

from fixture_io import FIXTURES, make_readable

TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# where the binary16 scales of a block are, in bytes
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
# largest, smallest normal, smallest and largest subnormal, zeros, one that is no power of two; with both signs
EXTREMES = [0x7BFF, 0xFBFF, 0x0400, 0x8400, 0x0001, 0x8001, 0x03FF, 0x0000, 0x8000, 0x2E66]


def random_blocks(rng, name):
    numbers, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    n = 24 if numbers == 32 else 12
    blocks = rng.integers(0, 256, size=(n, size), dtype=np.uint8)
    for at in SCALES[name]:
        scales = (rng.normal(size=n) * 0.01).astype(np.float16).view(np.uint16)
        scales[:len(EXTREMES)] = rng.permutation(EXTREMES)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(n, 2)
    return blocks


def rows_to_quantise(rng):
    rows = rng.normal(size=(64, 32)).astype(np.float32)
    rows[:16] *= np.float32(10.0) ** rng.integers(-4, 4, size=(16, 1)).astype(np.float32)
    rows[16] = 0
    rows[17] = 1
    rows[18] = -0.0
    rows[19] = np.arange(32) - 16           # exact in five and eight bits
    rows[20] = (np.arange(32) - 16) / 2     # ties for four
    rows[21] = 0
    rows[21, 7] = -3
    rows[22] = np.abs(rows[22])
    rows[23] = -np.abs(rows[23])
    rows[24, 3] = rows[24, 9] = np.abs(rows[24]).max() * 2  # the largest twice, and with the other sign
    rows[24, 20] = -rows[24, 3]
    rows[25] *= np.float32(1e-7)            # scales that are subnormal halves
    rows[26] *= np.float32(3e4)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(FIXTURES / "quants.safetensors"))
    out = parser.parse_args().out
    rng = np.random.default_rng(20240610)
    tensors = {"input": rows_to_quantise(rng)}
    for name in TYPES:
        kind = GGMLQuantizationType[name]
        blocks = random_blocks(rng, name)
        tensors[f"{name.lower()}.blocks"] = blocks
        tensors[f"{name.lower()}.values"] = gguf.quants.dequantize(blocks, kind)
        if GGML_QUANT_SIZES[kind][0] == 32:
            tensors[f"{name.lower()}.packed"] = gguf.quants.quantize(tensors["input"], kind)
    assert all(np.isfinite(t).all() for t in tensors.values())
    save_file({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, out)
    make_readable(out)


if __name__ == "__main__":
    main()
