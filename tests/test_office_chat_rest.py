"""The chat by plain requests: TAC's call patterns, what is laid, what is told, and what must not work."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from office_helpers import PEOPLE, ServedOffice, served_office

from tac_rl.errors import OverlayError
from tac_rl.office.base import MessagePosted, ServiceName
from tac_rl.office.chat import store
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import parse_overlay
from tac_rl.office.services import make_empty
from tac_rl.office.tenant import Tenant

OVERLAY = {
    "chat": {
        "channels": [
            {"name": "dev", "members": "everyone", "messages": [{"from": "alex_turner", "text": "Standup"}]},
            {"name": "board", "private": True, "owner": "sarah_johnson"},
        ],
        "direct": [
            {
                "between": ["alex_turner", "theagentcompany"],
                "messages": [
                    {"from": "alex_turner", "text": "Are you there?", "at": "2026-03-02T11:00:00Z"},
                    {"from": "theagentcompany", "text": "Yes"},
                ],
            }
        ],
    }
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[ServedOffice]:
    with served_office(tmp_path, OVERLAY, services=[ServiceName.CHAT]) as served:
        yield served


class Client:
    """Plain requests with somebody's session."""

    def __init__(self, office: ServedOffice, username: str = "theagentcompany") -> None:
        self.url = office.urls["chat"]
        sent = {"username": username, "password": "theagentcompany"}
        data = requests.post(f"{self.url}/api/v1/login", json=sent, timeout=10).json()["data"]
        self.headers = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}

    def get(self, name: str, /, **query: Any) -> requests.Response:
        return requests.get(f"{self.url}/api/v1/{name}", query, headers=self.headers, timeout=10)

    def post(self, name: str, /, **body: Any) -> requests.Response:
        return requests.post(f"{self.url}/api/v1/{name}", json=body, headers=self.headers, timeout=10)

    def user_id(self, username: str) -> str:
        found: str = self.get("users.info", username=username).json()["user"]["_id"]
        return found


# As TAC's evaluators and people call it


def test_the_history_with_a_person_is_found_by_their_user_id(office: ServedOffice) -> None:
    agent = Client(office)
    listed = agent.get("users.list").json()["users"]
    alex = next(u for u in listed if u["nameInsensitive"] == "alex turner" and u["username"] == "alex_turner")
    answer = agent.get("im.history", roomId=alex["_id"]).json()
    assert answer["success"] is True
    assert [m["msg"] for m in answer["messages"]][::-1] == ["Are you there?", "Yes"]
    assert answer["messages"][1]["ts"] == "2026-03-02T11:00:00.000Z"
    mike = agent.user_id("mike_chen")
    assert agent.get("im.history", roomId=mike).json() == {"messages": [], "success": True}
    assert office.call(office.tenant.value, "SELECT count(*) FROM chat_rooms WHERE kind = 'direct'") == 1
    missing = agent.get("im.history", roomId="nobody")
    assert (missing.status_code, missing.json()["errorType"]) == (400, "error-room-not-found")


def test_a_colleague_of_tac_polls_for_what_is_new(office: ServedOffice) -> None:
    """Its loop: remember the newest `ts`, ask for what is later, answer with the room's id as channel."""
    agent, alex = Client(office), Client(office, "alex_turner")
    [room] = alex.get("im.list").json()["ims"]
    last = alex.get("im.history", roomId=room["_id"]).json()["messages"][0]["ts"]
    assert alex.get("im.history", roomId=room["_id"], oldest=last).json()["messages"] == []
    agent.post("chat.postMessage", channel="@alex_turner", text="One more thing")
    [new] = alex.get("im.history", roomId=room["_id"], oldest=last).json()["messages"]
    assert (new["msg"], new["u"]["username"]) == ("One more thing", "theagentcompany")
    assert alex.post("chat.postMessage", channel=room["_id"], text="Go on").json()["success"] is True
    assert alex.get("groups.list").json()["groups"] == []
    joined = alex.get("channels.list.joined").json()["channels"]
    assert [channel["name"] for channel in joined] == ["dev", "general"]


