#!/usr/bin/env python3
"""Values and gradients of the training losses (docs/training.md, "Losses"), computed by PyTorch from their formulas.

    python tools/reference/loss_reference.py [--out tests/fixtures/bridge]

Everything is computed in float64 from inputs that are exact in float32, then rounded once to float32.

objective.safetensors (N = 4 examples of M = 3 soft tokens of width D; scalars have shape [1])
    soft, view [N * M, D]                     soft tokens under two dropout masks
    embed [V, D]                              the receiver's embeddings
    targets i32 [11], target_offsets i32 [5]  the answers' tokens, the last of each its end
    labels i32 [N]                            two of the examples have no other of their label
    logits, teacher [11, V]                   the receiver's, reading soft tokens and reading the text
    hidden [12, D_S], offsets i32 [5]         the sender's states; source_mean, source_std [D_S]
    ids i32 [12]                              the sender's tokens; bow.weight [V_S, D], bow.bias [V_S]
    recon.*                                   the head that rebuilds each state; pooled.weight [D_S, D], pooled.bias
    <loss>.value, <loss>.grad.<input>         the loss and its gradient for each input it depends on
Constants (temperatures, tokens, factor) stand as JSON in the metadata, key "constants".
"""
import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fixture_io import FIXTURES, save_tensors

N, M, D, D_S, V, V_S, WIDTH, HEADS = 4, 3, 10, 7, 13, 17, 8, 2
STATES, ANSWERS = (5, 2, 4, 1), (3, 2, 5, 1)
LABELS = (0, 1, 0, 2)
CONSTANTS = {"temperature": 0.07, "bottleneck_tokens": 2, "bottleneck_factor": 7.0, "align_tokens": 2,
             "distill_tokens": 2, "distill_temperature": 1.7, "scale": 0.9, "target_rms": 0.6}


