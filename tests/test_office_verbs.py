"""The parts of the verbs that need no office: HTTP, names, the table, the files of a sandbox."""

import ast
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from office_commands import lay_out

from tac_rl.office import base
from tac_rl.office.verbs import SERVICES, chat, client_files, drive, forge, sandbox_files, tracker
from tac_rl.office.verbs.http import Missing, Problem, Refused, Unreachable, Web, as_query, dumps, loads, said
from tac_rl.office.verbs.main import verbs_of
from tac_rl.office.verbs.names import nearest, pick, pick_person
from tac_rl.office.verbs.table import UsageError, Verb
from tac_rl.office.verbs.tracker import html_of, text_of


@contextmanager
def canned_server(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Accepts a connection for each answer, reads a request's head, sends the answer, hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            connection = listener.accept()[0]
            with connection:
                connection.settimeout(20)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(1 << 16)
                asked.append(data)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        thread.join(20)
        listener.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    "document",
    [
        None,
        True,
        False,
        0,
        -12,
        "",
        'a "quote" \\ \n \u2028 é 😀',
        [],
        [1, [2]],
        {},
        {"a": {"b": [None, "c"]}},
    ],
)
def test_json_is_written_and_read_as_pythons_own_module_does(document):
    assert json.loads(dumps(document)) == document
    assert loads(json.dumps(document, indent=1, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b'{"a":1} x', b"\xff", b"[" * 100_000, b"nul"])
def test_what_is_not_json_is_told_apart(text):
    with pytest.raises(ValueError):
        loads(text)


def test_numbers_with_a_fraction_are_read():
    assert loads(b"[1.5, 1e3, -0.25]") == [1.5, 1000.0, -0.25]


def test_a_chunked_answer_is_put_together():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b'5\r\n{"a":\r\n3;x=y\r\n 1}\r\n0\r\nTrailer: x\r\n\r\n'
    with canned_server(chunked) as (url, _):
        assert Web(url).json("GET", "/") == {"a": 1}


def test_an_answer_without_a_length_ends_with_the_connection():
    with canned_server(b"HTTP/1.1 200 OK\r\n\r\n[1]") as (url, _):
        assert Web(url).json("GET", "/") == [1]


def test_a_request_carries_query_headers_and_body():
    with canned_server(http("201 Created", b"{}")) as (url, asked):
        web = Web(url + "/prefix/", {"PRIVATE-TOKEN": "t"})
        web.json("POST", "/api/x", {"q": "a b&ü", "none": None}, {"k": 1})
    head, _, body = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /prefix/api/x?q=a%20b%26%C3%BC HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"PRIVATE-TOKEN: t" in head and b"Content-Length: 7" in head and body == b'{"k":1}'


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (http("404 Not Found", b'{"message":"404 Project Not Found"}'), Missing, "404 Project Not Found"),
        (http("400 Bad Request", b'{"error":"no [error-x]","success":false}'), Refused, "no [error-x]"),
        (http("400 Bad Request", b'{"name":["too long"]}'), Refused, "name: too long"),
        (http("302 Found", b""), Refused, "302"),
        (http("503 Service Unavailable", b"down"), Unreachable, "failed with 503: down"),
        (http("200 OK", b"<html>"), Unreachable, "not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1", Unreachable, "closed the connection"),
        (b"SSH-2.0-x\r\n\r\n", Unreachable, "can't be reached"),
        (b"", Unreachable, "can't be reached"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unreachable, "can't be reached"),
    ],
)
def test_each_way_to_fail_is_told_in_one_line(answer, error, words):
    with canned_server(answer) as (url, _), pytest.raises(error) as told:
        Web(url).json("GET", "/")
    assert words in str(told.value) and "\n" not in str(told.value)


def test_an_answer_beyond_the_limit_is_not_read():
    for answer in (
        http("200 OK", b"x" * 2000),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7D0\r\n" + b"x" * 2000 + b"\r\n",
    ):
        with canned_server(answer) as (url, _), pytest.raises(Problem, match="larger than 1000 bytes"):
            Web(url, limit=1000).request("GET", "/")


def test_a_server_that_is_not_there_is_unreachable():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} can't be reached: Connection refused"):
        Web(f"http://127.0.0.1:{port}").json("GET", "/")


@pytest.mark.parametrize(
    "url", ["", "chat", "https://x", "http://", "http://x:y", "http://x:0", "http://x:99999"]
)
def test_a_wrong_address_is_told(url):
    with pytest.raises(Unreachable, match="is not an address"):
        Web(url)


