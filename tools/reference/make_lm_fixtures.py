#!/usr/bin/env python3
"""Makes tiny random checkpoints of each decoder family and what Hugging Face transformers computes with them.

    python tools/reference/make_lm_fixtures.py [--out tests/fixtures/lm] [family ...]

Every family gets a folder with a checkpoint as `save_pretrained` writes it (config.json, safetensors) and an
`expected.safetensors` with, for two prompts i = 0 (37 tokens) and i = 1 (11 tokens):

    input_ids_{i}           i32 [T]
    hidden_states_{i}_{l}   f32 [T, d_model], l = 0 .. n_layers: the residual stream after l blocks, so 0 is the
                            embeddings and n_layers is taken BEFORE the final norm. (transformers' own
                            `output_hidden_states` gives the last one after the norm; a hook takes it here.)
    logits_{i}              f32 [T, vocab]
    loss_{i}                f32 [1], mean cross-entropy of token t+1 given 0..t, over t = 0 .. T-2
    input_embeds_grad_{i}   f32 [T, d_model], gradient of loss_{i} with respect to the input embeddings

All of it is computed in float32 with eager attention, from the checkpoint as read back from disk: rounding to bf16
or f16 is already in the weights, and the config that is committed is the one that was used.

The weights are random, but not as an untrained model has them: norm gains and biases are far from 1 and 0, and
queries and keys are large enough for attention to be sharp, so that a wrong rotation, window or bias shows.

What each family is there to catch:
  llama2    multi-head attention, untied head, f32.
  llama3_1  grouped queries, tied embeddings, head_dim (12) that is not d_model / n_heads (8), bf16 weights, and
            rope scaling of type llama3 with original_max_position_embeddings = 64, so that the three rotation
            frequencies lie in its three zones (kept, blended, divided). Its config.json is rewritten BY HAND to the
            old style (`rope_theta`, `rope_scaling`, `torch_dtype`) that most published checkpoints carry; the file
            as transformers wrote it stays beside as config.rope_parameters.json and means the same.
  mistral   grouped queries, rope theta 1e6, sliding window of 8 tokens (the token itself included), shorter than
            both prompts, f32.
  qwen2     biases on q, k and v, grouped queries, f16 weights in several shards with an index.
"""
import argparse
import json
import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import torch.nn.functional as F
from transformers import (AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM)

from fixture_io import FIXTURES, make_readable, save_tensors, write_versions

PROMPT_LENGTHS = (37, 11)


def family_llama2():
    config = LlamaConfig(
        vocab_size=131, hidden_size=40, intermediate_size=68, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=128, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, bos_token_id=1, eos_token_id=2)
    return LlamaForCausalLM(config), torch.float32, {}


def family_llama3_1():
    config = LlamaConfig(
        vocab_size=150, hidden_size=48, intermediate_size=76, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, head_dim=12, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
        bos_token_id=1, eos_token_id=[2, 3])
    return LlamaForCausalLM(config), torch.bfloat16, {"old_style_config": True}


def family_mistral():
    config = MistralConfig(
        vocab_size=117, hidden_size=36, intermediate_size=60, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=256, sliding_window=8, rms_norm_eps=1e-6,
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        bos_token_id=1, eos_token_id=2)
    return MistralForCausalLM(config), torch.float32, {}


def family_qwen2():
    config = Qwen2Config(
        vocab_size=163, hidden_size=56, intermediate_size=100, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, bos_token_id=1, eos_token_id=2)
    return Qwen2ForCausalLM(config), torch.float16, {"max_shard_size": "40KB"}


FAMILIES = {"llama2": family_llama2, "llama3_1": family_llama3_1, "mistral": family_mistral, "qwen2": family_qwen2}


def randomise(model, rng):
    """Draws every weight anew; see the head of this file for the sizes."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
            if "norm" in name:
                parameter.copy_(1.0 + 0.3 * noise)
            elif name.endswith(".bias"):
                parameter.copy_(0.4 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.3 * noise)
            elif "q_proj" in name or "k_proj" in name:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(0.12 * noise)


def rewrite_config_old_style(folder):
    """Turns `rope_parameters` and `dtype` into the keys that transformers wrote before version 5."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.rename(folder / "config.rope_parameters.json")
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def run_prompt(model, ids):
    """The hidden states (telepathy's convention), logits, loss and input gradient of one prompt."""
    hidden_states = []

    def keep(_module, args, kwargs):
        hidden_states.append((args[0] if args else kwargs["hidden_states"]).detach()[0].clone())

    decoder = model.model
    hooks = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in decoder.layers]
    hooks.append(decoder.norm.register_forward_pre_hook(keep, with_kwargs=True))

    embeds = model.get_input_embeddings()(ids[None]).detach().requires_grad_(True)
    output = model(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    assert len(hidden_states) == len(decoder.layers) + 1
    for ours, theirs in zip(hidden_states[:-1], output.hidden_states[:-1]):
        assert torch.equal(ours, theirs[0])
    assert not torch.allclose(hidden_states[-1], output.hidden_states[-1][0])

    logits = output.logits[0]
    loss = F.cross_entropy(logits[:-1], ids[1:].long())
    (grad,) = torch.autograd.grad(loss, embeds)

    with torch.no_grad():  # the usual way in must say the same
        assert torch.equal(model(input_ids=ids[None], use_cache=False).logits[0], logits)
    return hidden_states, logits, loss, grad[0]


def make_family(name, out, seed):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)

    model, dtype, options = FAMILIES[name]()
    randomise(model, rng)
    save_options = {"max_shard_size": options["max_shard_size"]} if "max_shard_size" in options else {}
    model.to(dtype).save_pretrained(folder, safe_serialization=True, **save_options)
    for path in folder.glob("*.safetensors"):
        make_readable(path)
    if options.get("old_style_config"):
        rewrite_config_old_style(folder)

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert model.config._attn_implementation == "eager"

    tensors = {}
    for i, length in enumerate(PROMPT_LENGTHS):
        ids = torch.from_numpy(rng.integers(0, model.config.vocab_size, size=length).astype(np.int64))
        hidden_states, logits, loss, grad = run_prompt(model, ids)
        tensors[f"input_ids_{i}"] = ids
        for layer, states in enumerate(hidden_states):
            tensors[f"hidden_states_{i}_{layer}"] = states
        tensors[f"logits_{i}"] = logits
        tensors[f"loss_{i}"] = loss
        tensors[f"input_embeds_grad_{i}"] = grad
    save_tensors(folder / "expected.safetensors", tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="family", help=f"of {', '.join(FAMILIES)}; all by default")
    parser.add_argument("--out", type=Path, default=FIXTURES / "lm")
    args = parser.parse_args()
    unknown = set(args.families) - set(FAMILIES)
    if unknown:
        parser.error(f"unknown family {', '.join(sorted(unknown))}; known: {', '.join(FAMILIES)}")

    torch.manual_seed(0)
    torch.set_num_threads(1)  # one order of summation
    torch.use_deterministic_algorithms(True)
    for number, name in enumerate(FAMILIES):
        if not args.families or name in args.families:
            make_family(name, args.out, seed=1000 + number)
    write_versions(args.out / "VERSIONS.txt")


if __name__ == "__main__":
    main()
