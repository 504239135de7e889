"""Colleagues at their desks: who answers, in which order, and when they stop."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from office_colleagues_fakes import fake_openai
from office_helpers import PEOPLE, ServedOffice, served_office

from tac_rl.config.office import ColleaguesSection
from tac_rl.errors import ConfigError, OverlayError
from tac_rl.office.chat.store import direct_room, post_message
from tac_rl.office.colleagues.base import Mind, Turn
from tac_rl.office.colleagues.desk import Desk, make_desk
from tac_rl.office.colleagues.llm import LlmMind, LlmSettings
from tac_rl.office.colleagues.rules import RuleMind
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import ColleagueOverlay, parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

AGENT = "theagentcompany"
CHAT = {
    "channels": [{"name": "sales", "members": [AGENT, "alex_turner", "sarah_johnson"]}],
    "direct": [{"between": [AGENT, "alex_turner", "sarah_johnson"]}],
}
SCENARIOS = {
    "alex_turner": {
        "facts": [
            {"about": ["budget"], "answer": "4,200."},
            {"about": ["ping"], "answer": "@sarah_johnson pong"},
        ],
        "greeting": "Welcome aboard!",
        "fallback": "No idea.",
    },
    "sarah_johnson": {"facts": [{"about": ["pong"], "answer": "@alex_turner ping"}], "fallback": "Hm."},
}


def colleagues(document: dict[str, Any] | None = None) -> dict[str, ColleagueOverlay]:
    return parse_overlay({"colleagues": document or SCENARIOS}, "test").colleagues


@contextmanager
def company(folder: Path) -> Iterator[Tenant]:
    make_empty(folder / "office")
    tenant = Tenant("test", folder / "office")
    try:
        lay_over(tenant, parse_overlay({"people": PEOPLE, "chat": CHAT}, "test"))
        yield tenant
    finally:
        tenant.close()


class EchoMind:
    """A fake mind: answers with what it was asked, once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.turns: list[Turn] = []

    async def answer(self, turn: Turn) -> str | None:
        self.turns.append(turn)
        await self.may.wait()
        if turn.text == "fail":
            raise RuntimeError("out of my mind")
        return f"re: {turn.text}"

    async def close(self) -> None:
        pass


@asynccontextmanager
async def desk_of(tenant: Tenant, mind: Mind | None = None, **options: Any) -> AsyncIterator[Desk]:
    desk = Desk(tenant, options.pop("scenarios", colleagues()), mind or RuleMind(), **options)
    try:
        yield desk
    finally:
        await desk.close()


def said_in(tenant: Tenant, room_id: str) -> list[tuple[str, str]]:
    rows = tenant.rows(
        "SELECT author, text FROM chat_messages WHERE room = ? AND kind = '' ORDER BY at", room_id
    )
    return [(row["author"], row["text"]) for row in rows]


def room_called(tenant: Tenant, name: str) -> str:
    return str(tenant.value("SELECT id FROM chat_rooms WHERE name = ?", name))


def test_a_direct_message_is_answered_before_anything_else_happens(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant):
            room = direct_room(tenant, AGENT, "alex_turner")
            post_message(tenant, room, AGENT, "What's the budget?")
            await asyncio.sleep(0)
            return said_in(tenant, room)

    with company(tmp_path) as tenant:
        said = asyncio.run(run(tenant))
    assert said == [(AGENT, "What's the budget?"), ("alex_turner", "4,200.")]


def test_in_a_channel_only_those_mentioned_answer_and_everybody_only_with_something_to_say(
    tmp_path: Path,
) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant) as desk:
            room = room_called(tenant, "sales")
            for text in ("The budget?", "@alex_turner the budget?", "@all hello", "@all the budget?"):
                post_message(tenant, room, AGENT, text)
                assert await desk.settle(10)
            return [line for line in said_in(tenant, room) if line[0] != AGENT]

    with company(tmp_path) as tenant:
        said = asyncio.run(run(tenant))
    assert said == [("alex_turner", "@theagentcompany 4,200.")] * 2


def test_who_is_not_in_a_room_does_not_hear_of_it(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant, scenarios=colleagues({"mike_chen": {"fallback": "Yes?"}})) as desk:
            room = room_called(tenant, "sales")
            post_message(tenant, room, AGENT, "@mike_chen are you there?")
            assert await desk.settle(10)
            return said_in(tenant, room)

    with company(tmp_path) as tenant:
        assert len(asyncio.run(run(tenant))) == 1


