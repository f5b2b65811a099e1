#!/usr/bin/env python3
"""Hostile little files for the fuzzers to start from: what readers of these formats have been attacked with.

    python tools/reference/fuzz_seeds.py [--out tests/fuzz/seeds]

safetensors/     sound files; the three attempts that the format's authors publish ("abuse attempts" 1 to 3: a header
                 longer than the file, thousands of tensors over the same bytes, small and large); what their reader and
                 its auditors test for: lengths of 0, 100 MB and 2^64 - 1, overflowing shapes and offsets, holes,
                 overlaps, bytes in front of or behind the header, duplicate names, foreign types
sentencepiece/   h_*: lengths that lie, endless numbers, scores that are no numbers, empty and equal pieces, broken maps
tiktoken/        h_*: broken base64, ranks that are negative, huge, doubled or missing
tokenizer_json/  h_*: Unigram, WordPiece and BPE models with odd scores, ids, prefixes, merges and patterns
bridge/, recipe/, packet/, rows/   one or two inputs of each kind that their fuzzer knows
"""
import argparse
import base64
import json
import struct
from pathlib import Path

from fixture_io import ROOT


def header(text, data=b"", length=None):
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype="F32", shape=(2, 2), begin=0, end=16):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def safetensors():
    one = compact({"weight": entry()})
    many = compact({f"w{i}": entry() for i in range(40)})
    large = compact({f"w{i}": entry(shape=(200, 200), end=160000) for i in range(20)})
    seeds = {
        "ok_one": header(one, bytes(16)),
        "ok_padded": header(one + "    ", bytes(16)),
        "ok_none": header("{}"),
        "ok_empty_tensor": header(compact({"a": entry(shape=(0, 3), end=0), "b": entry("BF16", (), 0, 2)}), bytes(2)),
        "ok_metadata": header(compact({"__metadata__": {"format": "pt"}, "a": entry("U8", (3,), 0, 3)}), b"abc"),
        "ok_misaligned": header(compact({"a": entry("U8", (1,), 0, 1), "b": entry("F32", (1,), 1, 5)}), bytes(5)),
        "attempt_1_header_beyond_file": header(one, bytes(16), 1000),
        "attempt_2_same_bytes_many_times": header(many, bytes(16)),
        "attempt_3_same_large_bytes": header(large, bytes(64)),
        "length_0": header("", bytes(16)),
        "length_100_million": header("{}", b"", 100000000),
        "length_above_100_million": header("{}", b"", 100000001),
        "length_largest": header("{}", b"", 2**64 - 1),
        "length_wraps": header("{}", b"", 2**64 - 8),
        "seven_bytes": b"\2\0\0\0\0\0\0",
        "shape_overflows": header(compact({"a": entry(shape=(2**63 - 1, 2), end=16)}), bytes(16)),
        "bytes_overflow": header(compact({"a": entry(shape=(2, 2**61), end=16)}), bytes(16)),
        "overflow_times_0": header(compact({"a": entry(shape=(2**32, 2**32, 0), end=0)})),
        "above_64_bits": header('{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,16]}}', bytes(16)),
        "offsets_turned": header(compact({"a": entry(begin=16, end=0)}), bytes(16)),
        "offset_beyond": header(compact({"a": entry(begin=2**62, end=2**62 + 16)}), bytes(16)),
        "offset_negative": header(compact({"a": entry(begin=-16, end=0)}), bytes(16)),
        "hole": header(compact({"a": entry("U8", (4,), 4, 8)}), bytes(8)),
        "rest": header(compact({"a": entry("U8", (4,), 0, 4)}), bytes(8)),
        "overlap": header(compact({"a": entry("U8", (5,), 0, 5), "b": entry("U8", (4,), 4, 8)}), bytes(8)),
        "twice": header('{"a":%s,"a":%s}' % (compact(entry("U8", (1,), 0, 1)), compact(entry("U8", (1,), 1, 2))), b"xy"),
        "twice_escaped": header('{"a":%s,"\\u0061":%s}' % (compact(entry("U8", (1,), 0, 1)),
                                                          compact(entry("U8", (1,), 1, 2))), b"xy"),
        "space_in_front": header(" " + one, bytes(16)),
        "zero_bytes_behind": header(one.encode() + bytes(4), bytes(16)),
        "not_utf8": header(b'{"\xff\xfe":{}}'),
        "metadata_not_text": header('{"__metadata__":{"a":[{}]}}'),
        "names_terminal": header('{"\\u001b[2J":%s}' % compact(entry()), bytes(16)),
        "type_unknown": header(compact({"a": entry("F4", (3,), 0, 2)}), bytes(2)),
        "deep": header('{"a":' + "[" * 300 + "]" * 300 + "}"),
        "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    }
    return seeds


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def piece(text, score=-1.0, kind=1):
    raw = text.encode() if isinstance(text, str) else text
    return message(1, message(1, raw) + varint(2 << 3 | 5) + struct.pack("<f", score) + b"\x18" + varint(kind))


def model_type(kind):
    return message(2, b"\x18" + varint(kind))


def sentencepiece():
    sound = piece("<unk>", 0, 2) + piece("\u2581") + piece("a") + piece("b") + piece("ab", -0.5)
    unit = struct.pack("<I", 4)
    return {
        "h_length_lies": sound + b"\x0A\xFF\xFF\xFF\xFF\x0F",
        "h_endless_number": sound + b"\x18" + b"\xFF" * 12,
        "h_field_0": sound + b"\x00\x00",
        "h_groups": sound + b"\x0B\x0C",
        "h_not_a_number": sound + piece("c", float("nan")),
        "h_infinite": sound + piece("c", float("inf")) + piece("d", float("-inf")) + model_type(1),
        "h_infinite_bpe": sound + piece("abab", float("inf")) + piece("ba", float("-inf")) + model_type(2),
        "h_empty_piece": sound + piece(""),
        "h_same_piece": sound + piece("ab"),
        "h_long_piece": sound + piece("a" * 1025),
        "h_kind_99": sound + piece("c", -1, 99),
        "h_no_pieces": model_type(1),
        "h_word_model": sound + model_type(3),
        "h_unknown_twice": sound + piece("<unk2>", 0, 2),
        "h_no_unknown": piece("a") + piece("b"),
        "h_byte_misspelt": sound + piece("<0xZZ>", 0, 6),
        "h_not_utf8": sound + piece(b"\xE2\x96") + piece(b"\xFF\xFF"),
        "h_user_defined": sound + piece("aa", 0, 4) + piece("aaa", 0, 4) + piece("</s>", 0, 3),
        "h_map_short": sound + message(3, message(2, b"\4\0\0")),
        "h_map_longer_than_file": sound + message(3, message(2, struct.pack("<I", 2**31) + bytes(8))),
        "h_map_odd": sound + message(3, message(2, struct.pack("<I", 3) + b"\0\0\0")),
        "h_map_points_outside": sound + message(3, message(2, unit + struct.pack("<I", 0xFFFFFFFF) + b"x\0")),
        "h_ids_outside": sound + message(2, b"".join(varint(n << 3) + varint(2**63) for n in (40, 41, 42))),
        "h_flags": sound + message(3, b"\x18\x00\x20\x00\x28\x00") + model_type(2),
    }


def tiktoken():
    return {
        "h_not_base64": b"!!!! 256\n",
        "h_padding_inside": b"YQ==YQ== 256\n",
        "h_negative": b"YWI= -1\n",
        "h_huge": b"YWI= 99999999999999999999\n",
        "h_largest": b"YWI= 2147483647\n",
        "h_gap": b"YWI= 100000\n",
        "h_same_rank": b"YWI= 256\nYWM= 256\n",
        "h_same_token": b"YWI= 256\nYWI= 257\n",
        "h_single_byte_again": b"YQ== 256\n",
        "h_empty_token": b" 256\n",
        "h_no_rank": b"YWI=\n",
        "h_rank_with_letters": b"YWI= 25x\n",
        "h_crlf_and_blank_lines": b"\r\nYWI= 256\r\n\r\n",
        "h_no_line_feed": b"YWI= 256",
        "h_zero_bytes": b"YWI= 256\n\0\0\0",
        "h_unreachable": base64.b64encode(b"abcdefgh") + b" 256\n",
        "h_long_token": base64.b64encode(b"a" * 1500) + b" 256\n",
    }


def tokenizer_json():
    def file(model, **more):
        return compact({"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "model": model} | more).encode()

    def unigram(vocab, **more):
        return {"type": "Unigram", "vocab": vocab} | more

    def wordpiece(vocab, **more):
        return {"type": "WordPiece", "unk_token": "?", "vocab": vocab} | more

    def bpe(vocab, merges, **more):
        return {"type": "BPE", "vocab": vocab, "merges": merges} | more

    sound = [["?", 0], ["a", -1], ["b", -2], ["ab", -2.5]]
    words = {"?": 0, "a": 1, "##b": 2, "##ab": 3}
    letters = {"a": 0, "b": 1, "ab": 2}
    split = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    deep = None
    for _ in range(60):
        deep = {"type": "Sequence", "normalizers": [deep] if deep else []}
    return {
        "h_unigram_scores": file(unigram(sound + [["c", 1e308], ["d", -1e308], ["e", 1]], unk_id=0)),
        "h_unigram_score_above_double": file(unigram([["a", 0]])).replace(b"0]", b"1e999]"),
        "h_unigram_unknown_outside": file(unigram(sound, unk_id=4)),
        "h_unigram_unknown_negative": file(unigram(sound, unk_id=-2)),
        "h_unigram_no_unknown": file(unigram(sound)),
        "h_unigram_empty": file(unigram([])),
        "h_unigram_empty_piece": file(unigram(sound + [["", -1], ["", -2]], unk_id=0)),
        "h_unigram_same_piece": file(unigram(sound + [["a", -9]], unk_id=0)),
        "h_unigram_no_pairs": file(unigram([["?", 0, 1], "a", []], unk_id=0)),
        "h_unigram_bytes_doubled": file(unigram(sound + [["<0x61>", -1], ["<0x61>", -2]], unk_id=0, byte_fallback=True)),
        "h_unigram_object": file(unigram({"a": -1})),
        "h_wordpiece_prefix_empty": file(wordpiece(words, continuing_subword_prefix="")),
        "h_wordpiece_prefix_is_a_piece": file(wordpiece(words | {"##": 4}, continuing_subword_prefix="##")),
        "h_wordpiece_empty_piece": file(wordpiece(words | {"": 4})),
        "h_wordpiece_unknown_missing": file(wordpiece({"a": 0})),
        "h_wordpiece_no_characters": file(wordpiece(words, max_input_chars_per_word=0)),
        "h_wordpiece_many_characters": file(wordpiece(words, max_input_chars_per_word=2**62)),
        "h_wordpiece_ids": file(wordpiece(words | {"c": -1, "d": 2**40})),
        "h_wordpiece_same_id": file(wordpiece(words | {"c": 1})),
        "h_bpe_merge_of_nothing": file(bpe(letters, [" ", "a ", " b"])),
        "h_bpe_merge_unknown": file(bpe(letters, ["a c"])),
        "h_bpe_merge_of_three": file(bpe(letters, [["a", "b", "ab"]])),
        "h_bpe_merge_without_result": file(bpe({"a": 0, "b": 1}, ["a b"])),
        "h_bpe_gap": file(bpe({"a": 0, "b": 70000}, [])),
        "h_bpe_clip": file(bpe({"a": 0, "b": 1, "b</w>": 2, "ab</w>": 3}, ["a b</w>"], end_of_word_suffix="</w>")),
        "h_bpe_prefix": file(bpe({"a": 0, "##b": 1, "ab": 2}, ["a ##b"], continuing_subword_prefix="##")),
        "h_pattern_that_backtracks": file(bpe(letters, ["a b"]), pre_tokenizer=split),
        "h_pattern_broken": file(bpe(letters, []), pre_tokenizer=split | {"pattern": {"Regex": "(("}}),
        "h_normalizer_deep": file(bpe(letters, []), normalizer=deep),
        "h_normalizer_grows": file(bpe(letters, []), normalizer={"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}] * 6}),
        "h_charsmap_broken": file(bpe(letters, []), normalizer={"type": "Precompiled", "precompiled_charsmap": "//8="}),
        "h_added_outside": file(bpe(letters, []), added_tokens=[{"id": 2**31, "content": "x"}]),
        "h_added_same_id": file(bpe(letters, []), added_tokens=[{"id": 1, "content": "x", "special": True}]),
        "h_template": file(bpe(letters, []), post_processor={
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}],
            "special_tokens": {"x": {"ids": [99, -1]}}}),
    }


def bridge():
    recipe = compact({"bridge": {"width": 4, "heads": 2, "soft_tokens": 2, "depth": 1}})
    variant = compact({"bridge": {"width": 6, "heads": 1, "soft_tokens": 1, "depth": 2, "learnable_normaliser": True,
                                  "scale": "tanh"}, "layout": "{bos}{primer}{soft}", "primer": "x"})
    return {
        "recipe": b"\5" + recipe.encode(),
        "recipe_variant": b"\5" + variant.encode(),
        "tensors_none": b"\0" + header('{"__metadata__":{"telepathy_config":"x"}}'),
        "config_bytes": b"\1\0\x20x\1\0y",
        "tensor_bytes": b"\2\0\x08\xff",
        "keys": b"\3\x02\x05\x08\x07",
        "tensors_changed": b"\4\0\0\6\1\3\0",
        "no_bridge": compact({"peft_type": "LORA"}).encode(),
    }


def recipe():
    return {
        "empty": b"{}",
        "losses": compact({"losses": [{"name": "lm", "weight": 1, "schedule": {"kind": "anneal", "from": 0, "to": 5}}]}).encode(),
        "layer": compact({"sender": {"layer": 0.75, "prompt": "labels"}, "seed": 2**63 - 1}).encode(),
    }


def rows():
    return {
        "prefixed": b"\0LOC: where is it ?\nNUM: how many\n",
        "csv": b"\1" + b'"3","a ""title""","text, more"\r\n',
        "tsv": b"\3label\ttext\nx\ta\n",
        "jsonl": b"\4" + b'{"text": "a", "label": 1}\n',
        "fields": b'\7a"b\0,\n\0',
    }


def packet():
    start = b"TPST\1\0"
    return {"i8": b"\3\3" + bytes(32) + b"\0\0\x80\x3f\1\2\3\4", "f32": b"\0\0" + bytes(36), "start": start + bytes(50)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "fuzz" / "seeds")
    out = parser.parse_args().out
    for make in (safetensors, sentencepiece, tiktoken, tokenizer_json, bridge, recipe, packet, rows):
        folder = out / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        seeds = make()
        for name, data in seeds.items():
            (folder / name).write_bytes(data)
        print(folder.name, len(seeds), "seeds,", sum(map(len, seeds.values())), "bytes")


if __name__ == "__main__":
    main()
