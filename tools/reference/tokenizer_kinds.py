#!/usr/bin/env python3
"""Small vocabularies of our own of every kind, and the ids that the reference libraries give awkward strings with them.

    python tools/reference/tokenizer_kinds.py [--out tests/fixtures/text/kinds] [--llama-tokens PROGRAM]

The vocabularies are trained by the reference trainers (tokenizers, sentencepiece) on the few sentences of nasty_texts.py.
texts.json.gz is the list of strings. For each kind NAME:

  NAME.json.gz    {"tokenizer": a whole tokenizer.json, "ids": [[...] for each text], "special_ids": the ids with special
                  tokens added, "decoded": what `tokenizers` decodes the ids to (some kinds only)}
  NAME.model      a SentencePiece model; NAME.ids.json.gz has its ids
  NAME.tiktoken   ranks; NAME.ids.json.gz has the ids by tiktoken with the pattern of that name
  NAME.gguf       a vocabulary-only GGUF; NAME.ids.json.gz has llama.cpp's ids. These need the program made from
                  llama_tokens.cpp (see there); without it they are left as they are.

`tokenizers` finds added tokens in any text, so those kinds are compared with special tokens parsed.
"""
import argparse
import base64
import gzip
import io
import json
import subprocess
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders as D
from tokenizers import models as M
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P
from tokenizers import processors as X
from tokenizers import trainers as T

from fixture_io import FIXTURES
from nasty_texts import NASTY, OWN_TEXT

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
BLANK = "\u2581"

# A character map of our own, for SentencePiece's trainer: source and target code points, in hexadecimal.
CHARSMAP_RULES = {
    "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\u2003": " ", "\u200b": "", "\ufeff": "", "\u00ad": "",
    "\ufb01": "fi", "\ufb03": "ffi", "\u2026": "...", "e\u0301": "\u00e9", "o\u0308": "\u00f6", "A\u030a": "\u00c5", "\u212b": "\u00c5",
    "\uff28": "H", "\uff45": "e", "\uff4c": "l", "\uff4f": "o", "\u2460": "1", "\u33a5": "m3", "\u00bd": "1/2", "\u00b2": "2",
    "\u304b\u3099": "\u304c", "\u0438\u0306": "\u0439", "\u2019": "'", "\u01c4": "D\u017d", "\uff11": "1", "\uff12": "2",
    "\u0928\u093c": "\u0929", "\ufdfa": "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647", "\u0344": "\u0308\u0301", "s\u0323": "\u1e63",
}


def train_bpe(tokenizer, size=420, **options):
    tokenizer.train_from_iterator(OWN_TEXT * 2, T.BpeTrainer(vocab_size=size, show_progress=False, **options))
    return tokenizer


