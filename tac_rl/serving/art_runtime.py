"""vLLM of `engine.vllm.python` in the place of the runtime that ART installs: `ART_VLLM_RUNTIME_BIN` runs this file.

ART tells a runtime what to serve by flags of its own. This turns them into vLLM's and becomes the server. It runs in
vLLM's environment, so it uses the standard library only. Adapters are loaded by the publisher, none at the start.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping


def flags(options: Mapping[str, object]) -> list[str]:
    """ART's JSON as vLLM's command line."""
    said = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        flag = "--" + name.replace("_", "-")
        said.append(flag if value is True else f"{flag}={value}")
    return said


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("model", "host", "port", "cuda-visible-devices", "engine-args-json", "server-args-json"):
        parser.add_argument(f"--{name}", required=True)
    told, _ = parser.parse_known_args(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = told.cuda_visible_devices
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", f"--model={told.model}"]
    command += [f"--host={told.host}", f"--port={told.port}"]
    command += flags({**json.loads(told.engine_args_json), **json.loads(told.server_args_json)})
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main(sys.argv[1:])
