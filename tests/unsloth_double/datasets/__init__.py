"""A double of `datasets`: ART gives TRL's trainer one that is never read."""

from typing import Any


class Dataset:
    @staticmethod
    def from_list(items: list[Any]) -> list[Any]:
        return items
