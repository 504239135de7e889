"""Answers by rules: pure functions of the scenario, of what the asker said, and of a seed.

A fact is told only to who asks for it. What is asked for and can't be told yet (`needs`) waits: as soon as
one of the needed words is said, it is told. There is no other memory, and nothing is ever guessed.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tac_rl.office.colleagues import phrases
from tac_rl.office.colleagues.base import Turn
from tac_rl.office.colleagues.words import TEXT_MAX, content_words, find_phrase, holds_any, sentences
from tac_rl.office.overlay import FactOverlay, StatementOverlay

FACTS_MAX = 5
STATEMENTS_MAX = 5
COVER_MAX = 3
"""Statements for one clause of a question."""
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_FILLERS = frozenset(re.findall(r"\w+", phrases.FILLERS))


class RuleMind:
    """Deterministic: the same words in the same order get the same answers."""

    async def answer(self, turn: Turn) -> str | None:
        return answer(turn)

    async def close(self) -> None:
        pass


def answer(turn: Turn) -> str | None:
    """What the colleague says to the turn's message; None: nothing."""
    heard = [said.text for said in turn.history if said.by_asker]
    choice = random.Random(f"{turn.seed} {turn.colleague.username} {len(heard)}")
    asked = decide(turn.scenario.facts, heard, turn.text)
    if asked.told or asked.back:
        lines = [_tell(fact, turn, choice) for fact in asked.told[:FACTS_MAX]]
        lines += list(dict.fromkeys(fact.ask or choice.choice(phrases.ASK) for fact in asked.back))[:1]
        return "\n".join(lines)
    said = share(turn.scenario.statements, turn.text)
    if said:
        return " ".join(statement.text for statement in said)
    if not turn.spoken_to:
        return None
    small = small_talk(turn.text, turn.colleague.name)
    if small == "thanks":
        return choice.choice(phrases.WELCOME)
    if small == "hello":
        return _hello(turn, choice, again=bool(heard))
    if asked.waiting:
        return asked.waiting[0].ask or choice.choice(phrases.ASK)
    if turn.scenario.fallback is not None:
        return turn.scenario.fallback or None
    return choice.choice(phrases.EXCUSE)


@dataclass(frozen=True)
class Asked:
    """What a message asks for."""

    told: tuple[FactOverlay, ...]
    """Facts to tell now, best match first."""
    back: tuple[FactOverlay, ...]
    """Facts that it asks for and that need something first."""
    waiting: tuple[FactOverlay, ...]
    """Facts that were asked for earlier and still need something."""


def decide(facts: Sequence[FactOverlay], heard: Sequence[str], text: str) -> Asked:
    """Which facts a message gets, after what was heard from the same asker before."""
    waiting: list[FactOverlay] = []
    asked = Asked((), (), ())
    for number, message in enumerate([*heard, text], start=1):
        before = [*heard, text][:number]
        about = about_which(facts, message)
        # What waits is told once something needed is said, whether or not it is asked for again.
        wanted = [*about, *(fact for fact in waiting if fact not in about)]
        told = [fact for fact in wanted if _may_tell(fact, before)]
        back = [fact for fact in about if fact not in told]
        waiting = [fact for fact in wanted if fact not in told]
        asked = Asked(tuple(told), tuple(back), tuple(waiting))
    return asked


def about_which(facts: Sequence[FactOverlay], text: str) -> list[FactOverlay]:
    """The facts that a text is about, best match first: the longest phrase, then how many phrases, then the order.

    A phrase inside a longer phrase of another fact doesn't count: who asks for the "database password" does
    not ask for the "password".
    """
    spans = [{span for phrase in fact.about for span in find_phrase(phrase, text)} for fact in facts]
    every = {span for own in spans for span in own}
    found: list[tuple[int, int, int, FactOverlay]] = []
    for fact, own in zip(facts, spans, strict=True):
        free = {s for s in own if not any(_inside(s, other) for other in every)}
        if free:
            found.append((-max(end - start for start, end in free), -len(free), len(found), fact))
    return [fact for *_, fact in sorted(found, key=lambda entry: entry[:3])]


