"""Kinds of fields of the tracker's records: each checks what a client sent, shows what is stored, and describes itself.

Messages are those of the framework that Plane is written with, since clients and agents know them.
"""

import json
import math
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.people import Names

BIGGEST = 2**31 - 1
Shown = Callable[[Any, Names], Any] | None
"""How a stored value becomes JSON; None: as it is."""


class Invalid(Exception):
    """A value that its field refuses; the message is for the client."""


@dataclass(frozen=True)
class Scope:
    """Where a document is read: references must lead to what is there."""

    tenant: Tenant
    names: Names
    project: str | None = None


@dataclass(frozen=True)
class Field(ABC):
    """One field of a record, and of the table that keeps it."""

    name: str
    default: Any = None
    required: bool = False
    null: bool = False
    read_only: bool = False
    counted: bool = False
    """Not a column: whoever reads the record counts it."""

    @abstractmethod
    def parse(self, value: Any, scope: Scope) -> Any:
        """What to store; `Invalid` says what is wrong."""

    @abstractmethod
    def shape(self) -> dict[str, Any]:
        """JSON schema of a value that is not null."""

    shown: Shown = field(default=None, kw_only=True)

    def schema(self) -> dict[str, Any]:
        shape = self.shape()
        if not self.null:
            return shape
        if "type" not in shape:
            return shape
        nullable = {**shape, "type": [shape["type"], "null"]}
        if "enum" in shape:
            nullable["enum"] = [*shape["enum"], None]
        return nullable


