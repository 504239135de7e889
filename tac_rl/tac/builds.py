"""Which packages' images build here: their own Dockerfiles, unchanged, each on our base image and without a network.

An image that builds isn't yet one that grades: what the evaluator and the scripts import is looked for in it.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import APIError

from tac_rl.errors import ConfigError, TacRlError
from tac_rl.sandboxes.docker.daemon import Api, Daemon
from tac_rl.sandboxes.docker.labels import owner_labels
from tac_rl.tac.container import Containers, short_failure
from tac_rl.tac.folder import TacFolder, is_tac_folder, read_folder
from tac_rl.tac.image import IMAGE_PYTHON
from tac_rl.tasks.packages import find_folders

_LOOK_SECONDS = 120
_HOST = re.compile(r"https?://([\w.-]+)")
_LOOK = (
    "import importlib.util, json, sys; "
    "print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]))"
)


@dataclass(frozen=True)
class Built:
    """What came of one package's Dockerfile."""

    name: str
    why_not: str = ""
    """Empty where it builds."""
    lacking: tuple[str, ...] = ()
    """Modules that its evaluator or its scripts import and its image has not."""
    fetching: tuple[str, ...] = ()
    """What it fetches from the internet: an image may build without what it was to hold."""
    seconds: float = 0.0
    megabytes: float = 0.0
    """Beyond the base image."""

    @property
    def complete(self) -> bool:
        return not (self.why_not or self.lacking or self.fetching)


def build_all(
    checkout: Path,
    patterns: Sequence[str],
    *,
    build_seconds: float,
    jobs: int,
    keep: bool,
    tell: Callable[[str], None],
) -> tuple[Built, ...]:
    """Build the image of each package of the checkout that fits a pattern (none: all); removed again unless `keep`."""
    tasks = checkout / "workspaces" / "tasks"
    if not tasks.is_dir():
        raise ConfigError(f"{checkout}: holds no workspaces/tasks; name a checkout of TheAgentCompany")
    daemon = Daemon(api_seconds=_LOOK_SECONDS)
    daemon.check()
    containers = Containers(daemon, build_seconds=build_seconds)

    def one(folder: Path) -> Built:
        built = _build(folder, containers, daemon, keep=keep)
        tell(f"{built.name}: {built.why_not or 'builds'} ({built.seconds:.0f} s, {built.megabytes:.0f} MB)")
        return built

    try:
        with ThreadPoolExecutor(jobs) as threads:
            return tuple(threads.map(one, find_folders(tasks, patterns, is_tac_folder)))
    finally:
        daemon.close()


def render(rows: Sequence[Built]) -> str:
    """Totals, then what doesn't build, or builds without something."""
    building = [row for row in rows if not row.why_not]
    totals = (
        ("Dockerfiles, unchanged, without a network", str(len(rows))),
        ("build", str(len(building))),
        (
            "of those, hold all that they were to hold and what is imported",
            str(sum(r.complete for r in building)),
        ),
        ("seconds for one, median and longest", _spread([row.seconds for row in building])),
        ("MB beyond the base image, median and most", _spread([row.megabytes for row in building])),
        ("MB beyond the base image, all together", f"{sum(row.megabytes for row in building):.0f}"),
    )
    lines = ["| images | |", "|---|---|", *(f"| {what} | {count} |" for what, count in totals), ""]
    lines += ["| package | builds | without |", "|---|---|---|"]
    for row in rows:
        if not row.complete:
            lacking = "; ".join((*(f"Python's {name}" for name in row.lacking), *row.fetching))
            lines.append(f"| {row.name} | {row.why_not or 'yes'} | {lacking} |".replace("  ", " "))
    return "\n".join(lines) + "\n"


def _build(folder: Path, containers: Containers, daemon: Daemon, *, keep: bool) -> Built:
    began = time.monotonic()
    try:
        package = read_folder(folder)
        image = containers.build(package)
    except TacRlError as error:
        return Built(folder.name, why_not=f"no: {short_failure(error)}", seconds=time.monotonic() - began)
    seconds = time.monotonic() - began
    try:
        size = daemon.now(lambda api: _size(api, image) - _size(api, package.dockerfile.base))
        lacking = daemon.now(lambda api: _lacking(api, image, sorted(package.modules)))
        return Built(package.name, "", lacking, _fetching(package), seconds, size / 1e6)
    finally:
        if not keep:
            with suppress(APIError):  # Somebody's container may have started from it.
                daemon.now(lambda api: api.remove_image(image))


def _fetching(package: TacFolder) -> tuple[str, ...]:
    """The internet that its Dockerfile itself asks for, by another way than pip and apt."""
    hosts = sorted({host for line in package.dockerfile.others for host in _HOST.findall(line)})
    return (f"internet ({', '.join(hosts)})",) if hosts else ()


def _lacking(api: Api, image: str, modules: Sequence[str]) -> tuple[str, ...]:
    """Asked in a container of the image."""
    config = {
        "Image": image,
        "Entrypoint": [IMAGE_PYTHON, "-c", _LOOK, *modules],
        "Cmd": [],
        "User": "0:0",
        "Labels": owner_labels("images"),
        "HostConfig": {"NetworkMode": "none", "CapDrop": ["ALL"], "PidsLimit": 64, "Memory": 512 << 20},
    }
    made = api.create_container_from_config(config)["Id"]
    try:
        api.start(made)
        status = int(api.wait(made, timeout=_LOOK_SECONDS)["StatusCode"])
        output = api.logs(made).decode("utf-8", "replace")
    finally:
        api.remove_container(made, force=True, v=True)
    if status != 0:
        raise ConfigError(f"image {image}: {IMAGE_PYTHON} ended with {status}: {output[-300:]}")
    return tuple(json.loads(output.splitlines()[-1]))


def _size(api: Api, image: str) -> int:
    return int(api.inspect_image(image)["Size"])


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{sorted(values)[len(values) // 2]:.0f}, {max(values):.0f}"
