"""Trajectory documents and judgements on disk: written whole or not at all."""

import gzip
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tac_rl.errors import RunError
from tac_rl.runs.records import JudgementDocument, TrajectoryDocument
from tac_rl.runs.schema import translated


def file_name(rollout_id: str) -> str:
    """The document's file name; `RunError` for an id that is not one plain path component."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", rollout_id):
        raise RunError(f"rollout id {rollout_id!r}: use letters, digits, '.', '_' and '-'")
    return f"{rollout_id}.json.gz"


def save(path: Path, document: TrajectoryDocument) -> None:
    """Write `document` to `path`, making its folder. A killed writer leaves at most a `.part` file."""
    # Model-written text may hold lone surrogates, which UTF-8 refuses; ASCII JSON escapes them.
    data = gzip.compress(json.dumps(document, ensure_ascii=True).encode("ascii"), compresslevel=5, mtime=0)
    part = path.with_suffix(".part")
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)


def load(path: Path) -> TrajectoryDocument:
    """The document at `path`; `RunError` where it is missing or damaged."""
    try:
        document = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such trajectory") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise RunError(
            f"{path}: damaged trajectory ({error}); delete the file to go on without it"
        ) from error
    if not isinstance(document, dict) or "steps" not in document:
        raise RunError(f"{path}: not a trajectory document")
    return cast(TrajectoryDocument, document)


def judgements_path(directory: Path, iteration: int) -> Path:
    return directory / "judgements" / f"it{iteration:04d}.jsonl"


def save_judgements(directory: Path, iteration: int, judgements: Sequence[JudgementDocument]) -> None:
    """Write an iteration's judgements, a line each, in place of those that are there."""
    path = judgements_path(directory, iteration)
    part = path.with_suffix(".part")
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(
            "".join(json.dumps(j, ensure_ascii=True) + "\n" for j in judgements), encoding="ascii"
        )
        part.replace(path)


def load_judgements(directory: Path, iteration: int) -> list[JudgementDocument]:
    """An iteration's judgements; empty where there are none, `RunError` where the file is damaged."""
    path = judgements_path(directory, iteration)
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return [cast(JudgementDocument, json.loads(line)) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path}: damaged judgements ({error}); delete the file to go on without it"
        ) from error
