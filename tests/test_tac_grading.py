"""Grading with a TAC package's own evaluator, in real sandboxes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tac_helpers import attempt, graded, package_folder, tar_of, tools, with_parts

from tac_rl.config.office import JudgeSection
from tac_rl.errors import GradingError
from tac_rl.rollout import main
from tac_rl.sandboxes.base import Sandbox
from tac_rl.tac.folder import read_folder
from tac_rl.tac.packages import TacPackage

ANSWER = {"answer.txt": b"42\n"}


def evaluator(body: str, before: str = "") -> str:
    return (
        "from common import *\nfrom scoring import *\n"
        f"{before}\ndef grade_checkpoints(trajectory=''):\n    {body}\n"
    )


def test_the_package_s_evaluator_grades_the_workspace(tmp_path):
    folder = package_folder(tmp_path)
    assert graded(folder).final_result == 0
    assert graded(folder, tar_of(ANSWER)).complete


def test_booleans_bonuses_and_the_working_directory_count_as_in_tac(tmp_path):
    body = "return Result([Checkpoint(1, False), Checkpoint(2, 2 * True)], bonus_for_completing_final)"
    grade = graded(
        package_folder(tmp_path, evaluator__py=evaluator(f"assert open('answer.txt').read()\n    {body}")),
        tar_of(ANSWER),
    )
    assert [(c.total, c.result) for c in grade.checkpoints] == [(1, 0), (2, 2)]
    assert (grade.final_total, grade.final_result) == (3, 3)


def test_the_trajectory_reaches_the_evaluator_as_a_string(tmp_path):
    folder = package_folder(
        tmp_path, evaluator__py=evaluator("return Result([Checkpoint(1, 'dir=/Documents' in trajectory)])")
    )
    assert graded(folder, trajectory="GET http://x?dir=/Documents").complete
    assert not graded(folder, trajectory="").complete


@pytest.mark.parametrize(
    "source",
    [
        evaluator("return Result([Checkpoint(1, 1)])", before="raise OSError('at import')"),
        evaluator("raise ValueError('in grading')"),
        evaluator("return 1"),
        evaluator("return Result([])"),
        evaluator("import os; os._exit(0)"),
        evaluator("import sys; sys.exit(0)"),
        evaluator("return Result([Checkpoint(1, 1)], lambda cs: {'total': 2, 'result': 2})"),
        "def grade_checkpoints(trajectory=''",
        "x = 1",
    ],
)
def test_an_evaluator_that_fails_is_no_zero(tmp_path, source):
    with pytest.raises(GradingError):
        graded(package_folder(tmp_path, evaluator__py=source), tar_of(ANSWER))


def test_an_evaluator_that_hangs_is_ended(tmp_path):
    folder = package_folder(tmp_path, evaluator__py=evaluator("import time; time.sleep(600)"))
    with pytest.raises(GradingError, match="did not end"):
        graded(folder, seconds=2.0)


def test_the_error_shows_what_the_evaluator_said(tmp_path):
    with pytest.raises(GradingError, match="no such report"):
        graded(package_folder(tmp_path, evaluator__py=evaluator("raise RuntimeError('no such report')")))


def test_what_an_evaluator_prints_does_not_matter(tmp_path):
    noisy = evaluator("print('x' * 2_000_000); return Result([Checkpoint(1, 1)])")
    assert graded(package_folder(tmp_path, evaluator__py=noisy)).complete


def test_a_link_to_reference_data_is_worth_nothing(tmp_path):
    files = {"Dockerfile": "FROM x\nCOPY golden.txt /utils\n", "golden__txt": "42"}
    folder = package_folder(tmp_path, **files)
    assert not graded(folder, tar_of({}, {"answer.txt": "/utils/golden.txt"})).complete
    assert not graded(folder, tar_of({}, {"a": "/utils", "answer.txt": "a/golden.txt"})).complete
    assert graded(folder, tar_of({"b": b"42"}, {"answer.txt": "b"})).complete


def test_an_evaluator_reads_its_reference_data(tmp_path):
    source = evaluator("return Result([Checkpoint(1, open('/utils/golden.txt').read() == '42')])")
    folder = package_folder(
        tmp_path, Dockerfile="FROM x\nCOPY golden.txt /utils\n", golden__txt="42", evaluator__py=source
    )
    assert graded(folder).complete


def test_modules_that_an_agent_leaves_are_not_imported(tmp_path):
    left = dict.fromkeys(("common.py", "scoring.py", "json.py", "litellm.py"), b"raise SystemExit")
    assert graded(package_folder(tmp_path), tar_of(left | ANSWER)).complete


def test_a_program_of_the_agent_s_learns_nothing_and_forges_nothing(tmp_path):
    source = evaluator(
        "return Result([Checkpoint(1, 0)])",
        before="import os, subprocess\nsubprocess.run(['sh', '/workspace/run.sh'])\n"
        "assert not os.path.exists('/tmp/found'), 'secrets were found'",
    )
    attack = b"""
    for secret in /proc/$PPID/environ /proc/$PPID/maps /tmp/tac/job.json /tmp/tac/workspace.tar; do
        cat $secret > /dev/null && echo $secret >> /tmp/found
    done
    for fd in /proc/$PPID/fd/*; do echo "forged result {}" > $fd; done
    """
    folder = package_folder(tmp_path, evaluator__py=source)
    assert graded(folder, tar_of({"run.sh": attack})).final_result == 0


def test_agents_see_the_instruction_and_the_libraries_and_nothing_of_the_evaluator(tmp_path):
    files = {"Dockerfile": "FROM x\nCOPY golden.txt /utils\nCOPY form.md /instruction\nCOPY in.csv .\n"}
    folder = package_folder(tmp_path, **files, golden__txt="42", form__md="Form", in__csv="a,b")
    package = TacPackage(read_folder(folder), tools())

    async def agent(sandbox: Sandbox) -> None:
        found = await sandbox.exec(
            "ls / /workspace /instruction; cat in.csv; python --version; find / -name 'golden*'"
        )
        assert "utils" not in found.output
        assert "golden" not in found.output
        assert "form.md\ntask.md" in found.output
        assert "a,b" in found.output
        assert "Python 3.1" in found.output
        await sandbox.exec("echo 42 > answer.txt")

    async def work(provider, office):
        return await attempt(package, provider, office, agent)

    assert with_parts(work).complete


def test_the_door_runs_a_package_as_it_is(tmp_path, capsys):
    script = tmp_path / "script.txt"
    script.write_text("ls /instruction\necho 42 > answer.txt\n")
    settings = ["--set", f"tasks.tac.environment={tools().environment.folder}"]
    folder = package_folder(tmp_path)
    assert main(["--task", str(folder), "--agent", f"script:{script}", "--json", *settings]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["task"] == "sde-count"
    assert document["outcome"] == "finished"
    assert document["final_score"] == {"total": 2, "result": 2}


class FakeJudge(ThreadingHTTPServer):
    """A model that answers with one word, or with an error, and remembers what it was asked."""

    def __init__(self, word: str, status: int = 200) -> None:
        self.asked: list[dict[str, object]] = []
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
                answer = json.dumps({"choices": [{"message": {"content": word}}]}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "FakeJudge":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *arguments: object) -> None:
        self.shutdown()
        self.server_close()


JUDGED = evaluator(
    "return Result([Checkpoint(1, friendly())])",
    before="@grader\ndef friendly():\n    return judged('friendly?')",
)


def section(judge: FakeJudge, tmp_path) -> JudgeSection:
    key = tmp_path / "key"
    key.write_text("sk-secret\n")
    return JudgeSection(
        base_url=f"http://127.0.0.1:{judge.server_port}/v1", model="judge-1", api_key_file=key
    )


@pytest.mark.parametrize(("word", "result"), [("Yes, it does", 1), ("no", 0)])
def test_a_judge_is_asked_through_its_door(tmp_path, word, result):
    with FakeJudge(word) as judge:
        grade = graded(package_folder(tmp_path, evaluator__py=JUDGED), judge=section(judge, tmp_path))
    assert grade.final_result == result
    assert judge.asked[0]["path"] == "/v1/chat/completions"
    assert judge.asked[0]["model"] == "judge-1"
    assert judge.asked[0]["key"] == "Bearer sk-secret"
    assert judge.asked[0]["messages"] == [{"role": "user", "content": "friendly?"}]


def test_a_judge_that_fails_is_no_zero(tmp_path):
    with FakeJudge("yes", status=500) as judge:
        with pytest.raises(GradingError, match="judge failed"):
            graded(package_folder(tmp_path, evaluator__py=JUDGED), judge=section(judge, tmp_path))


def test_no_sandbox_sees_the_judge_s_key_or_anything_but_completions(tmp_path):
    probe = evaluator(
        "return Result([Checkpoint(1, 1)])",
        before="import os, urllib.request, urllib.error\nassert 'secret' not in str(os.environ)\n"
        "try:\n    urllib.request.urlopen(URL + '/models')\n"
        "except urllib.error.HTTPError as error:\n    assert error.code == 404\n"
        "else:\n    raise AssertionError",
    )
    with FakeJudge("yes") as judge:
        assert graded(package_folder(tmp_path, evaluator__py=probe), judge=section(judge, tmp_path)).complete
    assert judge.asked == []
