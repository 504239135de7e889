"""The commands of sandboxes: milliseconds from starting one to its end, beside Python's own start.

    python bench/office_verbs.py [--snapshot company] [--rounds 50]

Serves a company in a process beside this one, with the Python that a sandbox has. Prints one JSON line for each.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tac_rl.office.verbs import sandbox_files

PYTHON = Path("/usr/bin/python3")
COMMANDS = (
    "chat --help",
    "chat channels",
    "chat read general",
    "forge projects",
    "tracker projects",
    "drive ls",
)


@contextmanager
def served(snapshot: str) -> Iterator[dict[str, str]]:
    """The addresses of a company's services, as the environment tells them to the commands."""
    command = [sys.executable, "-m", "tac_rl.office", "serve", "--port-base", "0", "--snapshot", snapshot]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            addresses = {}
            for line in process.stdout:
                name, address, *_ = line.split()
                if not address.startswith("http://"):
                    break
                addresses[f"OFFICE_{name.upper()}_URL"] = address
            if not addresses:
                raise SystemExit("the office did not start")
            yield addresses
        finally:
            process.send_signal(signal.SIGTERM)


def measure(command: list[str], environment: dict[str, str], rounds: int) -> dict[str, float]:
    """Milliseconds; the first round only warms the caches."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60)
        taken.append((time.perf_counter() - began) * 1000)
    taken = sorted(taken[1:])
    return {"min_ms": round(taken[0], 2), "p50_ms": round(statistics.median(taken), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshot", default="company")
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    python = PYTHON if PYTHON.exists() else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder, served(args.snapshot) as addresses:
        for name, content in sandbox_files().items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755)
        environment = {"PATH": f"{folder}/bin:{python.parent}:{os.defpath}", **addresses}
        measured = {
            "python3 -IS -c pass": measure([str(python), "-IS", "-c", "pass"], environment, args.rounds)
        }
        for line in COMMANDS:
            name, *words = line.split()
            measured[line] = measure([f"{folder}/bin/{name}", *words], environment, args.rounds)
    for line, numbers in measured.items():
        print(json.dumps({"bench": "office_verbs", "name": line, **numbers}))


if __name__ == "__main__":
    main()
