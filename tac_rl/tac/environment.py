"""The Python environment of TAC's evaluators: Python 3.12 or newer, and what they import.

It is a virtual environment of its own, since its libraries (litellm above all) are not ours, and since
some evaluators don't parse on an older Python. Sandboxes see it and its interpreter read-only.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tac_rl.config.cache import cache_folder
from tac_rl.errors import ConfigError
from tac_rl.sandboxes.base import Mount

TARGET = "/opt/tac"
"""Where sandboxes see it, wherever it lies on the host."""

OLDEST = (3, 12)
_TAKEN = ("/workspace", "/home/agent", "/tmp", "/dev/shm")
_RECORD = "tac-environment.json"
_INSTALL_SECONDS = 3600
_PROBE_SECONDS = 60

LIBRARIES = {
    # Module that TAC's base image or an evaluator imports: what to install. Bounded by what TAC pins, since an
    # evaluator takes an exception for work not done: rocketchat_API 2, whose answers differ, would grade every
    # chat task 0. litellm is newer, because TAC's doesn't install beside anything of today.
    "requests": "requests>=2.32,<3",
    "cryptography": "cryptography>=44",
    "rocketchat_API": "rocketchat_API==1.32.0",
    "litellm": "litellm>=1.60,<2,!=1.82.7,!=1.82.8",
    "pandas": "pandas>=2.2.3,<3",
    "numpy": "numpy>=2.1,<3",
    "openpyxl": "openpyxl>=3.1.2,<4",
    "odf": "odfpy>=1.4.1,<2",
    "pptx": "python-pptx>=1.0,<2",
    "docx": "python-docx>=1.1,<2",
    "PyPDF2": "PyPDF2>=3.0.1,<4",
    "fitz": "pymupdf>=1.24,<2",
    "PIL": "pillow>=11,<12",
    "bs4": "beautifulsoup4>=4.12,<5",
    "yaml": "PyYAML>=6",
    "packaging": "packaging>=24",
    "astor": "astor>=0.8,<1",
    "sklearn": "scikit-learn>=1.5,<2",
    "pdf2image": "pdf2image>=1.17,<2",
    "gremlin_python": "gremlinpython>=3.7,<3.8",
}
"""Left out, because one or two evaluators don't justify gigabytes: torch, sotopia. `environment --also` adds them."""


@dataclass(frozen=True)
class Environment:
    """An environment that is there."""

    folder: Path
    prefix: Path
    """Of the interpreter that it was made with."""
    version: str
    distributions: frozenset[str]
    """What is installed, by normalised name."""
    modules: frozenset[str]
    """Top-level names that can be imported, those of the standard library included."""

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What makes it work in a sandbox."""
        mounts = [Mount(str(self.folder), TARGET)]
        if not self.prefix.is_relative_to("/usr"):  # Sandboxes have that already.
            mounts.append(Mount(str(self.prefix), str(self.prefix)))
        return tuple(mounts)


def default_folder() -> Path:
    """Where the environment lies unless the config says otherwise (`tasks.tac.environment`)."""
    return cache_folder() / "tac"


def find_environment(folder: Path | None) -> Environment:
    """The environment in `folder` (None: the default); `ConfigError` with the fix where there is none."""
    folder = (folder or default_folder()).absolute()
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return Environment(
            folder,
            Path(record["prefix"]),
            record["version"],
            frozenset(record["distributions"]),
            frozenset(record["modules"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder}: holds no Python environment for TAC's evaluators ({type(error).__name__}): make one with "
            f"`python -m tac_rl.tac environment {folder}` and set tasks.tac.environment to it"
        ) from None


def make_environment(folder: Path, requirements: Sequence[str], say: Callable[[str], None]) -> Environment:
    """Make it in `folder` (replacing one that is there), with pip; `ConfigError` where that can't be done."""
    folder = folder.absolute()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise ConfigError(f"{folder}: holds something else; name a new folder")
    python = find_python()
    say(f"making {folder} with {python}")
    shutil.rmtree(folder, ignore_errors=True)
    if requirements:
        _run([python, "-m", "venv", str(folder)], "make the environment")
        say(f"installing {len(requirements)} libraries and what they need")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, *requirements], "install the libraries")
        _repoint_programs(folder)
    else:
        _run([python, "-m", "venv", "--without-pip", str(folder)], "make the environment")
    (folder / "bin" / "python_default").symlink_to("python")  # TAC's name for it, in init scripts.
    describe(folder)
    return find_environment(folder)


def _repoint_programs(folder: Path) -> None:
    """Programs such as `poetry` name their interpreter, which sandboxes see elsewhere."""
    here = f"#!{folder}/bin/python".encode()
    for path in (folder / "bin").iterdir():
        if path.is_file() and not path.is_symlink() and (content := path.read_bytes()).startswith(here):
            path.write_bytes(f"#!{TARGET}/bin/python".encode() + content.removeprefix(here))


def describe(folder: Path) -> None:
    """Write down what is installed, so that loading packages needs to start nothing."""
    code = (
        "import importlib.metadata as m, json, platform, pkgutil, sys;"
        "print(json.dumps({'prefix': sys.base_prefix, 'version': platform.python_version(),"
        "'distributions': sorted({d.metadata['Name'] for d in m.distributions()}),"
        "'modules': sorted({i.name for i in pkgutil.iter_modules()} | set(sys.stdlib_module_names))}))"
    )
    record = json.loads(_run([str(folder / "bin" / "python"), "-I", "-c", code], "look at the environment"))
    prefix = Path(record["prefix"])
    if any(prefix.is_relative_to(place) for place in _TAKEN):
        raise ConfigError(
            f"the Python in {prefix} can't be shown to sandboxes, which have folders of their own there: name another "
            "one in the variable PYTHON312"
        )
    record["distributions"] = sorted(map(normalised, record["distributions"]))
    (folder / _RECORD).write_text(json.dumps(record), encoding="utf-8")


def find_python() -> str:
    """A Python 3.12 or newer: `$PYTHON312`, on PATH, or pyenv's; `ConfigError` where there is none."""
    for candidate in _candidates():
        try:
            answer = subprocess.run(
                [candidate, "-I", "-c", "import sys, venv; print(*sys.version_info[:2], sys.executable)"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PROBE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        major, minor, path = [*answer.stdout.strip().split(" ", 2), "", "", ""][:3]
        if answer.returncode == 0 and path and (int(major), int(minor)) >= OLDEST:
            return path
    raise ConfigError(
        "no Python 3.12 or newer was found: install one, or name it in the variable PYTHON312"
    )


def _candidates() -> Iterator[str]:
    if os.environ.get("PYTHON312"):
        yield os.environ["PYTHON312"]
    names = [f"python3.{minor}" for minor in (12, 13, 14)]
    for name in (*names, "python3"):
        if found := shutil.which(name):
            yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for name in names:
        yield from (str(path) for path in sorted(root.glob(f"*/bin/{name}")))


def requirements_for(modules: Sequence[str] | None, also: Sequence[str] = ()) -> list[str]:
    """What to install for these imports (None: all of `LIBRARIES`), and what the user names besides."""
    wanted = LIBRARIES if modules is None else [name for name in LIBRARIES if name in modules]
    return [*(LIBRARIES[name] for name in wanted), *also]


def normalised(requirement: str) -> str:
    """The name in a requirement such as `python-pptx==1.0.0`, as PyPI compares names."""
    name = re.split(r"[\s<>=!~\[;@]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def _run(command: list[str], purpose: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"could not {purpose}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-800:]
        raise ConfigError(f"could not {purpose} (exit status {done.returncode}): {said}")
    return done.stdout
