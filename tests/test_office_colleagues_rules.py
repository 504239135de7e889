"""What colleagues say by rules: pure functions, no office needed."""

from typing import Any

import pytest

from tac_rl.errors import ConfigError
from tac_rl.office.base import Person
from tac_rl.office.colleagues.base import Said, Turn
from tac_rl.office.colleagues.rules import about_which, answer, share, small_talk
from tac_rl.office.colleagues.words import content_words, find_phrase
from tac_rl.office.overlay import ColleagueOverlay, StatementOverlay, parse_overlay

SARAH = Person("sarah_johnson", "Sarah Johnson", "sarah.johnson@agentcompany.com", title="Lead")
AGENT = Person("theagentcompany", "The Agent", "agent@company.com", admin=True)
NAMES = {"mike_chen": "Mike Chen"}


def scenario(*facts: dict[str, Any], **fields: Any) -> ColleagueOverlay:
    return ColleagueOverlay.model_validate({"facts": facts, **fields})


def say(how: ColleagueOverlay, *texts: str, spoken_to: bool = True, seed: int = 0) -> str | None:
    """The answer to the last of the texts, the others having been said before."""
    history = tuple(Said(True, text) for text in texts[:-1])
    return answer(Turn(SARAH, how, AGENT, history, texts[-1], spoken_to, NAMES, seed))


BUDGET = {"about": ["budget", "Q3 numbers"], "answer": "The budget is 4,200."}
ROOM = {"about": ["meeting room"], "answer": "Room Birch."}


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("budget", "What's the BUDGET?", True),
        ("budget", "budgets and budgeting", False),
        ("follow up", "any follow-up on this?", True),
        ("release-1.9", "is release-1.9 out", True),
        ("release-1.9", "is release-1x9 out", False),
        ("c++", "we use C++ here", True),
        ("R&D", "hours on R&D?", True),
        ("wiki", "the wiki's address", True),
        ("(a+)+$", "a" * 5000, False),
        ("straße", "Die STRASSE ist lang", True),
    ],
)
def test_a_phrase_is_found_as_whole_words_whatever_the_case(phrase: str, text: str, found: bool) -> None:
    assert bool(find_phrase(phrase, text)) is found


def test_only_what_was_asked_for_is_told() -> None:
    how = scenario(BUDGET, ROOM)

    assert say(how, "Hi Sarah, what's the budget?") == "The budget is 4,200."
    assert "Birch" in (say(how, "Which meeting room?") or "")
    other = say(how, "What should I do today?")
    assert other is not None and "4,200" not in other and "Birch" not in other


def test_several_facts_are_told_at_once_the_best_match_first() -> None:
    how = scenario(BUDGET, ROOM)

    assert say(how, "I need the budget and the meeting room") == "Room Birch.\nThe budget is 4,200."


def test_a_phrase_within_a_longer_phrase_of_another_fact_does_not_count() -> None:
    facts = scenario(
        {"about": ["password"], "answer": "zip"}, {"about": ["database password"], "answer": "db"}
    ).facts

    assert [f.answer for f in about_which(facts, "the database password please")] == ["db"]
    assert [f.answer for f in about_which(facts, "the password please")] == ["zip"]
    assert [f.answer for f in about_which(facts, "the password and the database password")] == ["db", "zip"]


def test_the_same_phrase_in_two_facts_tells_both_in_order() -> None:
    facts = scenario({"about": ["date"], "answer": "one"}, {"about": ["date"], "answer": "two"}).facts

    assert [f.answer for f in about_which(facts, "which date?")] == ["one", "two"]


SECRET = {
    "about": ["rate"],
    "answer": "It is 7 %.",
    "needs": ["Atlas", "Borealis"],
    "ask": "For which client?",
}


def test_what_needs_something_is_asked_back_and_told_once_it_was_said() -> None:
    how = scenario(SECRET)

    assert say(how, "What's the rate?") == "For which client?"
    assert say(how, "What's the rate?", "For atlas") == "It is 7 %."
    assert say(how, "What's the rate for Borealis?") == "It is 7 %."
    assert say(how, "I work for Atlas", "And the rate?") == "It is 7 %."
    assert say(how, "Hello, I work for Atlas") not in ("It is 7 %.", "For which client?")


def test_it_is_asked_back_again_while_it_waits_but_not_to_thanks() -> None:
    how = scenario(SECRET)

    assert say(how, "What's the rate?", "Why does that matter?") == "For which client?"
    assert say(how, "What's the rate?", "Ok, thanks") != "For which client?"
    assert "7 %" not in (say(how, "What's the rate?", "Some other client: Cedar") or "")


