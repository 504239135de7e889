"""Reading `.gitlab-ci.yml`: is it valid, and which jobs does it make?

Deliberately without includes, rules and variables: pipelines are records here, nothing runs.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml

FILE = ".gitlab-ci.yml"
LONGEST = 64 << 10
"""Characters; a longer file is refused, since it would be read on the event loop."""
_STAGES = [".pre", "build", "test", "deploy", ".post"]
_KEYWORDS = frozenset(
    ("default", "include", "stages", "variables", "workflow", "image", "services", "before_script", "after_script",
     "cache", "spec")
)  # fmt: skip
_MAKES_A_JOB = frozenset(("script", "run", "trigger", "extends"))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with GitLab's own tags, such as `!reference [job, script]`."""


def _any_tag(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None if isinstance(node, yaml.MappingNode) else loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _any_tag)


@dataclass(frozen=True)
class Linted:
    """What a CI file says."""

    errors: list[str] = field(default_factory=list)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    """(name, stage), by stage."""

    @property
    def valid(self) -> bool:
        return not self.errors


def lint(text: str) -> Linted:
    """Never raises."""
    if len(text) > LONGEST:
        return Linted([f"The file is longer than {LONGEST} characters"])
    try:
        document = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        return Linted([f"Invalid YAML: {' '.join(str(error).split())[:300]}"])
    if document is None:
        return Linted(["Please provide content of .gitlab-ci.yml"])
    if not isinstance(document, dict):
        return Linted(["Invalid configuration format"])
    stages = document.get("stages", _STAGES[1:-1])
    if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
        return Linted(["stages config should be an array of strings"])
    known = [".pre", *stages, ".post"]
    errors, jobs = [], []
    for name, job in document.items():
        if not isinstance(name, str) or name in _KEYWORDS or name.startswith("."):
            continue
        problem = _problem(name, job, known)
        if problem:
            errors.append(problem)
        else:
            jobs.append((name, str(job.get("stage", "test"))))
    if not errors and not jobs:
        errors.append("jobs config should contain at least one visible job")
    return Linted(errors, sorted(jobs, key=lambda made: known.index(made[1])))


def _problem(name: str, job: object, stages: list[str]) -> str:
    if not isinstance(job, dict) or not _MAKES_A_JOB & job.keys():
        return f"jobs:{name} config should implement the script:, run:, or trigger: keyword"
    stage = job.get("stage", "test")
    if stage not in stages:
        return f"{name} job: chosen stage {stage} does not exist; available stages are {', '.join(stages)}"
    return ""
