"""The tracker's pages, as somebody with a browser uses them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import requests
from office_helpers import ServedOffice
from tracker_helpers import served_tracker

OVERLAY: dict[str, Any] = {
    "tracker": {
        "projects": [
            {
                "name": "StreamDB",
                "identifier": "SDB",
                "members": ["alex_turner", "sarah_johnson"],
                "labels": [{"name": "bug"}],
                "cycles": [
                    {"name": "Sprint 1", "start": "2026-03-02", "end": "2026-03-15"},
                    {"name": "Sprint 2", "start": "2126-03-16", "end": "2126-03-29"},
                ],
                "modules": [{"name": "Storage"}],
                "issues": [
                    {
                        "title": "Compaction <script>alert(1)</script> stalls",
                        "description": "Writes stop & <b>never</b> resume.",
                        "assignees": ["alex_turner"],
                        "labels": ["bug"],
                        "cycle": "Sprint 1",
                        "module": "Storage",
                        "comments": [{"from": "sarah_johnson", "text": "<img src=x onerror=alert(1)>"}],
                    },
                    {"title": "Write the manual", "state": "Done"},
                ],
            }
        ]
    }
}


@contextmanager
def browsing(
    folder: Path, email: str = "agent@company.com"
) -> Iterator[tuple[requests.Session, str, ServedOffice]]:
    """A browser that has signed in at the office of `OVERLAY`."""
    with served_tracker(folder, OVERLAY) as office, requests.Session() as browser:
        tracker = office.urls["tracker"]
        answer = browser.post(
            f"{tracker}/sign-in", data={"email": email, "password": "theagentcompany"}, timeout=10
        )
        assert answer.url == f"{tracker}/tac/projects", answer.text
        yield browser, tracker, office


def page(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    return answer.text


def link(html: str, text: str) -> str:
    found = re.search(rf'<a href="([^"]+)"[^>]*>{re.escape(text)}</a>', html)
    assert found, f"no link {text!r} in {html}"
    return unescape(found[1])


def project_page(browser: requests.Session, tracker: str) -> tuple[str, str]:
    """Address of the project's issues, and that page."""
    home = page(browser.get(f"{tracker}/tac/projects/", timeout=10))
    address = tracker + link(home, "StreamDB")
    return address, page(browser.get(address, timeout=10))


def issue_address(browser: requests.Session, tracker: str, name: str = "Write the manual") -> str:
    return tracker + link(project_page(browser, tracker)[1], name)


def state_id(html: str, name: str) -> str:
    found = re.search(rf'<option value="([0-9a-f-]+)"[^>]*>{name}</option>', html)
    assert found
    return found[1]


def test_signing_in_asks_for_the_email_first_and_then_for_the_password(tmp_path: Path) -> None:
    with served_tracker(tmp_path, OVERLAY) as office, requests.Session() as browser:
        tracker = office.urls["tracker"]
        first = page(browser.get(tracker, timeout=10))
        assert 'aria-label="Email"' in first and ">Continue</button>" in first
        second = page(browser.post(f"{tracker}/sign-in", data={"email": "agent@company.com"}, timeout=10))
        assert 'aria-label="Enter password"' in second and ">Go to workspace</button>" in second
        form = {"email": "agent@company.com", "password": "theagentcompany"}
        done = browser.post(f"{tracker}/sign-in", data=form, timeout=10)
        assert done.url == f"{tracker}/tac/projects"
        assert browser.get(tracker, timeout=10).url == f"{tracker}/tac/projects"
        browser.post(f"{tracker}/sign-out", timeout=10)
        assert browser.get(f"{tracker}/tac/projects", timeout=10).url.startswith(f"{tracker}/?next_path=")


