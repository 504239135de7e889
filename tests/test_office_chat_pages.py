"""The chat's pages, as a person without JavaScript uses them: follow links, fill in forms."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
import requests
from office_helpers import ServedOffice, served_office

from tac_rl.office.base import ServiceName

NASTY = "<script>alert('x')</script> & https://example.org/?a=1&b=2 javascript:alert(1)"
OVERLAY = {
    "chat": {
        "channels": [
            {"name": "dev", "topic": "<b>Code</b>", "members": ["alex_turner"]},
            {"name": "board", "private": True, "owner": "sarah_johnson"},
        ],
        "direct": [
            {
                "between": ["sarah_johnson", "mike_chen"],
                "messages": [{"from": "mike_chen", "text": "Between us"}],
            }
        ],
    }
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[ServedOffice]:
    with served_office(tmp_path, OVERLAY, services=[ServiceName.CHAT]) as served:
        yield served


class Browser(requests.Session):
    """Keeps cookies, follows redirects, and is logged in."""

    def __init__(self, office: ServedOffice, username: str = "theagentcompany") -> None:
        super().__init__()
        self.root = office.urls["chat"]
        self.send_form("/login", user=username, password="theagentcompany")

    def page(self, path: str) -> str:
        answer = self.get(self.root + path, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send_form(self, path: str, /, **fields: str) -> requests.Response:
        return self.post(self.root + path, fields, timeout=10)


def test_a_scripted_login_finds_fields_without_names(office: ServedOffice) -> None:
    """OpenHands' harness for TAC looks for `textbox ''`, twice, and for a button `Login`."""
    page = requests.get(office.urls["chat"], timeout=10).text
    fields = re.findall(r"<input [^>]*>", page.replace('type="hidden"', ""))
    assert len(fields) == 3 and "autofocus" in page and "<button>Login</button>" in page
    for name in ("<label", "placeholder", "aria-", "title="):
        assert name not in page.partition("<form")[2]


def test_logging_in_where_one_wanted_to_go(office: ServedOffice) -> None:
    session = requests.Session()
    root = office.urls["chat"]
    form = session.get(f"{root}/channel/dev?before=9", timeout=10)
    assert form.status_code == 200 and "<h1>Login</h1>" in form.text and "#dev" not in form.text
    wanted = unescape(re.search(r'name="next" value="([^"]*)"', form.text)[1])
    assert wanted == "/channel/dev?before=9"
    sent = {"user": "alex_turner", "password": "wrong", "next": wanted}
    refused = session.post(f"{root}/login", sent, timeout=10)
    assert refused.status_code == 401 and "incorrect password" in refused.text
    entered = session.post(f"{root}/login", sent | {"password": "theagentcompany"}, timeout=10)
    assert entered.url == f"{root}/channel/dev?before=9"
    cookies = {cookie.name: cookie for cookie in session.cookies}
    assert cookies["rc_token"].has_nonstandard_attr("HttpOnly")
    session.post(f"{root}/logout", timeout=10)
    assert "<h1>Login</h1>" in session.get(f"{root}/home", timeout=10).text


@pytest.mark.parametrize(
    "target", ["https://example.org/", "//example.org", "/\\example.org", "javascript:x", "/\n/x"]
)
def test_a_login_never_leads_elsewhere(office: ServedOffice, target: str) -> None:
    sent = {"user": "alex_turner", "password": "theagentcompany", "next": target}
    entered = requests.post(f"{office.urls['chat']}/login", sent, allow_redirects=False, timeout=10)
    assert entered.headers["Location"] == "/home"


