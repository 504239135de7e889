"""An MCP server on standard input and output: each verb of the command line is a tool, `chat_read` and so on.

Where the services are is told by the environment, as to the commands (`OFFICE_CHAT_URL`, ...). Files that
`drive_get`, `drive_put` and `forge_clone` name are those of the server's working directory.
"""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from tac_rl.errors import ConfigError
from tac_rl.office.verbs.http import Problem
from tac_rl.office.verbs.main import SERVICES, verbs_of
from tac_rl.office.verbs.table import UsageError, Verb, Verbs

if TYPE_CHECKING:
    from mcp.server import Server

CALL_SECONDS = 120.0
"""For one call of a tool; each request to a service has a shorter limit of its own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--services",
        default=",".join(SERVICES),
        help="whose verbs to offer, with commas between them (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until the client hangs up. `ConfigError` where `mcp` isn't installed or a service isn't known."""
    services = [name for name in args.services.split(",") if name]
    for name in services:
        if name not in SERVICES:
            raise ConfigError(f"--services: {name!r} is not one of {', '.join(SERVICES)}")
    asyncio.run(_serve(services))
    return 0


async def _serve(services: list[str]) -> None:
    server = make_server(services)
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def make_server(services: list[str]) -> "Server[Any]":
    """The server, not yet connected to anything."""
    try:
        import mcp_types as types
        from mcp.server import Server
    except ImportError:
        raise ConfigError("the MCP server needs the package mcp: pip install 'mcp>=2.3,<3'") from None
    tools = {
        f"{verbs.service}_{verb.name.replace('-', '_')}": (verbs, verb)
        for verbs in map(verbs_of, services)
        for verb in verbs.by_name.values()
    }
    listed = types.ListToolsResult(
        tools=[
            types.Tool(name=name, description=verb.help, input_schema=input_schema(verbs, verb))
            for name, (verbs, verb) in tools.items()
        ]
    )

    async def list_tools(context: object, params: object) -> types.ListToolsResult:
        return listed

    async def call_tool(context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        failed = True
        if params.name not in tools:
            text = f"there is no tool {params.name!r}"
        else:
            verbs, verb = tools[params.name]
            try:
                text = await asyncio.wait_for(
                    asyncio.to_thread(_call, verbs, verb, params.arguments or {}), CALL_SECONDS
                )
                failed = False
            except TimeoutError:
                text = f"{params.name} has not ended in {CALL_SECONDS:.0f} s"
            except (Problem, UsageError) as error:
                text = str(error)
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    return Server("tac-rl-office", on_list_tools=list_tools, on_call_tool=call_tool)


def input_schema(verbs: Verbs, verb: Verb) -> dict[str, Any]:
    """JSON schema of a verb's parameters, by their names in lower case."""
    return {
        "type": "object",
        "properties": {
            p.name.lower(): {
                "type": "integer" if p.number else "string",
                "description": verbs.meanings[p.name],
            }
            for p in verb.parameters
        },
        "required": [p.name.lower() for p in verb.parameters if p.required],
        "additionalProperties": False,
    }


def _call(verbs: Verbs, verb: Verb, arguments: dict[str, Any]) -> str:
    """What the verb prints (on a thread)."""
    printed = verb.run(verbs.open(), *verb.values_by_name(arguments))
    if isinstance(printed, bytes):
        try:
            return printed.decode("utf-8")
        except UnicodeDecodeError:
            raise Problem(
                f"these are {len(printed)} bytes that aren't text; drive_get makes a file of them"
            ) from None
    return printed if isinstance(printed, str) else "\n".join(printed)
