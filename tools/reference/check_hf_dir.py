#!/usr/bin/env python3
"""Checks a Hugging Face directory (one that telepathy wrote, say) against logits that telepathy computed.

    python tools/reference/check_hf_dir.py DIR LOGITS.safetensors [--tolerance 2e-5] [--texts texts.json]

LOGITS.safetensors holds `input_ids` (integers, [T] or [1, T]) and `logits` ([T, vocab] or [1, T, vocab]), or several
such pairs as `input_ids_0`, `logits_0`, `input_ids_1`, ... The directory is loaded by AutoModelForCausalLM in float32
with eager attention. The error of a pair is max |theirs - ours| / max |theirs|; a NaN counts as infinite.

texts.json is a list of {"text": ..., "ids": [...]}: AutoTokenizer must load the directory, and its tokenizer.json
must give those ids for those texts (without special tokens, unless --add-special-tokens). With --texts alone LOGITS
may be "-". "Its tokenizer.json" is meant literally, read by PreTrainedTokenizerFast: for some values of tokenizer_class
(LlamaTokenizer is one) AutoTokenizer of transformers 5 rebuilds the tokenizer from vocabulary and merges and drops the
file's normaliser and unknown token. Where the two differ this is said; --auto makes AutoTokenizer the judge.

Exit status: 0 all agree, 1 something differs, 2 something cannot be loaded.
"""
import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast


def check_logits(folder, logits_path, tolerance):
    """True where every pair agrees."""
    tensors = load_file(logits_path)
    suffixes = sorted(name[len("input_ids"):] for name in tensors if name.startswith("input_ids"))
    pairs = [suffix for suffix in suffixes if f"logits{suffix}" in tensors]
    if not pairs:
        raise ValueError("the safetensors file has no pair of `input_ids` and `logits`")

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    worst = 0.0
    for suffix in pairs:
        ids = tensors[f"input_ids{suffix}"].long().reshape(1, -1)
        ours = tensors[f"logits{suffix}"].float()
        ours = ours[0] if ours.dim() == 3 else ours
        with torch.no_grad():
            theirs = model(input_ids=ids, use_cache=False).logits[0]
        if ours.shape != theirs.shape:
            print(f"logits{suffix}: shape {list(ours.shape)}, transformers gives {list(theirs.shape)}")
            return False
        error = ((theirs - ours).abs().max() / theirs.abs().max()).item()
        error = error if error == error else float("inf")
        same = (theirs.argmax(-1) == ours.argmax(-1)).float().mean().item()
        print(f"logits{suffix}: {len(theirs)} tokens, max relative error {error:.3e}, same argmax {100 * same:.1f} %")
        worst = max(worst, error)
    print(f"max relative error {worst:.3e} (tolerance {tolerance:g})")
    return worst <= tolerance


def check_texts(folder, texts_path, add_special_tokens, auto_is_judge):
    """True where the directory's tokenizer gives the recorded ids for every text."""
    if not (folder / "tokenizer.json").is_file():
        raise ValueError("the directory has no tokenizer.json")
    auto = AutoTokenizer.from_pretrained(folder)
    judge = auto if auto_is_judge else PreTrainedTokenizerFast.from_pretrained(folder)
    entries = json.loads(Path(texts_path).read_text(encoding="utf-8"))
    wrong = auto_differs = 0
    for entry in entries:
        ids, auto_ids = (list(tokenizer(entry["text"], add_special_tokens=add_special_tokens)["input_ids"])
                         for tokenizer in (judge, auto))
        auto_differs += ids != auto_ids
        if ids != entry["ids"]:
            wrong += 1
            print(f"text {entry['text']!r}: expected {entry['ids']}, transformers gives {ids}")
    if auto_differs:
        print(f"note: AutoTokenizer ({type(auto).__name__}) reads {auto_differs} texts otherwise than tokenizer.json")
    print(f"texts: {len(entries) - wrong} of {len(entries)} agree")
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("logits", help="safetensors file, or - for none")
    parser.add_argument("--tolerance", type=float, default=2e-5)
    parser.add_argument("--texts", help="JSON list of {text, ids}")
    parser.add_argument("--add-special-tokens", action="store_true")
    parser.add_argument("--auto", action="store_true", help="compare texts with AutoTokenizer's ids")
    args = parser.parse_args()
    if not args.dir.is_dir():
        parser.error(f"{args.dir} is not a directory")
    if args.logits == "-" and not args.texts:
        parser.error("nothing to check: give LOGITS.safetensors, --texts, or both")

    good = True
    try:
        if args.logits != "-":
            good &= check_logits(args.dir, args.logits, args.tolerance)
        if args.texts:
            good &= check_texts(args.dir, args.texts, args.add_special_tokens, args.auto)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
