"""What the built-in agent tells the model: one system sentence and two tools.

The tiny policy is warm-started on exactly these texts, so changing them means `tac-rl warmstart`.
"""

from typing import Any

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
