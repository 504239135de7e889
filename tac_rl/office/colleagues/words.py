"""Words in messages: which phrases a text holds, and which of its words carry meaning."""

import re
from functools import lru_cache

TEXT_MAX = 20_000
"""Characters of a message that are read; a colleague doesn't read a file that is pasted into the chat."""

_GAP = r"[\s\-_]+"


@lru_cache(maxsize=4096)
def _pattern(phrase: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in re.split(_GAP, phrase.casefold()) if word]
    return re.compile(rf"(?<!\w){_GAP.join(words)}(?!\w)")


def find_phrase(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where the phrase stands in the text as whole words: (start, end), case, spaces and hyphens ignored."""
    return [match.span() for match in _pattern(phrase).finditer(text[:TEXT_MAX].casefold())]


def holds_any(phrases: tuple[str, ...], text: str) -> bool:
    return any(find_phrase(phrase, text) for phrase in phrases)


def sentences(text: str) -> list[str]:
    """The sentences of a text; a line's end ends a sentence too. Dots in names, paths and numbers don't."""
    return [s.strip() for s in re.split(r"(?<=[.!?])[\"')\]]*\s+|\n+", text) if s.strip()]


def content_words(text: str) -> frozenset[str]:
    """Words that say what a text is about, in lower case and without a plural's ending."""
    words = re.findall(r"[^\W_]+", text[:TEXT_MAX].casefold())
    stems = {_singular(word) for word in words if len(word) > 1 and word not in _FUNCTION_WORDS}
    return frozenset(stems - _FUNCTION_WORDS)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about after again all also am an and another any anybody anyone anything are as ask asked asking
        at be because been before being but by can could currently did do does doing don done each either
        else for from further get give given going good got great had has have having he hello help her
        here hey hi him his how however i if in info information into is it its just know known let like
        looking ll make many may me might more most much must my need needed needs new no not now of off ok
        okay on one only or other our out please provide question re really regarding said same say see send
        share she should show so some somebody someone something sorry still such sure take tell than thank
        thanks that the their them then there these they thing this those to too up us use used using ve
        very via want wanted was we well were what when where whether which while who whom whose why will
        wish with without wonder wondering would yes yet you your yours
        """,
    )
)
