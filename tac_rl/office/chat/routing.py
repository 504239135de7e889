"""A router whose endpoints say what they take and give, so that the OpenAPI document is true."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from tac_rl.office.chat.calls import BodyOf, QueryOf
from tac_rl.office.chat.models import ANSWERS, Failure, NotLoggedInAnswer, Success

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure},
    401: {"model": NotLoggedInAnswer},
    403: {"model": Failure},
}
_OPEN = ("/api/info", "/api/v1/info", "/api/v1/login", "/api/v1/users.getAvatar")
"""What needs no session."""


class Routes(APIRouter):
    """`get` and `post` by Rocket.Chat's names, such as `channels.list`; `gives` is one of `ANSWERS`."""

    def getting(self, *names: str, gives: str | None = None, errors: tuple[int, ...] = ()) -> Any:
        return self._adding("GET", names, gives, errors)

    def posting(self, *names: str, gives: str | None = None, errors: tuple[int, ...] = ()) -> Any:
        return self._adding("POST", names, gives, (413, *errors))

    def uploading(self, name: str, *, form: dict[str, Any], gives: str | None = None) -> Any:
        """A POST of a multipart form with this schema."""
        return self._adding("POST", (name,), gives, (413,), {"multipart/form-data": {"schema": form}})

    def _adding(
        self,
        method: str,
        names: tuple[str, ...],
        gives: str | None,
        errors: tuple[int, ...],
        content: dict[str, Any] | None = None,
    ) -> Any:
        model: type[BaseModel] = Success if gives is None else ANSWERS[gives]
        more: dict[int | str, dict[str, Any]] = {status: {"model": Failure} for status in errors}

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            for name in names:
                self.add_api_route(
                    f"/api/v1/{name}",
                    function,
                    methods=[method],
                    name=name,
                    operation_id=name,
                    response_model=None,
                    responses={200: {"model": model}, **_REFUSALS, **more},
                    tags=[name.partition(".")[0]],
                    openapi_extra=content and {"requestBody": {"required": True, "content": content}},
                )
            return function

        return add


def describe(app: FastAPI) -> None:
    """Make the application's OpenAPI document say what FastAPI can't see: bodies, sessions, how errors look."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(app, generate())
        return generate()

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(app: FastAPI, document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["securitySchemes"] = {
        "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
        "user": {"type": "apiKey", "in": "header", "name": "X-User-Id"},
    }
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for method in route.methods:
            operation = document["paths"][route.path_format][method.lower()]
            operation["responses"].pop("422", None)  # Rocket.Chat answers 400
            if route.path not in _OPEN:
                operation["security"] = [{"token": [], "user": []}]
            for asked in _calls(route.dependant):
                if isinstance(asked, BodyOf):
                    operation["requestBody"] = _body(asked.model, schemas)
                elif isinstance(asked, QueryOf):
                    operation.setdefault("parameters", []).extend(_parameters(asked.model))


def _calls(dependant: Dependant) -> Iterator[Any]:
    """Everything that is called before an endpoint."""
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": described}
        for name, described in schema["properties"].items()
    ]


def _body(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    content = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    return {
        "required": True,
        "content": {"application/json": content, "application/x-www-form-urlencoded": content},
    }