def byte_level(pre, normalizer=None, specials=("<|endoftext|>",), **model):
    tokenizer = Tokenizer(M.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = D.ByteLevel()
    return train_bpe(tokenizer, 500, special_tokens=list(specials), initial_alphabet=P.ByteLevel.alphabet())


def split_then_bytes(*patterns):
    splits = [P.Split(Regex(pattern), "isolated") for pattern in patterns]
    return P.Sequence(splits + [P.ByteLevel(add_prefix_space=False, use_regex=False)])


def with_bytes(tokenizer, unknown="<unk>"):
    """The same BPE with byte tokens behind the special ones, as converted SentencePiece models have them."""
    data = json.loads(tokenizer.to_str())
    model = data["model"]
    old = sorted(model["vocab"], key=model["vocab"].get)
    specials = [token["content"] for token in data["added_tokens"]]
    order = specials + [f"<0x{byte:02X}>" for byte in range(256)] + [t for t in old if t not in specials]
    model["vocab"] = {token: i for i, token in enumerate(order)}
    model["byte_fallback"] = True
    model["unk_token"] = unknown
    model["fuse_unk"] = True
    for token in data["added_tokens"]:
        token["id"] = model["vocab"][token["content"]]
    return Tokenizer.from_str(json.dumps(data))


def wordpiece(**options):
    tokenizer = Tokenizer(M.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = N.BertNormalizer(**options)
    tokenizer.pre_tokenizer = P.BertPreTokenizer()
    tokenizer.decoder = D.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(OWN_TEXT, T.WordPieceTrainer(vocab_size=480, special_tokens=specials,
                                                               show_progress=False))
    return tokenizer


def unigram(normalizer, pre, size=380, unknown=True, **model):
    tokenizer = Tokenizer(M.Unigram())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = D.Metaspace()
    trainer = T.UnigramTrainer(vocab_size=size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
                               show_progress=False)
    tokenizer.train_from_iterator(OWN_TEXT, trainer)
    if model:
        data = json.loads(tokenizer.to_str())
        data["model"].update(model)
        if model.get("byte_fallback"):
            data["model"]["vocab"] += [[f"<0x{byte:02X}>", -12.0] for byte in range(256)]
        tokenizer = Tokenizer.from_str(json.dumps(data))
    return tokenizer


def charsmap():
    """The blob that SentencePiece's trainer compiles from CHARSMAP_RULES."""
    return train_sentencepiece("unigram", rules=True).normalizer_spec.precompiled_charsmap


def train_sentencepiece(kind, rules=False, **options):
    path = Path("/tmp") / "telepathy_charsmap_rules.tsv"
    if rules:
        hexadecimal = lambda text: " ".join(f"{ord(c):X}" for c in text)
        path.write_text("".join(f"{hexadecimal(a)}\t{hexadecimal(b)}\n" for a, b in CHARSMAP_RULES.items()))
        options["normalization_rule_tsv"] = str(path)
    else:
        options.setdefault("normalization_rule_name", "identity")
    out = io.BytesIO()
    text = [line.replace("\n", " ").replace("\t", " ") for line in OWN_TEXT]
    size = 330 + (256 if options.get("byte_fallback") else 0)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text * 3), model_writer=out, model_type=kind,
                                             vocab_size=size, hard_vocab_limit=False, minloglevel=2, num_threads=1,
                                             **options)
    path.unlink(missing_ok=True)
    model = pb.ModelProto.FromString(out.getvalue())
    model.normalizer_spec.normalization_rule_tsv = ""  # a path
    model.trainer_spec.ClearField("input")
    return model


