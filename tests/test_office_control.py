"""Control, as TAC's init and reset scripts use it."""

from pathlib import Path
from typing import Any

import pytest
import requests
from tracker_helpers import served_tracker

from tac_rl.office.base import ServiceName

PROJECT = {"tracker": {"projects": [{"name": "StreamDB", "identifier": "SDB"}]}}
RESETS = {
    "rocketchat": ServiceName.CHAT,
    "gitlab": ServiceName.FORGE,
    "plane": ServiceName.TRACKER,
    "owncloud": ServiceName.DRIVE,
}


def test_every_health_check_answers_get_and_head(tmp_path: Path) -> None:
    with served_tracker(tmp_path, PROJECT) as office:
        for name in (*RESETS, "redis", "sotopia"):
            url = f"{office.urls['control']}/api/healthcheck/{name}"
            got, head = requests.get(url, timeout=10), requests.head(url, timeout=10)
            assert (name, got.status_code, head.status_code) == (name, 200, 200)
            assert got.json()
            assert head.content == b""


def test_the_chats_health_names_its_three_parts(tmp_path: Path) -> None:
    with served_tracker(tmp_path) as office:
        answer = requests.get(f"{office.urls['control']}/api/healthcheck/rocketchat", timeout=10)
    assert answer.json() == {"redis": 200, "rocketchat": 200, "sotopia": 200}


def test_a_tracker_without_projects_is_not_ready(tmp_path: Path) -> None:
    with served_tracker(tmp_path) as office:
        answer = requests.get(f"{office.urls['control']}/api/healthcheck/plane", timeout=10)
    assert (answer.status_code, answer.json()) == (400, {"message": "failed to login"})


@pytest.mark.parametrize("name", RESETS)
def test_a_reset_resets_that_service_and_no_other(tmp_path: Path, name: str) -> None:
    asked: list[Any] = []
    with served_tracker(tmp_path) as office:
        office.tenant.reset = asked.append
        answer = requests.post(f"{office.urls['control']}/api/reset-{name}", timeout=10)
    assert answer.status_code == 202
    assert answer.json()["message"].endswith("command initiated")
    assert asked == [frozenset({RESETS[name]})]


def test_an_office_that_can_not_be_reset_says_so(tmp_path: Path) -> None:
    with served_tracker(tmp_path) as office:
        answer = requests.post(f"{office.urls['control']}/api/reset-plane", timeout=10)
    assert answer.status_code == 501
    assert "can't be reset" in answer.json()["message"]


def test_what_is_not_there_is_not_found_and_a_reset_must_be_posted(tmp_path: Path) -> None:
    with served_tracker(tmp_path) as office:
        control = office.urls["control"]
        assert requests.post(f"{control}/api/reset-jenkins", timeout=10).status_code == 404
        assert requests.get(f"{control}/api/reset-plane", timeout=10).status_code == 405
        assert requests.get(f"{control}/api/changes", timeout=10).status_code == 404