def text_of(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid("Not a valid string.")
    text = str(value)
    if "\x00" in text:
        raise Invalid("Null characters are not allowed.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("Surrogate characters are not allowed.") from None
    return text


@dataclass(frozen=True)
class Text(Field):
    most: int | None = 255
    blank: bool = True

    def parse(self, value: Any, scope: Scope) -> str:
        text = text_of(value).strip()
        if not text and not self.blank:
            raise Invalid("This field may not be blank.")
        if self.most is not None and len(text) > self.most:
            raise Invalid(f"Ensure this field has no more than {self.most} characters.")
        return text

    def shape(self) -> dict[str, Any]:
        shape: dict[str, Any] = {"type": "string"}
        if not self.blank:
            shape["minLength"] = 1
        if self.most is not None:
            shape["maxLength"] = self.most
        return shape


@dataclass(frozen=True)
class Url(Text):
    def parse(self, value: Any, scope: Scope) -> str:
        text = super().parse(value, scope)
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s]*", text):
            raise Invalid("Invalid URL format.")
        return text


@dataclass(frozen=True)
class Choice(Field):
    of: tuple[Any, ...] = ()

    def parse(self, value: Any, scope: Scope) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in self.of:
            shown = value if isinstance(value, str) and text_of(value) else json.dumps(value)
            raise Invalid(f'"{shown}" is not a valid choice.')
        return value

    def shape(self) -> dict[str, Any]:
        return {"type": "integer" if isinstance(self.of[0], int) else "string", "enum": list(self.of)}


@dataclass(frozen=True)
class Integer(Field):
    least: int = 0
    most: int = BIGGEST

    def parse(self, value: Any, scope: Scope) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,12}", str(value)):
            raise Invalid("A valid integer is required.")
        number = int(value)
        if number < self.least:
            raise Invalid(f"Ensure this value is greater than or equal to {self.least}.")
        if number > self.most:
            raise Invalid(f"Ensure this value is less than or equal to {self.most}.")
        return number

    def shape(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Number(Field):
    def parse(self, value: Any, scope: Scope) -> float:
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            number = float(value)
        except (ValueError, OverflowError):
            raise Invalid("A valid number is required.") from None
        if not math.isfinite(number):
            raise Invalid("A valid number is required.")
        return number

    def shape(self) -> dict[str, Any]:
        return {"type": "number"}


@dataclass(frozen=True)
class Flag(Field):
    default: Any = False
    shown: Shown = field(default=lambda stored, names: bool(stored), kw_only=True)

    def parse(self, value: Any, scope: Scope) -> bool:
        known = {True: True, False: False, "true": True, "false": False, "True": True, "False": False}
        try:
            return known[value]
        except (KeyError, TypeError):
            raise Invalid("Must be a valid boolean.") from None

    def shape(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Date(Field):
    """A day; a time of day that comes along is left out."""

    null: bool = True

    def parse(self, value: Any, scope: Scope) -> str:
        text = value[:10] if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d(T|$)", value) else ""
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            raise Invalid("Date has wrong format. Use one of these formats instead: YYYY-MM-DD.") from None

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


def moment_text(moment: datetime) -> str:
    """As Plane writes times; text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@dataclass(frozen=True)
class Moment(Field):
    null: bool = True

    def parse(self, value: Any, scope: Scope) -> str:
        try:
            if not isinstance(value, str):
                raise ValueError
            moment = datetime.fromisoformat(value)
            return moment_text(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            raise Invalid(
                "Datetime has wrong format. Use one of these formats instead: "
                "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
            ) from None

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True)
class Json(Field):
    """Whatever the client keeps there."""

    shown: Shown = field(
        default=lambda stored, names: None if stored is None else json.loads(stored), kw_only=True
    )

    def parse(self, value: Any, scope: Scope) -> str:
        try:
            return json.dumps(value, allow_nan=False)
        except (ValueError, RecursionError):
            raise Invalid("Value must be valid JSON.") from None

    def shape(self) -> dict[str, Any]:
        return {}


def uuid_of(value: Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(uuid.UUID(value))
    except ValueError:
        raise Invalid("Must be a valid UUID.") from None


def _missing(identifier: str) -> Invalid:
    return Invalid(f'Invalid pk "{identifier}" - object does not exist.')


@dataclass(frozen=True)
class Ref(Field):
    """The UUID of a record of `table`, in the same project unless it may be `anywhere`."""

    null: bool = True
    table: str = ""
    anywhere: bool = False
    wrong: str = ""
    """What to say of a record of another project."""

    def parse(self, value: Any, scope: Scope) -> str:
        identifier = uuid_of(value)
        project = scope.tenant.value(f"SELECT project FROM {self.table} WHERE id = ?", identifier)
        if project is None:
            raise _missing(identifier)
        if not self.anywhere and project != scope.project:
            raise Invalid(self.wrong or f'Invalid pk "{identifier}" - object does not exist.')
        return identifier

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True)
class Who(Field):
    """A person: a UUID for clients, a username in the table."""

    null: bool = True
    shown: Shown = field(
        default=lambda stored, names: None if stored is None else names.id(stored), kw_only=True
    )

    def parse(self, value: Any, scope: Scope) -> str:
        identifier = uuid_of(value)
        username = scope.names.username(identifier)
        if username is None:
            raise _missing(identifier)
        return username

    def shape(self) -> dict[str, Any]:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True)
class Several(Field):
    """A list of what another field takes; like Plane it keeps only what `belongs` to the project."""

    default: Any = "[]"
    of: Field = field(default_factory=lambda: Who("member"))
    belongs: str = ""
    """SQL over (project, value) that finds a row for what belongs; the rest is left out."""
    shown: Shown = field(
        default=lambda stored, names: json.loads(stored) if stored != "[]" else [], kw_only=True
    )

    def parse(self, value: Any, scope: Scope) -> str:
        if not isinstance(value, list):
            raise Invalid(f'Expected a list of items but got type "{type(value).__name__}".')
        kept = dict.fromkeys(self.of.parse(item, scope) for item in value)
        find = scope.tenant.value
        return json.dumps([item for item in kept if find(self.belongs, scope.project, item) is not None])

    def shape(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.shape()}


def people_shown(stored: str, names: Names) -> list[str]:
    return [names.id(username) for username in json.loads(stored)] if stored != "[]" else []
