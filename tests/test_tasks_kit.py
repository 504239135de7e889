"""The evaluators' readers: whatever lies in a workspace, they answer."""

import os
import sqlite3
import subprocess

import pytest
from tasks_fakes import kit_modules


@pytest.fixture
def common(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with kit_modules("common") as [module]:
        yield module


HOSTILE = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "loop": lambda path: path.symlink_to(path),
    "binary": lambda path: path.write_bytes(b"\xff\xfe\x00\x01"),
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 33),
    "empty": lambda path: path.write_bytes(b""),
    "unclosed": lambda path: path.write_text('a,b\n"1'),
    "nested": lambda path: path.write_text("[" * 100_000),
    "long number": lambda path: path.write_text("9" * 5000),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_every_reader_answers_whatever_lies_there(common, tmp_path, kind):
    path = tmp_path / "x"
    HOSTILE[kind](path)
    assert common.read_number("x") is None
    assert common.read_json("x") is None
    assert common.query("x", "select 1 from missing") == []
    assert isinstance(common.read_text("x"), str)
    assert isinstance(common.read_csv("x"), list)
    assert isinstance(common.read_lines("x"), list)
    assert common.is_executable("x") is False
    assert common.names("x") == []


def test_a_file_reached_through_a_linked_folder_is_not_read(common, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("1")
    (tmp_path / "link").symlink_to("real")
    assert common.read_text("real/x") == "1"
    assert common.read_text("link/x") == ""
    assert common.names("real") == ["x"]
    assert common.names("link") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("12\n", 12.0), (" -3.50 ", -3.5), ("+1", 1.0), ("1234.0", 1234.0), (".5", 0.5)]
    + [
        (text, None) for text in ("", "1 2", "1,000", "nan", "inf", "1e5", "0x10", "twelve", "--", "1_0", "٣")
    ],
)
def test_a_number_is_a_plain_number(common, tmp_path, text, value):
    (tmp_path / "x").write_text(text)
    assert common.read_number("x") == value


def test_a_csv_file_is_rows_by_name(common, tmp_path):
    (tmp_path / "x.csv").write_text("name, net\nalice,10\n\nomar , 20\n")
    assert common.read_csv("x.csv") == [{"name": "alice", "net": "10"}, {"name": "omar", "net": "20"}]
    (tmp_path / "x.csv").write_text("name,net\nalice\n")
    assert common.read_csv("x.csv") == []


def test_a_query_reads_and_never_writes(common, tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("create table t(a)")
        connection.execute("insert into t values (7)")
    assert common.query("x.db", "select a from t where a > ?", (1,)) == [(7,)]
    assert common.query("x.db", "delete from t") == []
    assert common.query("x.db", "select count(*) from t") == [(1,)]
    endless = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r"
    assert common.query("x.db", endless, seconds=0.05) == []


def test_the_grader_turns_exceptions_and_none_into_false(common):
    assert common.grader(lambda: 1 / 0)() is False
    assert common.grader(lambda: None)() is False
    assert common.grader(lambda value: value)(3) == 3


def in_the_kit(tmp_path, code):
    """Run code beside the kit in a process of its own: `run` makes its process unlike others."""
    from tasks_fakes import KIT

    source = f"import sys; sys.path.insert(0, {str(KIT)!r})\nfrom common import *\n{code}"
    done = subprocess.run(
        ["python3", "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_is_bounded_in_time_and_output(tmp_path):
    code = """
done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
print(done.code, done.output.split())
print(run(["yes"], seconds=0.2, limit=1000).code, len(run(["yes"], seconds=0.2, limit=1000).output))
print(run(["sh", "-c", "exec >&- 2>&-; sleep 60"], seconds=0.2).code)
print(run(["no-such-program"]).code, run(["sh", "-c", "kill -9 $$"]).code)
"""
    assert in_the_kit(tmp_path, code).splitlines() == ["3 ['out', 'err']", "None 1000", "None", "None None"]


def test_nothing_survives_a_program(tmp_path):
    code = """
run(["sh", "-c", "setsid sh -c 'echo $$ > pid; exec sleep 987' & while [ ! -s pid ]; do :; done"], seconds=20)
import os
print(os.path.exists("/proc/" + open("pid").read().strip()))
"""
    assert in_the_kit(tmp_path, code).strip() == "False"


def test_git_runs_no_program_that_a_repository_names(tmp_path):
    script = tmp_path / "evil.sh"
    script.write_text("#!/bin/sh\ntouch " + str(tmp_path / "ran") + "\n")
    script.chmod(0o755)
    commands = (
        "git init -q -b main . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m start && "
        f"git config core.fsmonitor {script} && git config core.pager {script}"
    )
    subprocess.run(["sh", "-c", commands], cwd=tmp_path, check=True, timeout=30)
    out = in_the_kit(
        tmp_path, "print(git('.', 'log', '--format=%s')); git('.', 'status'); print(git('nowhere', 'log'))"
    )
    assert out.splitlines() == ["start", ""]
    assert not (tmp_path / "ran").exists()