def test_a_person_who_sends_forms_is_served_too(office: ServedOffice) -> None:
    url = office.urls["chat"]
    form = {"user": "alex_turner", "password": "theagentcompany"}
    data = requests.post(f"{url}/api/v1/login", data=form, timeout=10).json()["data"]
    headers = {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}
    sent = requests.post(
        f"{url}/api/v1/chat.postMessage", {"channel": "#dev", "text": "By form"}, headers=headers, timeout=10
    )
    assert sent.json()["message"]["msg"] == "By form"


def test_history_in_pieces(office: ServedOffice) -> None:
    agent = Client(office)
    for number in range(60):
        agent.post("chat.postMessage", channel="dev", text=str(number))
    room = agent.get("channels.info", roomName="dev").json()["channel"]
    whole = agent.get("channels.history", roomId=room["_id"], count=0).json()["messages"]
    assert [m["msg"] for m in whole] == [*map(str, range(59, -1, -1)), "Standup"]
    assert len(agent.get("channels.history", roomId=room["_id"]).json()["messages"]) == 50
    part = agent.get("channels.history", roomId=room["_id"], count=2, offset=1).json()["messages"]
    assert [m["msg"] for m in part] == ["58", "57"]
    first, third = whole[59]["ts"], whole[57]["ts"]
    between = {"roomId": room["_id"], "oldest": first, "latest": third}
    assert [m["msg"] for m in agent.get("channels.history", **between).json()["messages"]] == ["1"]
    including = agent.get("channels.history", **between, inclusive="true").json()["messages"]
    assert [m["msg"] for m in including] == ["2", "1", "0"]
    unread = agent.get("channels.history", roomId=room["_id"], oldest=first, unreads="true", count=5).json()
    assert (unread["unreadNotLoaded"], unread["firstUnread"]["msg"]) == (54, "1")
    wrong = agent.get("channels.history", roomId=room["_id"], oldest="yesterday")
    assert (wrong.status_code, wrong.json()["errorType"]) == (400, "error-invalid-date")


def test_a_thousand_channels(office: ServedOffice) -> None:
    def make() -> None:
        document = {"chat": {"channels": [{"name": f"c{number:04}"} for number in range(1000)]}}
        lay_over(office.tenant, parse_overlay(document, "many"))

    office.call(make)
    agent = Client(office)
    page = agent.get("channels.list", count=100, offset=900).json()
    assert (page["count"], page["total"], page["channels"][0]["name"]) == (100, 1002, "c0900")
    assert len(agent.get("channels.list", count=0).json()["channels"]) == 1002
    assert len(agent.get("subscriptions.get").json()["update"]) == 1003


# What is told, and to whom


def test_every_message_is_told_after_it_is_stored(office: ServedOffice) -> None:
    told: list[tuple[MessagePosted, bool]] = []

    def listen(event: MessagePosted) -> None:
        stored = office.tenant.value("SELECT 1 FROM chat_messages WHERE id = ?", event.message_id)
        told.append((event, stored == 1 and not office.tenant.db.in_transaction))

    office.call(office.tenant.subscribe, listen)
    agent = Client(office)
    agent.post("chat.postMessage", channel="#dev", text="Hello @alex_turner and @here, not a@mike_chen.de")
    agent.post("chat.postMessage", channel="@mike_chen", text="Hi @nobody")
    room = office.call(store.direct_room, office.tenant, "alex_turner", "theagentcompany")
    office.call(store.post_message, office.tenant, room, "alex_turner", "Unasked")
    agent.post("channels.kick", roomName="dev", userId=agent.user_id("mike_chen"))  # a notice is no message
    (channel, ok), (direct, ok2), (own, ok3) = told
    assert ok and ok2 and ok3
    assert (channel.room_kind, channel.room_name, channel.author) == ("channel", "dev", "theagentcompany")
    assert channel.mentions == ("alex_turner", "here")
    assert len(channel.members) == 4
    assert (direct.room_kind, direct.room_name, direct.mentions) == ("direct", "", ())
    assert direct.members == ("mike_chen", "theagentcompany")
    assert (own.author, own.text, own.room_id) == ("alex_turner", "Unasked", room)


