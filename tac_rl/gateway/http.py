"""HTTP as OpenAI's servers speak it: JSON in, JSON out, and one error format for whatever goes wrong."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tac_rl.gateway.protocol import ApiError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def openai_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong, the answer has OpenAI's error format."""
    try:
        return await handler(request)
    except ApiError as error:
        return _error(error)
    except web.HTTPException as error:
        return _error(ApiError(error.status, error.text or error.reason))
    except RecursionError:
        return _error(ApiError.invalid("the request is nested too deep"))
    except Exception as error:
        log.exception("a call failed")
        return _error(ApiError(500, f"{type(error).__name__}: {error}", kind="server_error"))


def wrong_key() -> ApiError:
    return ApiError(401, "wrong or missing API key", code="invalid_api_key", kind="authentication_error")


async def json_of(request: web.Request) -> Any:
    """A request's JSON body; `ApiError` where it is none."""
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise ApiError.invalid(f"the request body is not JSON: {error}") from error


def _error(error: ApiError) -> web.Response:
    return json_answer(error.body, status=error.status, headers=error.headers)


def json_answer(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers)
