"""Parts of OpenAPI operations whose parameters and bodies are read by hand."""

from typing import Any

Responses = dict[int | str, dict[str, Any]]

PAGE: dict[str, Any] = {"description": "A page", "content": {"text/html": {}}}
SAVED: dict[str, Any] = {"description": "The file", "content": {"*/*": {}}}
MOVED: dict[str, Any] = {"description": "Go there; to the login page, if you aren't signed in"}
REFUSED: Responses = {status: {**PAGE, "description": "Refused"} for status in (400, 403, 404)}


def query(*names: str) -> dict[str, Any]:
    """Text parameters of the query, none of them required."""
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}


def form(*names: str) -> dict[str, Any]:
    """A form with text fields, none of them required."""
    properties = {name: {"type": "string"} for name in names}
    schema = {"schema": {"type": "object", "properties": properties}}
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": schema}}}
