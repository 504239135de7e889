"""What evaluators read a workspace with. Everything left there is hostile until proven otherwise.

Each reader answers "nothing" ('' or [] or None) for whatever isn't a plain file of a sensible size: a
missing file, a folder, a link, a fifo, a huge file, bytes that aren't text. So an evaluator that uses
them grades any workspace. Paths are relative to /workspace. Standard library only, imported when needed:
a grading should cost little more than a Python start.
"""

import os
import stat

TEXT_LIMIT = 1 << 18
"""Bytes beyond which a file isn't read."""

_facts = {}
_may_run = True
_announce_run = None


def facts():
    """The instance's hidden facts (a dict)."""
    return _facts


def grader(function):
    """Decorator: an exception, or None, is False. For checks that may meet anything."""

    def guarded(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            print(f"{function.__name__}: {type(error).__name__}: {str(error)[:200]}")
            return False
        return False if result is None else result

    guarded.__name__ = function.__name__
    guarded.__doc__ = function.__doc__
    return guarded


def read_bytes(path, limit=TEXT_LIMIT):
    """The content of a regular file of at most `limit` bytes, reached without links; None otherwise."""
    try:
        if os.path.realpath(path) != os.path.abspath(path):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            return None
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(limit)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_text(path, limit=TEXT_LIMIT):
    """A file's text (UTF-8), or '' where there is no such plain text file of at most `limit` bytes."""
    data = read_bytes(path, limit)
    if data is None or b"\0" in data:
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def read_lines(path, limit=TEXT_LIMIT):
    """A file's non-empty lines without the space around them; [] where there is no such file."""
    return [line.strip() for line in read_text(path, limit).splitlines() if line.strip()]


def number(text):
    """The finite number that `text` is, else None. `1234` and `1234.0` are the same."""
    text = text.strip()
    if not text.isascii() or not 0 < len(text) <= 40 or not text.strip("+-").replace(".", "", 1).isdigit():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def read_number(path):
    """The one number that a file holds, else None."""
    return number(read_text(path))


def read_csv(path, limit=TEXT_LIMIT):
    """A CSV file's rows as dicts by its header line (names and values stripped); [] where it isn't one."""
    text = read_text(path, limit)
    if not text:
        return []
    import csv

    try:
        rows = [[field.strip() for field in row] for row in csv.reader(text.splitlines()) if row]
    except csv.Error:
        return []
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return []
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def read_json(path, limit=TEXT_LIMIT):
    """A JSON file's value, else None."""
    import json

    try:
        return json.loads(read_text(path, limit))
    except (ValueError, RecursionError):
        return None


def names(folder="."):
    """The sorted names of the plain files in a folder; [] where it isn't one, or is reached by a link."""
    try:
        if os.path.realpath(folder) != os.path.abspath(folder):
            return []
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except (OSError, ValueError):
        return []


def is_executable(path):
    """True where `path` is a plain file with the x bit."""
    return read_bytes(path) is not None and bool(os.stat(path).st_mode & 0o100)


def query(path, sql, arguments=(), seconds=2.0):
    """The rows of a query on a SQLite file that agents made; [] where anything is wrong with it."""
    if read_bytes(path, limit=1 << 26) is None:
        return []
    import sqlite3
    import time
    from urllib.parse import quote

    deadline = time.monotonic() + seconds
    connection = None
    try:
        location = f"file:{quote(os.path.abspath(path))}?mode=ro"
        connection = sqlite3.connect(location, uri=True, timeout=0.1)
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        return connection.execute(sql, arguments).fetchmany(10_000)
    except (sqlite3.Error, UnicodeDecodeError, ValueError, OverflowError, MemoryError):
        return []
    finally:
        if connection is not None:
            connection.close()


class Ran:
    """What a program did: `code` (None where it was killed or never ran) and `output` (the first part)."""

    def __init__(self, code, output):
        self.code = code
        self.output = output

    @property
    def ok(self):
        return self.code == 0


def run(command, seconds=5.0, cwd=None, limit=TEXT_LIMIT, env=None):
    """Run a program that agents may have written (a list of arguments), and kill whatever it leaves.

    By the time it runs, the hidden facts and the evaluator are off the disk and this process can't be
    looked into. A program that brings the grading down all the same earns nothing: the workspace is then
    graded once more, with every `run` answering `Ran(None, "")`.
    """
    import runner

    if not _may_run:
        return Ran(None, "")
    if _announce_run is not None:
        _announce_run()
    return Ran(*runner.run(command, seconds, cwd, limit, env))


def git(repository, *arguments, limit=TEXT_LIMIT):
    """What a git command prints, without the space around it; '' where it fails. Runs no hook and no pager."""
    command = ["git", "-C", repository, "--no-pager"]
    for setting in ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.pager=cat", "safe.directory=*"):
        command += ["-c", setting]
    ran = run(
        [*command, *arguments], limit=limit, env={"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    )
    return ran.output.strip() if ran.ok else ""
