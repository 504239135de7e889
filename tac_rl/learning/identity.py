"""What tells models apart, without reading all of a large one: whose weights, and whose tokens."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tac_rl.errors import ConfigError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class ModelIdentity:
    """A model folder's two fingerprints."""

    path: str
    """For messages; a model that was moved is the same one."""
    base: str
    tokenizer: str


def fingerprint(model_path: Path) -> str:
    """Tells base models apart: config, names, sizes, and samples of the weights. Raises `OSError`."""
    digest = hashlib.sha256((model_path / "config.json").read_bytes())
    for file in sorted(model_path.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as weights:
            for at in (0, size // 2, max(0, size - 65_536)):
                weights.seek(at)
                digest.update(weights.read(65_536))
    return digest.hexdigest()


def identity_of(model_path: Path) -> ModelIdentity:
    """Raises `ConfigError` where the folder is no model."""
    try:
        digest = hashlib.sha256()
        for name in TOKENIZER_FILES:
            if (model_path / name).is_file():
                digest.update(name.encode() + (model_path / name).read_bytes())
        return ModelIdentity(str(model_path), fingerprint(model_path), digest.hexdigest())
    except OSError as error:
        raise ConfigError(f"model: {model_path} is not a model folder: {error}") from error
