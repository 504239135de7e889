"""task.yaml: what is known of a package without running it."""

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tac_rl.errors import TaskError
from tac_rl.tasks.base import ROLES

SERVICES = ("chat", "forge", "tracker", "drive")
"""The office's services that a package may ask for."""


NAME_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


class Metadata(BaseModel):
    """The fields of task.yaml; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    """The folder's name: lower-case words joined by hyphens, the role first."""
    role: str
    """One of `ROLES`."""
    difficulty: int = Field(ge=1, le=5)
    """1 and 2 take one or two looks and commands; 3 four to six; 4 and 5 need more than the tiny policy has."""
    services: tuple[str, ...] = Field((), strict=False)
    """The office's services that the task needs."""
    snapshot: str = "company"
    """The state of the office that it starts from: `company` (18 people, months of work), `bare` (the people
    alone), or one of your own. Only for packages that name services."""
    summary: str = Field(min_length=1)
    """One line for people."""
    max_turns: int | None = Field(None, ge=1)
    """Where the package needs another number of turns than the config's."""
    rubric: str | None = Field(None, min_length=1)
    """What makes one attempt better than another beyond the checkpoints, for a judge (docs/rewards.md)."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME_PATTERN.fullmatch(name):
            raise ValueError("must be lower-case words joined by hyphens, such as finance-column-total")
        return name

    @field_validator("role")
    @classmethod
    def _known_role(cls, role: str) -> str:
        if role not in ROLES:
            raise ValueError(f"must be one of {', '.join(ROLES)}")
        return role

    @field_validator("services")
    @classmethod
    def _known_services(cls, services: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [service for service in services if service not in SERVICES]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is unknown; the services are {', '.join(SERVICES)}")
        return services


def read_metadata(path: Path) -> Metadata:
    """Read and validate task.yaml; `TaskError` names the field and what it must be."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TaskError(f"{path}: could not be read as YAML: {error}") from None
    if not isinstance(document, dict):
        raise TaskError(f"{path}: must be a mapping with the fields {', '.join(Metadata.model_fields)}")
    try:
        metadata = Metadata.model_validate(document)
    except ValidationError as error:
        raise TaskError("; ".join(_explain(path, dict(problem)) for problem in error.errors())) from None
    if metadata.name != path.parent.name:
        raise TaskError(
            f"{path}: name: is {metadata.name!r}, but the folder is {path.parent.name!r}; they must be the same"
        )
    return metadata


def _explain(path: Path, problem: dict[str, object]) -> str:
    location = problem["loc"]
    field = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    if problem["type"] == "extra_forbidden":
        return f"{path}: {field}: unknown field; the fields are {', '.join(Metadata.model_fields)}"
    if problem["type"] == "missing":
        return f"{path}: {field}: is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {field}: {message} (it is {problem['input']!r})"