def placed_kinds():
    """BPEs that write symbols by their place in a word, as CLIP and GPT-1 do, and words as runs of one script."""
    clip = Tokenizer(M.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    clip.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    clip.pre_tokenizer = P.Sequence([P.Split(words, "removed", invert=True), P.ByteLevel(add_prefix_space=False)])
    clip.decoder = D.ByteLevel()
    train_bpe(clip, 900, special_tokens=["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>",
              initial_alphabet=P.ByteLevel.alphabet())
    clip.post_processor = X.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False)
    gpt1 = Tokenizer(M.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    gpt1.normalizer = N.BertNormalizer()
    gpt1.pre_tokenizer = P.BertPreTokenizer()
    gpt1.decoder = D.BPEDecoder(suffix="</w>")
    train_bpe(gpt1, 400, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    prefixed = Tokenizer(M.BPE(unk_token="<unk>", fuse_unk=True, continuing_subword_prefix="##"))
    prefixed.pre_tokenizer = P.Whitespace()
    prefixed.decoder = D.WordPiece(prefix="##", cleanup=False)
    train_bpe(prefixed, 400, special_tokens=["<unk>"], continuing_subword_prefix="##")
    scripts = Tokenizer(M.BPE(unk_token="<unk>"))
    scripts.pre_tokenizer = P.Sequence([P.UnicodeScripts(), P.Digits(individual_digits=True)])
    train_bpe(scripts, 420, special_tokens=["<unk>"])
    return {"clip": clip, "gpt1": gpt1, "prefixed": prefixed, "scripts": scripts}


def hugging_face_kinds():
    """{name: tokenizer}"""
    found = {}
    bytes_only = P.ByteLevel(add_prefix_space=False)
    found["gpt2"] = byte_level(bytes_only)
    found["roberta"] = byte_level(P.ByteLevel(add_prefix_space=True), specials=("<s>", "<pad>", "</s>", "<unk>"))
    found["roberta"].add_special_tokens([AddedToken("<mask>", lstrip=True)])
    found["roberta"].post_processor = X.RobertaProcessing(("</s>", 2), ("<s>", 0))
    found["llama3"] = byte_level(split_then_bytes(LLAMA3), ignore_merges=True)
    found["qwen2"] = byte_level(split_then_bytes(QWEN2), N.NFC(), ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    found["o200k"] = byte_level(split_then_bytes(O200K), ignore_merges=True)
    found["starcoder"] = byte_level(P.Sequence([P.Digits(individual_digits=True), bytes_only]))
    found["neox"] = byte_level(bytes_only, N.NFC())
    found["neox"].add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    llama2 = Tokenizer(M.BPE())
    llama2.normalizer = N.Sequence([N.Prepend(BLANK), N.Replace(" ", BLANK)])
    llama2 = with_bytes(train_bpe(llama2, special_tokens=["<unk>", "<s>", "</s>"]))
    llama2.decoder = D.Sequence([D.Replace(BLANK, " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    llama2.post_processor = X.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    found["llama2"] = llama2
    gemma = Tokenizer(M.BPE())
    gemma.normalizer = N.Replace(" ", BLANK)
    gemma.pre_tokenizer = P.Split(" ", "merged_with_previous")
    found["gemma"] = with_bytes(train_bpe(gemma, special_tokens=["<pad>", "<eos>", "<bos>", "<unk>"]))
    for scheme, split in (("first", False), ("always", True), ("never", True)):
        metaspace = Tokenizer(M.BPE(unk_token="<unk>", fuse_unk=scheme == "first"))
        metaspace.pre_tokenizer = P.Metaspace(prepend_scheme=scheme, split=split)
        metaspace.decoder = D.Metaspace(prepend_scheme=scheme)
        found[f"metaspace_{scheme}"] = train_bpe(metaspace, 330, special_tokens=["<unk>", "<s>", "</s>"])
    words = Tokenizer(M.BPE(unk_token="<unk>"))
    words.normalizer = N.Sequence([N.Strip(), N.NFKD(), N.StripAccents(), N.Lowercase()])
    words.pre_tokenizer = P.Whitespace()
    found["words"] = train_bpe(words, 330, special_tokens=["<unk>"])
    found["words"].add_tokens([AddedToken("word", single_word=True, normalized=False),
                               AddedToken("<sep>", lstrip=True, rstrip=True), AddedToken("SHOUT", normalized=True)])
    splits = Tokenizer(M.BPE(unk_token="<unk>"))
    splits.normalizer = N.Sequence([N.NFKC(), N.Replace(Regex(r"[0-9]{4,}"), "#"), N.Nmt()])
    splits.pre_tokenizer = P.Sequence([
        P.Split(Regex(r"\w+"), "contiguous", invert=True), P.Split(Regex("[aeiou]"), "merged_with_next"),
        P.Split("-", "merged_with_previous", invert=True), P.Punctuation("contiguous"), P.Digits(False),
        P.Split(Regex("^x|(?=y)"), "isolated"), P.WhitespaceSplit()])
    found["splits"] = train_bpe(splits, 330, special_tokens=["<unk>"])
    found["bert"] = wordpiece()
    found["bert"].post_processor = X.TemplateProcessing(single="[CLS] $A [SEP]",
                                                        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    found["bert_cased"] = wordpiece(lowercase=False)
    found["bert_cased"].post_processor = X.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    blob = charsmap()
    found["t5"] = unigram(N.Precompiled(blob), P.Sequence([P.WhitespaceSplit(), P.Metaspace()]))
    found["t5"].post_processor = X.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    albert = N.Sequence([N.Replace("``", '"'), N.Replace("''", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(),
                         N.Precompiled(blob), N.Replace(Regex(" {2,}"), " ")])
    found["albert"] = unigram(albert, P.Metaspace())
    found |= placed_kinds()
    found["unigram_bytes"] = unigram(N.NFC(), P.Metaspace(prepend_scheme="first", split=False), byte_fallback=True)
    return found


def sentencepiece_kinds():
    extra = dict(user_defined_symbols=["[X]", "<sep>", "word"], control_symbols=["[INST]"])
    return {
        "sp_unigram": train_sentencepiece("unigram", rules=True, **extra),
        "sp_unigram_bytes": train_sentencepiece("unigram", byte_fallback=True, remove_extra_whitespaces=False),
        "sp_bpe": train_sentencepiece("bpe", rules=True, **extra),
        "sp_bpe_bytes": train_sentencepiece("bpe", byte_fallback=True, remove_extra_whitespaces=False,
                                            add_dummy_prefix=False),
    }


def as_lines(rows):
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


def write_gz(path, text):
    """Compressed, and the same bytes each time."""
    with open(path, "wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(text.encode("ascii"))


def write_ids(path, ids):
    write_gz(path, as_lines(ids) + "\n")


def write_hugging_face(out, kinds):
    for name, tokenizer in kinds.items():
        plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in NASTY]
        rows = [f'"tokenizer":{tokenizer.to_str()}', f'"ids":{as_lines(plain)}']
        rows.append(f'"special_ids":{json.dumps(tokenizer.encode("a boat", add_special_tokens=True).ids)}')
        if name in ("bert", "bert_cased", "gpt1", "prefixed"):
            rows.append(f'"decoded":{as_lines([tokenizer.decode(ids, skip_special_tokens=False) for ids in plain])}')
        text = "{" + ",\n".join(rows) + "}\n"
        text = "".join(c if ord(c) < 128 else json.dumps(c)[1:-1] for c in text)
        write_gz(out / f"{name}.json.gz", text)
        print(name, tokenizer.get_vocab_size(), "tokens", len(text), "bytes")


def write_sentencepiece(out):
    for name, model in sentencepiece_kinds().items():
        blob = model.SerializeToString()
        (out / f"{name}.model").write_bytes(blob)
        processor = sentencepiece.SentencePieceProcessor(model_proto=blob)
        write_ids(out / f"{name}.ids.json.gz", [processor.encode(text) for text in NASTY])
        print(name, len(model.pieces), "pieces", len(blob), "bytes")


def byte_of():
    """The byte that each character of GPT-2's alphabet stands for."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def write_tiktoken(out):
    alphabet = byte_of()
    model = json.loads(byte_level(P.ByteLevel(add_prefix_space=False), specials=()).to_str())["model"]["vocab"]
    tokens = sorted((bytes(alphabet[c] for c in token) for token in model), key=lambda t: (len(t) > 1, 0))
    ranks = {token: i for i, token in enumerate(tokens)}
    lines = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
    (out / "ranks.tiktoken").write_text(lines, encoding="ascii")
    for name, pattern in (("gpt2", GPT2), ("o200k", O200K), ("qwen2", QWEN2), ("llama3", LLAMA3)):
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        write_ids(out / f"ranks.{name}.ids.json.gz", [encoding.encode_ordinary(text) for text in NASTY])


def write_gguf(path, model, tokens, types, scores=None, pre=None, merges=None, blob=None, **fields):
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model(model)
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    if scores is not None:
        writer.add_token_scores(scores)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    if blob is not None:
        writer.add_precompiled_charsmap(blob)
    for name, value in fields.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
PRE = ("default", "llama-bpe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "gpt-2", "starcoder", "qwen2",
       "qwen35", "chatglm-bpe", "tekken", "gpt-4o", "bloom", "viking")


def run_llama_tokens(program, path):
    """Ids by llama.cpp, special tokens neither added nor parsed."""
    texts = [text.encode() for text in NASTY]
    blob = b"".join(b"%d\n" % len(text) + text for text in texts)
    answer = subprocess.run([program, path, "0", "0"], input=blob, capture_output=True, check=True).stdout.decode()
    return [[int(number) for number in line.split()] for line in answer.split("\n")[:-1]]


def fnv(ids):
    """FNV-1a over the ids, each as four bytes."""
    h = 0xCBF29CE484222325
    for byte in np.array(ids, dtype="<i4").tobytes():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def write_llama_cpp(out, program):
    kinds = hugging_face_kinds()
    vocab = kinds["bert"].get_vocab()
    tokens = sorted(vocab, key=vocab.get)
    special = lambda t: t.startswith("[") and t.endswith("]") and len(t) > 2
    types = [CONTROL if special(t) else NORMAL for t in tokens]
    phantom = [t if special(t) else t[2:] if t.startswith("##") else BLANK + t for t in tokens]
    write_gguf(out / "wpm.gguf", "bert", phantom, types, bos_token_id=2, sep_token_id=3, unk_token_id=1, pad_token_id=0)
    model = train_sentencepiece("unigram", rules=True, user_defined_symbols=["[X]", "word"], pad_id=0, eos_id=1, unk_id=2,
                                bos_id=-1)
    kind = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER_DEFINED, 5: UNUSED, 6: BYTE}
    write_gguf(out / "ugm.gguf", "t5", [p.piece for p in model.pieces], [kind[p.type] for p in model.pieces],
               [p.score for p in model.pieces], blob=model.normalizer_spec.precompiled_charsmap,
               add_space_prefix=True, remove_extra_whitespaces=True, eos_token_id=1, unk_token_id=2, pad_token_id=0)
    model = json.loads(kinds["gpt2"].to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(merge) for merge in model["merges"]]
    types = [CONTROL if t == "<|endoftext|>" else NORMAL for t in tokens]
    hashes = {}
    for pre in PRE:
        path = out / "bpe.gguf"
        write_gguf(path, "gpt2", tokens, types, pre=pre, merges=merges, bos_token_id=0, eos_token_id=0)
        if program:
            hashes[pre] = [fnv(ids) for ids in run_llama_tokens(program, path)]
    write_gguf(out / "bpe.gguf", "gpt2", tokens, types, pre="gpt-2", merges=merges, bos_token_id=0, eos_token_id=0)
    if program:
        rows = [f'"{pre}":{json.dumps(row, separators=(",", ":"))}' for pre, row in hashes.items()]
        write_gz(out / "bpe.hashes.json.gz", "{" + ",\n".join(rows) + "}\n")
        for name in ("wpm", "ugm", "bpe"):
            write_ids(out / f"{name}.ids.json.gz", run_llama_tokens(program, out / f"{name}.gguf"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FIXTURES / "text" / "kinds")
    parser.add_argument("--llama-tokens", help="the program made from llama_tokens.cpp")
    parser.add_argument("--placed", action="store_true", help="write only what placed_kinds() trains")
    args = parser.parse_args()
    if args.placed:
        return write_hugging_face(args.out, placed_kinds())
    assert len(set(NASTY)) == len(NASTY)
    args.out.mkdir(parents=True, exist_ok=True)
    write_ids(args.out / "texts.json.gz", NASTY)
    write_hugging_face(args.out, hugging_face_kinds())
    write_sentencepiece(args.out)
    write_tiktoken(args.out)
    write_llama_cpp(args.out, args.llama_tokens)


if __name__ == "__main__":
    main()
