"""OpenHands' terminal and file editor, acting in the sandbox through the trainer.

The terminal is the sandbox's persistent shell. The editor is the SDK's own, at work on a mirror of just the file
(or listing) that a call is about: fetched before, written back after. The mirror is a folder of this conversation
alone, and paths in it are the sandbox's with a prefix, which no answer shows.
"""

import base64
import json
import posixpath
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from openhands.sdk import TextContent
from openhands.sdk.tool import ToolExecutor, register_tool
from openhands.tools.file_editor import FileEditorAction, FileEditorObservation, FileEditorTool
from openhands.tools.file_editor.editor import FileEditor
from openhands.tools.file_editor.exceptions import ToolError
from openhands.tools.terminal import TerminalAction, TerminalObservation, TerminalTool
from openhands.tools.terminal.metadata import CmdOutputMetadata

from tac_rl.agents.openhands.worker.attempt import Attempt
from tac_rl.sandboxes.base import WORKSPACE

TERMINAL, FILE_EDITOR = "sandbox_terminal", "sandbox_file_editor"
"""Names of tool specifications; to the model they are `terminal` and `file_editor`."""

_MOST_BYTES = FileEditor.MAX_FILE_SIZE_MB << 20
_MOST_WRITTEN = 700_000
"""Bytes of a file written through a command, whose length is limited."""
_LISTING_BYTES = 200_000
# The exit status that the next command sees as $? is kept.
_WHERE = '(s=$?; pwd; command -v python || echo; exit "$s")'
_NOTHING_RUNS = (
    "ERROR: No command is running. Commands end at their time limit, and the shell is then a new one."
)


class _Terminal(ToolExecutor[TerminalAction, TerminalObservation]):
    def __call__(self, action: TerminalAction, conversation: Any = None) -> TerminalObservation:
        attempt: Attempt = conversation.agent.attempt
        _plain(action.command)
        if action.reset:
            attempt.ask("exec", command="exit", quiet=True)
            if not action.command.strip():
                attempt.tell(tool="terminal", arguments="[reset]")
                return TerminalObservation.from_text("The shell is a new one.", command="[reset]")
        if action.is_input or not action.command.strip():
            attempt.tell(tool="terminal", arguments=action.command, error=_NOTHING_RUNS)
            return TerminalObservation.from_text(_NOTHING_RUNS, command=action.command, is_error=True)
        answer = attempt.ask("exec", tool="terminal", command=action.command, seconds=action.timeout)
        place = attempt.ask("exec", command=_WHERE, quiet=True)["output"].splitlines()
        exit_code = answer["exit_code"]
        return TerminalObservation(
            content=[TextContent(text=answer["output"].rstrip("\n"))],
            command=action.command,
            exit_code=exit_code,
            timeout=answer["timed_out"],
            metadata=CmdOutputMetadata(
                exit_code=-1 if exit_code is None else exit_code,
                working_dir=place[0] if place else None,
                py_interpreter_path=place[1] if len(place) > 1 and place[1] else None,
            ),
        )


