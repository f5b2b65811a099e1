#!/usr/bin/env python3
"""Token ids of awkward strings, from the tokenizers and sentencepiece libraries.

    python tools/reference/tokenizer_reference.py [--shared ../shared] [--out tests/fixtures/text]

For each vocabulary nasty_<name>.json is a list of {"text", "ids"}: plain ids, no BOS or EOS added. The texts are the
same for all; the vocabularies themselves stay outside the repository. The files are pure ASCII (JSON escapes), so no
editor can normalise them. Strings with U+0000, which many JSON readers refuse, stand apart in nasty_nul.json,
as {name: [{"text", "ids"}]}.

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
import tokenizers

from fixture_io import FIXTURES, shared_dir

NASTY = [
    "",
    " ", "  ", "   ", "     ", " " * 16, " " * 17, " " * 33,
    "\t", "\t\t\t", "\n", "\n\n", "\n\n\n\n", "\r\n\r\n", " \n \n\t \n", "\t \t\n  \t",
    "hello", " hello", "hello ", "  hello  ", "hello  world   again", "\nhello\n", "Hello\tWorld\r\nBye",
    "It's we'll they've I'm you're he'd don't", "IT'S WE'LL THEY'VE I'M YOU'RE HE'D DON'T", "It\u2019s \u2018quoted\u2019",
    "1", "12", "123", "1234", "12345678901234567890", "3.14159e-10 0xDEADBEEF 1,000,000", "007 00000000000000",
    "\u0663\u0664\u0665\u0666 \u0967\u0968\u0969 \u00b2\u00b3\u00b9 \u2163 \u00bd",
    "!!!???...;;;", "-----=====*****", "foo_bar-baz/qux.c:42", "<<>>[[]](){}", "a.b,c;d:e", "@user #tag $9.99 50% ^_^",
    "if (x <= 10) {\n    return \"y\";\n\t}\n", "https://example.org/a?b=c&d=%20e#f", "\\n \\t \\u0041 \\\\",
    "\U0001F600", "\U0001F600\U0001F600 \U0001F680!", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466",
    "\U0001F44D\U0001F3FD \U0001F1E9\U0001F1EA \u2764\uFE0F 1\uFE0F\u20E3", "\U0001F3F3\uFE0F\u200D\U0001F308",
    "caf\u00e9 cafe\u0301", "Z\u0351\u036b\u0343\u036a\u0302a\u0363\u034blgo\u0321\u0337",
    "\u1e9e\u00df \ufb01 \u01c4 \u0130i\u0131I", "\uff28\uff45\uff4c\uff4c\uff4f \u2460 \u33a5",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u304c\u304e",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\U00020000\U0002A6D6 \u9fa5",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0395\u03bb\u03bb\u03ac\u03b4\u03b1",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645", "\u05e9\u05dc\u05d5\u05dd \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "abc\u0434\u0435\u0444\u4e2d\u6587\u0639\u0631\U0001F600123",
    "\u00a0nbsp\u00a0\u2003em\u3000ideographic\u202fnarrow", "zero\u200bwidth\u200cjoin\u200der\u2060word\ufeffbom", "\ufeffbom first",
    "\u202eright to left\u202c", "line\u2028separator\u2029paragraph\u0085nel\x0bvt\x0cff",
    "\x01\x02\x1b[31mred\x1b[0m\x7f", "\u0080\u009f\u00ad", "\ufffd \ufffe \uffff \ue000 \U0010FFFF",
    "\u2581", "\u2581\u2581a \u2581b", "a\u2581b", "<s>hello</s>", "<unk> <pad> <0x0A> <0xE2>", "[INST] hi [/INST]",
    "[INST][/INST][TOOL_CALLS] [AVAILABLE_TOOLS]",
    "[REFERENCE_DOC_1]", "see [REFERENCE_DOC_12] and[REFERENCE_DOC_3]s [REFERENCE_DOC_1", "<|start_story|>Once<|end_story|>", "a <|end_story|> b<|end_story|>", "<|endoftext|> <|begin_of_text|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ThisIsCamelCaseAndSHOUTINGandlower",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "Once upon a time, there was a little girl named Lily. She said, \"Hello!\"",
]
WITH_NUL = ["\x00", "a\x00b", " \x00\x00 "]


def encoders(shared):
    """{name: function from text to ids}"""
    found = {}
    story = tokenizers.Tokenizer.from_file(str(shared / "models/tinystories-656k/tokenizer.json"))
    found["tinystories"] = lambda text: story.encode(text, add_special_tokens=False).ids
    for name, path in (("llama2", "llama2/tokenizer.model"), ("mistral_v1", "mistral/tokenizer.model.v1"),
                       ("mistral_v3", "mistral/mistral_instruct_tokenizer_240323.model.v3")):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(shared / "tokenizers" / path))
        found[name] = lambda text, processor=processor: processor.encode(text, add_bos=False, add_eos=False)
    return found


def records(encode, texts):
    return [{"text": text, "ids": list(encode(text))} for text in texts]


def as_lines(rows, indent=""):
    return "[\n" + ",\n".join(f"{indent}  {json.dumps(row)}" for row in rows) + f"\n{indent}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared_dir(), help="the folder with models/ and tokenizers/")
    parser.add_argument("--out", type=Path, default=FIXTURES / "text")
    args = parser.parse_args()
    assert len(set(NASTY)) == len(NASTY)

    args.out.mkdir(parents=True, exist_ok=True)
    nul = []
    for name, encode in encoders(args.shared).items():
        rows = records(encode, NASTY)
        (args.out / f"nasty_{name}.json").write_text(as_lines(rows) + "\n", encoding="ascii")
        nul.append(f'  "{name}": {as_lines(records(encode, WITH_NUL), "  ")}')
        print(f"nasty_{name}.json: {len(rows)} texts, {sum(len(row['ids']) for row in rows)} ids")
    (args.out / "nasty_nul.json").write_text("{\n" + ",\n".join(nul) + "\n}\n", encoding="ascii")


if __name__ == "__main__":
    main()