def test_an_answer_to_a_thread_is_in_the_thread(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> Any:
        async with desk_of(tenant) as desk:
            room = room_called(tenant, "sales")
            start = post_message(tenant, room, AGENT, "Money")
            post_message(tenant, room, AGENT, "@alex_turner budget?", thread=start.id)
            assert await desk.settle(10)
            answered = tenant.value(
                "SELECT thread FROM chat_messages WHERE author = 'alex_turner' AND kind = ''"
            )
            return start.id, answered

    with company(tmp_path) as tenant:
        start, answered = asyncio.run(run(tenant))
    assert answered == start


def test_colleagues_never_answer_each_other_or_themselves(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant) as desk:
            room = room_called(tenant, "sales")
            post_message(tenant, room, AGENT, "@alex_turner ping")
            assert await desk.settle(10)
            post_message(tenant, room, "sarah_johnson", "@alex_turner ping")
            post_message(tenant, room, "alex_turner", "@alex_turner ping")
            assert await desk.settle(10)
            return said_in(tenant, room)

    with company(tmp_path) as tenant:
        said = asyncio.run(run(tenant))
    assert said[1] == ("alex_turner", "@theagentcompany @sarah_johnson pong")
    assert len(said) == 4


def test_real_people_without_a_scenario_are_answered_too(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant) as desk:
            room = direct_room(tenant, "mike_chen", "alex_turner")
            post_message(tenant, room, "mike_chen", "budget?")
            assert await desk.settle(10)
            return said_in(tenant, room)

    with company(tmp_path) as tenant:
        assert asyncio.run(run(tenant))[-1] == ("alex_turner", "4,200.")


def test_a_colleague_answers_only_so_often_in_one_conversation(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant, answers_max=3) as desk:
            room = direct_room(tenant, AGENT, "alex_turner")
            for _ in range(10):
                post_message(tenant, room, AGENT, "budget?")
            assert await desk.settle(10)
            post_message(tenant, room, AGENT, "budget?")
            assert await desk.settle(10)
            other = direct_room(tenant, "mike_chen", "alex_turner")
            post_message(tenant, other, "mike_chen", "budget?")
            assert await desk.settle(10)
            return said_in(tenant, room) + said_in(tenant, other)

    with company(tmp_path) as tenant:
        said = asyncio.run(run(tenant))
    assert sum(author == "alex_turner" for author, _ in said) == 3 + 1


def test_messages_of_a_conversation_are_answered_in_order_and_others_do_not_wait(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> tuple[list[str], list[int]]:
        mind = EchoMind()
        async with desk_of(tenant, mind) as desk:
            room = direct_room(tenant, AGENT, "alex_turner")
            other = direct_room(tenant, AGENT, "sarah_johnson")
            for text in ("one", "two", "three"):
                post_message(tenant, room, AGENT, text)
            post_message(tenant, other, AGENT, "four")
            await asyncio.sleep(0)
            thinking = [turn.text for turn in mind.turns]
            mind.may.set()
            assert await desk.settle(10)
            answers = [text for author, text in said_in(tenant, room) if author != AGENT]
            assert answers == ["re: one", "re: two", "re: three"]
            return thinking, [
                len(turn.history) for turn in mind.turns if turn.colleague.username == "alex_turner"
            ]

    with company(tmp_path) as tenant:
        thinking, histories = asyncio.run(run(tenant))
    assert thinking == ["one", "four"]
    assert histories == [0, 2, 4]


def test_a_mind_that_fails_is_silence_and_a_recorded_failure(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> tuple[list[tuple[str, str]], list[str]]:
        mind = EchoMind()
        mind.may.set()
        async with desk_of(tenant, mind) as desk:
            room = direct_room(tenant, AGENT, "alex_turner")
            post_message(tenant, room, AGENT, "fail")
            post_message(tenant, room, AGENT, "still there?")
            assert await desk.settle(10)
            return said_in(tenant, room), [failure.error for failure in desk.failures]

    with company(tmp_path) as tenant:
        said, failures = asyncio.run(run(tenant))
    assert [text for author, text in said if author != AGENT] == ["re: still there?"]
    assert failures == ["RuntimeError: out of my mind"]


def test_a_room_that_is_gone_when_the_answer_comes_is_a_failure_and_not_a_crash(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> Any:
        mind = EchoMind()
        async with desk_of(tenant, mind) as desk:
            room = direct_room(tenant, AGENT, "alex_turner")
            post_message(tenant, room, AGENT, "hello?")
            await asyncio.sleep(0)
            tenant.db.execute("DELETE FROM chat_rooms WHERE id = ?", (room,))
            mind.may.set()
            assert await desk.settle(10)
            return desk.failures

    with company(tmp_path) as tenant:
        (failure,) = asyncio.run(run(tenant))
    assert (failure.colleague, failure.asker) == ("alex_turner", AGENT)


def test_closing_cancels_what_is_pending_and_nobody_answers_afterwards(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        mind = EchoMind()
        desk = Desk(tenant, colleagues(), mind)
        room = direct_room(tenant, AGENT, "alex_turner")
        post_message(tenant, room, AGENT, "one")
        await asyncio.sleep(0)
        await desk.close()
        mind.may.set()
        post_message(tenant, room, AGENT, "two")
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
        return said_in(tenant, room)

    with company(tmp_path) as tenant:
        assert asyncio.run(run(tenant)) == [(AGENT, "one"), (AGENT, "two")]


def test_greetings_reach_the_agent_and_are_part_of_the_conversation(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> Any:
        mind = EchoMind()
        mind.may.set()
        async with desk_of(tenant, mind) as desk:
            desk.greet()
            room = direct_room(tenant, AGENT, "alex_turner")
            post_message(tenant, room, AGENT, "Thanks!")
            assert await desk.settle(10)
            return said_in(tenant, room), mind.turns[0].history

    with company(tmp_path) as tenant:
        said, history = asyncio.run(run(tenant))
    assert said[0] == ("alex_turner", "Welcome aboard!")
    assert [entry.text for entry in history] == ["Welcome aboard!"]


def test_others_are_silent_unless_they_are_given_a_way_to_answer(tmp_path: Path) -> None:
    async def run(tenant: Tenant, others: ColleagueOverlay | None) -> list[tuple[str, str]]:
        async with desk_of(tenant, others=others) as desk:
            room = direct_room(tenant, AGENT, "mike_chen")
            post_message(tenant, room, AGENT, "The budget?")
            assert await desk.settle(10)
            return said_in(tenant, room)

    for name, others, expected in (
        ("a", None, []),
        ("b", ColleagueOverlay(fallback="I'm busy."), [("mike_chen", "I'm busy.")]),
    ):
        (tmp_path / name).mkdir()
        with company(tmp_path / name) as tenant:
            assert asyncio.run(run(tenant, others))[1:] == expected


def test_the_same_words_get_the_same_answers(tmp_path: Path) -> None:
    async def run(tenant: Tenant) -> list[tuple[str, str]]:
        async with desk_of(tenant, scenarios=colleagues({"alex_turner": {}}), seed=7) as desk:
            room = direct_room(tenant, AGENT, "alex_turner")
            for text in ("Hello", "Why?", "Thanks"):
                post_message(tenant, room, AGENT, text)
                assert await desk.settle(10)
            return said_in(tenant, room)

    results = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with company(tmp_path / name) as tenant:
            results.append(asyncio.run(run(tenant)))
    assert results[0] == results[1] and len(results[0]) == 6


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"jane_doe": {}}, "jane_doe"),
        ({AGENT: {}}, "own account"),
        (
            {"mike_chen": {"facts": [{"about": ["x"], "refer_to": "jane_doe"}]}},
            r"mike_chen\.facts\.0\.refer_to",
        ),
    ],
)
def test_a_scenario_of_somebody_who_is_not_there_is_refused(
    tmp_path: Path, document: dict[str, Any], named: str
) -> None:
    with company(tmp_path) as tenant:
        with pytest.raises(OverlayError, match=named):
            make_desk(tenant, colleagues(document), ColleaguesSection())


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"mind": "llm"}, "base_url"),
        ({"mind": "llm", "base_url": "http://x/v1", "model": "m", "api_key_file": "/absent"}, "api_key_file"),
    ],
)
def test_a_mind_that_is_not_described_is_refused(tmp_path: Path, section: dict[str, Any], named: str) -> None:
    with company(tmp_path) as tenant:
        with pytest.raises(ConfigError, match=named):
            make_desk(tenant, colleagues(), ColleaguesSection.model_validate(section))


