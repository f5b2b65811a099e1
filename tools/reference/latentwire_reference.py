#!/usr/bin/env python3
"""Values and gradients of LatentWire's encoders and adapters, computed by PyTorch.

    python tools/reference/latentwire_reference.py [--out tests/fixtures/bridge]

latentwire.safetensors
    simple.*   the encoder on a sentence's embedding, with tanh adapters
    bytes.*    the encoder over bytes, with MLP adapters
  each with
    rows [n, d_source] or ids i32 [n_total], offsets i32 [n + 1]      what the encoder reads
    p.<parameter>                          every learned tensor, under the names of src/latentwire
    c.<constant>                           the frozen ones: statistics of the embeddings, RMS of the receivers
    z [n * rows, d_z]                      the latent
    soft.{i} [n * M, d_i]                  receiver i's soft tokens
    soft_grad.{i}                          the upstream gradients: the loss is the sum of soft.i * soft_grad.i, plus
                                           0.05 times the sum of (s_i - 1)^2 where the adapters have a scale
    grad.<parameter>                       its gradient for each learned tensor

Computed in float64 from inputs that are exact in float32, then rounded once. What it is there to catch: the order of
shared and private rows, which numbers the calibration takes the RMS of, where the skip path begins, the factor 3 in and
out of the tanh, positions that run on from text to text, and queries that read another text's bytes.
"""
import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from fixture_io import FIXTURES, save_tensors

D_SOURCE, D_Z, D_B, HEADS, DEPTH, FFN = 7, 8, 6, 2, 2, 2
SHARED, PRIVATE, WIDTHS, HIDDEN = 3, 1, (5, 9), 10
ROWS = SHARED + PRIVATE * len(WIDTHS)
TEXTS = (b"Hi there", b"no", b"\xc3\xa9t\xc3\xa9 2")
MAX_BYTES = 6


