"""What the reference tools share: where things are, and how a fixture is written.

Fixtures are compared tensor by tensor by the C tests, so they must be the same bytes each time they are made on the
same versions: tensors in sorted name order, metadata under one key (safetensors writes several
in random order), and no dates or paths.
"""
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"

_PACKAGES = ("torch", "transformers", "safetensors", "tokenizers", "sentencepiece", "numpy", "scipy", "gguf")


def shared_dir():
    """The folder of public models and vocabularies, which is not part of the repository."""
    for candidate in (ROOT / "shared", ROOT.parent / "shared"):
        if (candidate / "tokenizers").is_dir():
            return candidate
    return ROOT.parent / "shared"


def to_numpy(tensor):
    """A torch tensor or number as a contiguous f32 (or i32) array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    array = np.asarray(tensor)
    dtype = np.int32 if np.issubdtype(array.dtype, np.integer) else np.float32
    return np.ascontiguousarray(np.atleast_1d(array), dtype=dtype)


def save_tensors(path, tensors, constants=None):
    """Writes {name: tensor} as f32/i32 safetensors; constants go as JSON text into the metadata key "constants"."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: to_numpy(tensors[name]) for name in sorted(tensors)}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path.name}: {name} holds a value that is not finite")
    save_file(arrays, path, metadata={"constants": json.dumps(constants)} if constants else None)
    make_readable(path)
    print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}: "
          f"{len(arrays)} tensors, {path.stat().st_size} bytes")


def make_readable(path):
    """safetensors creates files for their owner only; a committed fixture is for everyone."""
    os.chmod(path, 0o644)


def write_versions(path):
    """Records what computed the fixtures beside `path`."""
    lines = [f"python {platform.python_version()}"]
    lines += [f"{name} {metadata.version(name)}" for name in _PACKAGES]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
