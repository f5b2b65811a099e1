#!/usr/bin/env python3
"""Values and gradients of the bridge's resampler, of losses and of AdamW, computed by PyTorch.

    python tools/reference/op_reference.py [--out tests/fixtures/bridge]

Everything is computed in float64 from inputs that are exact in float32, then rounded once to float32, so that the
fixture's own rounding is negligible beside a float32 implementation's.

perceiver.safetensors
    hidden [10, d_S], offsets i32 [3]      two sequences, of 7 and 3 hidden states, end to end
    source_mean, source_std [d_S], target_mean, target_std [d_R]     the normaliser
    <parameter>                            under the names of `perceiver_parameters` below
    stage.context [10, d_b]                after the input projection
    stage.block.{i} [2 * M, d_b]           after block i
    output [2 * M, d_R]                    the soft tokens, sequence after sequence
    output_grad [2 * M, d_R]               the upstream gradient: the loss is sum(output * output_grad)
    grad.<name>                            its gradient for each parameter, `hidden`, and the normaliser's four vectors

losses.safetensors (scalars have shape [1])
    xent.{logits [7, 13], targets i32 [7], weights [7], loss, grad}    sum(w * ce) / sum(w); one weight is 0
    diversity.{soft_tokens [4, 3, 5], loss, grad}     mean cosine over the 12 ordered pairs of different examples
    adamw.{param, grads [3, 11], params [3, 11], m, v [3, 11]}    torch.optim.AdamW, decoupled decay, state after each
                                                      step

Constants (heads, eps, lr, ...) stand as JSON in the files' metadata, key "constants".
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fixture_io import FIXTURES, save_tensors

D_S, D_B, D_R, HEADS, M, DEPTH = 20, 24, 28, 3, 5, 2
LENGTHS = (7, 3)
LN_EPS, RMS_EPS = 1e-5, 1e-6
NORMALISER = ("source_mean", "source_std", "target_mean", "target_std")


def perceiver_parameters(normal):
    """Every learned tensor; `normal(shape, std, mean)` draws one. Weights are [out, in]."""
    p = {"queries": normal((M, D_B), 0.5)}

    def linear(name, d_out, d_in, bias):
        p[f"{name}.weight"] = normal((d_out, d_in), 1.5 / d_in ** 0.5)
        if bias:
            p[f"{name}.bias"] = normal((d_out,), 0.3)

    def norm(name):
        p[f"{name}.weight"] = normal((D_B,), 0.3, 1.0)
        p[f"{name}.bias"] = normal((D_B,), 0.3)

    linear("input_proj", D_B, D_S, bias=True)
    for i in range(DEPTH):
        norm(f"blocks.{i}.cross.norm_q")
        norm(f"blocks.{i}.cross.norm_kv")
        norm(f"blocks.{i}.self.norm")
        for attention in ("cross", "self"):
            for matrix in "qkvo":
                linear(f"blocks.{i}.{attention}.{matrix}", D_B, D_B, bias=False)
        norm(f"blocks.{i}.ffn.norm")
        linear(f"blocks.{i}.ffn.up", 4 * D_B, D_B, bias=True)
        linear(f"blocks.{i}.ffn.down", D_B, 4 * D_B, bias=True)
    norm("final_norm")
    linear("output_proj", D_R, D_B, bias=True)
    p["scale"] = torch.tensor([0.75], dtype=torch.float64)
    return p


def layer_norm(p, name, x):
    return F.layer_norm(x, (D_B,), p[f"{name}.weight"], p[f"{name}.bias"], LN_EPS)


def attention(p, name, x, context):
    """Multi-head attention of x [n, d_b] over context [t, d_b]: no mask, no positions, scores over sqrt(d_head)."""
    def heads(matrix, rows):
        return (rows @ p[f"{name}.{matrix}.weight"].T).view(len(rows), HEADS, D_B // HEADS).transpose(0, 1)

    q, k, v = heads("q", x), heads("k", context), heads("v", context)
    weights = torch.softmax(q @ k.transpose(1, 2) / (D_B // HEADS) ** 0.5, dim=-1)
    return (weights @ v).transpose(0, 1).reshape(len(x), D_B) @ p[f"{name}.o.weight"].T


def way_out(p, y):
    """What all families share: recolouring, and the learned scale of each token's root mean square."""
    y = y * p["target_std"] + p["target_mean"]
    return p["scale"] * y / torch.sqrt(y.square().mean(-1, keepdim=True) + RMS_EPS)


