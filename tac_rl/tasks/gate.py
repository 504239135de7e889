"""The gate: what a package must prove before anything is trained on it. `python -m tac_rl.tasks check`.

Everything is done as in a rollout: real sandboxes, the real grading. Only the two sandboxes of a package
are emptied between attempts instead of being started anew, since nobody hostile works in them.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tac_rl.errors import GradingError, TaskError
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxProvider
from tac_rl.tasks import tiny
from tac_rl.tasks.archives import changed_files, has_repository, list_files
from tac_rl.tasks.authoring import WrongEnding
from tac_rl.tasks.base import Grade, TaskInstance
from tac_rl.tasks.company import Room, connect, make_spec
from tac_rl.tasks.demonstrations import Demonstrated, Slips, demonstrate
from tac_rl.tasks.determinism import digest, digests, digests_elsewhere
from tac_rl.tasks.grading import LIMITS, grade_in
from tac_rl.tasks.hostile import NOTHING_LEFT, hostile_files, upheavals
from tac_rl.tasks.metadata import read_metadata
from tac_rl.tasks.packages import TaskPackage, load_package, split_seed

DISTINCT_OF = 1000
"""So many seeds are instantiated to see that instances don't repeat."""

DISTINCT_SHARE = 0.99

SEEDS_OF_A_MISTAKE = 4
"""On so many seeds each wrong ending and each mistake is tried."""

GRADED_TWICE = 5

EXPORT_BYTES = 128 << 20

# No workspace that an agent gets holds these, whatever the package.
_LOOK_AROUND = """
grep -rlaF grade_checkpoints /workspace /home /tmp /utils /dev/shm 2>/dev/null
for module in scoring common evaluator tac_rl; do
  python3 -c "import $module" 2>/dev/null && echo "the module $module"
done
true
"""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one package."""

    name: str
    role: str
    difficulty: int
    services: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, object]:
        """As `check --json` prints it."""
        return {
            "name": self.name,
            "role": self.role,
            "difficulty": self.difficulty,
            "services": list(self.services),
            "passed": self.passed,
            "problems": list(self.problems),
        }


async def check_packages(
    folders: Sequence[Path],
    provider: SandboxProvider,
    office: Office | None = None,
    *,
    seeds: int = 50,
    concurrency: int = 2,
) -> AsyncGenerator[Verdict, None]:
    """The verdict on each package, in the order of `folders`; `seeds` instances of the split `check` each.

    `office`: for packages that name services.
    """
    elsewhere = await asyncio.to_thread(digests_elsewhere, folders)
    free = asyncio.Semaphore(concurrency)

    async def check(folder: Path) -> Verdict:
        async with free:
            return await _check_package(folder, provider, office, seeds, elsewhere.get(str(folder)))

    tasks = [asyncio.create_task(check(folder)) for folder in folders]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _check_package(
    folder: Path, provider: SandboxProvider, office: Office | None, seeds: int, elsewhere: list[str] | None
) -> Verdict:
    try:
        package = load_package(folder)
    except TaskError as error:
        return _verdict_on_unloadable(folder, str(error))
    problems: list[str] = []
    try:
        problems += instance_problems(package, elsewhere)
        async with _bench(package, provider, office) as bench:
            await _Gate(bench, seeds, problems).run()
    except (TaskError, GradingError) as error:
        problems.append(str(error))
    distinct = tuple(dict.fromkeys(problems))
    return Verdict(package.name, package.role, package.difficulty, package.services, distinct)


def _verdict_on_unloadable(folder: Path, problem: str) -> Verdict:
    try:
        metadata = read_metadata(folder / "task.yaml")
    except TaskError:
        return Verdict(folder.name, "", 0, (), (problem,))
    return Verdict(metadata.name, metadata.role, metadata.difficulty, metadata.services, (problem,))


def instance_problems(package: TaskPackage, elsewhere: list[str] | None) -> list[str]:
    """Instances must be the same for the same seed, in every process, and thousands must differ."""
    problems = []
    here = digests(package)
    if digests(package) != here:
        problems.append("instance.py: the same seed gave two instances; draw everything from `rng`")
    elif elsewhere is not None and elsewhere != here:
        problems.append(
            "instance.py: the same seed gives another instance in another process; sort what comes out of a set"
        )
    many = {digest(package.instantiate(split_seed("check", index))) for index in range(DISTINCT_OF)}
    if len(many) < DISTINCT_SHARE * DISTINCT_OF:
        problems.append(
            f"instance.py: {DISTINCT_OF} seeds gave only {len(many)} distinct instances; vary more"
        )
    return problems


@dataclass(frozen=True)
class _Attempt:
    """What was done, and the workspace before and after it."""

    steps: tuple[Demonstrated, ...]
    before: bytes
    after: bytes


class _Bench:
    """A room to work in and a sandbox to grade in, for one package."""

    def __init__(self, package: TaskPackage, room: Room, exam: Sandbox) -> None:
        self.package = package
        self.room = room
        self.sandbox = room.sandbox
        self._exam = exam
        self._examined: Lease | None = None
        """The company that the exam's sandbox reaches."""

    async def lay_out(self, instance: TaskInstance) -> None:
        await self.room.lay_out(instance)

    async def work(self, instance: TaskInstance, slips: Slips) -> _Attempt:
        await self.lay_out(instance)
        before = await self.sandbox.export(max_bytes=EXPORT_BYTES)
        steps = await demonstrate(self.package, instance, self.sandbox, slips)
        return _Attempt(steps, before, await self.sandbox.export(max_bytes=EXPORT_BYTES))

    async def run(self, instance: TaskInstance, commands: Iterable[str]) -> bytes:
        """Run commands in the workspace as it is; the workspace after them."""
        for command in commands:
            await self.sandbox.exec(command)
        return await self.sandbox.export(max_bytes=EXPORT_BYTES)

    async def grade(self, instance: TaskInstance, workspace: bytes) -> Grade:
        @asynccontextmanager
        async def emptied() -> AsyncIterator[Sandbox]:
            await self._exam.reset()
            if self._examined is not self.room.lease:
                self._examined = self.room.lease
                await connect(self._examined, self._exam)
            yield self._exam

        return await grade_in(emptied, instance, self.package, workspace, "")


