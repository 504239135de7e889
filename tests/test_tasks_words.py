"""The word pools: what a tiny tokenizer and unquoted SQL rely on."""

import re
import sqlite3

from tac_rl.tasks.words import POOLS

WORDS = [word for pool in POOLS.values() for word in pool]


def test_words_are_short_lower_case_ascii():
    assert [word for word in WORDS if not re.fullmatch(r"[a-z]{3,8}", word)] == []


def test_no_word_is_in_two_pools_or_twice_in_one():
    assert len(WORDS) == len(set(WORDS))


def test_every_word_names_a_table_and_a_column_without_quotes():
    with sqlite3.connect(":memory:") as connection:
        for word in WORDS:
            connection.execute(f"create table {word}({word} int)")
            connection.execute(f"select sum({word}) from {word} group by {word} order by {word}")