def test_a_public_channel_is_joined_by_writing_there(office: ServedOffice) -> None:
    admin, mike = Client(office), Client(office, "mike_chen")
    admin.post("channels.create", name="open")
    assert mike.post("chat.postMessage", channel="#open", text="Hello").json()["success"] is True
    members = admin.get("channels.members", roomName="open").json()["members"]
    assert [m["username"] for m in members] == ["mike_chen", "theagentcompany"]
    room = admin.get("channels.info", roomName="open").json()["channel"]["_id"]
    admin.post("channels.setReadOnly", roomId=room, readOnly=True)
    assert "readonly" in mike.post("chat.postMessage", roomId=room, text="Again").json()["error"]
    sarah = Client(office, "sarah_johnson")
    outside = sarah.post("chat.sendMessage", message={"rid": room, "msg": "x"})
    assert (outside.status_code, outside.json()["error"]) == (403, "unauthorized")


# What must not work


def test_without_a_session_nothing_is_told(office: ServedOffice) -> None:
    url, agent = office.urls["chat"], Client(office)
    for headers in (
        {},
        {"X-Auth-Token": "x" * 43, "X-User-Id": agent.headers["X-User-Id"]},
        {**agent.headers, "X-User-Id": agent.user_id("alex_turner")},
    ):
        refused = requests.get(f"{url}/api/v1/users.list", headers=headers, timeout=10)
        assert refused.status_code == 401
        assert refused.json()["status"] == "error"
        assert refused.json()["message"] == "You must be logged in to do this."
    cookies = {"rc_token": agent.headers["X-Auth-Token"], "rc_uid": agent.headers["X-User-Id"]}
    assert requests.get(f"{url}/api/v1/me", cookies=cookies, timeout=10).status_code == 401


def test_a_session_ends(office: ServedOffice) -> None:
    agent = Client(office)
    assert agent.get("me").status_code == 200
    office.call(office.tenant.db.execute, "UPDATE chat_tokens SET expires = 1")
    assert agent.get("me").status_code == 401


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"user": "theagentcompany", "password": "wrong"}},
        {"json": {"user": "' OR 1=1 --", "password": "theagentcompany"}},
        {"json": {"user": "theagentcompany"}},
        {"json": {"resume": "x"}},
        {"data": {"user": "%", "password": "theagentcompany"}},
    ],
)
def test_wrong_credentials(office: ServedOffice, sent: dict[str, Any]) -> None:
    refused = requests.post(f"{office.urls['chat']}/api/v1/login", timeout=10, **sent)
    assert refused.status_code == 401
    assert refused.json() == {"status": "error", "error": "Unauthorized", "message": "Unauthorized"}


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        ("{", "application/json"),
        ("[1]", "application/json"),
        ("[" * 100_000, "application/json"),
        (b'{"text": "\xff"}', "application/json"),
        ('{"text": NaN}', "application/json"),
        ('{"text": {"a": 1}, "channel": "dev"}', "application/json"),
        ("&".join(f"a{number}=1" for number in range(2000)), "application/x-www-form-urlencoded"),
    ],
)
def test_a_malformed_body_is_refused(office: ServedOffice, data: Any, content_type: str) -> None:
    agent = Client(office)
    headers = {**agent.headers, "Content-Type": content_type}
    refused = requests.post(f"{agent.url}/api/v1/chat.postMessage", data, headers=headers, timeout=10)
    assert refused.status_code == 400
    assert refused.json()["success"] is False


def test_parameters_that_cannot_be(office: ServedOffice) -> None:
    agent = Client(office)
    for name, query in (
        ("users.list", {"count": "-1"}),
        ("users.list", {"count": "many"}),
        ("users.list", {"offset": 10**30}),
        ("users.list", {"query": "{"}),
        ("channels.list", {"sort": "[]"}),
        ("channels.info", {}),
        ("chat.search", {"roomId": "GENERAL"}),
        ("roles.getUsersInRole", {"role": "king"}),
        ("roles.getUsersInRole", {}),
        ("channels.online", {}),
    ):
        refused = agent.get(name, **query)
        assert (refused.status_code, refused.json()["success"]) == (400, False), name
    assert agent.get("users.list", unknown="1", query='{"username": "\\ud800"}').json()["total"] == 0
    assert agent.get("users.list", query='{"username": "alex_turner"}').json()["total"] == 1
    nothing = agent.get("channels.nonsense")
    assert (nothing.status_code, nothing.json()["message"]) == (404, "API endpoint does not exist.")
    assert requests.put(f"{agent.url}/api/v1/me", timeout=10).status_code == 405


