#!/usr/bin/env python3
"""A GGUF file as the gguf package writes it: every type of metadata and every type of tensor this program reads.

    python tools/reference/gguf_reference.py [--out tests/fixtures/gguf]

types.gguf      test.<type> holds 3 (or -3, 0.1, true, a text) in every value type, test.array.<type> arrays;
                a tensor of every type, [2, 256], made of the numbers i / 100 - 2 by the package's quantisers where it has
                them (Q4_0 ... Q8_0, F16, BF16), else of bytes i * 7 + 3
v2.gguf         the same little file in version 2, with an alignment of 64
"""
import argparse
import struct
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from fixture_io import FIXTURES, make_readable

TENSORS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def add_values(w):
    w.add_uint8("test.u8", 200)
    w.add_int8("test.i8", -3)
    w.add_uint16("test.u16", 60000)
    w.add_int16("test.i16", -30000)
    w.add_uint32("test.u32", 4000000000)
    w.add_int32("test.i32", -2000000000)
    w.add_uint64("test.u64", 1 << 40)
    w.add_int64("test.i64", -(1 << 40))
    w.add_float32("test.f32", 0.1)
    w.add_float64("test.f64", 0.1)
    w.add_bool("test.bool", True)
    w.add_string("test.text", "Grüße, 世界")
    w.add_array("test.array.texts", ["a", "", "ccc", "é"])
    w.add_array("test.array.reals", [0.5, -1.5, 3.0])
    w.add_array("test.array.wholes", [1, -2, 3])


def tensor(name):
    kind = GGMLQuantizationType[name]
    block, size = GGML_QUANT_SIZES[kind]
    numbers = (np.arange(512, dtype=np.float32) / 100 - 2).reshape(2, 256)
    if name.endswith("_K"):
        return (np.arange(512 // block * size) * 7 + 3).astype(np.uint8).reshape(2, -1), kind
    return gguf.quants.quantize(numbers, kind), kind


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(FIXTURES / "gguf"))
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(out / "types.gguf", "test")
    add_values(w)
    for name in TENSORS:
        data, kind = tensor(name)
        w.add_tensor(name.lower(), data, raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    w = gguf.GGUFWriter(out / "v2.gguf", "test")
    w.add_custom_alignment(64)
    w.add_tensor("a", np.arange(3, dtype=np.float32))
    w.add_tensor("b", np.arange(8, dtype=np.float16).reshape(2, 4))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    data = bytearray((out / "v2.gguf").read_bytes())
    data[4:8] = struct.pack("<I", 2)  # version 2 differs from 3 in nothing but this (3 allows big-endian)
    (out / "v2.gguf").write_bytes(data)
    for name in ("types.gguf", "v2.gguf"):
        make_readable(out / name)
        print(name, (out / name).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
