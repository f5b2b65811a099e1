#!/usr/bin/env python3
"""Token ids of awkward strings with public vocabularies, from the reference libraries.

    python tools/reference/tokenizer_reference.py [--shared ../shared] [--out tests/fixtures/text]
                                                  [--llama-tokens PROGRAM]

For each vocabulary nasty_<name>.json.gz is a list of id lists, one for each text of kinds/texts.json.gz (which
tokenizer_kinds.py writes): plain ids, no BOS or EOS added. The vocabularies themselves stay outside the repository.
Strings with U+0000, which many JSON readers refuse, stand apart in nasty_nul.json, as {name: [{"text", "ids"}]}. The
libraries: sentencepiece for the SentencePiece models, tiktoken for the ranks, tokenizers for tokenizer.json, and
llama.cpp for the GGUF files (the program made from llama_tokens.cpp; without it those are left as they are).

Text that spells a special token:
  - SentencePiece: a control piece ("<s>", "[INST]") is never matched in text; a user-defined one is, whole
    ("[REFERENCE_DOC_1]" of mistral_v3).
  - tinystories-656k has added tokens with "normalized": true: `tokenizers` normalises their content too, and looks for
    that in the normalised text. Its normaliser prepends U+2581, so "<|start_story|>" is found at the start of a text
    (and after a space) and nowhere else.
tinystories' ids are what tokenizer.json itself says. transformers' AutoTokenizer reads the same folder otherwise: its
tokenizer_config.json names LlamaTokenizer, which transformers 5 rebuilds from the vocabulary and merges alone.
"""
import argparse
import json
from pathlib import Path

import sentencepiece
import tiktoken
import tokenizers
from tiktoken.load import load_tiktoken_bpe

from fixture_io import FIXTURES, shared_dir
from nasty_texts import NASTY, WITH_NUL
from tokenizer_kinds import LLAMA3, QWEN2, run_llama_tokens, write_ids


def encoders(shared):
    """{name: function from text to ids}"""
    found = {}
    story = tokenizers.Tokenizer.from_file(str(shared / "models/tinystories-656k/tokenizer.json"))
    found["tinystories"] = lambda text: story.encode(text, add_special_tokens=False).ids
    for name, path in (("llama2", "llama2/tokenizer.model"), ("mistral_v1", "mistral/tokenizer.model.v1"),
                       ("mistral_v3", "mistral/mistral_instruct_tokenizer_240323.model.v3")):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(shared / "tokenizers" / path))
        found[name] = lambda text, processor=processor: processor.encode(text, add_bos=False, add_eos=False)
    for name, path, pattern in (("llama3", "llama3/tokenizer.model", LLAMA3), ("qwen2", "qwen/qwen.tiktoken", QWEN2)):
        ranks = load_tiktoken_bpe(str(shared / "tokenizers" / path))
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        found[name] = encoding.encode_ordinary
    return found


def records(encode, texts):
    return [{"text": text, "ids": list(encode(text))} for text in texts]


def as_lines(rows, indent=""):
    return "[\n" + ",\n".join(f"{indent}  {json.dumps(row)}" for row in rows) + f"\n{indent}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared_dir(), help="the folder with models/ and tokenizers/")
    parser.add_argument("--out", type=Path, default=FIXTURES / "text")
    parser.add_argument("--llama-tokens", help="the program made from llama_tokens.cpp")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    nul = []
    for name, encode in encoders(args.shared).items():
        ids = [list(encode(text)) for text in NASTY]
        write_ids(args.out / f"nasty_{name}.json.gz", ids)
        nul.append(f'  "{name}": {as_lines(records(encode, WITH_NUL), "  ")}')
        print(f"nasty_{name}.json.gz: {len(ids)} texts, {sum(map(len, ids))} ids")
    (args.out / "nasty_nul.json").write_text("{\n" + ",\n".join(nul) + "\n}\n", encoding="ascii")
    for name, path in (("llama_spm", "ggml-vocab-llama-spm.gguf"), ("refact", "ggml-vocab-refact.gguf")):
        if args.llama_tokens:
            ids = run_llama_tokens(args.llama_tokens, args.shared / "tokenizers" / path)
            write_ids(args.out / f"nasty_{name}.json.gz", ids)


if __name__ == "__main__":
    main()