def test_wrong_credentials_are_told_and_give_no_session(tmp_path: Path) -> None:
    with served_tracker(tmp_path, OVERLAY) as office, requests.Session() as browser:
        tracker = office.urls["tracker"]
        for form in (
            {"email": "nobody@company.com", "password": "theagentcompany"},
            {"email": "agent@company.com", "password": "guess"},
            {"email": "' OR 1=1 --", "password": "theagentcompany"},
        ):
            answer = browser.post(f"{tracker}/sign-in", data=form, timeout=10)
            assert (answer.status_code, 'role="alert"' in answer.text) == (401, True)
            assert not browser.cookies
        forged = {"session-id": "x' OR '1'='1"}
        answer = browser.get(f"{tracker}/tac/projects", cookies=forged, timeout=10)
        assert answer.url.startswith(f"{tracker}/?next_path=")


def test_after_signing_in_nobody_is_led_out_of_the_office(tmp_path: Path) -> None:
    with served_tracker(tmp_path, OVERLAY) as office, requests.Session() as browser:
        form = {"email": "agent@company.com", "password": "theagentcompany"}
        for evil in ("https://evil.example", "//evil.example", "/\\evil.example"):
            answer = browser.post(
                f"{office.urls['tracker']}/sign-in",
                data={**form, "next_path": evil},
                allow_redirects=False,
                timeout=10,
            )
            assert answer.headers["Location"] == "/tac/projects"


