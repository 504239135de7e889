"""The host's door into the grading sandbox: unpack the workspace, take the facts off the disk, grade.

Prints the result on one line that starts with the job's nonce. An agent's program that the evaluator
runs can neither know the nonce nor find the facts or the evaluator: they are deleted before.
"""

from __future__ import annotations

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    with open(f"{HERE}/job.json", encoding="utf-8") as file:
        job = json.load(file)
    import common
    import evaluator  # noqa: F401 (before its source is deleted; eval.py imports it again)
    from eval import result_of

    archive = f"{HERE}/workspace.tar"
    if os.path.exists(archive):
        import unpack

        unpack.unpack(archive, job["workspace"])
        os.unlink(archive)
    for name in ("job.json", "evaluator.py"):
        os.unlink(f"{HERE}/{name}")
    common._facts = job["facts"]
    common._may_run = job["may_run"]
    common._announce_run = lambda: print(job["nonce"], "runs", flush=True)
    os.chdir(job["workspace"])
    print(job["nonce"], "result", json.dumps(result_of(job["trajectory"])), flush=True)


if __name__ == "__main__":
    main()
