#!/usr/bin/env python3
"""Values and gradients of families of bridges, computed by implementations that are not ours.

    python tools/reference/family_reference.py [--out tests/fixtures/bridge]

qformer.safetensors        Blip2QFormerModel of transformers (BLIP-2: post-norm, cross-attention in every other block)
transformer.safetensors    torch.nn.TransformerEncoder (pre-norm, GELU) over each text's states and queries end to end
weighted_pool.safetensors  PyTorch's softmax and einsum, on the states of three layers: whitened each by itself, mixed by
                           the softmax of learned weights

Each holds
    hidden [6, ...], offsets i32 [3]       two sequences, of 4 and 2 hidden states, end to end
    <parameter>                            under the names of src/bridge/<family>.c
    output [2 * M, d_R]                    the soft tokens, sequence after sequence
    output_grad [2 * M, d_R]               the upstream gradient: the loss is sum(output * output_grad)
    grad.<name>                            its gradient for each parameter and `hidden`

Everything is computed in float64 from inputs that are exact in float32, then rounded once to float32. The first two have
no normaliser; the last step of all is the bridge's own: each soft token gets the root mean square `scale`.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from fixture_io import FIXTURES, save_tensors

D_S, D_B, D_R, HEADS, M, FFN = 6, 8, 7, 2, 3, 16
OFFSETS = (0, 4, 6)
LN_EPS, RMS_EPS = 1e-5, 1e-6
TAPS = 3


def leaf(normal, shape, std, mean=0.0):
    return normal(shape, std, mean).requires_grad_(True)


def way_out(p, y):
    return p["scale"] * y / torch.sqrt(y.square().mean(-1, keepdim=True) + RMS_EPS)


def linear(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def norm(p, name, x):
    return nn.functional.layer_norm(x, (x.shape[-1],), p[f"{name}.weight"], p[f"{name}.bias"], LN_EPS)


def fill(module, names, normal):
    """Draws the module's parameters; `names` maps theirs to ours. Returns them under our names."""
    own, given = {}, dict(module.named_parameters())
    assert len(set(names.values())) == len(names)
    with torch.no_grad():
        for theirs, ours in sorted(names.items()):
            parameter = given.pop(theirs)
            gain = ours.endswith("weight") and parameter.dim() == 1
            fan_in = parameter.shape[-1] if parameter.dim() == 2 else 1
            std = 0.3 if parameter.dim() == 1 else 1.5 / fan_in ** 0.5
            parameter.copy_(normal(tuple(parameter.shape), std, 1.0 if gain else 0.0))
            own[ours] = parameter
    assert not given, f"not named: {sorted(given)}"
    return own


def split_qkv(tensors):
    """torch keeps the three projections of an attention in one matrix; we keep them apart."""
    out = {}
    for name, tensor in tensors.items():
        if ".qkv." in name:
            out.update({name.replace("qkv", letter): part for letter, part in zip("qkv", tensor.chunk(3))})
        else:
            out[name] = tensor
    return out


def save(path, p, hidden, forward, normal, constants):
    output = torch.cat([forward(hidden[a:b]) for a, b in zip(OFFSETS[:-1], OFFSETS[1:])])
    output_grad = normal(tuple(output.shape), 1.0)
    leaves = {**p, "hidden": hidden}
    grads = torch.autograd.grad((output * output_grad).sum(), list(leaves.values()))
    tensors = {**leaves, "offsets": np.array(OFFSETS), "output": output, "output_grad": output_grad}
    tensors.update({f"grad.{name}": grad for name, grad in zip(leaves, grads)})
    save_tensors(path, split_qkv(tensors), constants)


def make_qformer(path, normal):
    depth = 3
    config = Blip2QFormerConfig(hidden_size=D_B, num_hidden_layers=depth, num_attention_heads=HEADS, hidden_act="gelu",
                                intermediate_size=FFN, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                                layer_norm_eps=LN_EPS, cross_attention_frequency=2, encoder_hidden_size=D_S,
                                use_qformer_text_input=False)
    config._attn_implementation = "eager"
    model = Blip2QFormerModel(config).double().eval()
    names = {"layernorm": "query_norm"}
    for i in range(depth):
        theirs, ours = f"encoder.layer.{i}", f"blocks.{i}"
        for kind, part in (("attention", "self"), ("crossattention", "cross")):
            if part == "cross" and i % 2:
                continue
            for matrix, letter in (("query", "q"), ("key", "k"), ("value", "v")):
                names[f"{theirs}.{kind}.attention.{matrix}"] = f"{ours}.{part}.{letter}"
            names[f"{theirs}.{kind}.output.dense"] = f"{ours}.{part}.o"
            names[f"{theirs}.{kind}.output.LayerNorm"] = f"{ours}.{part}.norm"
        names[f"{theirs}.intermediate_query.dense"] = f"{ours}.ffn.up"
        names[f"{theirs}.output_query.dense"] = f"{ours}.ffn.down"
        names[f"{theirs}.output_query.LayerNorm"] = f"{ours}.ffn.norm"
    p = fill(model, {f"{t}.{kind}": f"{o}.{kind}" for t, o in names.items() for kind in ("weight", "bias")}, normal)
    p.update({"queries": leaf(normal, (M, D_B), 0.5), "output_proj.weight": leaf(normal, (D_R, D_B), 0.5),
              "output_proj.bias": leaf(normal, (D_R,), 0.3), "scale": leaf(normal, (1,), 0.0, 0.75)})

    def forward(states):
        x = model(query_embeds=p["queries"][None], encoder_hidden_states=states[None]).last_hidden_state[0]
        return way_out(p, linear(p, "output_proj", x))

    save(path, p, leaf(normal, (OFFSETS[-1], D_S), 1.5, 0.2), forward, normal, {"depth": depth, "heads": HEADS})


