"""A log of three services with information, warnings and errors; one service has the reported error."""

import random

from tac_rl.tasks.authoring import Made
from tac_rl.tasks.words import SYSTEMS

SYMPTOMS = ("timeout", "refused", "overflow", "deadlock", "corrupt", "denied", "expired", "missing", "crash")
NOTICES = ("started", "ready", "idle", "stopped")


def make(rng: random.Random) -> Made:
    services = rng.sample(SYSTEMS, 3)
    culprit = services[0]
    symptom, *others = rng.sample(SYMPTOMS, 4)
    # Another number of errors for each service, so the count tells whose errors were counted.
    errors = dict(zip(services, rng.sample((1, 2, 3, 4, 5), 3), strict=True))
    lines = [f"ERROR {symptom} in {culprit}"]
    lines += [
        f"ERROR {rng.choice(others)} in {s}" for s in services for _ in range(errors[s] - (s == culprit))
    ]
    lines += [f"INFO {rng.choice(NOTICES)} in {s}" for s in services for _ in range(rng.randint(1, 3))]
    lines += [f"WARN {rng.choice(others)} in {s}" for s in services]
    rng.shuffle(lines)
    # Two traps come first: an error of another service, and the same trouble elsewhere, but only as a warning.
    bystander, warned = rng.sample(services[1:], 2)
    trap = next(line for line in lines if line.startswith("ERROR") and line.endswith(f" {bystander}"))
    lines.remove(trap)
    lines = [f"WARN {symptom} in {warned}", trap, *lines]
    return Made(
        values={"symptom": symptom},
        files={"app.log": "\n".join(lines) + "\n"},
        facts={"services": services, "culprit": culprit, "count": errors[culprit]},
    )
