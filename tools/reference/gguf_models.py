#!/usr/bin/env python3
"""What llama.cpp's own converter makes of the fixture checkpoints, to compare our GGUF files with.

    python tools/reference/gguf_models.py LLAMA_CPP [--out tests/fixtures/gguf/models.json]

LLAMA_CPP is a checkout of llama.cpp (its `conversion` package is what runs). The fixtures have no tokenizer, so the
vocabulary is left out. The result is a file of facts, not the GGUF files themselves:

{<family>: {"metadata": {key: value}, "tensors": {name: [type, [shape, row-major], CRC-32 of the bytes]}}}
"""
import argparse
import json
import sys
import tempfile
import zlib
from pathlib import Path

from fixture_io import FIXTURES

# general.* that only say how and from what the file was made
LEFT_OUT = ("general.name", "general.size_label", "general.file_type", "general.quantization_version",
            "general.parameter_count", "general.finetune", "general.basename", "general.tags", "general.languages",
            "general.base_model", "general.license", "general.version", "general.organization", "general.sampling",
            "GGUF.")


def convert(folder, out):
    import gguf
    import torch
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    load = ModelBase.load_hparams

    def with_old_keys(*args, **kwargs):  # transformers 5 no longer writes keys that the converter reads
        hparams = load(*args, **kwargs)
        hparams.setdefault("n_ctx", hparams.get("n_positions"))
        rope = hparams.get("rope_parameters") or {}
        hparams.setdefault("rotary_pct", hparams.get("partial_rotary_factor", rope.get("partial_rotary_factor", 0.25)))
        return hparams

    ModelBase.load_hparams = staticmethod(with_old_keys)
    hparams = ModelBase.load_hparams(folder, False)
    architecture = get_model_architecture(hparams, ModelType.TEXT)
    cls = get_model_class(architecture)
    quiet = type("Quiet" + cls.__name__, (cls,), {"set_vocab": lambda self: None, "model_arch": cls.model_arch})
    with torch.inference_mode():
        quiet(folder, gguf.LlamaFileType.ALL_F32, out).write()


def facts(path):
    import gguf

    reader = gguf.GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items() if not name.startswith(LEFT_OUT)}
    tensors = {t.name: [t.tensor_type.name, [int(n) for n in reversed(t.shape)], zlib.crc32(t.data.tobytes())]
               for t in reader.tensors}
    return {"metadata": metadata, "tensors": dict(sorted(tensors.items()))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("--out", default=str(FIXTURES / "gguf" / "models.json"))
    args = parser.parse_args()
    sys.path.insert(0, str(args.llama_cpp / "gguf-py"))
    sys.path.insert(0, str(args.llama_cpp))
    result = {}
    with tempfile.TemporaryDirectory() as temporary:
        for folder in sorted((FIXTURES / "lm").iterdir()):
            if not (folder / "config.json").exists():
                continue
            out = Path(temporary) / f"{folder.name}.gguf"
            try:
                convert(folder, out)
            except Exception as error:  # a family that the converter does not take is not compared
                print(f"{folder.name}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            result[folder.name] = facts(out)
            print(folder.name, len(result[folder.name]["tensors"]), "tensors")
    Path(args.out).write_text(json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
