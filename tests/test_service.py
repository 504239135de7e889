"""What a run trained, at work: the real server, driven by clients that none of us wrote; and what is exported."""

import base64
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from openai import AuthenticationError, NotFoundError, OpenAI
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.timeout(300)
KEY = "a-key-for-the-tests-0123456789"
SMALL = ("rollouts.groups=2", "rollouts.group_size=4", "rollouts.min_group=2", "iterations=2")
SMALL += ("evaluation.every=0", "evaluation.final_attempts=4", "curriculum.unlock_after=0")
SMALL += ("tasks.include=[hr-onboarding-folder, research-shortlist]",)


def door(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tac_rl.cli", name, *arguments]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(door(name, *arguments), capture_output=True, text=True, timeout=150, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    settings = [f"--set={override}" for override in (*SMALL, f"runs_dir={runs}")]
    done = run("train", "--config", "configs/tiny_cpu.yaml", "--name", "small", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return runs / "small"


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    output: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEY}"}

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=60, **{"headers": self.headers, **options})

    def solve(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.post("/solve", body)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    keys, output = folder / "keys", folder / "output"
    keys.write_text(f"# who may come in\n{KEY}\n")
    command = door("serve", "--run", str(trained), "--port", "0", "--api-key-file", str(keys), "--office")
    with output.open("w") as stream:
        process = subprocess.Popen([*command, "--max-solving", "1"], stdout=stream, stderr=stream, text=True)
    deadline = time.monotonic() + 120
    while (told := re.search(r"at (http://\S+)/v1", output.read_text())) is None:
        assert process.poll() is None and time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)
    yield Server(process, told[1], output)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, output.read_text()
    assert KEY not in output.read_text()


def test_an_openai_client_talks_to_the_trained_version(server: Server) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key=KEY)
    assert [m.id for m in client.models.list()] == ["small-v2", "base"]
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "list the files"}], "temperature": 0}
    answer = client.chat.completions.create(model="small-v2", **asked)
    assert answer.model == "small-v2" and answer.usage is not None and answer.usage.completion_tokens > 0
    streamed = client.chat.completions.create(
        model="small-v2", stream=True, stream_options={"include_usage": True}, **asked
    )
    parts = list(streamed)
    text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    assert text == (answer.choices[0].message.content or "")
    assert parts[-1].usage == answer.usage


def test_who_has_no_key_or_a_wrong_one_gets_nothing(server: Server) -> None:
    with pytest.raises(AuthenticationError):
        OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()
    for headers in ({}, {"Authorization": KEY}, {"Authorization": f"Bearer {KEY[:-1]}"}):
        answer = server.post("/solve", {"instruction": "x"}, headers=headers)
        assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key"


def test_a_model_that_is_not_here_is_named(server: Server) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    with pytest.raises(NotFoundError, match=r"gpt-9.*small-v2, base"):
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])


def test_a_posted_task_is_worked_on_in_a_sandbox_step_by_step(server: Server) -> None:
    binary = base64.b64encode(b"\xff\x00").decode()
    lines = server.solve(
        {
            "instruction": "Count the lines of notes.txt and write the number to count.txt.",
            "files": {"data/notes.txt": "a\nb\n", "data/picture.bin": f"base64:{binary}"},
            "max_turns": 3,
            "return_files": True,
        }
    )
    assert lines[0]["event"] == "started" and lines[-1]["event"] == "finished"
    steps = lines[1:-1]
    assert steps and all(line["event"] == "step" for line in steps)
    assert any(line["tool"] == "bash" and "output" in line for line in steps)
    assert lines[-1]["ending"] in ("finished", "out_of_turns", "agent_failed")
    assert lines[-1]["files"]["data/notes.txt"] == "a\nb\n"
    assert lines[-1]["files"]["data/picture.bin"] == f"base64:{binary}"


