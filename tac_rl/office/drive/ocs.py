"""What all OCS calls share: the envelope, in XML or JSON, the two versions' status codes, and who may call.

`/ocs/v1.php` answers HTTP 200 and 100 in the envelope (or the error's number); `/ocs/v2.php` answers the
error's HTTP status and 200 in the envelope. XML unless `format=json` is asked for.
"""

import json
import re
from typing import Any

from fastapi import Request, Response
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from lxml import etree  # type: ignore[import-untyped]
from starlette.exceptions import HTTPException

from tac_rl.office.drive import access
from tac_rl.office.drive.files import RefusedError
from tac_rl.office.tenant import Tenant

VERSIONS = (1, 2)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 can't hold."""
_META = {
    "type": "object",
    "required": ["status", "statuscode"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "failure"]},
        "statuscode": {"type": "integer"},
        "message": {"type": ["string", "null"]},
        "totalitems": {"type": "string"},
        "itemsperpage": {"type": "string"},
    },
}
FORMAT_PARAMETER = {
    "name": "format",
    "in": "query",
    "description": "of the answer: `json`, or else XML",
    "schema": {"type": "string", "default": "xml"},
}


class _Account(SecurityBase):
    """Dependency: the username of who calls; refuses strangers (997)."""

    def __init__(self) -> None:
        self.model = HTTPBase(scheme="basic")
        self.scheme_name = "basic"

    async def __call__(self, request: Request) -> str:
        username = access.username_of(request.state.tenant, request.headers)
        if username is None:
            raise RefusedError(401, "Unauthorised")
        return username


signed_in = _Account()


def version_of(request: Request) -> int:
    return 2 if request.url.path.startswith("/ocs/v2.php/") else 1


def answer(
    request: Request, data: Any, *, status: int = 200, http: int | None = None, message: str | None = None
) -> Response:
    """The envelope around `data`; `status` is an HTTP status or an error's number in the envelope.

    `http` is the answer's own HTTP status where it doesn't follow from that and from the version.
    """
    version = version_of(request)
    ok = status == 200
    code = (100 if version == 1 else 200) if ok else (997 if status == 401 else status)
    meta = {
        "status": "ok" if ok else "failure",
        "statuscode": code,
        "message": message,
        "totalitems": "",
        "itemsperpage": "",
    }
    if http is None:
        http = 200 if version == 1 and status != 401 else status
    data = [] if data is None else data
    headers = {"WWW-Authenticate": 'Basic realm="ownCloud"'} if http == 401 else None
    if request.query_params.get("format") == "json":
        body = json.dumps({"ocs": {"meta": meta, "data": data}}, ensure_ascii=False)
        return Response(body, http, headers, "application/json")
    root = etree.Element("ocs")
    root.extend([_element("meta", meta), _element("data", data)])
    return Response(etree.tostring(root, encoding="utf-8", xml_declaration=True), http, headers, "text/xml")


def responses(version: int, data: dict[str, Any], *errors: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the envelope around `data` (a schema), and the errors' envelopes."""
    envelope = _envelope({"meta": _META, "data": data})
    failed = _envelope({"meta": _META})
    # Version 1 answers 200 to what it refuses, too.
    fine = envelope if version == 2 else {"anyOf": [envelope, failed]}
    content = {"text/xml": {}, "application/json": {"schema": fine}}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "Done", "content": content}}
    for status in {401, *(errors if version == 2 else ())}:
        found[status] = {
            "description": "Refused",
            "content": {"text/xml": {}, "application/json": {"schema": failed}},
        }
    return found


def _envelope(properties: dict[str, Any]) -> dict[str, Any]:
    inner = {"type": "object", "required": ["meta", "data"], "properties": properties}
    return {"type": "object", "required": ["ocs"], "properties": {"ocs": inner}}


async def fields(request: Request) -> dict[str, str]:
    """The fields of the query and of a form or a JSON object, as text; `RefusedError` (400) for anything else."""
    found = _texts(request.query_params.multi_items())
    if "json" not in request.headers.get("content-type", ""):
        try:
            return found | _texts((await request.form()).multi_items())
        except HTTPException as error:
            raise RefusedError(400, error.detail) from error
    try:
        document = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the body is not JSON") from error
    if not isinstance(document, dict):
        raise RefusedError(400, "the body is not a JSON object")
    return found | _texts(document.items())


def tenant_of(request: Request) -> Tenant:
    tenant: Tenant = request.state.tenant
    return tenant


def _texts(items: Any) -> dict[str, str]:
    found = {}
    for name, value in items:
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
    return found


def _element(name: str, value: Any) -> Any:
    element = etree.Element(name)
    if isinstance(value, dict):
        element.extend([_element(key, below) for key, below in value.items()])
    elif isinstance(value, list):
        element.extend([_element("element", below) for below in value])
    elif value is not None and value is not False:
        element.text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", "1" if value is True else str(value))
    return element
