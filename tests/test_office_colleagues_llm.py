"""The mind that asks a language model, against a fake one over real HTTP."""

import asyncio
import dataclasses
from typing import Any

import pytest
from office_colleagues_fakes import FakeOpenAI, Script, fake_openai

from tac_rl.office.base import Person
from tac_rl.office.colleagues.base import MindError, Said, Turn
from tac_rl.office.colleagues.llm import ANSWER_MAX, LlmMind, LlmSettings, prompt, read_answer
from tac_rl.office.overlay import ColleagueOverlay

SCENARIO = ColleagueOverlay.model_validate(
    {
        "persona": "You keep the keys.",
        "goal": "Be brief.",
        "facts": [
            {"about": ["key"], "answer": "Under the mat.", "needs": ["badge"], "ask": "Your badge?"},
            {"about": ["rent"], "refer_to": "mike_chen"},
        ],
        "statements": [{"text": "You keep the keys."}, {"text": "The door is green."}],
        "fallback": "Ask the desk.",
    }
)
TURN = Turn(
    colleague=Person("li_ming", "Li Ming", "li.ming@agentcompany.com", title="Caretaker", bio="Has a dog."),
    scenario=SCENARIO,
    asker=Person("theagentcompany", "The Agent", "agent@company.com"),
    history=(),
    text="Where's the key?",
    spoken_to=True,
    names={"mike_chen": "Mike Chen"},
    seed=0,
)


def ask(script: Script, turn: Turn = TURN, **settings: Any) -> tuple[str | None, FakeOpenAI]:
    async def run() -> tuple[str | None, FakeOpenAI]:
        async with fake_openai(script) as fake:
            mind = LlmMind(LlmSettings(fake.url, "m", **{"pause_s": 0.0, "seconds": 20.0, **settings}))
            try:
                return await mind.answer(turn), fake
            finally:
                await mind.close()

    return asyncio.run(run())


def test_the_model_is_told_who_to_be_what_it_knows_and_when_to_say_it() -> None:
    said, fake = ask(lambda body: "Under the mat.", api_key="sesame")

    assert said == "Under the mat."
    body = fake.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("m", 0.0, 200)
    assert fake.headers[0]["Authorization"] == "Bearer sesame"
    system, user = body["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "Where's the key?"})
    for part in (
        "You are Li Ming, Caretaker",
        "Has a dog.",
        "You keep the keys.",
        "Be brief.",
        "When asked about key: only after they have mentioned badge (until then ask back: Your badge?) "
        "say: Under the mat.",
        "When asked about rent: send them to Mike Chen (@mike_chen)",
        "The door is green.",
        "say: Ask the desk.",
    ):
        assert part in system["content"]
    assert system["content"].count("You keep the keys.") == 1


def test_user_and_assistant_take_turns_whatever_the_conversation_was() -> None:
    history = (Said(False, "Welcome!"), Said(True, "Hi"), Said(True, "Anyone?"), Said(False, "Yes"))

    messages = prompt(dataclasses.replace(TURN, history=history))

    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert "Welcome!" in messages[0]["content"]
    assert [m["content"] for m in messages[1:]] == ["Hi\nAnyone?", "Yes", "Where's the key?"]


def test_who_overhears_is_told_to_stay_out() -> None:
    assert "many people" in prompt(dataclasses.replace(TURN, spoken_to=False))[0]["content"]
    assert "many people" not in prompt(TURN)[0]["content"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("  Sure.\n", "Sure."),
        ("<think>He wants\nthe key</think>\n\nSure.", "Sure."),
        ("<think>never ends", None),
        ("Li Ming: Sure.", "Sure."),
        ("NO_REPLY", None),
        ("", None),
    ],
)
def test_an_answer_is_only_what_is_said(written: str, said: str | None) -> None:
    assert read_answer(written, "Li Ming") == said


def test_a_long_answer_is_cut() -> None:
    said = read_answer("y" * 100_000, "Li Ming")

    assert said is not None and len(said) == ANSWER_MAX and said.endswith("…")


def test_a_busy_model_is_asked_again_and_a_refusal_is_final() -> None:
    statuses = iter([503, 429])

    said, fake = ask(lambda body: next(statuses, "Sure."))
    assert said == "Sure." and len(fake.bodies) == 3
    calls: list[int] = []
    with pytest.raises(MindError, match="401"):
        ask(lambda body: calls.append(1) or 401)
    assert len(calls) == 1


def test_retries_end() -> None:
    calls: list[int] = []

    with pytest.raises(MindError, match="500"):
        ask(lambda body: calls.append(1) or 500, retries=1)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "payload", [b"{nonsense", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}']
)
def test_what_is_no_completion_is_a_failure_of_the_mind(payload: bytes) -> None:
    with pytest.raises(MindError, match="something else"):
        ask(lambda body: payload)


def test_a_null_content_is_silence_and_a_flood_is_a_failure() -> None:
    assert ask(lambda body: b'{"choices": [{"message": {"content": null}}]}')[0] is None
    with pytest.raises(MindError, match="more than"):
        ask(lambda body: b" " * 2_000_000)


def test_a_model_that_is_down_or_hangs_is_a_failure_of_the_mind() -> None:
    async def run() -> None:
        gone = LlmMind(LlmSettings("http://127.0.0.1:9/v1", "m", retries=1, pause_s=0.0))
        with pytest.raises(MindError, match=r"127\.0\.0\.1:9"):
            await gone.answer(TURN)
        await gone.close()
        async with fake_openai(lambda body: "late") as fake:
            fake.gate = asyncio.Event()
            slow = LlmMind(LlmSettings(fake.url, "m", seconds=0.05))
            with pytest.raises(MindError, match=r"within 0\.05 s"):
                await slow.answer(TURN)
            await slow.close()

    asyncio.run(run())