def resample(p, hidden):
    """One sequence, [T, d_S] -> tokens [M, d_R] before the way out; also what stands between."""
    z = (hidden - p["source_mean"]) / p["source_std"]
    context = F.linear(z, p["input_proj.weight"], p["input_proj.bias"])
    x = p["queries"]
    after_block = []
    for i in range(DEPTH):
        block = f"blocks.{i}"
        x = x + attention(p, f"{block}.cross", layer_norm(p, f"{block}.cross.norm_q", x),
                          layer_norm(p, f"{block}.cross.norm_kv", context))
        normed = layer_norm(p, f"{block}.self.norm", x)
        x = x + attention(p, f"{block}.self", normed, normed)
        up = F.linear(layer_norm(p, f"{block}.ffn.norm", x), p[f"{block}.ffn.up.weight"], p[f"{block}.ffn.up.bias"])
        x = x + F.linear(F.gelu(up, approximate="none"), p[f"{block}.ffn.down.weight"], p[f"{block}.ffn.down.bias"])
        after_block.append(x)
    return F.linear(layer_norm(p, "final_norm", x), p["output_proj.weight"], p["output_proj.bias"]), context, after_block


def perceiver(p, hidden):
    """One sequence, [T, d_S] -> soft tokens [M, d_R]; also what stands between."""
    y, context, after_block = resample(p, hidden)
    return way_out(p, y), context, after_block


def make_perceiver(path, normal):
    leaves = perceiver_parameters(normal)
    leaves["hidden"] = normal((sum(LENGTHS), D_S), 2.0, 0.5)
    leaves["source_mean"] = normal((D_S,), 0.7)
    leaves["source_std"] = normal((D_S,), 0.5).abs() + 0.5
    leaves["target_mean"] = normal((D_R,), 0.02)
    leaves["target_std"] = normal((D_R,), 0.02).abs() + 0.02
    leaves = {name: tensor.requires_grad_(True) for name, tensor in leaves.items()}

    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    runs = [perceiver(leaves, leaves["hidden"][a:b]) for a, b in zip(offsets[:-1], offsets[1:])]
    output = torch.cat([run[0] for run in runs])
    output_grad = normal(tuple(output.shape), 1.0)
    grads = torch.autograd.grad((output * output_grad).sum(), list(leaves.values()))

    tensors = dict(leaves)
    tensors.update({"offsets": offsets, "output": output, "output_grad": output_grad,
                    "stage.context": torch.cat([run[1] for run in runs])})
    for i in range(DEPTH):
        tensors[f"stage.block.{i}"] = torch.cat([run[2][i] for run in runs])
    tensors.update({f"grad.{name}": grad for name, grad in zip(leaves, grads)})
    save_tensors(path, tensors, {"heads": HEADS, "depth": DEPTH, "layer_norm_eps": LN_EPS, "rms_eps": RMS_EPS})


def make_losses(path, normal, rng):
    tensors = {}

    logits = normal((7, 13), 2.0).requires_grad_(True)
    targets = torch.from_numpy(rng.integers(0, 13, size=7))
    weights = torch.tensor([1.0, 0.5, 0.0, 10.0, 1.0, 2.5, 1.0], dtype=torch.float64)
    loss = (weights * F.cross_entropy(logits, targets, reduction="none")).sum() / weights.sum()
    (grad,) = torch.autograd.grad(loss, logits)
    tensors.update({"xent.logits": logits, "xent.targets": targets, "xent.weights": weights, "xent.loss": loss,
                    "xent.grad": grad})

    soft_tokens = normal((4, 3, 5), 1.0, 0.4).requires_grad_(True)
    flat = F.normalize(soft_tokens.flatten(1), dim=1)
    cosine = flat @ flat.T
    n = len(cosine)
    loss = (cosine.sum() - cosine.diagonal().sum()) / (n * (n - 1))
    (grad,) = torch.autograd.grad(loss, soft_tokens)
    tensors.update({"diversity.soft_tokens": soft_tokens, "diversity.loss": loss, "diversity.grad": grad})

    hyper = {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    start = normal((11,), 1.0)
    given = normal((3, 11), 1.0) * torch.tensor([1.0, 0.5, 4.0], dtype=torch.float64)[:, None]
    parameter = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.AdamW([parameter], foreach=False, **hyper)
    params, first, second = [], [], []
    for grad in given:
        parameter.grad = grad.clone()
        optimiser.step()
        params.append(parameter.detach().clone())
        first.append(optimiser.state[parameter]["exp_avg"].clone())
        second.append(optimiser.state[parameter]["exp_avg_sq"].clone())
    tensors.update({"adamw.param": start, "adamw.grads": given, "adamw.params": torch.stack(params),
                    "adamw.m": torch.stack(first), "adamw.v": torch.stack(second)})

    save_tensors(path, tensors, {"adamw": hyper})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    args = parser.parse_args()
    torch.set_num_threads(1)

    def stream(seed):
        rng = np.random.default_rng(seed)

        def normal(shape, std, mean=0.0):  # rounded to f32, held as f64
            drawn = (mean + std * rng.standard_normal(shape)).astype(np.float32)
            return torch.from_numpy(drawn.astype(np.float64))
        return rng, normal

    make_perceiver(args.out / "perceiver.safetensors", stream(42)[1])
    rng, normal = stream(43)
    make_losses(args.out / "losses.safetensors", normal, rng)


if __name__ == "__main__":
    main()