def test_no_line_break_gets_into_a_request():
    with pytest.raises(Problem, match="line break"):
        Web("http://127.0.0.1:9").request("GET", "/x\r\nHost: evil")


def test_an_error_page_is_cut_to_one_line():
    assert said(b"<html>\n <b>oops</b>\n" + b"x" * 5000).startswith("<html> <b>oops</b> xxx")
    assert len(said(b"x" * 5000)) == 300


def test_query_values_are_encoded():
    assert as_query({"a": "x/y+z", "b": None, "c": 3}) == "?a=x%2Fy%2Bz&c=3"
    assert as_query({}) == ""


# Names


def test_names_are_found_whatever_their_case_and_hyphens():
    states = [(name, name) for name in ("Backlog", "In Progress", "Done")]
    assert [pick(w, "state", states) for w in ("In Progress", "in-progress", "IN_PROGRESS")] == [
        "In Progress"
    ] * 3


def test_an_exact_name_comes_before_one_that_is_alike():
    assert pick("web-app", "project", [("web app", 1), ("web-app", 2)]) == 2
    with pytest.raises(Problem, match="may be any of: web app, web-app"):
        pick("web_app", "project", [("web app", 1), ("web-app", 2)])


def test_a_name_that_is_not_there_tells_the_nearest():
    with pytest.raises(Missing, match="no room 'genral'; nearest: general"):
        pick("genral", "room", [(name, name) for name in ("general", "sprint-planning", "kitchen")])
    with pytest.raises(Missing, match="there is none at all"):
        pick("x", "room", [])
    assert nearest("planning", ["sprint-planning", "general"]) == ["sprint-planning"]


def test_people_are_found_by_username_name_or_a_first_name_of_one():
    people = [
        ("alex_turner", "Alex Turner"),
        ("sarah_johnson", "Sarah Johnson"),
        ("sarah_chen", "Sarah Chen"),
    ]
    for wanted in ("alex_turner", "@alex_turner", "Alex Turner", "alex", "alex-turner"):
        assert pick_person(wanted, people) == "alex_turner"
    with pytest.raises(Problem, match="no person 'sarah'; nearest: sarah_chen, sarah_johnson"):
        pick_person("sarah", people)


# The table


def test_the_rest_of_the_line_is_the_text():
    send = Verb("send ROOM TEXT...", "", lambda: "")
    assert send.values(["general", "hello", "you"]) == ["general", "hello you"]
    assert send.values(["general", "two  spaces\nand a line"]) == ["general", "two  spaces\nand a line"]


@pytest.mark.parametrize("word", ["12", "#12", "!12"])
def test_a_number_may_have_its_mark(word):
    assert Verb("issue PROJECT N", "", lambda: "").values(["web", word]) == ["web", 12]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "PROJECT is missing"),
        (["web"], "N is missing"),
        (["web", "x"], "N must be a number, not 'x'"),
        (["web", "-1"], "N must be a number"),
        (["web", "²"], "N must be a number"),
        (["web", "1", "2"], "'2' is too much"),
        ([" ", "1"], "a word is empty"),
    ],
)
def test_words_that_do_not_fit_are_told(words, told):
    with pytest.raises(UsageError, match=told):
        Verb("issue PROJECT N", "", lambda: "").values(words)


@pytest.mark.parametrize("service", SERVICES)
def test_every_parameter_has_a_meaning_and_every_meaning_a_parameter(service):
    verbs = verbs_of(service)
    used = {parameter.name for verb in verbs.by_name.values() for parameter in verb.parameters}
    assert used == set(verbs.meanings)


@pytest.mark.parametrize("service", SERVICES)
def test_required_parameters_come_first_and_only_the_last_takes_the_rest(service):
    for verb in verbs_of(service).by_name.values():
        required = [parameter.required for parameter in verb.parameters]
        assert required == sorted(required, reverse=True), verb.usage
        assert not any(parameter.rest for parameter in verb.parameters[:-1]), verb.usage


