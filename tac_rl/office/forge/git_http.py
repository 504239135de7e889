"""`git clone`, `fetch` and `push` over HTTP: git's own `http-backend` behind our accounts and rules.

Who may read or push is decided here, and for pushes which references: the commands of a push come before
its objects, so that they are read first and refused, in git's own words, where a rule forbids them. git
itself refuses what needs the objects to tell (a force-push to a protected branch, malformed objects). No
hook ever runs; git sees no configuration but ours and no repository but the one in the address.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tac_rl.office.base import Person
from tac_rl.office.forge.errors import ForgeError
from tac_rl.office.forge.git_process import git_environment
from tac_rl.office.forge.push_commands import (
    RESULT_TYPE,
    Command,
    Commands,
    PushError,
    read_commands,
    refusal,
    remark,
)
from tac_rl.office.forge.reading import ref_target
from tac_rl.office.forge.repositories import open_repository, repositories_folder
from tac_rl.office.forge.store.access import Level, level_of, may_push, may_see, protections_of
from tac_rl.office.forge.store.merge_requests import MergeRequestQuery, list_merge_requests
from tac_rl.office.forge.store.paging import Page
from tac_rl.office.forge.store.people import person_of_token
from tac_rl.office.forge.store.projects import find_project, project_of_id
from tac_rl.office.forge.store.pushes import RefChange, refs_changed
from tac_rl.office.forge.web import base_url, basic
from tac_rl.office.tenant import Tenant

SECONDS = 120.0
"""For one request, its transfer included."""
LARGEST_PUSH = 256 << 20
LARGEST_FETCH_REQUEST = 16 << 20
LARGEST_COMMANDS = 1 << 20
"""Bytes of the part of a push that names references."""
LARGEST_ANSWER = 4 << 20
"""Bytes that git may say about a push."""
PROCESSES = 8
"""At once, of all tenants; more wait."""
_SERVICES = ("git-upload-pack", "git-receive-pack")
_NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}
_log = logging.getLogger(__name__)


class GitHttp:
    """An ASGI application for `/{namespace}/{project}[.git]/{info/refs,git-upload-pack,git-receive-pack}`."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(PROCESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            exchange = _Exchange(request)
            async with asyncio.timeout(SECONDS):
                async with self._slots:
                    await exchange.run(send)
        except ForgeError as error:
            headers = {"WWW-Authenticate": 'Basic realm="GitLab"'} if error.status == 401 else {}
            await Response(f"{error.text}\n", error.status, headers, "text/plain")(scope, receive, send)
        except TimeoutError:
            _log.warning("git request %s took longer than %d s", scope["path"], SECONDS)
            if not exchange.answering:
                await Response("git took too long\n", 503, media_type="text/plain")(scope, receive, send)


