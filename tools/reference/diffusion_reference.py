#!/usr/bin/env python3
"""Values and gradients of the diffusion bridge (DiT blocks, Euler's sampler, rectified flow), computed by PyTorch.

    python tools/reference/diffusion_reference.py [--out tests/fixtures/bridge]

diffusion.safetensors holds for each conditioning (pooled, cross, hybrid)
    <case>.<parameter>             under the product's names; the normaliser's four vectors too
    <case>.hidden [5, d_S]         two sequences, of 3 and 2 hidden states
    <case>.targets [2 * M, d_R]    embeddings that the soft tokens are to become
    <case>.output [2 * M, d_R]     the soft tokens after STEPS steps of Euler's method from NOISE
    <case>.own_loss                the rectified flow's loss at TIMES with FLOW_NOISE
    <case>.output_grad             the loss is sum(output * output_grad) + 0.7 * own_loss
    <case>.grad.<name>             its gradient for each parameter, `hidden` and the normaliser's four vectors
and noise, times, flow_noise, which tests compare with the product's own: numbers of its streams "diffusion" (seed 0)
and "flow" (seed 5, step 9), printed once by its generator.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import op_reference as op
from fixture_io import FIXTURES, save_tensors

op.D_S, op.D_B, op.D_R, op.HEADS, op.M = 5, 4, 6, 2, 3
D, DEPTH, FFN, STEPS, LENGTHS, OWN_WEIGHT = op.D_B, 1, 2, 4, (3, 2), 0.7

NOISE = (-0.254700303, -0.801107049, 0.204669461, 1.12309623, 0.482145935, 0.590839386, 0.213649198, 0.601823211,
         1.33025432, 0.601170301, -0.62725538, -0.559024751, 0.117736898, -1.56452286, 0.730158865, -1.90908325,
         -0.901088297, -0.968343079)
TIMES = (0.255620897, 0.985378921)
FLOW_NOISE = (1.4416815, 0.687271297, -1.03388858, 1.45268691, -1.06923807, 0.0100353966, -0.89896071, 0.265394181,
              -2.46663594, -0.656884551, 0.0330522358, 2.73912811, 0.415586621, 0.717843175, 0.573953748, 0.266832381,
              -1.57464266, 0.000691381632, -1.32496512, 0.163915336, -0.799664557, 1.03879118, 0.989653766, 1.28059852,
              0.263800234, -1.4652648, 0.337490499, 0.332894593, 1.65241635, -3.30966377, 0.377728015, -0.899508893,
              -1.45717442, 0.71071583, 0.807221234, -1.9728297)


def parameters(case, normal):
    p = {}

    def linear(name, d_out, d_in, bias=True):
        p[f"{name}.weight"] = normal((d_out, d_in), 1.0 / d_in ** 0.5)
        if bias:
            p[f"{name}.bias"] = normal((d_out,), 0.3)

    def attention(name):
        for matrix in "qkvo":
            linear(f"{name}.{matrix}", D, D, bias=False)
    linear("input_proj", D, op.D_S)
    p["states_norm.weight"], p["states_norm.bias"] = normal((D,), 0.3, 1.0), normal((D,), 0.3)
    linear("token_proj", D, op.D_R)
    p["positions"] = normal((op.M, D), 0.5)
    linear("time.in", D, D)
    linear("time.out", D, D)
    if case == "hybrid":
        p["pool.query"] = normal((1, D), 0.7)
        attention("pool")
    for i in range(DEPTH):
        linear(f"blocks.{i}.modulation", 6 * D, D)
        attention(f"blocks.{i}.self")
        if case != "pooled":
            attention(f"blocks.{i}.cross")
        linear(f"blocks.{i}.ffn.up", FFN * D, D)
        linear(f"blocks.{i}.ffn.down", D, FFN * D)
    linear("final.modulation", 2 * D, D)
    linear("output_proj", op.D_R, D)
    p["scale"] = torch.tensor([0.75], dtype=torch.float64)
    p["hidden"] = normal((sum(LENGTHS), op.D_S), 2.0, 0.5)
    p["source_mean"] = normal((op.D_S,), 0.7)
    p["source_std"] = normal((op.D_S,), 0.5).abs() + 0.5
    p["target_mean"] = normal((op.D_R,), 0.02)
    p["target_std"] = (normal((op.D_R,), 0.02).abs() + 0.02).float().double()
    p["source_std"] = p["source_std"].float().double()
    return {name: tensor.requires_grad_(True) for name, tensor in p.items()}


def apply(p, name, x):
    return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def plain_norm(x):
    return F.layer_norm(x, (D,), eps=1e-6)


def block(p, name, x, condition, states):
    shift1, scale1, gate1, shift2, scale2, gate2 = apply(p, f"{name}.modulation", F.silu(condition)).chunk(6)
    y = plain_norm(x) * (1 + scale1) + shift1
    x = x + gate1 * op.attention(p, f"{name}.self", y, y)
    if f"{name}.cross.q.weight" in p:
        x = x + op.attention(p, f"{name}.cross", plain_norm(x), states)
    y = plain_norm(x) * (1 + scale2) + shift2
    return x + gate2 * apply(p, f"{name}.ffn.down", F.gelu(apply(p, f"{name}.ffn.up", y), approximate="none"))


def velocity(p, case, hidden, x, t):
    """One sequence: tokens x [M, d_R] at time t, conditioned on hidden [T, d_S]."""
    states = apply(p, "input_proj", (hidden - p["source_mean"]) / p["source_std"])
    states = F.layer_norm(states, (D,), p["states_norm.weight"], p["states_norm.bias"], op.LN_EPS)
    angles = 1000 * t * torch.exp(-np.log(10000.0) * torch.arange(D // 2, dtype=torch.float64) / (D // 2))
    c = apply(p, "time.out", F.silu(apply(p, "time.in", torch.cat([angles.cos(), angles.sin()]))))
    if case == "pooled":
        c = c + states.mean(0)
    if case == "hybrid":
        c = c + op.attention(p, "pool", p["pool.query"], states)[0]
    h = apply(p, "token_proj", x) + p["positions"]
    for i in range(DEPTH):
        h = block(p, f"blocks.{i}", h, c, states)
    shift, scale = apply(p, "final.modulation", F.silu(c)).chunk(2)
    return apply(p, "output_proj", plain_norm(h) * (1 + scale) + shift)


def sample(p, case, hidden):
    x = torch.tensor(NOISE, dtype=torch.float64).view(op.M, op.D_R)
    for k in range(STEPS):
        x = x + velocity(p, case, hidden, x, k / STEPS) / STEPS
    return x


def make(case, normal):
    p = parameters(case, normal)
    bounds = np.concatenate([[0], np.cumsum(LENGTHS)])
    sequences = [p["hidden"][a:b] for a, b in zip(bounds[:-1], bounds[1:])]
    output = op.way_out(p, torch.cat([sample(p, case, hidden) for hidden in sequences]))
    targets = normal((2 * op.M, op.D_R), 0.03)
    # constants: the way out undone with the normaliser as it is
    goal = ((targets - p["target_mean"]) / p["target_std"]).detach().view(2, op.M, op.D_R)
    noise = torch.tensor(FLOW_NOISE, dtype=torch.float64).view(2, op.M, op.D_R)
    errors = []
    for i, hidden in enumerate(sequences):
        t = TIMES[i]
        x_t = t * goal[i] + (1 - t) * noise[i]
        errors.append((velocity(p, case, hidden, x_t, t) - (goal[i] - noise[i])).square())
    flow = torch.stack(errors).mean()
    output_grad = normal(tuple(output.shape), 1.0)
    grads = torch.autograd.grad((output * output_grad).sum() + OWN_WEIGHT * flow, list(p.values()))
    tensors = {f"{case}.{name}": tensor for name, tensor in p.items()}
    tensors.update({f"{case}.targets": targets, f"{case}.output": output, f"{case}.own_loss": flow,
                    f"{case}.output_grad": output_grad})
    tensors.update({f"{case}.grad.{name}": grad for name, grad in zip(p, grads)})
    return tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(45)

    def normal(shape, std, mean=0.0):  # rounded to f32, held as f64
        drawn = (mean + std * rng.standard_normal(shape)).astype(np.float32)
        return torch.from_numpy(drawn.astype(np.float64))
    tensors = {"noise": torch.tensor(NOISE), "times": torch.tensor(TIMES), "flow_noise": torch.tensor(FLOW_NOISE)}
    for case in ("pooled", "cross", "hybrid"):
        tensors.update(make(case, normal))
    save_tensors(args.out / "diffusion.safetensors", tensors, {"heads": op.HEADS, "depth": DEPTH, "steps": STEPS})


if __name__ == "__main__":
    main()
