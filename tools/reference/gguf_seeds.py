#!/usr/bin/env python3
"""Whole little models as GGUF files, for the fuzzer to start from.

    python tools/reference/gguf_seeds.py [--out tests/fuzz/seeds/gguf]

llama.gguf   one layer, width 4, rope_freqs, a "llama" vocabulary of 8 tokens with scores
qwen2.gguf   one layer, biases, tied, a "gpt2" vocabulary with a merge
quant.gguf   width 32, matrices in Q8_0 and Q4_0
"""
import argparse
from pathlib import Path

import gguf
import numpy as np

from fixture_io import ROOT, make_readable


def sizes(w, width, ff):
    w.add_block_count(1)
    w.add_context_length(8)
    w.add_embedding_length(width)
    w.add_feed_forward_length(ff)
    w.add_head_count(2)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-5)


def weights(w, rng, width, ff, vocab, quantised=None):
    def put(name, *shape):
        data = rng.normal(size=shape).astype(np.float32)
        if quantised and len(shape) == 2:
            kind = quantised.pop(0) if len(quantised) > 1 else quantised[0]
            w.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, data)

    put("token_embd.weight", vocab, width)
    put("output_norm.weight", width)
    put("blk.0.attn_norm.weight", width)
    put("blk.0.ffn_norm.weight", width)
    put("blk.0.attn_q.weight", width, width)
    put("blk.0.attn_k.weight", width // 2, width)
    put("blk.0.attn_v.weight", width // 2, width)
    put("blk.0.attn_output.weight", width, width)
    put("blk.0.ffn_gate.weight", ff, width)
    put("blk.0.ffn_up.weight", ff, width)
    put("blk.0.ffn_down.weight", width, ff)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(ROOT / "tests" / "fuzz" / "seeds" / "gguf"))
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)

    w = gguf.GGUFWriter(out / "llama.gguf", "llama")
    sizes(w, 4, 6)
    w.add_tokenizer_model("llama")
    w.add_token_list(["<unk>", "<s>", "</s>", "<0x41>", "\u2581", "a", "b", "\u2581a"])
    w.add_token_scores([0.0, 0.0, 0.0, 0.0, -2.0, -3.0, -4.0, -1.0])
    w.add_token_types([2, 3, 3, 6, 1, 1, 1, 1])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    weights(w, rng, 4, 6, 8)
    w.add_tensor("rope_freqs.weight", np.array([2.0], dtype=np.float32))
    w.add_tensor("output.weight", rng.normal(size=(8, 4)).astype(np.float32))
    finish(w)

    w = gguf.GGUFWriter(out / "qwen2.gguf", "qwen2")
    sizes(w, 4, 6)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(["a", "b", "\u0120", "ab", "<|end|>"])
    w.add_token_types([1, 1, 1, 1, 3])
    w.add_token_merges(["a b"])
    w.add_eos_token_id(4)
    weights(w, rng, 4, 6, 5)
    for name, n in (("q", 4), ("k", 2), ("v", 2)):
        w.add_tensor(f"blk.0.attn_{name}.bias", rng.normal(size=n).astype(np.float32))
    finish(w)

    kinds = gguf.GGMLQuantizationType
    w = gguf.GGUFWriter(out / "quant.gguf", "llama")
    sizes(w, 32, 32)
    weights(w, rng, 32, 32, 3, [kinds.Q8_0, kinds.Q4_0])
    finish(w)
    for path in sorted(out.iterdir()):
        make_readable(path)
        print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
