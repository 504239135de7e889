"""A small HTTP client: one server, JSON and bytes.

Each command in a sandbox is a new process, so that imports are what it costs: `json` and `socket` together
take twice as long as Python's whole start, `http.client` six times. Their C cores do the same work without
it. Deliberately without TLS, redirects, cookies and proxies: the office has none of them.
"""

from __future__ import annotations

import _socket
from _json import encode_basestring_ascii, make_scanner
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

SECONDS = 30.0
"""For one request, from connecting to the answer's last byte."""
LIMIT = 64 << 20
"""Bytes of an answer's body."""
_REUSE_SECONDS = 5.0
"""A connection that idled for longer might be closed by the server just now; a new one is opened instead."""
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_OCTETS = [chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in range(256)]


class Problem(Exception):
    """What went wrong, in one line that names the fix."""


class Missing(Problem):
    """What was asked for isn't there."""


class Refused(Problem):
    """The service refused the request; the message is what it said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Unreachable(Problem):
    """The service can't be reached, failed (5xx), or answered with what isn't HTTP or JSON."""


class Answer:
    """Status, headers by lower-case name, body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Web:
    """One server at `http://HOST[:PORT][/PREFIX]`. Not for several threads at once."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, *, limit: int = LIMIT) -> None:
        scheme, _, rest = url.partition("://")
        authority, slash, prefix = rest.partition("/")
        host, colon, port = authority.rpartition(":")
        if not colon:
            host, port = authority, "80"
        if scheme != "http" or not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise Unreachable(f"{url!r} is not an address such as http://the-agent-company.com:3000")
        self.url = url.rstrip("/")
        self.headers = dict(headers or {})
        # As bytes: for a str the resolver would import the codec of international names, and with it `re`.
        self._host, self._port = host.strip("[]").encode("ascii", "replace"), int(port)
        self._authority = authority
        self._prefix = (slash + prefix).rstrip("/")
        self._limit = limit
        self._connection: _socket.socket | None = None
        self._used = 0.0
        self._buffer = bytearray()
        self._deadline = 0.0

    def json(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        """The document that the service answers with (None where the answer is empty)."""
        if body is None:
            answer = self.request(method, path + as_query(query))
        else:
            data = dumps(body).encode("ascii")
            answer = self.request(method, path + as_query(query), data, {"Content-Type": "application/json"})
        return self.document(answer, f"{method} {path}")

    def document(self, answer: Answer, asked: str) -> Any:
        """An answer's body as JSON."""
        if not answer.body:
            return None
        try:
            return loads(answer.body)
        except ValueError:
            raise Unreachable(f"{self.url} answered {asked} with what is not JSON") from None

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A successful (2xx) answer to a request for a target that is encoded already.

        Raises `Missing` for 404, `Refused` for what isn't 2xx otherwise, `Unreachable` for 5xx and for
        a server that can't be reached.
        """
        answer = self.exchange(method, target, body, headers)
        if 200 <= answer.status < 300:
            return answer
        text = said(answer.body) or f"it answered {answer.status} to {method} {target}"
        if answer.status >= 500:
            raise Unreachable(f"{self.url} failed with {answer.status}: {text}")
        if answer.status == 404:
            raise Missing(f"{text} ({method} {target})")
        raise Refused(answer.status, text)

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Whatever the server answers. `Unreachable` where it doesn't, in `SECONDS`."""
        lines = [f"{method} {self._prefix}{target} HTTP/1.1", f"Host: {self._authority}", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in {**self.headers, **(headers or {})}.items()]
        if body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body or b'')}")
        if any("\r" in line or "\n" in line for line in lines):
            raise Problem("a line break can't be part of an address or a header")
        self._deadline = monotonic() + SECONDS
        try:
            connection = self._connected()
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b""))
            answer = self._read_answer(connection, method)
        except (OSError, ValueError, EOFError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error) or "it closed the connection"
            raise Unreachable(f"{self.url} can't be reached: {reason}") from None
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        self._used = monotonic()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._buffer.clear()

    def _connected(self) -> _socket.socket:
        if self._connection is not None and monotonic() - self._used > _REUSE_SECONDS:
            self.close()
        if self._connection is None:
            found = _socket.getaddrinfo(self._host, self._port, 0, _socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            self._connection = _socket.socket(family, kind, protocol)
            self._connection.settimeout(SECONDS)
            self._connection.connect(address)
        return self._connection

    # Reading

    def _read_answer(self, connection: _socket.socket, method: str) -> Answer:
        status = 100
        while status < 200:  # "100 Continue" and its like come before the answer
            head = self._until(connection, b"\r\n\r\n").decode("latin-1").split("\r\n")
            protocol, _, told = head[0].partition(" ")
            if not protocol.startswith("HTTP/1."):
                raise EOFError("it doesn't speak HTTP/1.1")
            status = int(told[:3])
            headers = {}
            for line in head[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunks(connection)
        elif "content-length" in headers:
            body = self._exactly(connection, int(headers["content-length"]))
        else:
            headers["connection"] = "close"
            body = self._rest(connection)
        return Answer(status, headers, body)

    def _more(self, connection: _socket.socket) -> bool:
        left = self._deadline - monotonic()
        if left <= 0:
            raise EOFError(f"no answer in {SECONDS:.0f} s")
        connection.settimeout(left)
        data = connection.recv(1 << 18)
        self._buffer += data
        if len(self._buffer) > self._limit + (1 << 18):
            raise self._too_large()
        return bool(data)

    def _until(self, connection: _socket.socket, mark: bytes) -> bytes:
        while mark not in self._buffer:
            if not self._more(connection):
                raise EOFError
        found, _, rest = bytes(self._buffer).partition(mark)
        self._buffer[:] = rest
        return found

    def _exactly(self, connection: _socket.socket, size: int) -> bytes:
        if size > self._limit:
            raise self._too_large()
        while len(self._buffer) < size:
            if not self._more(connection):
                raise EOFError
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _chunks(self, connection: _socket.socket) -> bytes:
        body = bytearray()
        while True:
            size = int(self._until(connection, b"\r\n").partition(b";")[0], 16)
            if size == 0:
                while self._until(connection, b"\r\n"):
                    pass
                return bytes(body)
            body += self._exactly(connection, size)
            if len(body) > self._limit:
                raise self._too_large()
            self._until(connection, b"\r\n")

    def _rest(self, connection: _socket.socket) -> bytes:
        while self._more(connection):
            pass
        found = bytes(self._buffer)
        self._buffer.clear()
        return found

    def _too_large(self) -> Problem:
        return Problem(f"the answer is larger than {self._limit} bytes")


def said(body: bytes) -> str:
    """What a service says in an error, in one line: the texts of its JSON, or the beginning of its text."""
    try:
        texts = list(_texts(loads(body)))
    except ValueError:
        texts = [body.decode("utf-8", "replace")]
    return " ".join(" ".join(texts).split())[:300]


def _texts(document: Any) -> Iterable[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for item in document:
            yield from _texts(item)
    elif isinstance(document, dict):
        told = [name for name in ("error", "message", "detail", "error_description") if document.get(name)]
        for name in told[:1] or document:
            inner = " ".join(_texts(document[name]))
            if inner:
                yield inner if told else f"{name}: {inner}"


# Encoding


def quote(text: str) -> str:
    """Percent-encoded as one segment of a path, or one value of a query."""
    return "".join([_OCTETS[octet] for octet in text.encode("utf-8", "replace")])


def as_query(query: Mapping[str, Any] | None) -> str:
    """`?a=b&c=d` without what is None; '' where there is nothing."""
    pairs = [
        f"{quote(name)}={quote(str(value))}" for name, value in (query or {}).items() if value is not None
    ]
    return "?" + "&".join(pairs) if pairs else ""


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    from binascii import b2a_base64

    return "Basic " + b2a_base64(f"{user}:{password}".encode(), newline=False).decode("ascii")


class _Scanning:
    """How JSON is read: the settings that `_json` takes, at their usual values."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = make_scanner(_Scanning())  # type: ignore[arg-type]


def loads(data: bytes) -> Any:
    """A JSON document; ValueError where it isn't one."""
    text = data.decode("utf-8").strip()
    try:
        document, end = _scan(text, 0)
    except (StopIteration, RecursionError):
        raise ValueError("not JSON") from None
    if end != len(text):
        raise ValueError("not JSON")
    return document


def dumps(document: Any) -> str:
    """A JSON document in ASCII, from str, int, bool, None, and lists and dicts of them."""
    if isinstance(document, str):
        return encode_basestring_ascii(document.encode("utf-8", "replace").decode())
    if document is None:
        return "null"
    if isinstance(document, bool):
        return "true" if document else "false"
    if isinstance(document, int):
        return str(document)
    if isinstance(document, dict):
        return "{" + ",".join([f"{dumps(name)}:{dumps(value)}" for name, value in document.items()]) + "}"
    if isinstance(document, (list, tuple)):
        return "[" + ",".join([dumps(value) for value in document]) + "]"
    raise TypeError(f"{type(document).__name__} has no place in JSON")
