"""Requests made up from the services' own OpenAPI documents, by schemathesis: no 5xx, and answers as documented.

    python bench/office_fuzz.py [--requests 10000] [--service chat ...] [--seed 1]

One JSON line per service: how many requests were made, how many failed a check, and which.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tac_rl.office.base import (
    AGENT_CHAT,
    AGENT_DRIVE,
    FORGE_TOKEN,
    PASSWORD,
    TRACKER_KEY,
    ServiceName,
)
from tac_rl.serving import guard

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
PHASES = "coverage,fuzzing"
LIMIT_S = 1800
START_LIMIT_S = 60


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """An office as a person starts it, on free ports: its addresses by service. It ends with its caller."""
    log = folder / "office.log"
    command = ["-m", "tac_rl.office", "serve", "--snapshot", "bare", "--port-base", "0"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, guard.__file__, sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    assert process.stdin is not None and process.stdout is not None
    too_late = threading.Timer(START_LIMIT_S, process.stdin.close)
    too_late.start()
    try:
        urls: dict[str, str] = {}
        for line in process.stdout:
            name, address, *_ = line.split()
            if address.startswith("http"):
                urls[name] = address
            if len(urls) == len(ServiceName):
                break
        else:
            raise SystemExit(f"the office did not start:\n{log.read_text()}")
        too_late.cancel()
        yield urls
    finally:
        too_late.cancel()
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


def credentials(service: str, url: str) -> list[str]:
    """What every request carries."""
    if service == ServiceName.CHAT:
        body = json.dumps({"user": AGENT_CHAT, "password": PASSWORD}).encode()
        request = urllib.request.Request(f"{url}/api/v1/login", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            data = json.load(answer)["data"]
        return ["-H", f"X-Auth-Token: {data['authToken']}", "-H", f"X-User-Id: {data['userId']}"]
    if service == ServiceName.FORGE:
        return ["-H", f"PRIVATE-TOKEN: {FORGE_TOKEN}"]
    if service == ServiceName.TRACKER:
        return ["-H", f"X-Api-Key: {TRACKER_KEY}"]
    if service == ServiceName.DRIVE:
        return ["--auth", f"{AGENT_DRIVE}:{PASSWORD}"]
    return []


def fuzz(
    service: str, url: str, examples: int, seed: int, folder: Path, *, phases: str = PHASES
) -> dict[str, Any]:
    """One run of schemathesis over a service's document: how many requests, and which checks failed.

    `said` is the end of its output where it could not get through without a check having failed.
    """
    report = folder / f"{service}-{seed}-{examples}.ndjson"
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
    command += ["--checks", CHECKS, "--phases", phases, "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--report", "ndjson", "--report-ndjson-path", str(report), "--generation-database", "none"]
    command += [
        "--continue-on-failure",
        "--no-shrink",
        "--request-timeout",
        "20",
        "--suppress-health-check",
        "all",
    ]
    done = subprocess.run(
        [*command, *credentials(service, url)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    requests, failures = 0, []
    for line in report.read_text().splitlines() if report.exists() else ():
        event = json.loads(line)
        recorder = event.get("ScenarioFinished", {}).get("recorder", {})
        requests += len(recorder.get("interactions", {}))
        for case, checks in recorder.get("checks", {}).items():
            failures += [
                f"{recorder.get('label')}: {c['name']}" for c in checks if c["status"] == "failure" and case
            ]
    return {
        "requests": requests,
        "failed": len(failures),
        "which": sorted(set(failures)),
        "exit": done.returncode,
        "said": done.stdout[-3000:] if done.returncode and not failures else "",
    }


def many(service: str, url: str, requests: int, seed: int, folder: Path) -> dict[str, Any]:
    """Runs over a service's document until at least `requests` were made: the line to print."""
    started, total, failed, examples = time.monotonic(), 0, 0, 10
    which: set[str] = set()
    while total < requests:
        found = fuzz(service, url, examples, seed, folder)
        total, failed = total + found["requests"], failed + found["failed"]
        which |= set(found["which"])
        if not found["requests"] or found["said"]:
            raise SystemExit(f"{service}: schemathesis did not get through:\n{found['said']}")
        # The next round makes what is missing, from other random numbers.
        examples = max(10, int(examples * (requests - total) / found["requests"]) + 1)
        seed += 1
    line = {"bench": "office_fuzz", "service": service, "requests": total, "failed": failed}
    return {**line, "which": sorted(which), "seconds": round(time.monotonic() - started, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000, help="at least so many of each service")
    parser.add_argument("--service", nargs="+", default=[name.value for name in ServiceName])
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tac-rl-fuzz-") as temporary:
        folder = Path(temporary)
        with serving(folder) as urls:
            for service in args.service:
                print(json.dumps(many(service, urls[service], args.requests, args.seed, folder)), flush=True)


if __name__ == "__main__":
    main()
