"""What the built-in agent tells the model: one system sentence, two tools, and how results read.

The tiny policy is warm-started on exactly these texts, so changing them means `tac-rl warmstart`.
"""

from typing import Any

from tac_rl.sandboxes.base import ExecResult

SYSTEM_PROMPT = "You work in a shell."

TOOLS: tuple[dict[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Run a command",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}},
                "required": ["command"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "finish",
            "description": "The work is done",
            "parameters": {"type": "object", "properties": {}},
        },
    },
)
"""OpenAI tool schemas, as they go to the endpoint."""


def observation(result: ExecResult) -> str:
    """What the model reads of a command: its output, and a line for what is out of the ordinary.

    A cut is already marked in the output by the sandbox, at the place where it was made.
    """
    lines = [result.output.rstrip("\n")] if result.output.strip("\n") else []
    if result.timed_out:
        lines.append("[timed out]")
    elif result.exit_code is None:
        lines.append("[the shell ended; a new one was started]")
    elif result.exit_code != 0:
        lines.append(f"[exit {result.exit_code}]")
    return "\n".join(lines)