def test_a_message_has_a_limit(office: ServedOffice) -> None:
    agent = Client(office)
    assert agent.post("chat.postMessage", channel="dev", text="x" * 5000).status_code == 200
    refused = agent.post("chat.postMessage", channel="dev", text="x" * 100_000)
    assert (refused.status_code, refused.json()["errorType"]) == (400, "error-message-size-exceeded")
    room = agent.get("channels.info", roomName="dev").json()["channel"]["_id"]
    [message] = agent.get("channels.history", roomId=room, count=1).json()["messages"]
    longer = agent.post("chat.update", roomId=room, msgId=message["_id"], text="x" * 5001)
    assert longer.json()["errorType"] == "error-message-size-exceeded"
    huge = agent.post("chat.postMessage", channel="dev", text="x" * (5 << 20))
    assert huge.status_code == 413


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "'; DROP TABLE chat_users; --",
        "\x00 \u202e 😀",
        "{{ 7*7 }}",
        '%s %n \\ "',
    ],
)
def test_any_text_comes_back_as_it_was_sent(office: ServedOffice, text: str) -> None:
    agent = Client(office)
    posted = agent.post("chat.postMessage", channel="dev", text=text).json()["message"]
    assert posted["msg"] == text
    found = agent.get("chat.search", roomId=posted["rid"], searchText=text).json()["messages"]
    assert [m["_id"] for m in found] == [posted["_id"]]


def test_half_a_surrogate_pair_is_replaced(office: ServedOffice) -> None:
    agent = Client(office)
    raw = '{"channel": "dev", "text": "a\\ud800b"}'
    posted = requests.post(f"{agent.url}/api/v1/chat.postMessage", raw, headers=agent.headers, timeout=10)
    assert posted.json()["message"]["msg"] == "a?b"


def test_uploads_are_named_harmlessly_and_never_run_here(office: ServedOffice) -> None:
    agent = Client(office)
    upload = f"{agent.url}/api/v1/rooms.upload/GENERAL"
    page = {"file": ("../../etc/page.html", b"<script>alert(1)</script>", "text/html")}
    fields = {"msg": "Look", "description": "A page"}
    sent = requests.post(upload, fields, files=page, headers=agent.headers, timeout=10).json()["message"]
    assert (sent["msg"], sent["file"]["name"], sent["attachments"][0]["description"]) == (
        "Look",
        "page.html",
        "A page",
    )
    got = requests.get(agent.url + sent["attachments"][0]["title_link"], headers=agent.headers, timeout=10)
    assert got.content == b"<script>alert(1)</script>"
    assert got.headers["Content-Disposition"].startswith("attachment")
    for wanted in ("..%2f..%2foffice.db", "../office.db", "nothing"):
        found = requests.get(f"{agent.url}/file-upload/{wanted}/x", headers=agent.headers, timeout=10)
        assert found.status_code == 404
    assert (
        requests.post(upload, fields, headers=agent.headers, timeout=10).json()["errorType"]
        == "error-no-file"
    )
    broken = {**agent.headers, "Content-Type": "multipart/form-data; boundary=x"}
    assert requests.post(upload, b"--x\r\nnonsense", headers=broken, timeout=10).status_code == 400
    assert len(list((office.tenant.folder / "chat").iterdir())) == 1


def test_a_body_without_an_announced_length_is_refused_once_it_is_too_long(office: ServedOffice) -> None:
    agent = Client(office)
    pieces = (b" " * (1 << 18) for _ in range(17))
    refused = requests.post(f"{agent.url}/api/v1/chat.postMessage", pieces, headers=agent.headers, timeout=10)
    assert refused.status_code == 413


def test_an_upload_that_announces_too_much_is_refused_unread(office: ServedOffice) -> None:
    agent = Client(office)
    connection = HTTPConnection(agent.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/api/v1/rooms.upload/GENERAL")
    kind = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(1 << 40)}
    for name, value in {**agent.headers, **kind}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# What is laid


def empty_tenant(folder: Path, document: dict[str, Any], seed: int = 0) -> Tenant:
    make_empty(folder)
    tenant = Tenant("laid", folder, seed=seed)
    lay_over(tenant, parse_overlay({"people": PEOPLE, **document}, "the test's overlay"))
    return tenant


