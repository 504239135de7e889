"""Rollouts while trainer, agents' worker, office and sandboxes are killed at random moments (SIGKILL).

A small training run goes on through every kill, resumed where the trainer was hit. At the end nothing may be left
of any session, nothing lost but what was in flight, and the counts must add up (faults_audit.py says what is checked).
Prints a table; exits with 1 where something does not add up.

    python bench/faults.py [--rollouts 500] [--seed 1] [--sandbox docker|bubblewrap] [--agent openhands|toolcall]

The seed decides what is killed after which rollout and how long after it; what that hits depends on the machine.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults_audit import COMPANY_PACKAGES, Audit, InFlight, RunFile
from faults_victims import Session, Traces

ROOT = Path(__file__).parents[1]
PACKAGES = (*COMPANY_PACKAGES, "research-shortlist", "hr-onboarding-folder")
"""Short ones."""
STARTING = "trainer, while it starts"
POLL_S = 0.1


@dataclass(frozen=True)
class Kill:
    """What is killed: `delay` seconds after `after` rollouts are recorded. `pick`, in [0, 1), chooses which one."""

    kind: str
    after: int
    delay: float
    pick: float
    aimed: bool
    """Whether it waits until it hits a rollout at work; else it comes at any moment, also between iterations."""


@dataclass
class Tally:
    """What the kills of one kind came to."""

    kills: int = 0
    in_flight: int = 0
    """Rollouts that were being attempted at the moment of a kill, all kills together."""


@dataclass
class Course:
    """The run so far, over all its sessions."""

    kills: list[Kill]
    tallies: dict[str, Tally] = field(default_factory=dict)
    armed: float | None = None
    """When the next kill is due, once its rollout has been recorded."""
    sessions: int = 0

    def note(self, kind: str, in_flight: Mapping[str, InFlight]) -> None:
        tally = self.tallies.setdefault(kind, Tally())
        tally.kills += 1
        tally.in_flight += sum(one.phase != "queued" for one in in_flight.values())


def plan_kills(
    rng: random.Random, rollouts: int, each: int, kinds: tuple[str, ...], aimed: float
) -> list[Kill]:
    """`each` kills of every kind, spread over the run; `aimed`: share of those that wait for somebody to hit."""
    return sorted(
        (
            Kill(
                kind,
                after=rng.randrange(rollouts // 20, rollouts * 19 // 20),
                delay=2 * rng.random(),
                pick=rng.random(),
                aimed=rng.random() < aimed,
            )
            for kind in kinds
            for _ in range(each)
        ),
        key=lambda kill: kill.after,
    )


def overrides(args: argparse.Namespace, runs: Path) -> list[str]:
    """The run's config: many short rollouts, and time limits that no busy machine reaches."""
    return [
        f"runs_dir={runs}",
        f"seed={args.seed}",
        f"iterations={args.rollouts // (args.groups * args.group_size)}",
        "max_minutes=600",
        f"tasks.include=[{', '.join(PACKAGES)}]",
        "curriculum.unlock_after=0",
        f"sandbox.kind={args.sandbox}",
        f"agent.name={args.agent}",
        f"engine.kind={args.engine}",
        f"rollouts.groups={args.groups}",
        f"rollouts.group_size={args.group_size}",
        f"rollouts.concurrency={args.concurrency}",
        "rollouts.min_group=2",
        "rollouts.retries=3",
        "evaluation.every=0",
        "evaluation.final_attempts=1",
        "agent.seconds=900",
        "agent.openhands.start_seconds=900",
        "sandbox.start_seconds=300",
        "sandbox.exec_seconds=120",
        "office.start_seconds=600",
        "office.request_seconds=300",
        "engine.start_timeout_s=900",
    ]


def at_work(in_flight: Mapping[str, InFlight], kind: str) -> set[str]:
    """The rollouts that a kill of this kind can hit: under way, and where it is about the office, in a company."""
    return {
        name
        for name, one in in_flight.items()
        if one.phase == "working" and one.turn > 0 and (kind != "office" or one.task in COMPANY_PACKAGES)
    }


