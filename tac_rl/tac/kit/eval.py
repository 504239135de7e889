"""TAC's command line for grading: `eval.py [--trajectory_path P] [--result_path ./result.json]`.

Grades the current folder with `evaluator.py` of the folder UTILS or, in an image, with `evaluator.py.enc`,
whose key is in the variable DECRYPTION_KEY. Any failure to grade is exit status 1 and no file. The same
file serves in our base image (docker/tac-base) and in bubblewrap, where `grade.py` calls `result_of`.
"""

import argparse
import base64
import importlib.util
import json
import os
import sys
import traceback

UTILS = "/utils"
KEY_BYTES = 32


def load_evaluator():
    """Import the evaluator as the module `evaluator`; a decrypted one is never written anywhere."""
    path = os.path.join(UTILS, "evaluator.py")
    if os.path.exists(path):
        with open(path, "rb") as file:
            source = file.read()
    else:
        source = decrypted(path + ".enc")
    specification = importlib.util.spec_from_loader("evaluator", None, origin=path)
    module = importlib.util.module_from_spec(specification)
    module.__file__ = path
    sys.modules["evaluator"] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def decrypted(path):
    """The content of an encrypted evaluator."""
    from cryptography.fernet import Fernet, InvalidToken

    secret = os.environ.get("DECRYPTION_KEY")
    if not secret:
        raise ValueError("DECRYPTION_KEY is not set, and the evaluator is encrypted")
    with open(path, "rb") as file:
        token = file.read()
    try:
        return Fernet(fernet_key(secret)).decrypt(token)
    except InvalidToken:
        raise ValueError("DECRYPTION_KEY does not fit the evaluator") from None


def fernet_key(secret):
    """Fernet's form of TAC's secret: padded with zeros to 32 bytes, then base64."""
    return base64.urlsafe_b64encode(secret.encode()[:KEY_BYTES].ljust(KEY_BYTES, b"\0"))


def result_of(trajectory):
    """Grade; the result as a dict. Raises whatever the evaluator raises, at import or while it grades."""
    evaluator = load_evaluator()
    from scoring import Result

    result = evaluator.grade_checkpoints(trajectory)
    if not isinstance(result, Result):
        raise TypeError(f"grade_checkpoints must return a scoring.Result, got {type(result).__name__}")
    if not result.checkpoints:
        raise ValueError("grade_checkpoints returned a Result without checkpoints")
    return result.to_dict()


def read_trajectory(path):
    """The trajectory as one string; '' where it is missing or unreadable."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, TypeError):
        return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trajectory_path", default=None)
    parser.add_argument("--result_path", default="./result.json")
    arguments = parser.parse_args()
    try:
        document = json.dumps(result_of(read_trajectory(arguments.trajectory_path)))
    except Exception:
        traceback.print_exc()
        return 1
    with open(arguments.result_path, "w", encoding="utf-8") as file:
        file.write(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