def test_what_was_told_does_not_wait_any_more() -> None:
    how = scenario(SECRET, fallback="No idea.")

    assert say(how, "The rate?", "Atlas", "What about Atlas otherwise?") == "No idea."


def test_an_asker_is_sent_to_somebody_else() -> None:
    how = scenario(
        {"about": ["invoice"], "refer_to": "mike_chen"},
        {"about": ["contract"], "answer": "I signed it in May.", "refer_to": "mike_chen"},
        {"about": ["salary"], "answer": "Talk to Mike Chen, in private.", "refer_to": "mike_chen"},
    )

    assert "Mike Chen (@mike_chen)" in (say(how, "the invoice?") or "")
    assert (say(how, "the contract?") or "").startswith("I signed it in May. ")
    assert "@mike_chen" in (say(how, "the contract?") or "")
    assert say(how, "my salary?") == "Talk to Mike Chen, in private."


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Hi Sarah!", "hello"),
        ("hello @sarah_johnson, how are you?", "hello"),
        ("Hi, I'm the new agent, nice to meet you", "hello"),
        ("Thanks a lot, that helps", "thanks"),
        ("ok, got it", "thanks"),
        ("Hi Sarah, can you send me the report?", None),
        ("Thanks! And who owns the server?", None),
        ("The server is down and I don't know why", None),
        ("", "thanks"),
    ],
)
def test_small_talk_is_told_from_questions(text: str, kind: str | None) -> None:
    assert small_talk(text, "Sarah Johnson") == kind


def test_a_greeting_is_answered_with_an_introduction() -> None:
    said = say(scenario(BUDGET), "Hello!")

    assert said is not None and "Sarah Johnson, Lead" in said and "4,200" not in said


def test_the_fallback_is_the_scenarios_and_an_empty_one_is_silence() -> None:
    assert say(scenario(fallback="Ask HR."), "Why is the sky blue?") == "Ask HR."
    assert say(scenario(fallback=""), "Why is the sky blue?") is None
    assert say(scenario(), "Why is the sky blue?")


def test_who_only_overhears_speaks_only_with_something_to_say() -> None:
    how = scenario(BUDGET, fallback="Ask HR.")

    assert say(how, "Hello everyone", spoken_to=False) is None
    assert say(how, "Who knows why?", spoken_to=False) is None
    assert say(how, "Who knows the budget?", spoken_to=False) == "The budget is 4,200."


def test_a_seed_fixes_the_phrasing_and_seeds_differ() -> None:
    variants = {say(scenario(), "Hello", seed=seed) for seed in range(30)}

    assert len(variants) == 3
    assert say(scenario(), "Hello", seed=4) == say(scenario(), "Hello", seed=4)


def test_statements_that_share_the_most_words_are_shared() -> None:
    statements = [
        StatementOverlay(text="The code for the viewer is in `app.zip`."),
        StatementOverlay(text="The password for unzipping is `blue42`."),
        StatementOverlay(text="The server runs on port 9000.", topic="somebody will ask for the address"),
    ]

    def shared(text: str) -> list[str]:
        return [s.text for s in share(statements, text)]

    assert shared("Hi! Where can I find the viewer's code?") == [statements[0].text]
    assert shared("I have the code. What is the password?") == [statements[1].text]
    assert shared("What is the server's port?") == [statements[2].text]
    assert shared("What is the address?") == [statements[2].text]
    assert shared("What's the password, and on which port does the server run?") == [
        statements[1].text,
        statements[2].text,
    ]
    assert shared("Where is the viewer's code and what is its password?") == [
        statements[0].text,
        statements[1].text,
    ]
    assert shared("I like the viewer") == []
    assert shared("Who is your manager?") == []


def test_content_words_leave_out_what_says_nothing() -> None:
    assert content_words("Could you please tell me about the companies' wiki pages?") == {
        "company",
        "wiki",
        "page",
    }


def test_a_huge_message_is_read_only_in_part() -> None:
    how = scenario(BUDGET, fallback="No idea.")

    assert say(how, "x " * 1_000_000 + "budget?") == "No idea."


def test_markup_and_sql_are_just_words() -> None:
    how = scenario(BUDGET, fallback="No idea.")

    assert say(how, "<script>alert('x')</script>'; DROP TABLE people; --") == "No idea."


@pytest.mark.parametrize(
    "fact",
    [{"about": [], "answer": "x"}, {"about": [" "], "answer": "x"}, {"about": ["x"]}, {"answer": "x"}],
)
def test_a_fact_that_can_not_be_told_is_refused(fact: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="colleagues"):
        parse_overlay({"colleagues": {"sarah_johnson": {"facts": [fact]}}}, "overlay.yaml")