def test_a_language_model_answers_when_it_comes_to_it_and_its_failure_is_silence(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Any:
        return 500 if body["messages"][-1]["content"] == "boom" else "Sure thing."

    async def run(tenant: Tenant) -> Any:
        async with fake_openai(script) as fake:
            mind = LlmMind(LlmSettings(fake.url, "m", retries=1, pause_s=0.0))
            async with desk_of(tenant, mind) as desk:
                room = direct_room(tenant, AGENT, "alex_turner")
                post_message(tenant, room, AGENT, "boom")
                post_message(tenant, room, AGENT, "Could you help?")
                assert await desk.settle(20)
                return said_in(tenant, room), desk.failures

    with company(tmp_path) as tenant:
        said, failures = asyncio.run(run(tenant))
    assert said[2:] == [("alex_turner", "Sure thing.")]
    assert [failure.colleague for failure in failures] == ["alex_turner"] and "500" in failures[0].error


def test_over_http_an_agent_that_reads_next_sees_the_answer(tmp_path: Path) -> None:
    with served_office(tmp_path, {"chat": CHAT}) as office:
        desk = office.call(make_desk, office.tenant, colleagues(), ColleaguesSection())
        try:
            ask = _client(office)
            opened = ask("im.create", {"username": "alex_turner"})
            room = opened["room"]["_id"] if "_id" in opened["room"] else opened["room"]["rid"]
            for _ in range(5):
                ask("chat.postMessage", {"roomId": room, "text": "What's the budget?"})
                newest = ask(f"im.history?roomId={room}&count=1")["messages"][0]
                assert (newest["u"]["username"], newest["msg"]) == ("alex_turner", "4,200.")
            oldest = ask(f"im.history?roomId={room}&count=50")["messages"][-1]
            assert oldest["msg"] == "Welcome aboard!"
        finally:
            asyncio.run_coroutine_threadsafe(desk.close(), office.loop).result(30)


def _client(office: ServedOffice) -> Callable[..., Any]:
    """Calls Rocket.Chat's REST API as the agent."""
    headers = {"Content-Type": "application/json"}

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{office.urls['chat']}/api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    token = ask("login", {"user": AGENT, "password": "theagentcompany"})["data"]
    headers |= {"X-Auth-Token": token["authToken"], "X-User-Id": token["userId"]}
    return ask