def test_writing_answering_and_reacting(office: ServedOffice) -> None:
    alex, agent = Browser(office, "alex_turner"), Browser(office)
    alex.send_form("/channel/dev/message", text="First line\r\nSecond line")
    page = agent.page("/channel/dev")
    assert "First line\nSecond line" in page and "Alex Turner" in page
    message = re.search(r'class="message" id="(\w+)"', page)[1]
    agent.send_form("/channel/dev/message", text="An answer", thread=message)
    assert "1 replies" in agent.page("/channel/dev") and "An answer" not in agent.page("/channel/dev")
    assert "An answer" in agent.page(f"/channel/dev/thread/{message}")
    agent.send_form(f"/message/{message}", action="react", emoji="tada", next="/channel/dev")
    assert ":tada: theagentcompany" in agent.page("/channel/dev")
    alex.send_form(f"/message/{message}", action="edit", text="Changed")
    assert "Changed" in agent.page("/channel/dev") and "edited" in agent.page("/channel/dev")
    agent.send_form(f"/message/{message}", action="pin")
    assert "pinned" in alex.page("/channel/dev")
    mike = Browser(office, "mike_chen")
    assert mike.send_form(f"/message/{message}", action="delete").status_code == 400
    alex.send_form(f"/message/{message}", action="delete")
    assert "Changed" not in agent.page("/channel/dev")
    long = alex.send_form("/channel/dev/message", text="x" * 5001)
    assert long.status_code == 400 and "error-message-size-exceeded" in long.text and "x" * 5001 in long.text
    assert "Write something first" in alex.send_form("/channel/dev/message", text=" ").text


def test_direct_messages(office: ServedOffice) -> None:
    agent, mike = Browser(office), Browser(office, "mike_chen")
    assert "No messages yet" in agent.page("/direct/mike_chen")
    sent = agent.send_form("/direct/mike_chen/message", text="Hello Mike")
    assert sent.url.startswith(f"{agent.root}/direct/mike_chen#") and "Hello Mike" in sent.text
    home = mike.page("/home")
    assert re.search(r'<a href="/direct/theagentcompany">The Agent</a>\s*<span class="unread">1</span>', home)
    assert "Hello Mike" in mike.page("/direct/theagentcompany")
    assert 'class="unread"' not in mike.page("/home")


def test_whatever_is_written_is_shown_as_text(office: ServedOffice) -> None:
    agent = Browser(office)
    agent.send_form("/channel/dev/message", text=NASTY)
    agent.send_form("/channel/dev/settings", topic=NASTY, announcement=NASTY, description=NASTY)
    agent.send_form("/admin/users", username="nasty", name=NASTY, email="n@x.com", password="p")
    for path in ("/channel/dev", "/channel/dev/settings", "/directory", "/search?q=alert", "/admin/users"):
        answer = agent.get(agent.root + path, timeout=10)
        assert "&lt;script&gt;" in answer.text and "<script" not in answer.text, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = agent.page("/channel/dev")
    assert 'href="https://example.org/?a=1&amp;b=2"' in page and 'href="javascript' not in page
    assert "<script" not in agent.page("/directory?q=<script>") + agent.page('/search?q="><script>')


def test_rooms_are_made_and_looked_after(office: ServedOffice) -> None:
    agent = Browser(office)
    made = agent.send_form("/create", name="finance-talk", topic="Money", members="alex_turner, mike_chen")
    assert (
        made.url == f"{agent.root}/channel/finance-talk" and "3 members" in made.text and "Money" in made.text
    )
    assert "is not a valid room name" in agent.send_form("/create", name="two words").text
    assert "There is no who" in agent.send_form("/create", name="other", members="who").text
    assert agent.send_form("/create", name="quiet", private="yes").url == f"{agent.root}/group/quiet"
    members = "/channel/finance-talk/members"
    agent.send_form(members, action="invite", username="@sarah_johnson")
    agent.send_form(members, action="add", username="mike_chen", role="leader")
    agent.send_form(members, action="kick", username="alex_turner")
    page = agent.page(members)
    assert "@sarah_johnson" in page and "leader" in page and "@alex_turner" not in page
    assert (
        "already a leader" in agent.send_form(members, action="add", username="mike_chen", role="leader").text
    )
    renamed = agent.send_form("/channel/finance-talk/settings", name="money-talk", topic="More")
    assert renamed.url == f"{agent.root}/channel/money-talk" and "More" in renamed.text
    agent.send_form("/channel/money-talk/settings", action="archive")
    assert "archived" in agent.send_form("/channel/money-talk/message", text="x").text
    agent.send_form("/channel/money-talk/settings", action="delete")
    assert agent.get(f"{agent.root}/channel/money-talk", timeout=10).status_code == 404
    mike = Browser(office, "mike_chen")
    assert mike.send_form("/channel/dev/settings", topic="Mine").status_code == 400
    joined = mike.send_form("/channel/dev/join")
    assert "2 members" not in joined.text and "3 members" in joined.text
    assert mike.send_form("/channel/dev/leave").url == f"{mike.root}/home"


