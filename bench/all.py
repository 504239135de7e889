"""`make bench`: every benchmark, one after the other, one JSON line per measured thing.

    python bench/all.py [NAME ...]

Without names all run (about an hour, most of it `learning`). Nothing else should compute meanwhile.
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS: dict[str, list[list[str]]] = {
    "sandbox": [[]],
    "sandbox_docker": [[]],
    "gateway": [[]],
    "openhands": [[], ["--workers", "1"]],
    "agents": [[]],
    "browser": [[]],
    "engine": [[]],
    "learner": [[]],
    "memory_plan": [[]],
    "ruler": [[], ["--bad-share", "0.5"]],
    "runs": [[]],
    "tasks": [[]],
    "office": [[]],
    "office_api": [[]],
    "office_verbs": [[]],
    "office_fuzz": [[]],
    "faults": [[], ["--sandbox", "bubblewrap", "--agent", "toolcall"]],
    "learning": [[], ["--controls"]],
    "stages": [[]],
    "asynchronous": [[]],
}
TIMEOUT_S = 7200


def main() -> int:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    failed = []
    for name in names:
        for arguments in BENCHMARKS[name]:
            print(f"# bench/{name}.py {' '.join(arguments)}".rstrip(), flush=True)
            command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *arguments]
            if subprocess.run(command, timeout=TIMEOUT_S, check=False).returncode != 0:
                failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