def offsets(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def pieces(x, lengths):
    return torch.split(x, list(lengths))


def contrastive(soft, other, positives, skip_own):
    """InfoNCE of pooled tokens; positives[i] lists what example i is to find."""
    a = F.normalize(soft.view(N, M, D).mean(1), dim=1)
    b = F.normalize(other.view(N, M, D).mean(1), dim=1)
    logits = a @ b.T / CONSTANTS["temperature"]
    if skip_own:
        logits = logits.masked_fill(torch.eye(N, dtype=torch.bool), -torch.inf)
    shares = F.log_softmax(logits, dim=1)
    found = [-sum(shares[i, j] for j in mine) / len(mine) for i, mine in enumerate(positives) if mine]
    return sum(found) / len(found)


def distance(kind, a, b):
    return F.mse_loss(a, b) if kind == "mse" else 1 - F.cosine_similarity(a, b, dim=1).mean()


def sinusoids(length, width):
    t, j = torch.arange(length, dtype=torch.float64)[:, None], torch.arange(width)
    angle = t * 10000.0 ** (-(j // 2 * 2).double() / width)
    return torch.where(j % 2 == 0, torch.sin(angle), torch.cos(angle))


def unit_rms(x):
    return x / x.pow(2).mean(1, keepdim=True).sqrt()


def rebuild(p, tokens, length):
    """The states of one text of `length` tokens from its soft tokens [M, D]."""
    def lin(name, x):
        y = x @ p[f"recon.{name}.weight"].T
        return y if name.startswith("attention.") else y + p[f"recon.{name}.bias"]

    context, places = lin("in", tokens), sinusoids(length, WIDTH)
    q, k, v = (lin(f"attention.{name}", x).view(len(x), HEADS, -1).transpose(0, 1)
               for name, x in (("q", places), ("k", context), ("v", context)))
    read = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(length, WIDTH)
    x = lin("attention.o", read)
    h = F.layer_norm(x, (WIDTH,), p["recon.norm.weight"], p["recon.norm.bias"], 1e-5)
    return lin("out", x + lin("ffn.down", F.gelu(lin("ffn.up", h))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "bridge")
    out = parser.parse_args().out
    rng = np.random.default_rng(11)

    def normal(shape, std=1.0, mean=0.0):
        x = (mean + std * rng.standard_normal(shape)).astype(np.float32)
        return torch.from_numpy(x.astype(np.float64))

    fixed = {"embed": normal((V, D), 0.7), "source_mean": normal((D_S,)), "source_std": normal((D_S,), 0.2, 1.5),
             "hidden": normal((sum(STATES), D_S), 1.5), "teacher": normal((sum(ANSWERS), V), 2.0)}
    p = {"soft": normal((N * M, D), 0.6, 0.2), "logits": normal((sum(ANSWERS), V), 2.0),
         "bow.weight": normal((V_S, D), 0.5), "bow.bias": normal((V_S,), 0.5),
         "pooled.weight": normal((D_S, D), 0.5), "pooled.bias": normal((D_S,), 0.5),
         "recon.norm.weight": normal((WIDTH,), 0.3, 1.0), "recon.norm.bias": normal((WIDTH,), 0.3)}
    for name, d_out, d_in in (("in", WIDTH, D), ("out", D_S, WIDTH), ("ffn.up", 2 * WIDTH, WIDTH),
                              ("ffn.down", WIDTH, 2 * WIDTH)) + tuple((f"attention.{x}", WIDTH, WIDTH) for x in "qkvo"):
        p[f"recon.{name}.weight"] = normal((d_out, d_in), 1.2 / d_in ** 0.5)
        if not name.startswith("attention."):
            p[f"recon.{name}.bias"] = normal((d_out,), 0.3)
    p["view"] = p["soft"] + normal((N * M, D), 0.3).float().double()
    p["view"] = p["view"].float().double()
    p["scale"] = torch.tensor([CONSTANTS["scale"]], dtype=torch.float32).double()
    for x in p.values():
        x.requires_grad_(True)
    targets = torch.from_numpy(rng.integers(0, V, size=sum(ANSWERS)))
    ids = torch.from_numpy(rng.integers(0, V_S, size=sum(STATES)))

    answers = [t[:max(1, len(t) - 1)] for t in pieces(targets, ANSWERS)]  # without their ends
    soft, tokens = p["soft"].view(N, M, D), unit_rms(p["soft"]).view(N, M, D)
    means = soft.mean(1)
    answer_means = torch.stack([fixed["embed"][a].mean(0) for a in answers])
    white = (fixed["hidden"] - fixed["source_mean"]) / fixed["source_std"]
    place = torch.cat([torch.arange(n) for n in ANSWERS])
    weights = torch.where(place < CONSTANTS["bottleneck_tokens"], CONSTANTS["bottleneck_factor"], 1.0).double()
    k = CONSTANTS["align_tokens"]
    present = torch.zeros(N, V_S, dtype=torch.float64)
    for i, mine in enumerate(pieces(ids, STATES)):
        present[i, mine] = 1
    t = CONSTANTS["distill_temperature"]
    kl = F.kl_div(F.log_softmax(p["logits"] / t, 1), F.log_softmax(fixed["teacher"] / t, 1), reduction="none",
                  log_target=True).sum(1)
    rebuilt = torch.cat([rebuild(p, tokens[i], n) for i, n in enumerate(STATES)])
    pooled = (tokens @ p["pooled.weight"].T + p["pooled.bias"]).mean(1)
    white_means = torch.stack([x.mean(0) for x in pieces(white, STATES)])

    own = [[i] for i in range(N)]
    same = [[j for j in range(N) if j != i and LABELS[j] == LABELS[i]] for i in range(N)]
    losses = {
        "bottleneck": (weights * F.cross_entropy(p["logits"], targets, reduction="none")).sum() / weights.sum(),
        "views": (contrastive(p["soft"], p["view"], own, False) + contrastive(p["view"], p["soft"], own, False)) / 2,
        "label": contrastive(p["soft"], p["soft"], same, True),
        "self": contrastive(p["soft"], p["soft"], own, False),
        "anchor_cosine": distance("cosine", means, answer_means),
        "anchor_mse": distance("mse", means, answer_means),
        "align": F.mse_loss(torch.cat([soft[i, :min(k, len(a))] for i, a in enumerate(answers)]),
                            torch.cat([fixed["embed"][a[:k]] for a in answers])),
        "recon_pooled_mse": distance("mse", pooled, white_means),
        "recon_pooled_cosine": distance("cosine", pooled, white_means),
        "recon_token_mse": distance("mse", rebuilt, white),
        "recon_token_cosine": distance("cosine", rebuilt, white),
        "bow": F.binary_cross_entropy_with_logits(tokens.max(1).values @ p["bow.weight"].T + p["bow.bias"], present),
        "distill": t * t * kl[place < CONSTANTS["distill_tokens"]].mean(),
        "scale_reg": (p["scale"] / CONSTANTS["target_rms"] - 1).pow(2).sum(),
    }
    tensors = {**fixed, **p, "targets": targets, "target_offsets": offsets(ANSWERS), "labels": np.int32(LABELS),
               "offsets": offsets(STATES), "ids": ids}
    for name, value in losses.items():
        tensors[f"{name}.value"] = value
        grads = torch.autograd.grad(value, list(p.values()), retain_graph=True, allow_unused=True)
        for parameter, grad in zip(p, grads):
            if grad is not None and (not parameter.startswith("recon.") or name == "recon_token_mse"):
                tensors[f"{name}.grad.{parameter}"] = grad
    save_tensors(out / "objective.safetensors", tensors, CONSTANTS)


if __name__ == "__main__":
    main()
