"""Colleagues: the people of the office who answer, by rules or with a language model."""