def test_accounts_are_administrators_business(office: ServedOffice) -> None:
    agent, alex = Browser(office), Browser(office, "alex_turner")
    assert alex.get(f"{alex.root}/admin/users", timeout=10).status_code == 403
    assert alex.send_form("/admin/users", action="delete", username="mike_chen").status_code == 403
    agent.send_form("/admin/users", username="new.one", name="New One", email="n@x.com", password="secret")
    agent.send_form("/admin/users", action="delete", username="mike_chen")
    page = agent.page("/admin/users")
    assert "@new.one" in page and "@mike_chen" not in page
    assert (
        "already in use"
        in agent.send_form(
            "/admin/users", username="new.one", name="Again", email="m@x.com", password="secret"
        ).text
    )


def test_what_is_not_mine_stays_hidden(office: ServedOffice) -> None:
    agent = Browser(office)
    assert "Between us" not in agent.page("/search?q=between")
    assert "Between us" in Browser(office, "mike_chen").page("/search?q=between")
    message = office.call(office.tenant.value, "SELECT id FROM chat_messages WHERE text = 'Between us'")
    room = office.call(office.tenant.value, "SELECT room FROM chat_messages WHERE id = ?", message)
    for path in (
        "/group/board",
        "/channel/board",
        "/group/board/members",
        f"/direct/{room}",
        "/channel/nothing",
    ):
        assert agent.get(agent.root + path, timeout=10).status_code == 404, path
    assert agent.get(f"{agent.root}/message/{message}", timeout=10).status_code == 400
    assert "board" not in agent.page("/directory")
    nothing = agent.get(f"{agent.root}/no/such/page", timeout=10)
    assert nothing.status_code == 404 and nothing.headers["Content-Type"].startswith("text/html")


def test_a_form_on_another_site_is_refused(office: ServedOffice) -> None:
    agent = Browser(office)
    for origin in ("https://example.org", "null"):
        for path in ("/channel/dev/message", "/channel/dev/upload"):
            refused = agent.post(agent.root + path, {"text": "x"}, headers={"Origin": origin}, timeout=10)
            assert refused.status_code == 403
    ours = agent.post(
        f"{agent.root}/channel/dev/message", {"text": "x"}, headers={"Origin": agent.root}, timeout=10
    )
    assert ours.status_code == 200


def test_files_and_older_messages(office: ServedOffice) -> None:
    agent = Browser(office)
    sent = agent.post(
        f"{agent.root}/channel/dev/upload", files={"file": ("a b.txt", b"words", "text/plain")}, timeout=10
    )
    link = re.search(r'href="(/file-upload/[^"]+)">a b.txt', sent.text)[1]
    assert agent.page(link) == "words"
    for number in range(51):
        agent.send_form("/channel/dev/message", text=f"number {number}.")
    page = agent.page("/channel/dev")
    assert "number 50." in page and "number 0." not in page
    older = agent.page(unescape(re.search(r'href="([^"]+before=\d+)"', page)[1]))
    assert "number 0." in older and "a b.txt" in older and "number 1." not in older
