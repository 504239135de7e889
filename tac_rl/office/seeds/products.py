"""What the company makes and whom it deals with, from `data/products.yaml` and `data/company.yaml`."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any

import yaml

TRACKER_NAMES = {
    "TIDE": "Data Platform",
    "SEEK": "Search and Crawl",
    "TREL": "Trellis Studio",
    "SHOP": "Storefront and APIs",
    "EMBR": "AI Services",
    "OPS": "Company Operations",
}
"""Identifier -> name of the tracker's projects."""


@dataclass(frozen=True)
class Wish:
    """A bug or a feature as `products.yaml` tells it."""

    title: str
    detail: str
    key: str


@dataclass(frozen=True)
class Product:
    name: str
    path: str
    """Of its repository; in the forge, `root/PATH`."""
    tagline: str
    language: str
    """`python`, `javascript` or `docs`."""
    tracker: str
    lead: str
    members: tuple[str, ...]
    started: date
    licence: str
    """`mit`, or `notice` for all rights reserved."""
    areas: tuple[str, ...]
    bugs: tuple[Wish, ...]
    features: tuple[Wish, ...]


@dataclass(frozen=True)
class Customer:
    name: str
    city: str
    contact: str
    plan: str
    yearly: int
    """EUR."""
    products: tuple[str, ...]
    since: str


@dataclass(frozen=True)
class Vendor:
    name: str
    what: str
    team: str
    """Department that pays."""
    monthly: int


@dataclass(frozen=True)
class Incident:
    product: str
    key: str
    at: datetime
    minutes: int
    severity: int
    customer: str
    found_by: str
    fixed_by: str
    title: str
    cause: str
    change: str


@dataclass(frozen=True)
class Decision:
    day: date
    meeting: str
    what: str
    product: str
    """Empty where it is about the company."""
    quarter: str
    by: str


@cache
def products() -> tuple[Product, ...]:
    return tuple(_product(document) for document in data("products"))


@cache
def customers() -> tuple[Customer, ...]:
    return tuple(Customer(**{**c, "products": tuple(c["products"])}) for c in data("company")["customers"])


@cache
def vendors() -> tuple[Vendor, ...]:
    return tuple(Vendor(**vendor) for vendor in data("company")["vendors"])


@cache
def incidents() -> tuple[Incident, ...]:
    return tuple(
        Incident(**{**i, "at": datetime.fromisoformat(i["at"].replace("Z", "+00:00"))})
        for i in data("company")["incidents"]
    )


@cache
def decisions() -> tuple[Decision, ...]:
    found = (Decision(**{**d, "day": date.fromisoformat(d["day"])}) for d in data("company")["decisions"])
    return tuple(sorted(found, key=lambda decision: decision.day))


@cache
def chores() -> tuple[Wish, ...]:
    """Work that every product has; `{area}` and `{name}` are to be filled."""
    return tuple(_wish(line) for line in data("chores"))


@cache
def data(name: str) -> Any:
    """The document in `data/NAME.yaml`."""
    text = (resources.files(__package__) / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _product(document: dict[str, Any]) -> Product:
    lists = {name: tuple(document[name]) for name in ("members", "areas")}
    wishes = {name: tuple(_wish(line) for line in document[name]) for name in ("bugs", "features")}
    return Product(**{**document, **lists, **wishes})


def _wish(line: str) -> Wish:
    title, detail, *key = (part.strip() for part in line.split(" | "))
    return Wish(title, detail, key[0] if key else "")