class _Editor(ToolExecutor[FileEditorAction, FileEditorObservation]):
    def __init__(self, folder: Path) -> None:
        self._mirror = folder / "mirror"
        self._editor = FileEditor(workspace_root=str(self._mirror) + WORKSPACE)

    def __call__(self, action: FileEditorAction, conversation: Any = None) -> FileEditorObservation:
        attempt: Attempt = conversation.agent.attempt
        arguments = json.dumps(action.model_dump(exclude={"kind"}, exclude_none=True), ensure_ascii=False)
        attempt.tell(tool="file_editor", arguments=arguments)
        shutil.rmtree(self._mirror, ignore_errors=True)
        self._mirror.mkdir()
        try:
            result = self._edit(attempt, action)
        except ToolError as error:
            result = FileEditorObservation.from_text(error.message, command=action.command, is_error=True)
        except (OSError, ValueError) as error:  # a name that is too long, or no name at all
            result = FileEditorObservation.from_text(str(error), command=action.command, is_error=True)
        return self._shown(result)

    def _edit(self, attempt: Attempt, action: FileEditorAction) -> FileEditorObservation:
        if not action.path.startswith("/"):
            wanted = posixpath.normpath(f"{WORKSPACE}/{action.path}")
            raise ToolError(
                f"Invalid `path` parameter: {action.path}. The path should be an absolute path. "
                f"Maybe you meant {wanted}?"
            )
        path = _plain(posixpath.normpath("/" + action.path.lstrip("/")))
        mirrored = Path(f"{self._mirror}{path}")
        self._fetch(attempt, path, mirrored)
        result = self._editor(
            command=action.command,
            path=str(mirrored),
            file_text=action.file_text,
            view_range=action.view_range,
            old_str=action.old_str,
            new_str=action.new_str,
            insert_line=action.insert_line,
        )
        if action.command != "view":
            _write(attempt, path, mirrored.read_bytes())
        return result

    def _fetch(self, attempt: Attempt, path: str, mirrored: Path) -> None:
        """Mirror what is at a path: a file, two levels of a folder, or that there is nothing in its parent."""
        answer = attempt.ask("get", path=path, max_bytes=_MOST_BYTES + 1)
        if "data" in answer:
            mirrored.parent.mkdir(parents=True)
            mirrored.write_bytes(base64.b64decode(answer["data"]))
            return
        here, parent = (shlex.quote(p) for p in (path, posixpath.dirname(path)))
        test = f"[ -d {here} ] && echo folder || {{ [ -e {here} ] && echo other; [ -d {parent} ] && echo parent; }}"
        found = attempt.ask("exec", command=f"({test})", quiet=True)["output"].split()
        if "folder" in found:
            mirrored.mkdir(parents=True, exist_ok=True)
            self._list(attempt, path)
        elif "other" in found:
            raise ToolError(f"The path {path} is neither a regular file nor a directory.")
        elif "parent" in found:
            mirrored.parent.mkdir(parents=True, exist_ok=True)

    def _list(self, attempt: Attempt, folder: str) -> None:
        listing = f"/tmp/.listing-{self._mirror.parent.name}"
        find = f"find {shlex.quote(folder)} -mindepth 1 -maxdepth 2 -printf '%y%p\\0' 2>/dev/null"
        attempt.ask("exec", command=f"({find} | head -c {_LISTING_BYTES} > {listing})", quiet=True)
        data = base64.b64decode(attempt.ask("get", path=listing, max_bytes=_LISTING_BYTES).get("data", ""))
        attempt.ask("exec", command=f"(rm -f {listing})", quiet=True)
        for entry in data.decode("utf-8", "replace").split("\0")[:-1]:
            path = posixpath.normpath(entry[1:])
            if not path.startswith(folder.rstrip("/") + "/"):
                continue
            mirrored = Path(f"{self._mirror}{path}")
            if entry[0] == "d":
                mirrored.mkdir(parents=True, exist_ok=True)
            elif not mirrored.exists():
                mirrored.parent.mkdir(parents=True, exist_ok=True)
                mirrored.touch()

    def _shown(self, result: FileEditorObservation) -> FileEditorObservation:
        """The result with the sandbox's paths."""
        prefix = str(self._mirror)
        content = [
            part.model_copy(update={"text": part.text.replace(prefix, "")})
            if isinstance(part, TextContent)
            else part
            for part in result.content
        ]
        path = result.path.replace(prefix, "") if result.path else result.path
        return result.model_copy(update={"content": content, "path": path})


def _plain(text: str) -> str:
    """The text, where a shell and a file system can take it; `ValueError` for others."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("commands and paths must be plain text")
    return text


def _write(attempt: Attempt, path: str, data: bytes) -> None:
    """Through the shell, in place: mode and links stay, and a full disk is the policy's affair."""
    if len(data) > _MOST_WRITTEN:
        raise ToolError(f"{path} would have {len(data)} bytes; this tool writes at most {_MOST_WRITTEN}.")
    encoded = base64.b64encode(data).decode()
    answer = attempt.ask(
        "exec", command=f"(printf %s {encoded} | base64 -d > {shlex.quote(path)})", quiet=True
    )
    if answer["exit_code"] != 0:
        raise ToolError(f"Ran into {answer['output'].strip()} while trying to write to {path}")


class SandboxTerminal(TerminalTool):
    """The SDK's terminal, with our executor."""

    name = "terminal"

    @classmethod
    def create(cls, conv_state: Any, **params: Any) -> Sequence[Self]:
        return super().create(conv_state, executor=_Terminal())


class SandboxFileEditor(FileEditorTool):
    """The SDK's file editor, with our executor."""

    name = "file_editor"

    @classmethod
    def create(cls, conv_state: Any) -> Sequence[Self]:
        folder = conv_state.workspace.working_dir
        (tool,) = super().create(conv_state)
        executor = _Editor(Path(folder))
        description = tool.description.replace(folder, WORKSPACE)
        return [tool.model_copy(update={"executor": executor, "description": description})]


register_tool(TERMINAL, SandboxTerminal)
register_tool(FILE_EDITOR, SandboxFileEditor)
