"""The persistent shell: what a well-meaning agent relies on."""

import pytest

from tac_rl.errors import SandboxError
from tac_rl.sandboxes.base import ExecResult, Sandbox
from tests.sandbox_helpers import in_sandbox, outputs

pytestmark = pytest.mark.usefixtures("sandbox_kind")


def run(*commands: str, **limits: float) -> list[ExecResult]:
    async def work(sandbox: Sandbox) -> list[ExecResult]:
        return [await sandbox.exec(command) for command in commands]

    return in_sandbox(work, **limits)


def test_working_directory_variables_and_functions_persist() -> None:
    assert outputs("mkdir -p a/b; cd a/b; X=5; f() { echo f$1; }", "echo $X $PWD; f 1") == [
        "",
        "5 /workspace/a/b\nf1\n",
    ]


def test_the_exit_status_is_reported_and_is_there_for_the_next_command() -> None:
    results = run("(exit 7)", "echo $?", "echo $?", "nosuchprogram")
    assert [result.exit_code for result in results] == [7, 0, 0, 127]
    assert [result.output for result in results[1:3]] == ["7\n", "0\n"]


def test_office_programs_work_inside() -> None:
    (output,) = outputs(
        "python3 -c 'print(6 * 7)' && git init -q r && cd r && echo x > f && git add f && git commit -qm one"
        " && git log --format='%an %s' && sqlite3 :memory: 'select 8' && echo a b | awk '{print $2}'"
        " && echo abc | sed s/b/-/ | grep a-c && ls | sort | head -1 && whoami && hostname"
    )
    assert output.split("\n") == ["42", "Office Agent one", "8", "b", "a-c", "f", "agent", "office", ""]


def test_standard_output_and_standard_error_come_in_order_and_can_be_reopened() -> None:
    assert outputs("echo 1; echo 2 >&2; echo 3; echo 4 > /dev/stderr; echo 5 > /dev/stdout") == [
        "1\n2\n3\n4\n5\n"
    ]


def test_commands_find_an_empty_standard_input() -> None:
    assert outputs("cat; read line; echo [$line]") == ["[]\n"]


def test_output_that_is_not_utf8_is_replaced_not_refused() -> None:
    assert outputs(r"printf 'a\xff\xfeb\x00c'") == ["a��b\x00c"]


def test_commands_of_many_lines_quotes_heredocs_and_great_length() -> None:
    long = "x" * 300_000
    assert outputs("cat <<'E'\nit's \"$X\" `\\`\nE\necho ü", f"v='{long}'; echo ${{#v}}") == [
        'it\'s "$X" `\\`\nü\n',
        "300000\n",
    ]


def test_syntax_errors_do_not_end_the_shell() -> None:
    results = run("X=1", 'echo "unbalanced', "if true; then", "echo $((1/0)); echo no", ")", "echo $X")
    assert [result.exit_code for result in results] == [0, 2, 2, 1, 2, 0]
    assert results[-1].output == "1\n"


@pytest.mark.parametrize(
    "command",
    [
        "exit 3",
        "exec true",
        "kill -9 $$",
        "set -e; false",
        "set -u; echo $NOPE",
        "trap 'echo bye' EXIT; exit",
    ],
)
def test_a_shell_that_ended_is_replaced_in_the_same_directory(command: str) -> None:
    results = run("mkdir d; cd d; X=1", command, "echo $X; pwd")
    assert results[1].exit_code is None
    assert "the shell" in results[1].output and "a new shell starts in /workspace/d" in results[1].output
    assert (results[2].output, results[2].exit_code) == ("\n/workspace/d\n", 0)


def test_background_processes_neither_delay_a_command_nor_die_with_it() -> None:
    results = run("sleep 1000 & echo started", "kill -0 $! && echo alive", exec_seconds=10)
    assert (results[0].output, results[1].output) == ("started\n", "alive\n")
    assert results[0].seconds < 10


def test_output_beyond_the_limit_loses_its_middle() -> None:
    (result,) = run("seq 1 100000", output_bytes=1000)
    assert result.truncated and result.exit_code == 0
    assert result.output.startswith("1\n2\n3\n") and result.output.endswith("99999\n100000\n")
    assert "[... 587895 bytes left out ...]" in result.output
    assert len(result.output) < 1100


def test_output_of_exactly_the_limit_is_whole() -> None:
    results = run(
        "head -c 1000 /dev/zero | tr '\\0' x", "head -c 1001 /dev/zero | tr '\\0' x", output_bytes=1000
    )
    assert (results[0].output, results[0].truncated) == ("x" * 1000, False)
    assert results[1].truncated and "1 bytes left out" in results[1].output


def test_a_command_at_its_time_limit_is_killed_with_all_it_started() -> None:
    async def work(sandbox: Sandbox) -> tuple[ExecResult, str]:
        await sandbox.exec("cd /tmp; X=1")
        result = await sandbox.exec("echo before; setsid sleep 1000 & sleep 1000", timeout_s=0.2)
        return result, (await sandbox.exec("pgrep -c sleep; pwd; echo $X")).output

    result, after = in_sandbox(work)
    assert result.timed_out and result.exit_code is None
    assert result.output.startswith("before\n[the time limit of 0.2 s was reached")
    assert after == "0\n/tmp\n\n"


def test_a_forged_end_of_command_is_only_output() -> None:
    results = run(
        r"for fd in 1 2 200; do printf '0123456789abcdef 0 /\0' >&$fd; done; exit_code() { :; }; (exit 9)"
    )
    assert results[0].exit_code == 9


def test_an_overlong_command_is_refused_with_a_message() -> None:
    (result,) = run("#" * (2 << 20))
    assert result.exit_code == 126 and "bytes long" in result.output


def test_a_frozen_sandbox_runs_nothing_but_still_hands_out_files() -> None:
    async def work(sandbox: Sandbox) -> bytes:
        await sandbox.exec(
            "(while true; do date +%N >> tick; done) & until [ -s tick ]; do :; done; echo done > answer"
        )
        await sandbox.freeze()
        before = await sandbox.get("tick")
        with pytest.raises(SandboxError, match="frozen"):
            await sandbox.exec("true")
        assert await sandbox.get("tick") == before
        return await sandbox.get("answer")

    assert in_sandbox(work) == b"done\n"


def test_reset_gives_an_empty_workspace_and_a_fresh_shell() -> None:
    async def work(sandbox: Sandbox) -> str:
        await sandbox.exec("mkdir -p a/b ~/.c; touch a/b/c /tmp/d; cd a; X=1; sleep 100 & echo late")
        await sandbox.reset()
        return (await sandbox.exec("ls -A /workspace /tmp ~; pwd; echo [$X]; pgrep -c sleep")).output

    assert in_sandbox(work) == "/home/agent:\n\n/tmp:\n\n/workspace:\n/workspace\n[]\n0\n"
