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
    """What the model reads of a command: its output, and its exit code where that is not 0.

    The sandbox itself writes into the output what was cut, that the time limit was reached, and that the
    shell is a new one.
    """
    output = result.output.rstrip("\n")
    if result.exit_code in (0, None):
        return output
    return f"{output}\n[exit {result.exit_code}]" if output else f"[exit {result.exit_code}]"
