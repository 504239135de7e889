"""A checkout in TAC's layout whose every file was written for these tests, and ways to attempt its packages."""

import asyncio
import functools
import io
import tarfile
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tac_rl.config.office import JudgeSection, OfficeSection
from tac_rl.errors import ConfigError
from tac_rl.office.build import build_office
from tac_rl.office.process import Lease, Office
from tac_rl.sandboxes.base import Sandbox, SandboxLimits, SandboxProvider
from tac_rl.sandboxes.bubblewrap import BubblewrapProvider
from tac_rl.tac.environment import Environment, describe, find_environment, find_python, make_environment
from tac_rl.tac.folder import read_folder
from tac_rl.tac.packages import TacPackage
from tac_rl.tac.rooms import Tools
from tac_rl.tasks.base import Grade
from tac_rl.tasks.company import connect, lease_company, make_spec

SCORING = Path(__file__).parent.parent / "tac_rl" / "tasks" / "grading_kit" / "scoring.py"

COMMON = """
import functools, json, urllib.request
import litellm
from config import *

def grader(function):
    @functools.wraps(function)
    def guarded(*arguments):
        try:
            return function(*arguments) or False
        except Exception as error:
            print("in", function.__name__, error)
            return False
    return guarded

def chat(path, body=None, headers={}):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{CHAT}/api/v1/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)

def login():
    data = chat("login", {"user": "theagentcompany", "password": "theagentcompany"})["data"]
    return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}

def judged(question):
    answer = litellm.completion(api_key=KEY, base_url=URL, model=MODEL,
                                messages=[{"role": "user", "content": question}]).json()
    return "yes" in answer["choices"][0]["message"]["content"].lower()
"""
CONFIG = """
import os
HOST = os.getenv("SERVER_HOSTNAME") or "the-agent-company.com"
CHAT = f"http://{HOST}:3000"
URL, MODEL, KEY = (os.environ.get(f"LITELLM_{name}") for name in ("BASE_URL", "MODEL", "API_KEY"))
"""
FAKE_LITELLM = '''
"""A fake of litellm: asks an OpenAI-compatible endpoint with the standard library."""
import json, urllib.request

class Answer(dict):
    def json(self):
        return dict(self)

def completion(api_key, base_url, model, messages):
    body = json.dumps({"model": model.removeprefix("openai/"), "messages": messages}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
    request = urllib.request.Request(f"{base_url}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return Answer(json.load(answer))
'''
EVALUATOR = """
from common import grader
from scoring import Checkpoint, Result

@grader
def written():
    return open("/workspace/answer.txt").read().strip() == "42"

def grade_checkpoints(trajectory=""):
    return Result([Checkpoint(2, 2 * int(written()))])
"""
BASE = "FROM ghcr.io/theagentcompany/task-base-image:1.0.0\n"


def package_folder(root: Path, name: str = "sde-count", **files: str) -> Path:
    """A package in a checkout under `root`; `files` by name with `__` for `.`, such as `pre_init__py`."""
    workspaces = root / "workspaces"
    base_image, folder = workspaces / "base_image", workspaces / "tasks" / name
    base_image.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (base_image / "common.py").write_text(COMMON)
    (base_image / "config.py").write_text(CONFIG)
    (base_image / "scoring.py").write_bytes(SCORING.read_bytes())
    content = {
        "Dockerfile": BASE,
        "task__md": "Write 42 to answer.txt\n",
        "dependencies__yml": "# none\n",
        "checkpoints__md": "## Checkpoint 1 (2 pts)\n",
        "evaluator__py": EVALUATOR,
    }
    for file, text in {**content, **files}.items():
        path = folder / file.replace("__", ".")
        path.write_text(text)
    for path in (root, *root.rglob("*")):  # As root, sandboxes mount what everybody may read.
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@functools.cache
def environment() -> Environment:
    """Python 3.12 or newer with nothing but the standard library and a fake of litellm."""
    try:
        find_python()
    except ConfigError as error:
        pytest.skip(str(error))
    holder = tempfile.TemporaryDirectory(prefix="tac-rl-test-")
    _HELD.append(holder)
    Path(holder.name).chmod(0o755)
    made = make_environment(Path(holder.name) / "environment", [], lambda line: None)
    libraries = next(made.folder.glob("lib/python3*/site-packages"))
    (libraries / "litellm.py").write_text(FAKE_LITELLM)
    describe(made.folder)
    return find_environment(made.folder)


_HELD: list[tempfile.TemporaryDirectory[str]] = []


def tools(judge: JudgeSection | None = None, seconds: float = 20.0) -> Tools:
    return Tools(environment(), judge, "bare", seconds)


def tar_of(files: Mapping[str, bytes], links: Mapping[str, str] = {}) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


Work = Callable[[SandboxProvider, Office | None], Awaitable[Any]]


def with_parts(
    work: Work, *, office: bool = False, kind: Callable[[], SandboxProvider] = BubblewrapProvider
) -> Any:
    """What `work(provider, office)` returns, with real sandboxes and, where wanted, a real office."""

    async def run() -> Any:
        provider = kind()
        company = build_office(OfficeSection()) if office else None
        try:
            if company is not None:
                await company.start()
            return await work(provider, company)
        finally:
            await provider.close()
            if company is not None:
                await company.stop()

    return asyncio.run(run())


def graded(
    folder: Path,
    left_behind: bytes | None = None,
    *,
    trajectory: str = "",
    judge: JudgeSection | None = None,
    seconds: float = 20.0,
) -> Grade:
    """Grade a workspace without a company."""
    package = TacPackage(read_folder(folder), tools(judge, seconds))

    async def work(provider: SandboxProvider, office: Office | None) -> Grade:
        instance = package.instantiate(0)
        tar = tar_of({}) if left_behind is None else left_behind
        return await package.grade(instance, tar, trajectory, provider, (None, None))

    found: Grade = with_parts(work)
    return found


async def attempt(
    package: TacPackage,
    provider: SandboxProvider,
    office: Office | None,
    agent: Callable[[Sandbox], Awaitable[None]],
    lease_to: list[Lease] | None = None,
) -> Grade:
    """An attempt as `run_rollout` makes it, with a function in the agent's place."""
    instance = package.instantiate(0)
    lease = await lease_company(instance, office, instance.task)
    if lease is not None and lease_to is not None:
        lease_to.append(lease)
    try:
        spec = make_spec("agent", SandboxLimits(), office if lease else None, instance)
        sandbox = await provider.start(spec)
        try:
            await connect(lease, sandbox)
            await package.lay_out(instance, sandbox, provider, (office, lease))
            await agent(sandbox)
            await sandbox.freeze()
            tar = await sandbox.export(max_bytes=1 << 24)
            if lease is not None:
                await lease.shut()
        finally:
            await sandbox.stop()
        return await package.grade(instance, tar, "", provider, (office, lease))
    finally:
        if lease is not None:
            await lease.close()
