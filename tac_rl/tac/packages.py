"""TAC's packages as rollouts know packages, and the loader that tells them from ours."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tac_rl.config.run import RunConfig
from tac_rl.errors import TaskError
from tac_rl.office.base import AGENT_FORGE, PASSWORD
from tac_rl.office.colleagues.scenarios import read_scenarios
from tac_rl.office.overlay import ChatOverlay, Overlay
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Mount, Sandbox, SandboxProvider
from tac_rl.tac import grading, initialise
from tac_rl.tac.channels import channels_of
from tac_rl.tac.environment import TARGET, Environment, find_environment, normalised
from tac_rl.tac.folder import TacFolder, is_tac_folder, read_folder
from tac_rl.tac.image import INSTRUCTION, NPC, UTILS, WORKSPACE, PackageImage
from tac_rl.tac.rooms import Tools
from tac_rl.tasks.base import Company, Grade, TaskInstance
from tac_rl.tasks.contract import Package
from tac_rl.tasks.packages import Loader, is_package, load_package

QUIET = "quiet"
"""The snapshot to which TAC's channels are added; any other is taken as it is."""


@dataclass(frozen=True)
class TacPackage:
    """A package of TheAgentCompany and the tools to run it with."""

    content: TacFolder
    tools: Tools
    image: PackageImage | None = None
    """Built from its own Dockerfile, for sandboxes that are containers."""

    @property
    def name(self) -> str:
        return self.content.name

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]

    @property
    def difficulty(self) -> int:
        return self.content.difficulty

    @property
    def services(self) -> tuple[str, ...]:
        return self.content.services

    @property
    def max_turns(self) -> int | None:
        return None

    @property
    def rubric(self) -> str | None:
        return None

    def instantiate(self, seed: int) -> TaskInstance:
        """TAC's packages are what they are: the seed only makes the company's identifiers."""
        content = self.content
        files = {} if self.image else content.workspace_files
        overlay = Overlay(
            chat=channels_of(content.checkout) if self.tools.snapshot == QUIET else ChatOverlay(),
            colleagues=read_scenarios(content.scenarios) if content.scenarios else {},
        )
        return TaskInstance(
            task=self.name,
            seed=seed,
            instruction=_instruction(content),
            files={path: source.read_bytes() for path, source in files.items()},
            executable=frozenset(path for path, source in files.items() if source.stat().st_mode & 0o100),
            company=Company(self.tools.snapshot, (overlay,)) if content.services else None,
            mounts=() if self.image else self._mounts,
            path=() if self.image else (f"{TARGET}/bin",),
            image=self.image.agent if self.image else None,
        )

    @property
    def _mounts(self) -> tuple[Mount, ...]:
        """What an image would hold."""
        environment = self.tools.environment
        instruction = self.content.places(INSTRUCTION)
        return (
            *(environment.mounts if environment else ()),
            *(Mount(str(source), str(path)) for path, source in instruction.items()),
        )

    async def lay_out(
        self,
        instance: TaskInstance,
        sandbox: Sandbox,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> None:
        """What TAC's init.sh does."""
        await initialise.initialise(
            self.content, self.tools, instance, sandbox, provider, company[1], self.image
        )

    async def grade(
        self,
        instance: TaskInstance,
        workspace_tar: bytes,
        trajectory: str,
        provider: SandboxProvider,
        company: tuple[Office | None, Lease | None],
    ) -> Grade:
        """With the package's own evaluator, by TAC's contract."""
        return await grading.grade(
            self.content, self.tools, instance, workspace_tar, trajectory, provider, company[1], self.image
        )


def obstacles(content: TacFolder, environment: Environment) -> tuple[str, ...]:
    """Why a package can't run in bubblewrap with this environment; empty where it can."""
    found = [f"Docker, for {' '.join(line.split()[:2])}" for line in content.dockerfile.others]
    found += [f"Docker, for apt's {name}" for name in content.dockerfile.apt]
    known = content.places(UTILS, INSTRUCTION, NPC, WORKSPACE)
    found += [f"Docker, for a file at {path}" for path in content.files if path not in known]
    wanted = {normalised(requirement): requirement for requirement in content.dockerfile.pip}
    missing = [text for name, text in wanted.items() if name not in environment.distributions]
    missing += sorted(content.modules - environment.modules - _missing_by_name(missing))
    return (*found, *(f"Python's {text}" for text in missing))


def load_tac_package(folder: Path, tools: Tools) -> TacPackage:
    """Load the package in `folder`; `TaskError` says what it needs that is not here."""
    content = read_folder(folder)
    needs = obstacles(content, tools.environment) if tools.environment else ()
    if needs:
        raise TaskError(
            f"{folder}: can't run here, it needs {'; '.join(needs)} (libraries of Python: "
            "`python -m tac_rl.tac environment --also NAME`; Docker: `sandbox.kind: docker`, docs/tac.md)"
        )
    if content.asks_judge and tools.judge is None:
        raise TaskError(
            f"{folder}: needs an LLM judge: set office.judge.base_url and office.judge.model to an "
            "OpenAI-compatible endpoint, or leave it out (tasks.exclude)"
        )
    return TacPackage(content, tools, tools.containers.image_of(content) if tools.containers else None)


def make_tools(config: RunConfig) -> Tools:
    """What a run's config gives: an environment for bubblewrap; for Docker, who builds the packages' images."""
    tac = config.tasks.tac
    environment, containers = None, None
    if config.sandbox.kind == "docker":
        from tac_rl.sandboxes.docker.daemon import Daemon  # The SDK takes 0.2 s to import.
        from tac_rl.tac.container import Containers

        docker = config.sandbox.docker
        daemon = Daemon(api_seconds=docker.api_seconds)
        containers = Containers(daemon, build_seconds=docker.build_seconds)
    else:
        environment = find_environment(tac.environment)
    return Tools(environment, config.office.judge, tac.snapshot, tac.grading_seconds, containers)


def package_loader(config: RunConfig) -> Loader[Package]:
    """Packages of both kinds, as a run's config wants them. What TAC's need is looked for at the first of them."""

    @cache
    def tools() -> Tools:
        return make_tools(config)

    def load(folder: Path) -> Package:
        if is_tac_folder(folder) and not is_package(folder):
            return load_tac_package(folder, tools())
        return load_package(folder)

    return Loader(lambda folder: is_package(folder) or is_tac_folder(folder), load)


def _instruction(content: TacFolder) -> str:
    """The task as TAC's harness tells it, with the forge's account where there is a forge."""
    if "forge" not in content.services:
        return content.instruction
    return f"{content.instruction}\n\nThe account in GitLab is {AGENT_FORGE} with the password {PASSWORD}."


def _missing_by_name(requirements: list[str]) -> frozenset[str]:
    return frozenset(normalised(requirement) for requirement in requirements)