def share(statements: Sequence[StatementOverlay], text: str) -> list[StatementOverlay]:
    """The sentences that share the most content words with what is asked, then those that cover what is left of it.

    Words that stand in few of the sentences weigh more. Where a topic shares more words than any sentence's own
    do, its sentences are it. A message that asks for nothing gets nothing.
    """
    if not statements or not ("?" in text or holds_any(phrases.REQUESTS, text)):
        return []
    parts = sentences(text[:TEXT_MAX])
    questions = [part for part in parts if part.rstrip("\"')*_ ").endswith("?")]
    own = [content_words(s.text) for s in statements]
    topics = [content_words(s.topic) for s in statements]
    for asked in (questions, parts):
        clauses = [clause for part in asked for clause in _AND.split(part)]
        chosen = [i for clause in clauses for i in _match(own, topics, content_words(clause))]
        if chosen:
            return [statements[i] for i in list(dict.fromkeys(chosen))[:STATEMENTS_MAX]]
    return []


def small_talk(text: str, name: str) -> str | None:
    """`hello` or `thanks` (also "ok, got it"), where the message is nothing else; None otherwise."""
    lowered = text[:TEXT_MAX].casefold()
    introduced = holds_any(phrases.INTRODUCTIONS, lowered)
    thanked = holds_any(phrases.THANKS, lowered)
    greeted = holds_any(phrases.GREETINGS, lowered)
    for phrase in (*phrases.INTRODUCTIONS, *phrases.THANKS, *phrases.GREETINGS, *name.split()):
        for start, end in reversed(find_phrase(phrase, lowered)):
            lowered = lowered[:start] + " " * (end - start) + lowered[end:]
    left = [w for w in re.findall(r"\w+", re.sub(r"@[\w.\-]+", " ", lowered)) if w not in _FILLERS]
    if "?" in lowered and left:
        return None
    if introduced or (greeted and len(left) <= 2):
        return "hello"
    if (thanked and len(left) <= 5) or (not left and "?" not in lowered):
        return "thanks"
    return None


def _may_tell(fact: FactOverlay, heard: Sequence[str]) -> bool:
    return not fact.needs or any(holds_any(fact.needs, text) for text in heard)


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _match(
    own: Sequence[frozenset[str]], topics: Sequence[frozenset[str]], words: frozenset[str]
) -> list[int]:
    """Indices of the statements for one clause."""
    by_topic = [len(topic & words) for topic in topics]
    if max(by_topic) > max(len(each & words) for each in own):
        return [i for i, shared in enumerate(by_topic) if shared == max(by_topic)]
    return _cover(own, words)


def _cover(sentences_words: Sequence[frozenset[str]], words: frozenset[str]) -> list[int]:
    """Indices of sentences, best first: each covers a word of the question that those before did not."""
    left = set(words)
    chosen: list[int] = []
    while len(chosen) < COVER_MAX:
        scores = [
            sum(1 / sum(word in other for other in sentences_words) for word in own & left)
            for own in sentences_words
        ]
        best = max(range(len(scores)), key=lambda i: (scores[i], -i))
        if scores[best] == 0:
            break
        chosen.append(best)
        left -= sentences_words[best]
    return chosen


def _tell(fact: FactOverlay, turn: Turn, choice: random.Random) -> str:
    if fact.refer_to is None:
        return fact.answer
    name = turn.names.get(fact.refer_to, fact.refer_to)
    if fact.answer and (holds_any((name, fact.refer_to), fact.answer)):
        return fact.answer
    refer = choice.choice(phrases.REFER).format(name=name, username=fact.refer_to)
    return f"{fact.answer} {refer}".strip()


def _hello(turn: Turn, choice: random.Random, *, again: bool) -> str:
    if again:
        return choice.choice(phrases.HELLO_AGAIN)
    title = f", {turn.colleague.title}" if turn.colleague.title else ""
    asker = turn.asker.name.split()[0] if turn.asker.name and not turn.asker.admin else "there"
    return choice.choice(phrases.HELLO).format(asker=asker, name=turn.colleague.name, title=title)