def test_the_same_seed_lays_the_same_chat(tmp_path: Path) -> None:
    def dump(name: str, seed: int) -> list[str]:
        tenant = empty_tenant(tmp_path / name, OVERLAY, seed)
        try:
            return list(tenant.db.iterdump())
        finally:
            tenant.close()

    assert dump("a", 1) == dump("b", 1)
    assert dump("c", 2) != dump("d", 1)


def test_laying_again_adds_to_what_is_there(tmp_path: Path) -> None:
    tenant = empty_tenant(tmp_path / "office", OVERLAY)
    more = {
        "people": [{"username": "new_one", "name": "New One"}],
        "chat": {
            "channels": [{"name": "dev", "topic": "T", "messages": [{"from": "new_one", "text": "Hi"}]}],
            "direct": [
                {
                    "between": ["theagentcompany", "alex_turner"],
                    "messages": [{"from": "alex_turner", "text": "Ok"}],
                }
            ],
        },
    }
    lay_over(tenant, parse_overlay(more, "more"))
    rows = tenant.rows(
        "SELECT r.name, m.text, m.at - lag(m.at) OVER (PARTITION BY r.id ORDER BY m.at) AS later FROM chat_messages m"
        " JOIN chat_rooms r ON r.id = m.room ORDER BY r.name IS NULL, m.at"
    )
    assert [tuple(row) for row in rows] == [
        ("dev", "Standup", None),
        ("dev", "Hi", 60_000),
        (None, "Are you there?", None),
        (None, "Yes", 60_000),
        (None, "Ok", 60_000),
    ]
    assert tenant.value("SELECT topic FROM chat_rooms WHERE name = 'dev'") == "T"
    assert tenant.value("SELECT count(*) FROM chat_members WHERE username = 'new_one'") == 2
    assert tenant.value("SELECT count(*) FROM chat_rooms WHERE kind = 'direct'") == 1
    tenant.close()


def test_new_messages_come_after_the_last_also_when_the_clock_is_behind(tmp_path: Path) -> None:
    make_empty(tmp_path / "office")
    tenant = Tenant("late", tmp_path / "office", clock=lambda: 1_000_000.0)
    lay_over(tenant, parse_overlay({"people": PEOPLE, **OVERLAY}, "x"))
    room = store.direct_room(tenant, "alex_turner", "theagentcompany")
    for text in ("One", "Two"):
        store.post_message(tenant, room, "alex_turner", text)
    rows = tenant.rows("SELECT text FROM chat_messages WHERE room = ? ORDER BY at", room)
    assert [row["text"] for row in rows] == ["Are you there?", "Yes", "One", "Two"]
    tenant.close()


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        ({"channels": [{"name": "two words"}]}, "two words"),
        ({"channels": [{"name": "x", "members": ["who"]}]}, "no 'who'"),
        ({"channels": [{"name": "x", "messages": [{"from": "who", "text": ""}]}]}, "no 'who'"),
        ({"direct": [{"between": ["alex_turner", "who"]}]}, "no 'who'"),
        (
            {
                "direct": [
                    {
                        "between": ["alex_turner", "mike_chen"],
                        "messages": [{"from": "sarah_johnson", "text": ""}],
                    }
                ]
            },
            "name them in `between`",
        ),
    ],
)
def test_what_cannot_be_laid(tmp_path: Path, chat: dict[str, Any], words: str) -> None:
    with pytest.raises(OverlayError, match=words):
        empty_tenant(tmp_path / "office", {"chat": chat})


def test_writing_inside_a_transaction_is_a_mistake(tmp_path: Path) -> None:
    tenant = empty_tenant(tmp_path / "office", {})
    with tenant.transaction(), pytest.raises(RuntimeError, match="outside a transaction"):
        store.post_message(tenant, "GENERAL", "alex_turner", "x")
    tenant.close()


def test_the_openapi_document_says_what_is_taken(office: ServedOffice) -> None:
    document = requests.get(f"{office.urls['chat']}/openapi.json", timeout=10).json()
    post = document["paths"]["/api/v1/chat.postMessage"]["post"]
    assert set(post["responses"]) == {"200", "400", "401", "403", "413"}
    reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert "attachments" in document["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    assert post["security"] and "security" not in document["paths"]["/api/v1/login"]["post"]
    assert not any(path.startswith("/channel") for path in document["paths"])
