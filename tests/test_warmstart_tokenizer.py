"""The tiny policy's tokenizer and chat template."""

import json
import random
from pathlib import Path

import pytest

from tac_rl.agents.prompt import SYSTEM_PROMPT, TOOLS
from tac_rl.gateway.renderer import Renderer
from tac_rl.learning.warmstart.episodes import tool_call
from tac_rl.learning.warmstart.recipe import WORDS
from tac_rl.learning.warmstart.tokenizer import CONTROL, FRAME

POLICY = Path(__file__).parent.parent / "tac_rl" / "policies" / "tiny"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer.from_path(POLICY)


def test_each_pool_word_is_one_token_wherever_it_stands(renderer: Renderer) -> None:
    for word in WORDS:
        (token,) = renderer.text_ids(word)
        for text in (
            f"sum({word})",
            f" {word} ",
            f"{word},",
            f"a/{word}.csv",
            f"\n{word}\n",
            f"{word}_{word}",
        ):
            assert renderer.text_ids(text).count(token) == text.count(word), text


def test_any_text_survives_encoding_and_decoding(renderer: Renderer) -> None:
    rng = random.Random(0)
    texts = ["", '"}}\n', "Ünï — 漢字 🙂\t\r\n", "echo \"a\\nb\" > 'c'", *WORDS[:5]]
    texts += [bytes(rng.choices(range(256), k=120)).decode("utf-8", "replace") for _ in range(200)]
    for text in texts:
        assert renderer.text(renderer.text_ids(text)) == text


def test_control_and_frame_tokens_keep_their_ids(renderer: Renderer) -> None:
    for number, token in enumerate((*CONTROL, *FRAME)):
        assert renderer.text_ids(token) == [number]


def test_a_turn_ends_with_the_token_that_the_template_writes(renderer: Renderer) -> None:
    assert renderer.stop_token_ids == (CONTROL.index("<|im_end|>"),)


def test_the_frame_of_calls_and_prompts_is_short(renderer: Renderer) -> None:
    start = renderer.prompt_ids([{"role": "system", "content": SYSTEM_PROMPT}], TOOLS)
    assert len(start) <= 45
    command = "grep alice team.txt"
    assert len(renderer.text_ids(tool_call("bash", {"command": command}))) == 4 + len(
        renderer.text_ids(command)
    )


def test_the_template_writes_qwens_format(renderer: Renderer) -> None:
    call = {"function": {"name": "bash", "arguments": {"command": 'echo "hi"'}}}
    as_text = {"function": {"name": "bash", "arguments": json.dumps(call["function"]["arguments"])}}
    answers = [{"role": "tool", "content": "one"}, {"role": "tool", "content": "two"}]
    written = []
    for one in (call, as_text):
        turn = {"role": "assistant", "content": "", "tool_calls": [one]}
        ids = renderer.prompt_ids([{"role": "user", "content": "go"}, turn, *answers], None)
        written.append(renderer.text(ids))
    assert written[0] == written[1]
    assert written[0] == (
        "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
        '{"name": "bash", "arguments": {"command": "echo \\"hi\\""}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
