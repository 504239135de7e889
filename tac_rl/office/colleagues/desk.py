"""The colleagues of one tenant at work: who hears a message, in which order they answer, and when they stop."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from tac_rl.config.office import ColleaguesSection
from tac_rl.errors import ConfigError, OverlayError
from tac_rl.office.base import AGENT_CHAT, MessagePosted, Person
from tac_rl.office.chat.store import MAX_CHARACTERS, direct_room, post_message
from tac_rl.office.colleagues.base import Mind, MindError, Said, Turn
from tac_rl.office.colleagues.llm import LlmMind, LlmSettings
from tac_rl.office.colleagues.rules import RuleMind
from tac_rl.office.overlay import ColleagueOverlay
from tac_rl.office.tenant import Tenant

ANSWERS_MAX = 20
"""To one asker, by one colleague."""
FAILURES_MAX = 100
_EVERYBODY = ("all", "here")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """An answer that was not given, since the mind failed."""

    colleague: str
    asker: str
    message_id: str
    error: str


@dataclass
class _Conversation:
    """Of one colleague with one asker, in whichever rooms."""

    said: list[Said] = field(default_factory=list)
    waiting: list[MessagePosted] = field(default_factory=list)
    answers: int = 0
    task: asyncio.Task[None] | None = None


class Desk:
    """Answers for colleagues, from now on until `close`. Use it on the event loop of the tenant.

    A colleague hears what is written in their direct rooms, and where they are mentioned in rooms that they
    are in. Who has a scenario gets no answers, so colleagues never talk to each other. An answer by rules is
    in the chat before the next request is served; one by a language model when it comes.
    """

    def __init__(
        self,
        tenant: Tenant,
        colleagues: Mapping[str, ColleagueOverlay],
        mind: Mind,
        *,
        seed: int = 0,
        answers_max: int = ANSWERS_MAX,
        others: ColleagueOverlay | None = None,
    ) -> None:
        """`mind` is the desk's from now on. `others`: how people without a scenario answer; default: they don't.

        Raises `OverlayError` where a scenario names somebody who isn't there.
        """
        check_colleagues(tenant, colleagues)
        self._tenant = tenant
        self._colleagues = dict(colleagues)
        self._mind = mind
        self._seed = seed
        self._answers_max = answers_max
        self._others = others
        self._conversations: dict[tuple[str, str], _Conversation] = {}
        self._closed = False
        self.failures: list[Failure] = []
        """The first `FAILURES_MAX`, in order."""
        tenant.subscribe(self._hear)

    def greet(self) -> None:
        """Send the scenarios' greetings to the agent, by username."""
        for username, scenario in sorted(self._colleagues.items()):
            if scenario.greeting:
                room = direct_room(self._tenant, AGENT_CHAT, username)
                post_message(self._tenant, room, username, scenario.greeting)
                self._conversation(username, AGENT_CHAT).said.append(Said(False, scenario.greeting))

    async def settle(self, seconds: float) -> bool:
        """Wait until every message so far has its answer, at most so long; whether that is so."""
        tasks = [c.task for c in self._conversations.values() if c.task is not None]
        if not tasks:
            return True
        _, late = await asyncio.wait(tasks, timeout=seconds)
        return not late

    async def close(self) -> None:
        """Fall silent: answers that are not in the chat yet will not come."""
        self._closed = True
        tasks = [c.task for c in self._conversations.values() if c.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._mind.close()

    # Hearing

    def _hear(self, event: MessagePosted) -> None:
        if self._closed or self._scenario(event.author) is not None:
            return
        for username in event.members:
            if username == event.author or self._scenario(username) is None:
                continue
            if event.room_kind == "direct" or any(m in (username, *_EVERYBODY) for m in event.mentions):
                self._receive(username, event)

    def _receive(self, username: str, event: MessagePosted) -> None:
        conversation = self._conversation(username, event.author)
        if conversation.answers + len(conversation.waiting) >= self._answers_max:
            return
        conversation.waiting.append(event)
        if conversation.task is None:
            conversation.task = asyncio.get_running_loop().create_task(
                self._work(username, conversation), name=f"{self._tenant.name}: {username} answers"
            )

    def _conversation(self, username: str, asker: str) -> _Conversation:
        return self._conversations.setdefault((username, asker), _Conversation())

    def _scenario(self, username: str) -> ColleagueOverlay | None:
        """How somebody answers; None for the agent, and for people who don't."""
        if username in self._colleagues:
            return self._colleagues[username]
        return None if username == AGENT_CHAT else self._others

    # Answering

    async def _work(self, username: str, conversation: _Conversation) -> None:
        """Answer what waits, one message after the other."""
        try:
            while conversation.waiting:
                event = conversation.waiting[0]
                try:
                    await self._answer(username, conversation, event)
                except MindError as error:
                    self._failed(username, event, str(error))
                except Exception as error:  # Such as a room that was deleted meanwhile.
                    _log.exception("tenant %s: %s could not answer", self._tenant.name, username)
                    self._failed(username, event, f"{type(error).__name__}: {error}")
                del conversation.waiting[0]
        finally:
            conversation.task = None

    async def _answer(self, username: str, conversation: _Conversation, event: MessagePosted) -> None:
        turn = self._turn(username, conversation, event)
        if turn is None:
            return
        conversation.said.append(Said(True, event.text))
        text = await self._mind.answer(turn)
        if text is None:
            return
        conversation.said.append(Said(False, text))
        conversation.answers += 1
        if event.room_kind != "direct":
            text = f"@{event.author} {text}"
        post_message(self._tenant, event.room_id, username, text[:MAX_CHARACTERS], thread=event.thread)

    def _turn(self, username: str, conversation: _Conversation, event: MessagePosted) -> Turn | None:
        """None where the colleague is no longer with the company."""
        people = {person.username: person for person in self._tenant.people()}
        colleague, scenario = people.get(username), self._scenario(username)
        if colleague is None or scenario is None:
            return None
        # Somebody may have an account in the chat without being of the company.
        asker = people.get(event.author) or Person(event.author, event.author, "")
        private = event.room_kind == "direct" and len(event.members) == 2
        return Turn(
            colleague=colleague,
            scenario=scenario,
            asker=asker,
            history=tuple(conversation.said),
            text=event.text,
            spoken_to=private or username in event.mentions,
            names={person.username: person.name for person in people.values()},
            seed=self._seed,
        )

    def _failed(self, username: str, event: MessagePosted, error: str) -> None:
        _log.warning("tenant %s: %s does not answer %s: %s", self._tenant.name, username, event.author, error)
        if len(self.failures) < FAILURES_MAX:
            self.failures.append(Failure(username, event.author, event.message_id, error))


def make_desk(
    tenant: Tenant, colleagues: Mapping[str, ColleagueOverlay], section: ColleaguesSection, *, seed: int = 0
) -> Desk:
    """A desk as the config has it, greetings sent; `ConfigError` where an LLM is wanted and not described."""
    check_colleagues(tenant, colleagues)
    desk = Desk(tenant, colleagues, _make_mind(section), seed=seed)
    desk.greet()
    return desk


def check_colleagues(tenant: Tenant, colleagues: Mapping[str, ColleagueOverlay]) -> None:
    """`OverlayError` where a scenario names somebody who isn't there, or has the agent play a colleague."""
    people: dict[str, Person] = {person.username: person for person in tenant.people()}
    for username, scenario in colleagues.items():
        if username == AGENT_CHAT:
            raise OverlayError(f"colleagues: {username} is the agent's own account; nobody answers for it")
        if username not in people:
            raise OverlayError(f"colleagues: there is nobody called {username}; add them to `people`")
        for number, fact in enumerate(scenario.facts):
            if fact.refer_to is not None and fact.refer_to not in people:
                raise OverlayError(
                    f"colleagues.{username}.facts.{number}.refer_to: there is nobody called {fact.refer_to}"
                )


def _make_mind(section: ColleaguesSection) -> Mind:
    if section.mind == "rules":
        return RuleMind()
    if section.mind == "engine":
        raise ConfigError(
            "office.colleagues: `mind: engine` needs a run's engine, and none runs here; use rules or llm"
        )
    if section.base_url is None or section.model is None:
        raise ConfigError("office.colleagues: `mind: llm` needs base_url and model")
    key = ""
    if section.api_key_file is not None:
        try:
            key = section.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"office.colleagues.api_key_file: could not be read: {error}") from None
    return LlmMind(
        LlmSettings(
            base_url=section.base_url,
            model=section.model,
            api_key=key,
            temperature=section.temperature,
            max_tokens=section.max_tokens,
            seconds=section.seconds,
        )
    )
