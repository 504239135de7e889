"""Overlays in YAML files: read with the line of every mistake."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tac_rl.config.loading import explain
from tac_rl.errors import OverlayError
from tac_rl.office.overlay import Overlay

# libyaml's loader is many times faster; an imported company is megabytes of YAML.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_overlay(path: Path) -> Overlay:
    """The overlay in a YAML file; `OverlayError` names file, line, field and fix."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OverlayError(f"{path}: could not be read: {error}") from None
    try:
        document = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise OverlayError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if document is None:
        return Overlay()
    if not isinstance(document, dict):
        raise OverlayError(f"{path}:1: must be a mapping with the keys {', '.join(Overlay.model_fields)}")
    try:
        return Overlay.model_validate(document)
    except ValidationError as error:
        root = yaml.compose(text, Loader=_LOADER)
        lines = [
            f"{path}:{_line(root, problem['loc'])}: {explain(Overlay, dict(problem))}"
            for problem in error.errors()
        ]
        raise OverlayError("\n".join(lines)) from None


def _line(node: Any, location: Sequence[int | str]) -> int:
    """The line (from 1) of what is at `location`, or of the nearest thing around it."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
