"""The host's door into the grading sandbox: read the job, take it off the disk, grade.

Prints the result on one line that starts with the job's nonce. By the time the evaluator grades, the
hidden facts and its own source are deleted: neither a link that an agent left nor a program of an agent's
that the evaluator runs can find them, or know the nonce. Job and result are Python literals rather than
JSON, since importing `json` would cost as much as starting Python.
"""

import os

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    with open(f"{HERE}/job", encoding="ascii") as file:
        job = eval(file.read(), {"__builtins__": {}})  # a literal that the host wrote
    for name in ("job", "workspace.tar"):
        os.unlink(f"{HERE}/{name}")
    import common
    import evaluator  # noqa: F401 (while its source is there; eval.py imports it again)
    from eval import result_of

    os.unlink(f"{HERE}/evaluator.py")
    common._facts = job["facts"]
    common._may_run = job["may_run"]
    common._announce_run = lambda: print(job["nonce"], "runs", flush=True)
    os.chdir(job["workspace"])
    result = result_of(job["trajectory"])
    print(f"\n{job['nonce']} result {result!a}", flush=True)