@contextmanager
def place(keep: bool) -> Iterator[Path]:
    """A folder for the run and, as TMPDIR of every process, for whatever they make; a short path, for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/tmp"))
    (folder / "t").mkdir()
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Bench:
    """One run with its kills."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.rng = random.Random(args.seed)
        self.folder = folder
        self.run = RunFile(folder / "runs" / "faults")
        self.traces = Traces(folder / "t", docker=args.sandbox == "docker")
        self.audit = Audit(self.run, args.groups * args.group_size, args.rollouts, retries=3)
        kinds = ("trainer", "office", "sandbox") + (("worker",) if args.agent == "openhands" else ())
        self.course = Course(plan_kills(self.rng, args.rollouts, args.kills, kinds, args.aimed))
        self.deadline = time.monotonic() + 60 * args.minutes

    def command(self) -> list[str]:
        train = [sys.executable, str(ROOT / "tac_rl" / "train.py")]
        if self.run.exists():
            return [*train, "--resume", str(self.run.directory)]
        settings = [f"--set={override}" for override in overrides(self.args, self.folder / "runs")]
        return [*train, "--config", str(ROOT / "configs" / "tiny_cpu.yaml"), "--name", "faults", *settings]

    def go(self) -> None:
        """Sessions until the run has come to its end."""
        again = 0.0  # seconds after which the next session is killed while it starts; 0: it isn't
        while self.course.sessions < 4 * self.args.kills + 4:
            self.course.sessions += 1
            with (self.folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    self.command(),
                    cwd=ROOT,
                    env={**os.environ, "TMPDIR": str(self.folder / "t")},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            session = Session(process.pid)
            try:
                ended = self.watch(session, process, again)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait(60)
            if ended == 0:
                return
            if ended is None:
                self.audit.after_trainer_kill()
                # A quarter of the restarts meet the next kill before they have come far.
                again = 12 * self.rng.random() if not again and self.rng.random() < 0.25 else 0.0
            else:
                last = (self.folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
                self.audit.fail("every session ends by a kill or at the end", f"exit code {ended}: {last}")
                again = 0.0
        self.audit.fail("the run comes to its end", f"not within {self.course.sessions} sessions")

    def watch(self, session: Session, process: "subprocess.Popen[bytes]", again: float) -> int | None:
        """Kill what is due until the trainer has ended; its exit code, or None where it was killed."""
        started = time.monotonic()
        checked = False
        while (code := process.poll()) is None:
            if time.monotonic() > self.deadline:
                raise SystemExit(
                    f"not done within {self.args.minutes} minutes; see {self.folder}/log (--keep)"
                )
            self.traces.look(session)
            live = self.run.writer() == session.pid  # else what is there is still the last session's
            in_flight = self.run.in_flight() if live else {}
            if live:
                self.audit.look(in_flight)
            if again and time.monotonic() - started > again:
                self.course.note(STARTING, in_flight)
                session.kill_trainer()
                return None
            if not checked and any(one.phase in ("working", "grading") for one in in_flight.values()):
                # The session has swept what those before it left.
                checked = True
                self.audit.expect_nothing_left(self.traces, but=session)
            if live and self.due() and self.strike(session, self.course.kills[0]):
                killed = self.course.kills.pop(0)
                self.course.armed = None
                if killed.kind == "trainer":
                    return None
            time.sleep(POLL_S)
        return code

    def due(self) -> bool:
        """Whether the next kill's moment has come."""
        if not self.course.kills:
            return False
        kill = self.course.kills[0]
        if self.course.armed is None and self.run.recorded() >= kill.after:
            self.course.armed = time.monotonic() + kill.delay
        return self.course.armed is not None and time.monotonic() >= self.course.armed

    def strike(self, session: Session, kill: Kill) -> bool:
        """Kill it; False where there is none of its kind just now."""
        before = self.run.in_flight()
        targets = at_work(before, kill.kind) if kill.aimed else None
        if targets is not None and not targets:
            return False
        docker = self.args.sandbox == "docker"
        victim = session.kill(kill.kind, kill.pick, docker=docker, traces=self.traces, targets=targets)
        if victim is None:
            return False
        self.course.note(kill.kind, before)
        if kill.kind == "trainer":
            return True
        self.audit.after_kill(kill.kind, victim, before, self.run.in_flight())
        return True


def table(bench: Bench, seconds: float) -> int:
    """Print what happened and what was checked; the exit code."""
    failures = bench.run.infrastructure_failures()
    print(f"{'killed':<26}{'times':>6}{'rollouts in flight':>20}")
    for kind, tally in sorted(bench.course.tallies.items()):
        print(f"{kind:<26}{tally.kills:>6}{tally.in_flight:>20}")
    print(
        f"\n{bench.run.recorded()} rollouts recorded in {bench.course.sessions} sessions, {seconds:.0f} s;",
        end=" ",
    )
    print(f"{failures} infrastructure failures, sessions that were killed included\n")
    checks = bench.audit.results()
    for name, complaints in checks.items():
        print(f"{'FAILED' if complaints else 'ok':<8}{name}")
        for complaint in complaints[:5]:
            print(f"        {complaint}")
    broken = [name for name, complaints in checks.items() if complaints]
    print(
        json.dumps(
            {
                "bench": "faults",
                "rollouts": bench.run.recorded(),
                "sandbox": bench.args.sandbox,
                "agent": bench.args.agent,
                "engine": bench.args.engine,
                "seed": bench.args.seed,
                "kills": {kind: tally.kills for kind, tally in bench.course.tallies.items()},
                "sessions": bench.course.sessions,
                "infrastructure_failures": failures,
                "seconds": round(seconds, 1),
                "failed": broken,
            }
        )
    )
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rollouts", type=int, default=500, help="recorded ones of training (default: %(default)s)"
    )
    parser.add_argument("--kills", type=int, help="of each kind (default: one for each 100 rollouts)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--aimed",
        type=float,
        default=0.5,
        help="share of the kills that wait until they hit a rollout at work (default: %(default)s)",
    )
    parser.add_argument("--sandbox", choices=("docker", "bubblewrap"), default="docker")
    parser.add_argument("--agent", choices=("openhands", "toolcall"), default="openhands")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--group-size", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument(
        "--minutes", type=float, default=60, help="give up after so many (default: %(default)s)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder and its log")
    args = parser.parse_args()
    args.kills = args.kills or max(1, args.rollouts // 100)
    if args.rollouts % (args.groups * args.group_size) or args.rollouts < 20:
        parser.error("--rollouts must be a multiple of --groups times --group-size, and at least 20")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(130))
    started = time.monotonic()
    with place(args.keep) as folder:
        bench = Bench(args, folder)
        try:
            bench.go()
            bench.audit.expect_nothing_left(bench.traces)
            bench.audit.whole_run()
            return table(bench, time.monotonic() - started)
        finally:
            bench.traces.close()


if __name__ == "__main__":
    sys.exit(main())
