"""The commands of sandboxes, laid out in a folder and run as processes against a served office."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tac_rl.office.verbs import sandbox_files

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""With the Python that runs the tests first: another one would have to compile the modules."""


@dataclass
class Ran:
    status: int
    output: str
    error: str

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


@dataclass
class Commands:
    """`commands("chat read general")` runs `chat` with two words."""

    folder: Path
    urls: dict[str, str]
    cwd: Path

    def __call__(self, line: str, *words: str) -> Ran:
        """`line` is split at spaces; `words` follow as they are."""
        service, *rest = line.split(" ")
        return self.run(service, *rest, *words)

    def run(self, service: str, *words: str) -> Ran:
        addresses = {f"OFFICE_{name.upper()}_URL": url for name, url in self.urls.items()}
        ran = subprocess.run(
            [self.folder / "bin" / service, *words],
            capture_output=True,
            timeout=30,
            cwd=self.cwd,
            env={"PATH": PATH, **addresses},
        )
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    def ok(self, line: str, *words: str) -> list[str]:
        """The lines of a command that must succeed."""
        ran = self(line, *words)
        assert (ran.status, ran.error) == (0, ""), ran
        return ran.lines


def lay_out(folder: Path, urls: dict[str, str]) -> Commands:
    """Write the files that a sandbox gets, and a working directory beside them."""
    for name, content in sandbox_files().items():
        path = folder / "office" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name.startswith("bin/"):
            path.chmod(0o755)
    (folder / "work").mkdir()
    return Commands(folder / "office", urls, folder / "work")
