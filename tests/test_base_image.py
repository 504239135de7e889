"""docker/build_base.sh makes the image that all others build on, once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "docker" / "build_base.sh"
IMAGE = "tac-rl/base:trixie"
pytestmark = pytest.mark.timeout(2000)  # The first of them may make the image.


def run(*command: str | Path, seconds: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
    )


@pytest.fixture(scope="module")
def image():
    """The image, made where it isn't there yet."""
    if shutil.which("docker") is None or run("docker", "version").returncode != 0:
        pytest.skip("docker doesn't answer here")
    made = run(SCRIPT, seconds=1900)
    if made.returncode != 0:
        pytest.skip(f"the image can't be made here: {made.stderr.strip()}")
    return run("docker", "image", "inspect", "--format", "{{.Id}}", IMAGE).stdout


def test_a_second_run_does_nothing(image):
    again = run(SCRIPT)
    assert again.stdout == f"build_base: {IMAGE} is there\n"
    assert run("docker", "image", "inspect", "--format", "{{.Id}}", IMAGE).stdout == image


def test_it_holds_what_a_shell_is_expected_to_have_and_no_leftovers_of_its_making(image):
    script = (
        "set -e; for name in bash curl git less patch ps python3 sqlite3 tar unzip zip; do command -v $name; done;"
        "python3 -c 'import sqlite3, ssl, sys; assert sys.version_info >= (3, 13)';"
        "test -s /etc/ssl/certs/ca-certificates.crt; test ! -e /debootstrap; test ! -e /etc/dpkg/dpkg.cfg.d/build;"
        "find /var/cache/apt /var/lib/apt/lists -type f"
    )
    done = run("docker", "run", "--rm", "--network", "none", IMAGE, "bash", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("/zip")


def test_help_and_bad_arguments_start_nothing():
    helped = run(SCRIPT, "--help", PATH="/usr/bin:/bin", DOCKER_HOST="tcp://127.0.0.1:1")
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: docker/build_base.sh")
    for arguments in (["--from", "somewhere"], ["--from"], ["now"]):
        refused = run(SCRIPT, *arguments, DOCKER_HOST="tcp://127.0.0.1:1")
        assert refused.returncode == 2
        assert refused.stderr.startswith("usage: docker/build_base.sh")


def test_a_docker_that_does_not_answer_is_one_line():
    done = run(SCRIPT, DOCKER_HOST="tcp://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("build_base: docker doesn't answer")
    assert len(done.stderr.splitlines()) == 1


def test_a_mirror_that_is_not_there_ends_the_build_and_leaves_nothing(tmp_path):
    """Needs no registry and no network: debootstrap fails at its first request."""
    if os.getuid() != 0 or shutil.which("debootstrap") is None or shutil.which("docker") is None:
        pytest.skip("needs root, debootstrap and docker")
    if run("docker", "version").returncode != 0:
        pytest.skip("docker doesn't answer here")
    done = run(
        SCRIPT,
        "--from",
        "debootstrap",
        "--force",
        MIRROR="http://127.0.0.1:1/debian",
        XDG_CACHE_HOME=str(tmp_path),
        seconds=120,
    )
    assert done.returncode == 1
    assert "build_base: debootstrap failed" in done.stderr
    assert "MIRROR" in done.stderr
    assert {path.name for path in (tmp_path / "tac-rl" / "base-image").iterdir()} == {"lock", "log"}