def make_transformer(path, normal):
    depth = 2
    layer = nn.TransformerEncoderLayer(D_B, HEADS, FFN, dropout=0.0, activation="gelu", layer_norm_eps=LN_EPS,
                                       batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False).double().train()
    p, fused = {}, {}
    for i in range(depth):
        theirs, ours = model.layers[i], f"blocks.{i}"
        parts = {"self.norm": theirs.norm1, "ffn.norm": theirs.norm2, "ffn.up": theirs.linear1,
                 "ffn.down": theirs.linear2, "self.o": theirs.self_attn.out_proj}
        for part, module in parts.items():
            own = fill(module, {"weight": f"{ours}.{part}.weight", "bias": f"{ours}.{part}.bias"}, normal)
            p.update(own)
        with torch.no_grad():
            attention = theirs.self_attn
            attention.in_proj_weight.copy_(normal((3 * D_B, D_B), 1.5 / D_B ** 0.5))
            attention.in_proj_bias.copy_(normal((3 * D_B,), 0.3))
        fused[f"{ours}.self"] = attention
    p.update({"queries": leaf(normal, (M, D_B), 0.5), "input_proj.weight": leaf(normal, (D_B, D_S), 0.5),
              "input_proj.bias": leaf(normal, (D_B,), 0.3), "final_norm.weight": leaf(normal, (D_B,), 0.3, 1.0),
              "final_norm.bias": leaf(normal, (D_B,), 0.3), "output_proj.weight": leaf(normal, (D_R, D_B), 0.5),
              "output_proj.bias": leaf(normal, (D_R,), 0.3), "scale": leaf(normal, (1,), 0.0, 0.75)})
    for name, attention in fused.items():
        p[f"{name}.qkv.weight"], p[f"{name}.qkv.bias"] = attention.in_proj_weight, attention.in_proj_bias

    def forward(states):
        x = torch.cat([linear(p, "input_proj", states), p["queries"]])
        x = model(x[None])[0, -M:]
        return way_out(p, linear(p, "output_proj", norm(p, "final_norm", x)))

    save(path, p, leaf(normal, (OFFSETS[-1], D_S), 1.5, 0.2), forward, normal, {"depth": depth, "heads": HEADS})


def make_weighted_pool(path, normal):
    p = {"scores": leaf(normal, (M, D_S), 0.8), "output_proj.weight": leaf(normal, (D_R, D_S), 0.5),
         "output_proj.bias": leaf(normal, (D_R,), 0.3), "layer_mix": leaf(normal, (TAPS,), 0.7),
         "scale": leaf(normal, (1,), 0.0, 0.75), "source_mean": leaf(normal, (TAPS * D_S,), 0.5),
         "source_std": leaf(normal, (TAPS * D_S,), 0.2, 1.5), "target_mean": leaf(normal, (D_R,), 0.2),
         "target_std": leaf(normal, (D_R,), 0.1, 0.5)}

    def forward(states):
        z = ((states - p["source_mean"]) / p["source_std"]).view(len(states), TAPS, D_S)
        x = torch.einsum("l,tld->td", torch.softmax(p["layer_mix"], 0), z)
        pooled = torch.softmax(p["scores"] @ x.T, dim=1) @ x
        return way_out(p, linear(p, "output_proj", pooled) * p["target_std"] + p["target_mean"])

    save(path, p, leaf(normal, (OFFSETS[-1], TAPS * D_S), 1.5, 0.2), forward, normal, {"taps": TAPS})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    args = parser.parse_args()
    torch.set_num_threads(1)

    def stream(seed):
        rng = np.random.default_rng(seed)

        def normal(shape, std, mean=0.0):  # rounded to f32, held as f64
            return torch.from_numpy((mean + std * rng.standard_normal(shape)).astype(np.float32).astype(np.float64))
        return normal

    make_qformer(args.out / "qformer.safetensors", stream(51))
    make_transformer(args.out / "transformer.safetensors", stream(52))
    make_weighted_pool(args.out / "weighted_pool.safetensors", stream(53))


if __name__ == "__main__":
    main()
