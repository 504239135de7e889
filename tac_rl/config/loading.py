"""Read a run's YAML file and `--set` overrides; every mistake is one error that names the field and the fix."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tac_rl.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)


def load_config(model: type[ModelT], path: Path | None, overrides: Sequence[str] = ()) -> ModelT:
    """The validated config in `path` (None: the defaults), after `overrides` (each `a.b=VALUE`, the value in YAML)."""
    document = {} if path is None else _read_yaml(path)
    for override in overrides:
        _apply_override(document, override)
    return parse_config(model, document, source=str(path or "the default config"))


def parse_config(model: type[ModelT], document: dict[str, Any], source: str) -> ModelT:
    """Validate a plain document; `source` names it in errors."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = [explain(model, dict(problem)) for problem in error.errors()]
        raise ConfigError(f"{source}:\n" + "\n".join(f"  {line}" for line in lines)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        known = f" (there: {', '.join(siblings)})" if siblings else ""
        raise ConfigError(f"{path}: no such config file{known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: could not be read: {error}") from None
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(f"{path}: not valid YAML{where}: {problem}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: the file must be a mapping of sections, not a {type(document).__name__}")
    return document


def _apply_override(document: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    keys = name.strip().split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {override}: write it as section.field=VALUE")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML (quote it?)") from None
    target = document
    for key in keys[:-1]:
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {key} is a value, not a section")
        target = inner
    target[keys[-1]] = value


def explain(model: type[BaseModel], problem: dict[str, Any]) -> str:
    """One of pydantic's problems as a line: the field, what is wrong, and the nearest known key."""
    location = [str(part) for part in problem["loc"]]
    name = ".".join(location)
    if problem["type"] == "extra_forbidden":
        known = _field_names(model, location[:-1])
        nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(sorted(known))}"
        return f"{name}: unknown key; {hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if isinstance(problem.get("input"), dict):  # A check of a whole section names its fields itself.
        return f"{name}: {message}" if location else message
    shown = repr(problem.get("input"))
    return f"{name}: {message} (found {shown if len(shown) < 60 else shown[:57] + '...'})"


def _field_names(model: type[BaseModel], location: list[str]) -> list[str]:
    """The names of the fields of the section at `location`."""
    current: type[BaseModel] | None = model
    for part in location:
        if part.isdigit():  # a place in a list, whose sections are the field's own
            continue
        field = current.model_fields.get(part) if current else None
        current = _section_of(field.annotation) if field else None
    return list(current.model_fields) if current else []


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, tuple, list):
        sections = [section for section in map(_section_of, get_args(annotation)) if section]
        return sections[0] if sections else None
    return None