class _Exchange:
    """One request of a git client."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.tenant: Tenant = request.state.tenant
        self.answering = False
        self.action = request.scope["path"].rpartition("/")[2]
        if self.action == "refs":
            self.service = parse_qs(request.url.query).get("service", [""])[-1]
        else:
            self.service = self.action
        if self.service not in _SERVICES:
            raise ForgeError(403, "Only git's smart HTTP protocol is spoken here")
        if request.method != ("GET" if self.action == "refs" else "POST"):
            raise ForgeError(405, "405 Not Allowed")
        self.pushing = self.service == "git-receive-pack"
        self.person = self._authenticate()
        self.project = self._find_project()

    def _authenticate(self) -> Person | None:
        scheme, _, value = self.request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() == "basic":
            person = basic(self.tenant, value.strip())
        else:
            person = person_of_token(self.tenant, value.strip())
        if person is None:
            raise ForgeError(401, "HTTP Basic: Access denied. The provided password or token is incorrect.")
        return person

    def _find_project(self) -> sqlite3.Row:
        parameters = self.request.path_params
        name = unquote(parameters["project"]).removesuffix(".git")
        project = find_project(self.tenant, f"{unquote(parameters['namespace'])}/{name}")
        if self.person is None and (
            self.pushing or project is None or not may_see(self.tenant, project, None)
        ):
            raise ForgeError(401, "HTTP Basic: Access denied")
        if project is None or not may_see(self.tenant, project, self.person):
            raise ForgeError(404, "The project you were looking for could not be found.")
        if self.pushing:
            if level_of(self.tenant, project, self.person) < Level.DEVELOPER:
                raise ForgeError(403, "You are not allowed to push code to this project.")
            if project["archived"]:
                raise ForgeError(403, "You can't push to an archived project.")
        return project

    async def run(self, send: Send) -> None:
        if self.action == "git-receive-pack":
            await self._push(send)
        else:
            await self._stream(send)

    async def _stream(self, send: Send) -> None:
        """Clones and fetches: bytes pass through."""
        process = await self._start({"uploadpack.allowFilter": "true"})
        try:
            feeding = asyncio.create_task(_feed(process, self._body(LARGEST_FETCH_REQUEST)))
            try:
                assert process.stdout is not None
                await self._begin(send, *await _cgi_head(process.stdout))
                while chunk := await process.stdout.read(1 << 16):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
        finally:
            await _end(process)

    async def _push(self, send: Send) -> None:
        """The answer is held back until the forge's records follow the repository."""
        if self.request.headers.get("content-encoding"):
            raise ForgeError(415, "A push must not be compressed as a whole")
        body = self._body(LARGEST_PUSH)
        try:
            commands, begun = await read_commands(body, LARGEST_COMMANDS)
        except PushError as error:
            raise ForgeError(400, str(error)) from error
        reason = self._refuse(commands.refs)
        if reason:
            async for _ in body:
                pass
            head = [(b"content-type", RESULT_TYPE.encode())]
            await self._begin(send, 200, head)
            await send({"type": "http.response.body", "body": refusal(commands, reason)})
            return
        process = await self._start(self._push_settings(commands.refs))
        try:
            feeding = asyncio.create_task(_feed(process, _prefixed(begun, body)))
            try:
                assert process.stdout is not None
                status, headers = await _cgi_head(process.stdout)
                said = await _read(process.stdout, LARGEST_ANSWER)
                await process.wait()
            finally:
                feeding.cancel()
                (fed,) = await asyncio.gather(feeding, return_exceptions=True)
                if isinstance(fed, ForgeError):
                    raise fed
        finally:
            await _end(process)
        self._follow_up(commands.refs)
        await self._begin(send, status, headers)
        await send({"type": "http.response.body", "body": self._remarks(commands) + said})

    def _remarks(self, commands: Commands) -> bytes:
        """As GitLab does, tell where a merge request can be made for a branch."""
        url = f"{base_url(self.request)}/{self.project['full_path']}/-/merge_requests"
        told = b""
        for command in commands.refs:
            branch = command.ref.removeprefix("refs/heads/")
            if command.deletes or branch in (command.ref, self.project["default_branch"]):
                continue
            query = MergeRequestQuery(source_branch=branch, state="opened")
            found = list_merge_requests(
                self.tenant, self.person, query, Page(1, 1), project=self.project
            ).rows
            if found:
                text = f"\nView merge request for {branch}:\n  {url}/{found[0]['iid']}\n\n"
            else:
                field = quote("merge_request[source_branch]", safe="")
                link = f"{url}/new?{field}={quote(branch, safe='')}"
                text = f"\nTo create a merge request for {branch}, visit:\n  {link}\n\n"
            told += remark(commands, text)
        return told

    def _refuse(self, commands: list[Command]) -> str:
        """Why these changes aren't allowed; empty when they are."""
        assert self.person is not None
        for command in commands:
            kind, _, name = command.ref.removeprefix("refs/").partition("/")
            if not command.ref.startswith("refs/") or kind not in ("heads", "tags") or not name:
                return "You can only push branches and tags."
            if kind == "tags":
                continue
            protected = protections_of(self.tenant, self.project["id"], name)
            if command.deletes and name == self.project["default_branch"]:
                return "The default branch of a project cannot be deleted."
            if command.deletes and protected:
                return "You can only delete protected branches using the web interface."
            if not may_push(self.tenant, self.project, self.person, name):
                return "You are not allowed to push code to protected branches on this project."
        return ""

    def _push_settings(self, commands: list[Command]) -> dict[str, str]:
        names = [c.ref.removeprefix("refs/heads/") for c in commands if c.ref.startswith("refs/heads/")]
        rules = [protections_of(self.tenant, self.project["id"], name) for name in names]
        forceless = any(found and not any(rule["allow_force_push"] for rule in found) for found in rules)
        return {
            "http.receivepack": "true",
            "receive.denyDeletes": "false",
            "receive.denyNonFastForwards": "true" if forceless else "false",
            "receive.fsckObjects": "true",
            "receive.maxInputSize": str(LARGEST_PUSH),
            "receive.unpackLimit": "1000",
            "receive.shallowUpdate": "false",
            "transfer.hideRefs": "refs/merge-requests",
        }

    def _follow_up(self, commands: list[Command]) -> None:
        """Whatever git really changed, the forge's records follow."""
        assert self.person is not None
        repo = open_repository(self.tenant, self.project["id"])
        done = []
        for command in commands:
            now = ref_target(repo, command.ref)
            if (None if now is None else str(now)) == command.new and command.old != command.new:
                done.append(RefChange(command.ref, command.old, command.new))
        if done and find_project(self.tenant, self.project["id"]) is not None:
            self.project = project_of_id(self.tenant, self.project["id"])
            refs_changed(self.tenant, self.project["id"], self.person, done)

    async def _start(self, settings: dict[str, str]) -> asyncio.subprocess.Process:
        path = "/info/refs" if self.action == "refs" else f"/{self.service}"
        if self.pushing and self.action == "refs":
            settings = {"http.receivepack": "true", "transfer.hideRefs": "refs/merge-requests"}
        headers = self.request.headers
        environment = {
            **git_environment(settings),
            "GIT_PROJECT_ROOT": str(repositories_folder(self.tenant)),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.project['id']}.git{path}",
            "REQUEST_METHOD": self.request.method,
            "QUERY_STRING": f"service={self.service}" if self.action == "refs" else "",
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip"):
            environment["HTTP_CONTENT_ENCODING"] = "gzip"
        if headers.get("git-protocol") in ("version=1", "version=2"):
            environment["GIT_PROTOCOL"] = headers["git-protocol"]
        if self.person is not None:
            environment["REMOTE_USER"] = self.person.username
        return await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            cwd=repositories_folder(self.tenant),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _body(self, largest: int) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self.request.stream():
            size += len(chunk)
            if size > largest:
                raise ForgeError(413, f"At most {largest >> 20} MiB can be sent at once")
            if chunk:
                yield chunk

    async def _begin(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.answering = True
        kept = [
            (key, value) for key, value in headers if key not in (b"cache-control", b"pragma", b"expires")
        ]
        kept += [(key.lower().encode(), value.encode()) for key, value in _NO_CACHE.items()]
        await send({"type": "http.response.start", "status": status, "headers": kept})


async def _feed(process: asyncio.subprocess.Process, body: AsyncIterator[bytes]) -> None:
    """The request's body to git; the child is ended when the body can't be had as a whole."""
    assert process.stdin is not None
    try:
        async for chunk in body:
            process.stdin.write(chunk)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # git has read what it needs
    except BaseException:
        _kill(process)
        raise
    process.stdin.close()


async def _prefixed(begun: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for chunk in rest:
        yield chunk


async def _read(output: asyncio.StreamReader, largest: int) -> bytes:
    """All of it, up to a limit."""
    said = b""
    while len(said) < largest and (more := await output.read(largest - len(said))):
        said += more
    return said


async def _cgi_head(output: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers that git's CGI program begins its output with."""
    status, headers = 200, []
    try:
        head = await output.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ForgeError(502, "git ended without an answer") from error
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == b"status":
            status = int(value.split()[0])
        elif key:
            headers.append((key.lower(), value.strip()))
    return status, headers


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind, not even git's own children."""
    if process.returncode is None:
        _kill(process)
        await process.wait()