def test_a_posted_task_may_take_place_in_a_company(server: Server) -> None:
    lines = server.solve(
        {"instruction": "Send hello to the room general.", "company": "bare", "max_turns": 2}
    )
    assert lines[-1]["event"] == "finished"
    lines = server.solve({"instruction": "x", "company": "nowhere"})
    assert lines[-1]["event"] == "failed" and "nowhere" in lines[-1]["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "instruction"),
        ({"instruction": "x", "file": {}}, "file"),
        ({"instruction": "x", "files": {"../up": ""}}, "workspace"),
        ({"instruction": "x", "files": {"/etc/passwd": ""}}, "workspace"),
        ({"instruction": "x", "max_turns": 0}, "max_turns"),
        ([1], "object|dictionary"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused_by_field(server: Server, body: Any, words: str) -> None:
    answer = server.post("/solve", body)
    assert answer.status_code == 400 and re.search(words, answer.json()["error"]["message"])


def test_more_tasks_than_the_server_takes_are_told_to_come_back_and_a_client_that_leaves_frees_its_place(
    server: Server,
) -> None:
    body = {"instruction": "Count the lines of a.txt.", "files": {"a.txt": "1\n"}}
    with httpx.stream("POST", f"{server.url}/solve", json=body, headers=server.headers, timeout=60) as first:
        next(first.iter_lines())
        assert server.post("/solve", body).status_code == 429
    deadline = time.monotonic() + 60
    while (again := server.post("/solve", body)).status_code == 429:
        assert time.monotonic() < deadline
    assert again.status_code == 200


def test_health_and_metrics_need_no_key_and_count_what_happened(server: Server) -> None:
    assert httpx.get(f"{server.url}/health", timeout=30).json()["status"] == "ok"
    server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3})
    page = httpx.get(f"{server.url}/metrics", timeout=30).text
    samples = {
        (sample.name, sample.labels.get("route") or sample.labels.get("kind")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["tacrl_policy_version", None] == 2
    assert samples["tacrl_requests_total", "/v1/chat/completions"] > 0
    assert samples["tacrl_tokens_total", "completion"] >= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), ("", "holds no key"), ("# x\n\n", "holds no key"), ("short\n", "at least 16")],
)
def test_a_key_file_that_lets_nobody_or_everybody_in_is_refused(
    trained: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    keys = tmp_path / "keys"
    if content is not None:
        keys.write_text(content)
    done = run("serve", "--run", str(trained), "--port", "0", "--api-key-file", str(keys))
    assert done.returncode == 2 and words in done.stderr
    assert "short" not in done.stderr.replace(str(tmp_path), "")


def test_a_version_that_does_not_exist_is_told_with_those_that_do(trained: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    for command in (
        ["serve", "--port", "0", "--api-key-file", str(keys)],
        ["export", "--to", str(tmp_path / "x")],
    ):
        done = run(command[0], "--run", str(trained), "--version", "77", *command[1:])
        assert done.returncode == 2 and "version 77" in done.stderr and "1, 2" in done.stderr


def test_an_exported_adapter_loads_with_peft_and_its_card_tells_what_it_is(
    trained: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    done = run("export", "--run", str(trained), "--to", str(tmp_path / "adapter"))
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    base = AutoModelForCausalLM.from_pretrained("tac_rl/policies/tiny", dtype=torch.float32)
    PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert card.startswith("---\n") and "small, version 2" in card
    for words in ("hr-onboarding-folder", "full completion", "## Limits", "learning_rate"):
        assert words in card
    again = run("export", "--run", str(trained), "--to", str(tmp_path / "adapter"))
    assert again.returncode == 2 and "exists already" in again.stderr


def test_merged_weights_compute_what_base_and_adapter_compute(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    done = run("export", "--run", str(trained), "--to", str(tmp_path / "merged"), "--merged")
    assert done.returncode == 0, done.stderr
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32).eval()
    probe = json.loads(next(trained.rglob("adapters/*2/probe.json")).read_text())
    ids = torch.tensor([probe["token_ids"]])
    with torch.no_grad():
        logprobs = model(ids).logits[0].log_softmax(-1)
    found = logprobs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    # The base is stored in bfloat16, and so are the merged weights.
    assert found.tolist() == pytest.approx(probe["logprobs"], abs=0.1)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(tmp_path / "merged"))
    assert tokenizer.chat_template
