"""Scenarios in TAC's format; the texts are ours."""

import json
from pathlib import Path

import pytest

from tac_rl.errors import OverlayError
from tac_rl.office.base import Person
from tac_rl.office.colleagues.base import Turn
from tac_rl.office.colleagues.rules import answer
from tac_rl.office.colleagues.scenarios import parse_scenarios, read_scenarios, statements_of
from tac_rl.office.overlay import ColleagueOverlay

PAYROLL = (
    "Someone will ask you where the payroll sheets are. They are in Finance/Payroll on the drive. "
    "The archive key is `kite77`. Only answer what they ask, don't volunteer anything."
)


def ask(how: ColleagueOverlay, text: str) -> str | None:
    wang = Person("wang_fang", "Wang Fang", "wang.fang@agentcompany.com")
    agent = Person("theagentcompany", "The Agent", "agent@company.com", admin=True)
    return answer(Turn(wang, how, agent, (), text, True, {}, 0))


def test_a_scenarios_file_gives_persona_goal_and_statements_by_username(tmp_path: Path) -> None:
    path = tmp_path / "scenarios.json"
    path.write_text(
        json.dumps(
            {
                "Wang Fang": {
                    "extra_info": PAYROLL,
                    "strategy_hint": "Refuse at first.",
                    "clarification_hint": "Ask who they are.",
                },
                "Mike Chen": {"strategy_hint": "Say yes."},
                "Li Ming": {},
            }
        )
    )

    found = read_scenarios(path)

    assert list(found) == ["wang_fang", "mike_chen", "li_ming"]
    assert found["wang_fang"].persona == PAYROLL
    assert found["wang_fang"].goal == "Refuse at first.\nAsk who they are."
    assert found["mike_chen"].statements == () and found["mike_chen"].goal == "Say yes."
    assert parse_scenarios({}, "empty") == {}


def test_statements_are_what_it_states_and_not_its_stage_directions() -> None:
    assert [s.text for s in statements_of(PAYROLL)] == [
        "They are in Finance/Payroll on the drive.",
        "The archive key is `kite77`.",
    ]
    assert statements_of("You will be asked for your plans. If asked about dates, be vague.") == ()
    assert statements_of("The team grows, and someone will ask you about the opening.") == ()
    assert statements_of("") == ()


def test_a_question_gets_the_sentences_it_shares_words_with() -> None:
    how = parse_scenarios({"Wang Fang": {"extra_info": PAYROLL}}, "test")["wang_fang"]

    assert ask(how, "Where are the payroll sheets?") == "They are in Finance/Payroll on the drive."
    assert ask(how, "What's the key of the archive?") == "The archive key is `kite77`."
    assert "kite77" not in (ask(how, "Hello!") or "") + (ask(how, "What's for lunch?") or "")


def test_the_expected_question_gets_what_follows_it_even_without_a_shared_word() -> None:
    text = "A colleague will ask you for the yearly figures. Look into Reports/2024."
    how = parse_scenarios({"Wang Fang": {"extra_info": text}}, "test")["wang_fang"]

    assert ask(how, "Could you give me the yearly figures?") == "Look into Reports/2024."


def test_hints_are_never_said() -> None:
    how = parse_scenarios(
        {"Wang Fang": {"extra_info": "", "strategy_hint": "Tell them the code is 9917."}}, "test"
    )["wang_fang"]

    for text in ("What's the code?", "Tell me the code", "Hi", "thanks", "9917?"):
        assert "9917" not in (ask(how, text) or "")


def test_a_heading_is_the_topic_of_the_lines_after_it_and_a_labelled_line_stays_whole() -> None:
    text = "Your people's skills are as follows:\n\nAnn Lee: Writes Go. Likes graphs.\nBo Ek: Sells."
    how = parse_scenarios({"Wang Fang": {"extra_info": text}}, "test")["wang_fang"]

    assert ask(how, "Which skills have your people who sell?") == ask(how, "Your people's skills?")
    assert ask(how, "Which skills do your people have?") == "Ann Lee: Writes Go. Likes graphs. Bo Ek: Sells."
    assert ask(how, "Who can write Go?") == "Ann Lee: Writes Go. Likes graphs."


def test_what_they_are_and_have_is_said_in_the_first_person() -> None:
    texts = [
        s.text
        for s in statements_of(
            "You are the owner of task 'Paint'. Your desk is B4. When asked if it is done, say 'Yes, it is'. "
            "If you need brushes, ask Bo."
        )
    ]

    assert texts == [
        "I am the owner of task 'Paint'.",
        "My desk is B4.",
        "Yes, it is",
        "If you need brushes, ask Bo.",
    ]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "mapping"),
        ({"Wang Fang": "hello"}, "Wang Fang"),
        ({"Wang Fang": {"extra_info": 3}}, "extra_info"),
        ({"Wang Fang": {"extra-info": "x"}}, "extra-info"),
        ({"": {}}, "''"),
        ({"../etc": {}}, "etc"),
    ],
)
def test_a_malformed_document_is_one_error_that_names_what_is_wrong(document: object, named: str) -> None:
    with pytest.raises(OverlayError, match=named) as caught:
        parse_scenarios(document, "scenarios.json")
    assert "scenarios.json" in str(caught.value)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "scenarios.json").write_text("{nonsense")

    with pytest.raises(OverlayError, match=r"scenarios\.json"):
        read_scenarios(tmp_path / "scenarios.json")
    with pytest.raises(OverlayError, match="absent"):
        read_scenarios(tmp_path / "absent.json")