def test_addresses_and_accounts_are_the_offices():
    ports = {"chat": chat.URL, "forge": forge.URL, "tracker": tracker.URL, "drive": drive.URL}
    for service, url in ports.items():
        assert url == f"http://{base.HOST}:{base.PORTS[base.ServiceName(service)]}"
    assert (chat.USER, forge.USER, drive.USER) == (base.AGENT_CHAT, base.AGENT_FORGE, base.AGENT_DRIVE)
    assert (tracker.AGENT, tracker.AGENT_EMAIL) == (base.AGENT_CHAT, base.AGENT_TRACKER)
    assert {chat.PASSWORD, forge.PASSWORD, drive.PASSWORD} == {base.PASSWORD}
    assert (forge.TOKEN, tracker.KEY, tracker.WORKSPACE) == (
        base.FORGE_TOKEN,
        base.TRACKER_KEY,
        base.TRACKER_WORKSPACE,
    )


def test_text_survives_the_trackers_html():
    assert text_of(html_of("a < b & c\nsecond &amp; line")) == "a < b & c\nsecond &amp; line"
    assert text_of("<div>one<br/>two</div><ul><li>three</li></ul>&nbsp;") == "one\ntwo\nthree"
    assert text_of(None) == ""


# The commands, without an office


def test_help_lists_every_verb_without_any_service(tmp_path: Path):
    commands = lay_out(tmp_path, {})
    for service in SERVICES:
        lines = commands.ok(f"{service} --help")
        assert len(lines) == 1 + len(verbs_of(service).by_name)
    assert commands.ok("chat read --help") == [
        "chat read ROOM [N]",
        "the last N messages, oldest first",
        "ROOM: a channel's name, or @person for your conversation with them",
        "N: how many messages (default 20)",
    ]


def test_wrong_usage_is_told_with_the_right_one(tmp_path: Path):
    commands = lay_out(tmp_path, {})
    assert (
        commands("chat raed general").error
        == "chat: there is no verb 'raed' (did you mean read?); see chat --help\n"
    )
    ran = commands("forge issue web")
    assert (ran.status, ran.error) == (2, "forge: N is missing; usage: forge issue PROJECT N\n")


def test_a_service_that_is_not_there_is_one_line_and_status_1(tmp_path: Path):
    ran = lay_out(tmp_path, {"chat": "http://127.0.0.1:1"})("chat channels")
    assert (ran.status, ran.output) == (1, "")
    assert ran.error == "chat: http://127.0.0.1:1 can't be reached: Connection refused\n"


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path):
    commands = lay_out(tmp_path, {})
    line = f"set -o pipefail; {commands.folder}/bin/chat --help | true"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30)
    assert ran.stderr == b""


def test_words_that_are_not_utf8_do_not_break_a_command(tmp_path: Path):
    commands = lay_out(tmp_path, {})
    ran = subprocess.run([commands.folder / "bin" / "chat", b"\xff\xfe"], capture_output=True, timeout=30)
    assert ran.returncode == 2 and b"there is no verb" in ran.stderr


@pytest.mark.parametrize("words", ["chat channels", "drive ls", "forge projects", "tracker projects"])
def test_commands_load_little(tmp_path: Path, words: str):
    """What they'd otherwise take three times as long to start for."""
    service, verb = words.split()
    commands = lay_out(tmp_path, {})
    code = (
        f"import sys; sys.path.insert(0, {str(commands.folder / 'lib')!r})\n"
        f"from verbs.main import main\nmain({service!r}, [{verb!r}])\nprint(*sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env={f"OFFICE_{service.upper()}_URL": "http://127.0.0.1:1"},
    )
    heavy = {"json", "socket", "re", "typing", "urllib", "http.client", "email", "argparse", "subprocess"}
    loaded = set(ran.stdout.split())
    assert f"verbs.{service}" in loaded and not heavy & loaded


def test_compiled_modules_are_used(tmp_path: Path):
    commands = lay_out(tmp_path, {})
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-v", commands.folder / "bin" / "chat", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "code object from" not in "".join(
        line for line in ran.stderr.splitlines() if "verbs" in line and ".py'" in line
    )
    assert f"verbs/__pycache__/chat_verbs.{sys.implementation.cache_tag}.pyc matches" in ran.stderr


def test_the_files_are_modules_that_need_nothing_of_ours():
    """Of TAC-RL, and no syntax that came after Python 3.9."""
    for files in (sandbox_files(), client_files()):
        for name, content in files.items():
            assert not name.startswith("/") and ".." not in name
            if name.endswith(".py"):
                ast.parse(content, name, feature_version=(3, 9))
                assert b"import tac_rl" not in content and b"from tac_rl" not in content
    assert "verbs/main.py" not in client_files() and "verbs/chat.py" in client_files()
