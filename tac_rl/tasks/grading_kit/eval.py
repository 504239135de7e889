"""TAC's command line: `eval.py [--trajectory_path P] [--result_path ./result.json]`.

Imports `evaluator` from beside this file, grades the current folder, writes the result JSON. Any failure
to grade is exit status 1 and no file.
"""

import os
import sys


def result_of(trajectory):
    """Grade with the evaluator; the result as a dict. Raises whatever the evaluator raises."""
    from evaluator import grade_checkpoints
    from scoring import Result

    result = grade_checkpoints(trajectory)
    if not isinstance(result, Result):
        raise TypeError(f"grade_checkpoints must return a scoring.Result, got {type(result).__name__}")
    if not result.checkpoints:
        raise ValueError("grade_checkpoints returned a Result without checkpoints")
    return result.to_dict()


def read_trajectory(path):
    """The trajectory as one string; '' where it is missing or unreadable, as TAC does."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (OSError, TypeError):
        return ""


def main():
    import argparse
    import json

    parser = argparse.ArgumentParser()
    parser.add_argument("--trajectory_path", default=None)
    parser.add_argument("--result_path", default="./result.json")
    arguments = parser.parse_args()
    try:
        result = json.dumps(result_of(read_trajectory(arguments.trajectory_path)))
    except Exception as error:
        print(f"grading failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    with open(arguments.result_path, "w", encoding="utf-8") as file:
        file.write(result)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
