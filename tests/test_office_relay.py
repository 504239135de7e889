"""The relay of external mode, over real sockets, with a small HTTP server as the far end."""

import asyncio
import hashlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tac_rl.errors import OfficeError
from tac_rl.office.base import ServiceName
from tac_rl.office.relay import Relay

CHAT = ServiceName.CHAT


class EchoHandler(BaseHTTPRequestHandler):
    """Answers GET with the path, and POST with the size and digest of the body; keeps connections alive."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self.path.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode() + b" " + body[:8])

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def http_far_end() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def relayed(port: int, use: Callable[[Relay, int], Any], **options: Any) -> Any:
    """Run `use(relay, port of its listener)` in a thread, beside a relay to the given port of this machine."""

    async def run() -> Any:
        relay = Relay({CHAT: ("127.0.0.1", port)}, **options)
        listener = socket.create_server(("127.0.0.1", 0))
        near = listener.getsockname()[1]
        await relay.serve(CHAT, listener)
        try:
            return await asyncio.to_thread(use, relay, near)
        finally:
            await relay.close()

    return asyncio.run(asyncio.wait_for(run(), 30))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def receive_all(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def test_many_requests_go_over_one_connection() -> None:
    def use(_: Relay, port: int) -> list[bytes]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers = []
        for number in range(20):
            client.request("GET", f"/page/{number}")
            answers.append(client.getresponse().read())
            assert client.sock is not None, "the connection was not kept alive"
        client.close()
        return answers

    with http_far_end() as far:
        assert relayed(far, use) == [f"/page/{number}".encode() for number in range(20)]


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000

    def use(_: Relay, port: int) -> bytes:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        client.request("POST", "/", body=body)
        answer = client.getresponse().read()
        client.close()
        return answer

    with http_far_end() as far:
        answer = relayed(far, use)
    assert answer.startswith(f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode())


@contextmanager
def far_end(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that handles one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(10)
            handle(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join(10)


def test_the_end_of_input_is_passed_on_and_the_answer_still_comes_back() -> None:
    def answer_after_the_end(connection: socket.socket) -> None:
        heard = receive_all(connection)
        connection.sendall(b"heard " + heard)

    def use(_: Relay, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"all I say")
            client.shutdown(socket.SHUT_WR)
            return receive_all(client)

    with far_end(answer_after_the_end) as far:
        assert relayed(far, use) == b"heard all I say"


def test_a_large_answer_arrives_whole_when_the_far_end_hangs_up_right_after_it() -> None:
    answer = b"0123456789abcdef" * 200_000

    def use(_: Relay, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.shutdown(socket.SHUT_WR)
            return receive_all(client)

    with far_end(lambda connection: connection.sendall(answer)) as far:
        assert relayed(far, use) == answer


def test_a_far_end_that_is_down_closes_the_connection() -> None:
    def use(_: Relay, port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            return receive_all(client)

    assert relayed(closed_port(), use) == b""


def test_a_far_end_that_does_not_accept_closes_the_connection_after_the_limit() -> None:
    # A listener whose backlog is full lets further connections wait.
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            waiting.append(filler)

        def use(_: Relay, port: int) -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                return receive_all(client)

        try:
            assert relayed(deaf.getsockname()[1], use, connect_seconds=0.2) == b""
        finally:
            for filler in waiting:
                filler.close()


def test_one_connection_too_many_is_closed_and_the_others_work_on() -> None:
    def use(_: Relay, port: int) -> tuple[bytes, bytes]:
        first = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        first.request("GET", "/first")
        first.getresponse().read()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as second:
            refused = receive_all(second)
        first.request("GET", "/again")
        return refused, first.getresponse().read()

    with http_far_end() as far:
        assert relayed(far, use, most_connections=1) == (b"", b"/again")


def test_close_ends_open_connections_and_the_listener() -> None:
    async def run(far: int) -> tuple[bytes, bool]:
        relay = Relay({CHAT: ("127.0.0.1", far)})
        listener = socket.create_server(("127.0.0.1", 0))
        near = listener.getsockname()[1]
        await relay.serve(CHAT, listener)
        reader, writer = await asyncio.open_connection("127.0.0.1", near)
        writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"/x")).startswith(b"HTTP/1.1 200")
        await relay.close()
        try:
            rest = await reader.read()
        except ConnectionResetError:
            rest = b""
        writer.close()
        try:
            await asyncio.open_connection("127.0.0.1", near)
        except OSError:
            return rest, True
        return rest, False

    with http_far_end() as far:
        assert asyncio.run(asyncio.wait_for(run(far), 20)) == (b"", True)


def test_a_unix_socket_is_relayed_too(tmp_path: Any) -> None:
    async def run(far: int) -> bytes:
        relay = Relay({CHAT: ("127.0.0.1", far)})
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "door"))
        listener.listen()
        await relay.serve(CHAT, listener)
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "door"))
        writer.write(b"GET /unix HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await relay.close()
        return answer

    with http_far_end() as far:
        assert asyncio.run(asyncio.wait_for(run(far), 20)).endswith(b"/unix")


def test_a_service_without_an_address_is_refused_and_its_listener_closed() -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with pytest.raises(OfficeError, match="drive"):
            await Relay({CHAT: ("127.0.0.1", 1)}).serve(ServiceName.DRIVE, listener)
        assert listener.fileno() == -1

    asyncio.run(run())
