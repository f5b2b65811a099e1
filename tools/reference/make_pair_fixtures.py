#!/usr/bin/env python3
"""Records what Hugging Face transformers makes of the models in models/: proof that `telepathy pretrain` writes normal
Hugging Face folders.

    python tools/reference/make_pair_fixtures.py [--models models] [name ...]

For each model, tests/fixtures/pair/NAME.safetensors gets, from AutoModelForCausalLM in float32:

    input_ids   i32 [T], the tokenizer's ids of TEXT, its own BOS in front
    logits      f32 [4, vocab], of the last four positions
    hidden      f32 [T, d_model], the residual stream after half of the blocks
    loss        f32 [1], mean next-token cross-entropy of the text in nats

and NAME.json the ids that the `tokenizers` library gives some texts, without special tokens.
"""
import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from fixture_io import FIXTURES, ROOT, save_tensors

TEXT = ("The first bridge over the river was built of wood in 1850. How many years later did the city build "
        "the second one, and who paid for it?")
TEXTS = [TEXT, "", " ", "a", "  two  blanks ", "tab\tand\nline", "1234567 + 89 = 3.50", "It's we'll I'M",
         "naïve café – “quoted”", "日本語 text", "🙂👩‍👩‍👧 emoji", "ALLCAPS_and_under-scores", "{json: [1, 2]}"]


def record(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = torch.tensor([tokenizer.encode(TEXT).ids])
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    logits = out.logits[0]
    name = folder.name
    save_tensors(FIXTURES / "pair" / f"{name}.safetensors", {
        "input_ids": ids[0],
        "logits": logits[-4:],
        "hidden": out.hidden_states[model.config.num_hidden_layers // 2][0],
        "loss": F.cross_entropy(logits[:-1], ids[0, 1:]),
    })
    texts = [{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids} for t in TEXTS]
    (FIXTURES / "pair" / f"{name}.json").write_text(json.dumps(texts, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("names", nargs="*", default=["wren", "finch"])
    args = parser.parse_args()
    for name in args.names or ["wren", "finch"]:
        record(args.models / name)


if __name__ == "__main__":
    main()
