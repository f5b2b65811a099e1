#!/usr/bin/env python3
"""Makes tiny random checkpoints of each decoder family and what Hugging Face transformers computes with them.

    python tools/reference/make_lm_fixtures.py [--out tests/fixtures/lm] [family ...]

Every family gets a folder with a checkpoint as `save_pretrained` writes it (config.json, safetensors) and an
`expected.safetensors` with, for two prompts i = 0 (37 tokens) and i = 1 (11 tokens):

    input_ids_{i}           i32 [T]
    hidden_states_{i}_{l}   f32 [T, d_model], l = 0 .. n_layers: the residual stream after l blocks, so 0 is the
                            embeddings (before learned positions are added, where there are such) and n_layers is
                            taken BEFORE the final norm. (transformers' own `output_hidden_states` gives the last one
                            after the norm; a hook takes it here.)
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
  qwen3     norms of queries and keys, three query heads to a key head, head_dim (18) far from d_model / n_heads, tied,
            bf16.
  gemma2    norms with gain 1 + w, four of them in a block, GELU with a gate, scaled embeddings, soft caps of attention
            (2) and logits (3) that bend most values, a query scale of its own, a window of 6 tokens in layers 0 and 2,
            five query heads to a key head, bf16.
  gemma3    the same without caps, with norms of queries and keys; every third layer sees all tokens and turns by
            another base, divided by 8; f16.
  phi3      fused projections, heads turned in part (12 of 16 elements), LongRoPE whose original context (16 tokens)
            lies between the lengths of the two prompts, a window of 20, five query heads to a key head, bf16.
  gpt2      positions from a table, layer norms, biases everywhere, turned matrices, tied, f16.
  neox      both halves of a block read its input, a quarter of each head turns, q, k and v fused head by head, biases,
            exact GELU, f16.
  neox_serial  the same one half behind the other, without attention biases, tanh GELU, tied, f32.
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
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig,
                          GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig,
                          LlamaForCausalLM, MistralConfig, MistralForCausalLM, Phi3Config, Phi3ForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

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


def family_qwen3():
    config = Qwen3Config(
        vocab_size=97, hidden_size=40, intermediate_size=52, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=18, max_position_embeddings=256, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, bos_token_id=1, eos_token_id=2)
    return Qwen3ForCausalLM(config), torch.bfloat16, {}


def family_gemma2():
    config = Gemma2Config(
        vocab_size=89, hidden_size=30, intermediate_size=44, num_hidden_layers=3, num_attention_heads=5,
        num_key_value_heads=1, head_dim=12, max_position_embeddings=256, rms_norm_eps=1e-6, sliding_window=6,
        query_pre_attn_scalar=20, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, bos_token_id=2,
        eos_token_id=[1, 7], pad_token_id=0)
    return Gemma2ForCausalLM(config), torch.bfloat16, {}


def family_gemma3():
    config = Gemma3TextConfig(
        vocab_size=89, hidden_size=32, intermediate_size=44, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, max_position_embeddings=512, rms_norm_eps=1e-6, sliding_window=5,
        query_pre_attn_scalar=14, bos_token_id=2, eos_token_id=1, pad_token_id=0, sliding_window_pattern=3,
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 20000.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}})
    return Gemma3ForCausalLM(config), torch.float16, {}


def family_phi3():
    rng = np.random.default_rng(77)
    short, long = (1 + rng.random(6)).round(3).tolist(), (3 + 20 * rng.random(6)).round(3).tolist()
    config = Phi3Config(
        vocab_size=91, hidden_size=80, intermediate_size=36, num_hidden_layers=2, num_attention_heads=5,
        num_key_value_heads=1, max_position_embeddings=256, original_max_position_embeddings=16, rms_norm_eps=1e-5,
        sliding_window=20, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": short, "long_factor": long,
                         "partial_rotary_factor": 0.75, "original_max_position_embeddings": 16})
    return Phi3ForCausalLM(config), torch.bfloat16, {}


def family_gpt2():
    config = GPT2Config(
        vocab_size=83, n_positions=40, n_embd=36, n_layer=3, n_head=6, n_inner=60, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config), torch.float16, {"at": ("transformer", "h", "ln_f")}


def family_neox():
    config = GPTNeoXConfig(
        vocab_size=79, hidden_size=48, intermediate_size=68, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=128, bos_token_id=0, eos_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.25})
    return GPTNeoXForCausalLM(config), torch.float16, {"at": ("gpt_neox", "layers", "final_layer_norm")}


def family_neox_serial():
    config = GPTNeoXConfig(
        vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=128, bos_token_id=0, eos_token_id=0, use_parallel_residual=False, attention_bias=False,
        hidden_act="gelu_new", tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0})
    return GPTNeoXForCausalLM(config), torch.float32, {"at": ("gpt_neox", "layers", "final_layer_norm")}


FAMILIES = {"llama2": family_llama2, "llama3_1": family_llama3_1, "mistral": family_mistral, "qwen2": family_qwen2,
            "qwen3": family_qwen3, "gemma2": family_gemma2, "gemma3": family_gemma3, "phi3": family_phi3,
            "gpt2": family_gpt2, "neox": family_neox, "neox_serial": family_neox_serial}


def randomise(model, rng):
    """Draws every weight anew; see the head of this file for the sizes."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
            if name.endswith(".bias"):
                parameter.copy_(0.4 * noise)
            elif "norm" in name or "ln_" in name:
                centre = 0.0 if type(model).__name__.startswith("Gemma") else 1.0  # Gemma stores the gain less one
                parameter.copy_(centre + 0.3 * noise)
            elif any(part in name for part in ("embed_tokens", "embed_in", "wte", "wpe")):
                parameter.copy_(0.3 * noise)
            elif any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "c_attn", "query_key_value")):
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


def run_prompt(model, ids, at):
    """The hidden states (telepathy's convention), logits, loss and input gradient of one prompt."""
    hidden_states = []

    def keep(_module, args, kwargs):
        hidden_states.append((args[0] if args else kwargs["hidden_states"]).detach()[0].clone())

    decoder, blocks, norm = at
    decoder = getattr(model, decoder)
    hooks = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in getattr(decoder, blocks)]
    hooks.append(getattr(decoder, norm).register_forward_pre_hook(keep, with_kwargs=True))

    embeds = model.get_input_embeddings()(ids[None]).detach().requires_grad_(True)
    output = model(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    assert len(hidden_states) == model.config.num_hidden_layers + 1
    for ours, theirs in zip(hidden_states[:-1], output.hidden_states[:-1]):
        assert torch.equal(ours, theirs[0])
    assert not torch.allclose(hidden_states[-1], output.hidden_states[-1][0])

    if hasattr(decoder, "wpe"):
        assert torch.equal(hidden_states[0], embeds[0] + decoder.wpe.weight[: len(ids)])
        hidden_states[0] = embeds[0].detach()
    assert torch.equal(hidden_states[0], embeds[0])

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
        hidden_states, logits, loss, grad = run_prompt(model, ids, options.get("at", ("model", "layers", "norm")))
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
