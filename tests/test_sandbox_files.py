"""put, get and export over what commands left behind, hostile endings included."""

import io
import tarfile

import pytest

from tac_rl.errors import SandboxError
from tac_rl.sandboxes.base import Sandbox
from tests.sandbox_helpers import in_sandbox

pytestmark = pytest.mark.usefixtures("sandbox_kind")


def exported(command: str, *, max_bytes: int = 1 << 20, **limits: float) -> dict[str, tarfile.TarInfo]:
    async def work(sandbox: Sandbox) -> bytes:
        await sandbox.exec(command)
        await sandbox.freeze()
        return await sandbox.export(max_bytes=max_bytes)

    data = in_sandbox(work, **limits)
    assert len(data) <= max_bytes
    return {entry.name: entry for entry in tarfile.open(fileobj=io.BytesIO(data))}


def test_put_makes_folders_and_get_reads_back() -> None:
    files = {
        "a/b/c.bin": bytes(range(256)),
        "/tmp/x": b"",
        "/home/agent/ü": "ß".encode(),
        "run.sh": b"echo ran",
    }

    async def work(sandbox: Sandbox) -> None:
        await sandbox.put(files, executable=frozenset({"run.sh"}))
        for path, data in files.items():
            assert await sandbox.get(path) == data
        assert await sandbox.get("a/b/c.bin", max_bytes=3) == b"\0\1\2"
        assert (
            await sandbox.exec("./run.sh; echo y >> a/b/c.bin && rm a/b/c.bin; stat -c %U a")
        ).output == "ran\nagent\n"

    in_sandbox(work)


def test_put_replaces_files_and_links_and_never_writes_through_a_link() -> None:
    async def work(sandbox: Sandbox) -> str:
        await sandbox.exec("echo old > target; ln -s target link; mkfifo pipe; echo old > file")
        await sandbox.put({"link": b"new", "pipe": b"new", "file": b"new"})
        return (await sandbox.exec("cat target; cat link pipe file")).output

    assert in_sandbox(work) == "old\nnewnewnew"


def test_put_that_can_not_be_done_says_why() -> None:
    async def work(sandbox: Sandbox) -> None:
        for path in ("/usr/x", "folder", "/etc/passwd"):
            await sandbox.exec("mkdir -p folder")
            with pytest.raises(SandboxError, match="sandbox test: put: "):
                await sandbox.put({path: b""})
        with pytest.raises(SandboxError, match="No space left"):
            await sandbox.put({"big": bytes(5 << 20)})
        assert (await sandbox.exec("echo alive")).output == "alive\n"

    in_sandbox(work, disk_mb=4)


@pytest.mark.parametrize(
    "path",
    [
        "missing",
        "folder",
        "pipe",
        "dangling",
        "loop",
        "no/such/folder",
        "/dev/zero",
        "/proc/1/mem",
        "forbidden",
    ],
)
def test_get_of_what_is_no_readable_file_is_file_not_found(path: str) -> None:
    async def work(sandbox: Sandbox) -> None:
        await sandbox.exec(
            "mkdir folder; mkfifo pipe; ln -s nowhere dangling; ln -s loop loop; touch forbidden"
        )
        await sandbox.exec("chmod 0 forbidden")
        with pytest.raises(FileNotFoundError):
            await sandbox.get(path)

    in_sandbox(work)


def test_export_holds_files_folders_and_links_and_nothing_else() -> None:
    entries = exported(
        "mkdir -p a/empty; echo 1 > a/f; chmod 750 a/f; ln -s /etc/passwd out; ln -s a in; ln a/f hard; mkfifo pipe;"
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"; echo x > $'n\\xff\\nl'"
    )
    assert set(entries) == {"a", "a/empty", "a/f", "out", "in", "hard", "n\udcff\nl"}
    assert entries["out"].issym() and entries["out"].linkname == "/etc/passwd"
    assert entries["a"].isdir() and entries["a/f"].isreg() and entries["a/f"].mode == 0o750
    assert entries["hard"].isreg() and entries["hard"].size == 2


def test_export_of_deep_folders_link_loops_and_long_names_ends() -> None:
    entries = exported(
        "python3 -c \"\nimport os\nfor i in range(3000):\n  os.mkdir('d' * 50); os.chdir('d' * 50)\";"
        "ln -s . loop; ln -s loop/loop loop2; touch $(printf 'n%.0s' $(seq 250)); echo kept > kept",
        max_bytes=4 << 20,
    )
    assert "kept" in entries and entries["loop"].issym()
    assert max(name.count("/") for name in entries) == 63


def test_export_leaves_out_what_would_take_it_over_its_size() -> None:
    entries = exported(
        "truncate -s 100M sparse; head -c 300000 /dev/zero > big; echo 1 > small", max_bytes=100_000
    )
    assert set(entries) == {"small"}
    many = exported("for i in $(seq 500); do echo $i > f$i; done", max_bytes=100_000)
    assert 60 < len(many) < 100


def test_export_of_an_untouched_workspace_is_an_empty_archive() -> None:
    assert exported("true") == {}
