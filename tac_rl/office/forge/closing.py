"""Which issues a commit message or description closes: `Closes #3`, `fixes #4 and #5`."""

import re

_VERB = r"(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)"
_ONE = r"(?:[\w.-]{1,100}/[\w.-]{1,100})?#\d{1,9}"
_AND = r"(?: {0,3},? {1,3}and {1,3}| {0,3}, {0,3})"
_PATTERN = re.compile(rf"\b{_VERB}:? {{1,3}}(?:issues? {{1,3}})?{_ONE}(?:{_AND}{_ONE})*", re.IGNORECASE)
"""Every repetition is bounded: the texts are other people's."""
_NUMBER = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)?#(?P<number>\d{1,9})\b")
_LONGEST = 20_000


def closed_issues(text: str, full_path: str) -> list[int]:
    """Numbers of the issues of the project `full_path` that a text closes, in order, each once."""
    found = []
    for sentence in _PATTERN.finditer(text[:_LONGEST]):
        for reference in _NUMBER.finditer(sentence[0]):
            path = reference["path"]
            if path is None or path.lower() == full_path.lower():
                found.append(int(reference["number"]))
    return list(dict.fromkeys(found))