class Numbers:
    """Draws float32 numbers, kept as float64; learned ones are remembered by name."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.learned = {}

    def draw(self, shape, std, mean=0.0):
        x = torch.randn(shape, generator=self.generator, dtype=torch.float64) * std + mean
        return x.float().double()

    def learn(self, name, shape, std, mean=0.0):
        self.learned[name] = self.draw(shape, std, mean).requires_grad_()
        return self.learned[name]

    def linear(self, name, d_out, d_in, bias=True):
        layer = [self.learn(f"{name}.weight", (d_out, d_in), 1.2 / d_in ** 0.5)]
        if bias:
            layer.append(self.learn(f"{name}.bias", (d_out,), 0.3))
        return lambda x: F.linear(x, *layer)

    def norm(self, name, d):
        gain, bias = self.learn(f"{name}.weight", (d,), 0.3, 1.0), self.learn(f"{name}.bias", (d,), 0.3)
        return lambda x: F.layer_norm(x, (d,), gain, bias, 1e-5)

    def attention(self, name, d):
        q, k, v, o = (self.linear(f"{name}.{part}", d, d, bias=False) for part in "qkvo")

        def heads(x):
            return x.view(len(x), HEADS, d // HEADS).transpose(0, 1)

        def apply(x, context):
            read = F.scaled_dot_product_attention(heads(q(x)), heads(k(context)), heads(v(context)))
            return o(read.transpose(0, 1).reshape(len(x), d))
        return apply


def simple_encoder(n):
    mean, std = n.draw((D_SOURCE,), 0.5), n.draw((D_SOURCE,), 0.1, 1.0)
    proj = n.linear("encoder.proj", D_Z, D_SOURCE)
    queries, norm = n.learn("encoder.queries", (ROWS, D_Z), 1.0), n.norm("encoder.norm", D_Z)
    rows = n.draw((len(TEXTS), D_SOURCE), 1.0)
    latents = [norm(proj((row - mean) / std) + queries) for row in rows]
    return latents, {"rows": rows, "c.encoder.mean": mean, "c.encoder.std": std}


def bytes_encoder(n):
    table = n.learn("encoder.bytes", (258, D_B), 0.5)
    positions = n.learn("encoder.positions", (MAX_BYTES + 2, D_B), 0.5)
    blocks = [(n.norm(f"encoder.blocks.{i}.norm", D_B), n.attention(f"encoder.blocks.{i}.attention", D_B),
               n.norm(f"encoder.blocks.{i}.ffn.norm", D_B),
               n.linear(f"encoder.blocks.{i}.ffn.up", D_B * FFN, D_B),
               n.linear(f"encoder.blocks.{i}.ffn.down", D_B, D_B * FFN)) for i in range(DEPTH)]
    final, proj = n.norm("encoder.final_norm", D_B), n.linear("encoder.proj", D_Z, D_B)
    queries, read = n.learn("encoder.queries", (ROWS, D_Z), 1.0), n.attention("encoder.read", D_Z)
    norm = n.norm("encoder.norm", D_Z)
    latents, ids, offsets = [], [], [0]
    for text in TEXTS:
        own = [256, *text[:MAX_BYTES], 257]
        ids += own
        offsets.append(len(ids))
        x = table[torch.tensor(own)] + positions[:len(own)]
        for pre, attention, pre_ffn, up, down in blocks:
            h = pre(x)
            x = x + attention(h, h)
            x = x + down(F.gelu(up(pre_ffn(x))))
        latents.append(norm(read(queries, proj(final(x)))))
    return latents, {"ids": torch.tensor(ids, dtype=torch.int32), "offsets": torch.tensor(offsets, dtype=torch.int32)}


def tanh_adapter(n, i, width):
    norm, map_ = n.norm(f"adapters.{i}.norm", D_Z), n.linear(f"adapters.{i}.map", width, D_Z, bias=False)
    scale = n.learn(f"adapters.{i}.scale", (1,), 0.2, 0.8)
    return lambda z: torch.tanh(3 * scale * map_(norm(z))) / 3, scale


def mlp_adapter(n, i, width):
    norm, skip = n.norm(f"adapters.{i}.norm", D_Z), n.linear(f"adapters.{i}.map", width, D_Z, bias=False)
    up, down = n.linear(f"adapters.{i}.up", HIDDEN, D_Z), n.linear(f"adapters.{i}.down", width, HIDDEN)
    return lambda z: skip(z) + down(F.gelu(up(norm(z)))), None


def case(name, seed, encoder, adapter):
    n = Numbers(seed)
    latents, out = encoder(n)
    loss = torch.zeros((), dtype=torch.float64)
    for i, width in enumerate(WIDTHS):
        apply, scale = adapter(n, i, width)
        rms = n.draw((1,), 0.01, 0.05)
        own = SHARED + i * PRIVATE
        packets = []
        for z in latents:
            packet = apply(torch.cat([z[:SHARED], z[own:own + PRIVATE]]))
            packets.append(packet * rms / packet.pow(2).mean().sqrt())
        soft = torch.cat(packets)
        upstream = n.draw(soft.shape, 1.0)
        loss = loss + (soft * upstream).sum()
        if scale is not None:
            loss = loss + 0.05 * ((scale - 1) ** 2).sum()
        out |= {f"soft.{i}": soft, f"soft_grad.{i}": upstream, f"c.adapters.{i}.rms": rms}
    loss.backward()
    out["z"] = torch.cat(latents)
    for key, value in n.learned.items():
        out[f"p.{key}"], out[f"grad.{key}"] = value, value.grad
    return {f"{name}.{key}": value for key, value in out.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    out = parser.parse_args().out
    tensors = case("simple", 1, simple_encoder, tanh_adapter) | case("bytes", 2, bytes_encoder, mlp_adapter)
    constants = {"heads": HEADS, "depth": DEPTH, "ffn_multiple": FFN, "shared": SHARED, "private": PRIVATE,
                 "hidden": HIDDEN, "max_bytes": MAX_BYTES}
    save_tensors(out / "latentwire.safetensors", tensors, constants)


if __name__ == "__main__":
    main()
