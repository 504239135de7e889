"""The host's door into the grading sandbox: read the job, take it off the disk, grade.

What the evaluator prints goes into a log; the result goes to the real output, on one line that starts with
the job's nonce. TAC's evaluators answer "not done" where a service or the LLM judge is down, so this door
looks whether they were there: a grade is given only where everything that it rests on worked.
"""

import ctypes
import http.client
import importlib
import json
import os
import sys
import traceback
import types

HERE = os.path.dirname(os.path.abspath(__file__))
LOG = f"{HERE}/log"
LOG_SHOWN = 1500
PR_SET_DUMPABLE = 4
KEPT_LINKS = ("/usr/", "/bin/", "/lib", "/opt/tac/")
"""Where links of the workspace may lead besides the workspace: programs, of which virtual environments are made."""


class Failed(Exception):
    """No grade can be given, through no fault of the attempt."""


def remove_escaping_links(workspace):
    """An agent may have left a link to the reference data that only this sandbox holds."""
    for folder, names, files in os.walk(workspace):
        for name in names + files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                continue
            target = os.path.realpath(path)
            if not (target == workspace or target.startswith((f"{workspace}/", *KEPT_LINKS))):
                os.unlink(path)


def check_services(ports):
    """Raises `Failed` unless each answers, with whatever status but an error of its own."""
    for name, port in ports.items():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("HEAD", "/")
            status = connection.getresponse().status
        except OSError as error:
            raise Failed(f"the {name} can't be reached: {error}") from None
        finally:
            connection.close()
        if status >= 500:
            raise Failed(f"the {name} answers with status {status}")


class Judge(types.ModuleType):
    """Stands for litellm until something of it is used, and notes which of its calls fail.

    The import takes seconds; every evaluator imports it by way of `common`, and few ask a judge.
    """

    def __init__(self):
        super().__init__("litellm")
        self.failures = []

    def __getattr__(self, name):  # Only of what this object lacks: everything but a module's own names.
        if sys.modules.get("litellm") is self:
            del sys.modules["litellm"]
            try:
                real = importlib.import_module("litellm")
            except Exception as error:
                sys.modules["litellm"] = self
                self.failures.append(f"litellm can't be imported: {error}")
                raise
            real.completion = self.watched(real.completion)
        return getattr(sys.modules["litellm"], name)

    def watched(self, complete):
        def completion(*arguments, **options):
            try:
                return complete(*arguments, **options)
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}"[:500])
                raise

        return completion


def graded(job):
    remove_escaping_links(job["workspace"])
    check_services(job["services"])
    judge = sys.modules["litellm"] = Judge()
    import eval as tac

    sys.path.remove(HERE)
    result = tac.result_of(job["trajectory"])
    check_services(job["services"])
    if judge.failures:
        raise Failed(f"the LLM judge failed: {judge.failures[0]}")
    return result


def main():
    # Programs of the agent's that the evaluator runs can't look into this process.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    with open(f"{HERE}/job.json", encoding="utf-8") as file:
        job = json.load(file)
    for name in ("job.json", "workspace.tar"):
        os.unlink(f"{HERE}/{name}")
    answers = os.dup(1)
    with open(LOG, "wb", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        result = graded(job)
    except BaseException as error:
        if isinstance(error, Failed):
            print(error, file=sys.stderr)
        else:
            traceback.print_exc()
        sys.stderr.flush()
        with open(LOG, "rb") as log:
            log.seek(max(0, os.path.getsize(LOG) - LOG_SHOWN))
            os.write(answers, log.read())
        os._exit(1)
    os.write(answers, f"\n{job['nonce']} result {result!a}\n".encode())
    os._exit(0)  # Threads that an evaluator left running don't count.


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    main()