def test_issues_are_listed_by_state_and_what_people_wrote_is_escaped(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        _, html = project_page(browser, tracker)
        assert html.index("Backlog") < html.index("Compaction") < html.index("Done") < html.index("Write the")
        assert "Alex Turner" in html and "<script" not in html
        detail = page(
            browser.get(
                issue_address(browser, tracker, "Compaction &lt;script&gt;alert(1)&lt;/script&gt; stalls"),
                timeout=10,
            )
        )
        assert "Writes stop &amp; &lt;b&gt;never&lt;/b&gt; resume." in detail
        assert "<img" not in detail and "<script" not in detail
        assert "Sarah Johnson" in detail


def test_an_issue_is_changed_and_commented_with_forms(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        address = issue_address(browser, tracker)
        html = page(browser.get(address, timeout=10))
        form = {
            "state": state_id(html, "In Progress"),
            "priority": "high",
            "with_assignees": "1",
            "assignees": ["alex_turner", "sarah_johnson", "mike_chen"],
            "target_date": "2026-04-01",
            "cycle": state_id(html, "Sprint 2"),
        }
        html = page(browser.post(address, data=form, timeout=10))
        assert re.search(r"<option value=\"[0-9a-f-]+\" selected>In Progress</option>", html)
        assert re.search(r"<option value=\"[0-9a-f-]+\" selected>Sprint 2</option>", html)
        assert 'value="high" selected' in html and 'value="2026-04-01"' in html
        assert 'value="alex_turner" checked' in html
        assert 'value="mike_chen" checked' not in html, "somebody who is not a member was assigned"
        html = page(
            browser.post(f"{address}/comments", data={"comment": "Done <soon>\n\nI hope"}, timeout=10)
        )
        assert "Done &lt;soon&gt;" in html and "The Agent" in html


def test_changing_one_property_leaves_the_description_as_it_was(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, office):
        name = "Compaction &lt;script&gt;alert(1)&lt;/script&gt; stalls"
        address = issue_address(browser, tracker, name)
        query = "SELECT description_html FROM tracker_issues WHERE name LIKE 'Compaction%'"
        before = office.call(office.tenant.value, query)
        text = "Writes stop & <b>never</b> resume."
        page(browser.post(address, data={"priority": "low", "description": text}, timeout=10))
        assert office.call(office.tenant.value, query) == before


def test_projects_issues_cycles_and_modules_are_created_with_forms(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        form = {"name": "Backend Development", "identifier": "back"}
        answer = browser.post(f"{tracker}/tac/projects", data=form, timeout=10)
        issues = answer.url
        assert "Backend Development (BACK)" in page(answer)
        home = issues.removesuffix("/issues")
        members = browser.post(
            f"{home}/settings/members", data={"add": ["alex_turner", "mike_chen"]}, timeout=10
        )
        assert members.url == f"{home}/settings/members" and "mikechen" in page(members)
        form = {"name": "Write unit tests", "with_assignees": "1", "assignees": "mike_chen"}
        made = page(browser.post(issues, data=form, timeout=10))
        assert "BACK-1 Write unit tests" in made and 'value="mike_chen" checked' in made
        form = {"name": "Sprint 1", "start_date": "2026-03-02", "end_date": "2026-03-09"}
        assert "2026-03-02 to 2026-03-09" in page(browser.post(f"{home}/cycles", data=form, timeout=10))
        assert "planned" in page(browser.post(f"{home}/modules", data={"name": "M1"}, timeout=10))
        assert browser.get(f"{tracker}/tac/browse/BACK-1", timeout=10).url.startswith(f"{home}/issues/")


def test_issues_move_between_cycles(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        address, html = project_page(browser, tracker)
        cycles = page(browser.get(address.removesuffix("issues") + "cycles", timeout=10))
        assert "Completed" in cycles and "Upcoming" in cycles
        first, second = (tracker + link(cycles, name) for name in ("Sprint 1", "Sprint 2"))
        done = link(html, "Write the manual").rpartition("/")[2]
        assert "Write the manual" in page(browser.post(first, data={"add": done}, timeout=10))
        page(browser.post(first, data={"transfer_to": second.rpartition("/")[2]}, timeout=10))
        after = page(browser.get(second, timeout=10))
        assert "Compaction" in after.partition("</table>")[0]
        assert "Write the manual" not in after.partition("</table>")[0], "a finished issue was moved"


def test_analytics_counts_issues_by_state(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        html = page(browser.get(f"{tracker}/tac/analytics", timeout=10))
    assert re.search(r"Open tasks</th><td>1<", html)
    assert re.search(r"Completed</th><td>1<", html)
    assert re.search(r"Unassigned issues</th><td>1<", html)
    assert "Pending issues: 1" in html


def test_a_project_is_deleted_by_writing_its_name(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        home = project_page(browser, tracker)[0].removesuffix("/issues")
        assert browser.post(f"{home}/delete", data={"name": "Stream"}, timeout=10).status_code == 400
        assert (
            browser.post(f"{home}/delete", data={"name": "StreamDB"}, timeout=10).url
            == f"{tracker}/tac/projects"
        )
        assert browser.get(f"{home}/issues", timeout=10).status_code == 403


def test_colleagues_see_their_projects_and_can_not_administer_them(tmp_path: Path) -> None:
    with browsing(tmp_path, "alex.turner@agentcompany.com") as (browser, tracker, _):
        home = project_page(browser, tracker)[0].removesuffix("/issues")
        answer = browser.post(f"{home}/settings/members", data={"add": "mike_chen"}, timeout=10)
        assert (answer.status_code, "permission" in answer.text) == (403, True)


def test_bad_forms_are_told_in_words(tmp_path: Path) -> None:
    with browsing(tmp_path) as (browser, tracker, _):
        address, _ = project_page(browser, tracker)
        issue = issue_address(browser, tracker)
        for url, form in (
            (address, {"name": ""}),
            (address, {"name": "x" * 300}),
            (issue, {"state": "no uuid"}),
            (issue, {"target_date": "tomorrow"}),
            (issue, {"priority": "very"}),
            (f"{issue}/comments", {"comment": " "}),
            (f"{tracker}/tac/projects", {"name": "a", "identifier": ""}),
        ):
            answer = browser.post(url, data=form, timeout=10)
            assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), form
        many = "&".join(f"f{number}=1" for number in range(600))
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert browser.post(issue, data=many, headers=headers, timeout=10).status_code == 400
        assert (
            browser.post(issue, data=b"name=" + b"x" * 3_000_000, headers=headers, timeout=10).status_code
            == 413
        )
        assert browser.get(f"{tracker}/tac/nothing", timeout=10).status_code == 404
