#!/usr/bin/env python3
"""Values and gradients of the bridges that quantise their tokens, computed by PyTorch.

    python tools/reference/discrete_reference.py [--out tests/fixtures/bridge]

discrete.safetensors holds for each case (vq.l2, vq.cosine, fsq)
    <case>.<parameter>             of a small Perceiver and of its quantiser, under the product's names
    <case>.hidden [5, d_S]         two sequences, of 3 and 2 hidden states
    <case>.output [2 * M, d_R]     the soft tokens
    <case>.codes i32               of each token
    <case>.own_loss                the family's own loss
    <case>.output_grad             the loss is sum(output * output_grad) + 0.7 * own_loss
    <case>.grad.<name>             its gradient for each parameter, `hidden` and the normaliser's four vectors
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import op_reference as op
from fixture_io import FIXTURES, save_tensors

op.D_S, op.D_B, op.D_R, op.HEADS, op.M, op.DEPTH = 5, 4, 6, 2, 3, 1
LENGTHS = (3, 2)
CODES, COMMITMENT, ENTROPY = 7, 0.25, 0.1
LEVELS = (8, 8, 5, 2)
OWN_WEIGHT = 0.7


def straight(tokens, values):
    """The values, with the gradient of the tokens."""
    return tokens + (values - tokens).detach()


def vq(cosine):
    def quantise(p, tokens):
        table = p["codebook"]
        if cosine:
            unit = [x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) for x in (tokens, table)]
            tokens, table = unit
        squares = (tokens[:, None, :] - table[None]).square().sum(-1)
        codes = squares.argmin(-1)
        rows = table[codes]
        choice = torch.softmax(-squares / op.D_R ** 0.5, dim=-1).mean(0)
        entropy = -(choice * choice.log()).sum() / np.log(CODES)
        loss = F.mse_loss(rows, tokens.detach()) + COMMITMENT * F.mse_loss(tokens, rows.detach()) - ENTROPY * entropy
        return straight(tokens, rows), codes, loss
    return quantise


def fsq(p, tokens):
    z = torch.tanh(F.linear(tokens, p["quantiser.down.weight"], p["quantiser.down.bias"]))
    half = torch.tensor([(levels - 1) / 2 for levels in LEVELS], dtype=torch.float64)
    codes = torch.round((z + 1) * half)
    q = straight(z, codes / half - 1)
    loss = -torch.log(q.var(dim=0).mean() + 1e-8)
    return F.linear(q, p["quantiser.up.weight"], p["quantiser.up.bias"]), codes.long(), loss


def parameters(case, normal):
    p = op.perceiver_parameters(normal)
    if case == "fsq":
        p["quantiser.down.weight"] = normal((len(LEVELS), op.D_R), 0.6)
        p["quantiser.down.bias"] = normal((len(LEVELS),), 0.3)
        p["quantiser.up.weight"] = normal((op.D_R, len(LEVELS)), 0.7)
        p["quantiser.up.bias"] = normal((op.D_R,), 0.3)
    else:
        p["codebook"] = normal((CODES, op.D_R), 0.7)
    p["hidden"] = normal((sum(LENGTHS), op.D_S), 2.0, 0.5)
    p["source_mean"] = normal((op.D_S,), 0.7)
    p["source_std"] = normal((op.D_S,), 0.5).abs() + 0.5
    p["target_mean"] = normal((op.D_R,), 0.02)
    p["target_std"] = normal((op.D_R,), 0.02).abs() + 0.02
    if case != "fsq":  # near the tokens, so that more than one is chosen
        near = tokens_of(p)[torch.arange(CODES) % (2 * op.M)]
        p["codebook"] = (p["codebook"] + near).float().double()
    return {name: tensor.requires_grad_(True) for name, tensor in p.items()}


def tokens_of(p):
    bounds = np.concatenate([[0], np.cumsum(LENGTHS)])
    return torch.cat([op.resample(p, p["hidden"][a:b])[0] for a, b in zip(bounds[:-1], bounds[1:])])


def make(case, quantise, normal):
    p = parameters(case, normal)
    quantised, codes, own = quantise(p, tokens_of(p))
    output = op.way_out(p, quantised)
    output_grad = normal(tuple(output.shape), 1.0)
    grads = torch.autograd.grad((output * output_grad).sum() + OWN_WEIGHT * own, list(p.values()))
    if len({tuple(np.atleast_1d(c)) for c in codes.numpy()}) < 3:
        raise ValueError(f"{case}: too few different codes to be a test")
    tensors = {f"{case}.{name}": tensor for name, tensor in p.items()}
    tensors.update({f"{case}.output": output, f"{case}.codes": codes, f"{case}.own_loss": own,
                    f"{case}.output_grad": output_grad})
    tensors.update({f"{case}.grad.{name}": grad for name, grad in zip(p, grads)})
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(44)

    def normal(shape, std, mean=0.0):  # rounded to f32, held as f64
        drawn = (mean + std * rng.standard_normal(shape)).astype(np.float32)
        return torch.from_numpy(drawn.astype(np.float64))
    tensors = {}
    for case, quantise in (("vq.l2", vq(False)), ("vq.cosine", vq(True)), ("fsq", fsq)):
        tensors.update(make(case, quantise, normal))
    save_tensors(args.out / "discrete.safetensors", tensors, {"heads": op.HEADS, "codes": CODES, "levels": LEVELS})


if __name__ == "__main__":
    main()