@asynccontextmanager
async def _bench(
    package: TaskPackage, provider: SandboxProvider, office: Office | None
) -> AsyncIterator[_Bench]:
    office = office if package.services else None
    if office is not None:
        await office.start()
    async with AsyncExitStack() as stack:
        spec = make_spec(f"check-{package.name}", SandboxLimits(), office)
        sandbox = await provider.start(replace(spec, image=package.image))
        stack.push_async_callback(sandbox.stop)
        spec = make_spec(f"check-{package.name}-grading", LIMITS, office)
        exam = await provider.start(replace(spec, image=package.image))
        stack.push_async_callback(exam.stop)
        room = Room(sandbox, office)
        stack.push_async_callback(room.leave)
        yield _Bench(package, room, exam)


class _Gate:
    """The checks of one package; `problems` collects what they find."""

    def __init__(self, bench: _Bench, seeds: int, problems: list[str]) -> None:
        self._bench = bench
        self._package = bench.package
        self._instances = [self._package.instantiate(split_seed("check", index)) for index in range(seeds)]
        self._problems = problems

    async def run(self) -> None:
        await self._nothing_to_be_seen()
        await self._doing_nothing_earns_nothing()
        mistakes = await self._oracle_earns_everything()
        if self._problems:
            return  # What follows would only repeat it.
        for ending in self._package.endings:
            await self._ending_earns_what_it_says(ending)
        for name in mistakes:
            await self._mistake_costs_points(name)
        await self._any_mistakes_give_a_grade()
        await self._hostile_endings_give_a_grade()

    def _some(self) -> list[TaskInstance]:
        return self._instances[:SEEDS_OF_A_MISTAKE]

    async def _nothing_to_be_seen(self) -> None:
        instance = self._instances[0]
        await self._bench.lay_out(instance)
        seen = (await self._bench.sandbox.exec(_LOOK_AROUND)).output.split("\n")
        before = await self._bench.sandbox.export(max_bytes=EXPORT_BYTES)
        if instance.facts and json.dumps(instance.facts).encode() in before:
            seen.append("the hidden facts as JSON")
        if any(seen):
            self._problems.append(
                f"the agent's sandbox shows what only the evaluator may know: {', '.join(filter(None, seen))}"
            )

    async def _doing_nothing_earns_nothing(self) -> None:
        for instance in self._some():
            await self._bench.lay_out(instance)
            grade = await self._bench.grade(instance, await self._bench.run(instance, ()))
            if grade.final_result or any(c.result for c in grade.checkpoints):
                self._problems.append(f"seed {instance.seed}: doing nothing earns {_points(grade)}")
                return

    async def _oracle_earns_everything(self) -> list[str]:
        """The names of the mistakes that the demonstrator could have made on the way."""
        asked: dict[str, None] = {}
        for number, instance in enumerate(self._instances):
            slips = Slips()
            attempt = await self._bench.work(instance, slips)
            asked.update(dict.fromkeys(slips.asked))
            grade = await self._bench.grade(instance, attempt.after)
            if not grade.complete or any(c.result < c.total for c in grade.checkpoints):
                self._problems.append(
                    f"seed {instance.seed}: the oracle earns only {_points(grade)}{_story(attempt)}"
                )
            elif number < GRADED_TWICE and await self._bench.grade(instance, attempt.after) != grade:
                self._problems.append(f"seed {instance.seed}: graded twice, the same ending got two grades")
            self._problems += tiny.complaints(self._package.difficulty, instance, attempt.steps)
            if len(self._problems) >= 3:
                break
        if not asked:
            self._problems.append("demonstrator.py: asks `slip(...)` nowhere, so nobody can do it sloppily")
        return list(asked)

    async def _ending_earns_what_it_says(self, ending: WrongEnding) -> None:
        for instance in self._some():
            if ending.commands:
                await self._bench.lay_out(instance)
                after = await self._bench.run(instance, ending.commands)
                story = ""
            else:
                attempt = await self._bench.work(instance, Slips(random.Random(0), always=ending.slips))
                after, story = attempt.after, _story(attempt)
            grade = await self._bench.grade(instance, after)
            results = tuple(c.result for c in grade.checkpoints)
            where = f"seed {instance.seed}: the wrong ending {ending.name!r}"
            if results != ending.results:
                self._problems.append(
                    f"{where} gets results {results}, and its author says {ending.results}{story}"
                )
                return
            if grade.complete:
                self._problems.append(f"{where} loses no points{story}")
                return

    async def _mistake_costs_points(self, name: str) -> None:
        """At least on one seed: a guess may hit."""
        for instance in self._some():
            attempt = await self._bench.work(instance, Slips(random.Random(instance.seed), always=(name,)))
            if not (await self._bench.grade(instance, attempt.after)).complete:
                return
        self._problems.append(f"demonstrator.py: the mistake {name!r} never loses points")

    async def _any_mistakes_give_a_grade(self) -> None:
        for instance in self._some():
            attempt = await self._bench.work(instance, Slips(random.Random(instance.seed), rate=0.5))
            await self._bench.grade(instance, attempt.after)

    async def _hostile_endings_give_a_grade(self) -> None:
        instance = self._instances[0]
        attempt = await self._bench.work(instance, Slips())
        made = changed_files(attempt.before, attempt.after)
        # What was committed survives in the repository, whatever happens to the files.
        # What was done in the company survives there.
        company = instance.company is not None
        must_lose = bool(made) and not has_repository(attempt.after) and not company
        for which, files in (("made or changed", made), ("in the workspace", list_files(attempt.after))):
            for name, workspace in hostile_files(attempt.after, files):
                await self._hostile_ending(instance, f"every file {which} is {name!r}", workspace, must_lose)
        for name, workspace in upheavals(attempt.after):
            await self._hostile_ending(
                instance, name, workspace, must_lose=name == NOTHING_LEFT and not company
            )
        if company:
            await self._bench.lay_out(instance)
            what = "the workspace is the oracle's, and nothing was done in the company"
            grade = await self._bench.grade(instance, attempt.after)
            if grade.complete and not made:
                self._problems.append(f"evaluator.py takes no points off where {what}")

    async def _hostile_ending(
        self, instance: TaskInstance, what: str, workspace: bytes, must_lose: bool
    ) -> None:
        try:
            grade = await self._bench.grade(instance, workspace)
        except GradingError as error:
            self._problems.append(f"evaluator.py gives no grade where {what}: {error}")
        else:
            if must_lose and grade.complete:
                self._problems.append(f"evaluator.py takes no points off where {what}")


def _points(grade: Grade) -> str:
    parts = ", ".join(f"{c.result}/{c.total}" for c in grade.checkpoints)
    return f"{grade.final_result} of {grade.final_total} points ({parts})"


def _story(attempt: _Attempt) -> str:
    if not attempt.steps:
        return " (no command was run)"
    last = attempt.steps[-1]
    return f"; its last command was {last.command!r}, which printed {last.result.output[-300:]!r}"
