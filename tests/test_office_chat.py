"""The chat, driven by a client that none of us wrote: the PyPI library rocketchat_API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from office_helpers import ServedOffice, served_office
from rocketchat_API.APIExceptions.RocketExceptions import RocketApiException, RocketAuthenticationException
from rocketchat_API.rocketchat import RocketChat

from tac_rl.office.base import ServiceName

CHAT = {
    "channels": [
        {
            "name": "dev",
            "topic": "Code",
            "members": ["alex_turner", "sarah_johnson"],
            "moderators": ["sarah_johnson"],
            "messages": [
                {
                    "from": "alex_turner",
                    "text": "Good morning @theagentcompany",
                    "at": "2026-03-02T10:00:00Z",
                },
                {
                    "from": "sarah_johnson",
                    "text": "Who knows about #general?",
                    "reactions": {"thumbsup": ["alex_turner"]},
                    "replies": [{"from": "alex_turner", "text": "I do"}],
                },
            ],
        },
        {"name": "board", "private": True, "owner": "sarah_johnson", "members": ["mike_chen"]},
    ],
    "direct": [
        {
            "between": ["alex_turner", "theagentcompany"],
            "messages": [{"from": "alex_turner", "text": "Hello"}],
        }
    ],
}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[ServedOffice]:
    with served_office(tmp_path, {"chat": CHAT}, services=[ServiceName.CHAT]) as served:
        yield served


def log_in(office: ServedOffice, username: str = "theagentcompany") -> RocketChat:
    return RocketChat(username, "theagentcompany", server_url=office.urls["chat"])


def user_id(rocket: RocketChat, username: str) -> str:
    found: str = rocket.users_info(username=username)["user"]["_id"]
    return found


def room_id(rocket: RocketChat, channel: str) -> str:
    found: str = rocket.channels_info(channel=channel)["channel"]["_id"]
    return found


def test_logging_in_out_and_who_i_am(office: ServedOffice) -> None:
    rocket = log_in(office)
    assert rocket.info()["info"]["version"] == "5.3.0"
    me = rocket.me()
    assert (me["username"], me["success"], "admin" in me["roles"]) == ("theagentcompany", True, True)
    rocket.logout()
    with pytest.raises(RocketApiException) as refused:
        rocket.me()
    assert refused.value.status_code == 401
    assert refused.value.response_json["message"] == "You must be logged in to do this."
    assert log_in(office, "alex.turner@agentcompany.com").me()["username"] == "alex_turner"
    with pytest.raises(RocketAuthenticationException):
        RocketChat("alex_turner", "wrong", server_url=office.urls["chat"])


def test_accounts_are_made_changed_and_deleted_by_administrators_only(office: ServedOffice) -> None:
    admin, alex = log_in(office), log_in(office, "alex_turner")
    made = admin.users_create("new@x.com", "New Person", "secret", "new.person")["user"]
    assert made["emails"] == [{"address": "new@x.com", "verified": True}]
    assert RocketChat("new.person", "secret", server_url=office.urls["chat"]).me()["_id"] == made["_id"]
    assert "new.person" in [m["username"] for m in admin.channels_members(channel="general")]

    with pytest.raises(RocketApiException, match="already in use") as taken:
        admin.users_create("other@x.com", "Other", "secret", "New.Person")
    assert taken.value.error_type == "error-field-unavailable"
    for email, username, kind in (
        ("nothing", "fine", "error-invalid-email"),
        ("a@b.c", "two words", "error-input-is-not-a-valid-field"),
    ):
        with pytest.raises(RocketApiException) as refused:
            admin.users_create(email, "Name", "secret", username)
        assert refused.value.error_type == kind

    changed = admin.users_update(made["_id"], name="Renamed", username="renamed")["user"]
    assert (changed["_id"], changed["name"], changed["username"]) == (made["_id"], "Renamed", "renamed")
    admin.users_set_active_status(made["_id"], False)
    with pytest.raises(RocketAuthenticationException):
        RocketChat("renamed", "secret", server_url=office.urls["chat"])

    for forbidden in (
        lambda: alex.users_create("x@y.z", "X", "secret", "x"),
        lambda: alex.users_delete(made["_id"]),
        lambda: alex.users_update(made["_id"], name="Y"),
    ):
        with pytest.raises(RocketApiException):
            forbidden()
    admin.users_delete(made["_id"])
    with pytest.raises(RocketApiException, match="User not found"):
        admin.users_info(username="renamed")


def test_somebody_deleted_takes_their_messages_along_and_does_not_come_back(office: ServedOffice) -> None:
    rocket = log_in(office)
    alex = user_id(rocket, "alex_turner")
    rocket.users_delete(alex)
    assert [m["u"]["username"] for m in rocket.channels_history(room_id(rocket, "dev"))] == ["sarah_johnson"]
    assert "alex_turner" not in [u["username"] for u in rocket.users_list()]
    assert list(rocket.dm_list()) == []
    again = rocket.users_create("alex@x.com", "Alex Again", "secret", "alex_turner")["user"]
    assert again["_id"] != alex


def test_rooms_of_somebody_deleted_have_a_new_owner_or_go(office: ServedOffice) -> None:
    agent, sarah = log_in(office), log_in(office, "sarah_johnson")
    sarah.channels_create("alone")
    agent.users_delete(user_id(agent, "sarah_johnson"))
    assert [c["name"] for c in agent.channels_list()] == ["dev", "general"]
    mike = log_in(office, "mike_chen")
    [board] = mike.groups_list()
    roles = mike.groups_roles(room_id=board["_id"])["roles"]
    assert [(entry["u"]["username"], entry["roles"]) for entry in roles] == [("mike_chen", ["owner"])]


def test_presence_and_faces(office: ServedOffice) -> None:
    rocket = log_in(office)
    assert rocket.users_get_presence(username="alex_turner")["presence"] == "online"
    log_in(office, "alex_turner").users_set_status("At lunch", status="away")
    assert rocket.users_get_presence(user_id=user_id(rocket, "alex_turner"))["presence"] == "away"
    assert rocket.users_info(username="alex_turner")["user"]["statusText"] == "At lunch"
    with pytest.raises(RocketApiException, match="status types"):
        rocket.users_set_status("x", status="asleep")
    assert rocket.users_get_avatar(username="alex_turner").startswith("<svg")


def test_only_administrators_see_addresses(office: ServedOffice) -> None:
    seen = {u["username"]: u for u in log_in(office, "alex_turner").users_list()}
    assert "emails" in seen["alex_turner"] and "emails" not in seen["sarah_johnson"]
    assert all("emails" in user for user in log_in(office).users_list())


def test_channels_are_listed_page_by_page(office: ServedOffice) -> None:
    rocket = log_in(office)
    for number in range(7):
        rocket.channels_create(f"room{number}")
    names = [channel["name"] for channel in rocket.channels_list(count=3)]
    assert names == ["dev", "general", *(f"room{number}" for number in range(7))]
    page = rocket.call_api_get("channels.list", count=3, offset=6)
    assert (page["count"], page["offset"], page["total"]) == (3, 6, 9)
    newest_first = rocket.call_api_get("channels.list", sort='{"ts": -1}', count=1)["channels"]
    assert newest_first[0]["name"] == "room6"
    assert len(rocket.call_api_get("channels.list", count=0)["channels"]) == 9
    assert [c["name"] for c in log_in(office, "mike_chen").channels_list_joined()] == ["general"]


def test_a_channel_has_a_life(office: ServedOffice) -> None:
    rocket = log_in(office)
    mike = user_id(rocket, "mike_chen")
    made = rocket.channels_create("plans", members=["alex_turner", "nobody"])["channel"]
    assert (made["t"], made["usersCount"], made["u"]["username"]) == ("c", 2, "theagentcompany")
    channel = made["_id"]
    assert rocket.channels_invite(channel, mike)["channel"]["usersCount"] == 3
    assert rocket.channels_kick(channel, mike)["channel"]["usersCount"] == 2
    assert rocket.channels_set_topic(channel, "Now")["topic"] == "Now"
    assert rocket.channels_set_description(channel, "Why")["description"] == "Why"
    assert rocket.channels_set_announcement(channel, "Look")["announcement"] == "Look"
    assert (
        rocket.call_api_post("channels.setPurpose", roomId=channel, purpose="Because")["purpose"] == "Because"
    )
    info = rocket.channels_info(room_id=channel)["channel"]
    assert (info["topic"], info["description"], info["announcement"]) == ("Now", "Because", "Look")
    assert rocket.channels_rename(channel, "plans-2")["channel"]["name"] == "plans-2"
    assert rocket.channels_set_read_only(channel, True)["channel"]["ro"] is True
    rocket.channels_archive(channel)
    with pytest.raises(RocketApiException) as refused:
        rocket.channels_invite(channel, mike)
    assert refused.value.error_type == "error-room-archived"
    rocket.channels_unarchive(channel)
    assert rocket.channels_set_type(channel, "p")["channel"]["t"] == "p"
    assert rocket.groups_set_type(channel, "c")["group"]["t"] == "c"
    rocket.channels_set_default(channel, True)
    rocket.channels_close(channel)
    rocket.channels_open(channel)
    assert rocket.channels_counters(room_id=channel)["members"] == 2
    log_in(office, "alex_turner").users_set_status("", status="offline")
    assert [u["username"] for u in rocket.channels_online(channel)["online"]] == ["theagentcompany"]
    rocket.channels_add_all(channel)
    assert rocket.channels_counters(room_name="plans-2")["members"] == 4
    kinds = {message.get("t") for message in rocket.channels_history(channel)}
    assert {"au", "ru", "r", "room_changed_topic", "room-archived"} <= kinds
    rocket.channels_delete(channel="plans-2")
    with pytest.raises(RocketApiException) as gone:
        rocket.channels_info(channel="plans-2")
    assert gone.value.error_type == "error-room-not-found"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("general", "error-duplicate-channel-name"), ("two words", "error-invalid-room-name"), ("a/../b", None)],
)
def test_a_channel_needs_a_name_of_its_own(office: ServedOffice, name: str, kind: str | None) -> None:
    with pytest.raises(RocketApiException) as refused:
        log_in(office).channels_create(name)
    assert refused.value.error_type == (kind or "error-invalid-room-name")


def test_roles_of_a_channel(office: ServedOffice) -> None:
    rocket = log_in(office)
    channel, alex = room_id(rocket, "dev"), user_id(rocket, "alex_turner")
    assert [u["username"] for u in rocket.channels_moderators(channel="dev")["moderators"]] == [
        "sarah_johnson"
    ]
    rocket.channels_add_moderator(channel, alex)
    rocket.channels_add_owner(channel, user_id=alex)
    rocket.channels_add_leader(channel, alex)
    held = {
        entry["u"]["username"]: entry["roles"] for entry in rocket.channels_roles(room_id=channel)["roles"]
    }
    assert held["alex_turner"] == ["owner", "moderator", "leader"]
    for role in ("owner", "moderator", "leader"):
        assert "alex_turner" in [u["username"] for u in rocket.roles_get_users_in_role(role)]
    assert [u["username"] for u in rocket.roles_get_users_in_role("leader", roomId="GENERAL")] == []
    rocket.channels_remove_moderator(channel, alex)
    rocket.channels_remove_leader(channel, alex)
    with pytest.raises(RocketApiException) as not_one:
        rocket.channels_remove_leader(channel, alex)
    assert not_one.value.error_type == "error-user-not-leader"
    rocket.channels_remove_owner(channel, user_id(rocket, "theagentcompany"))
    with pytest.raises(RocketApiException) as last:
        rocket.channels_remove_owner(channel, alex)
    assert last.value.error_type == "error-remove-last-owner"
    with pytest.raises(RocketApiException) as outside:
        rocket.channels_add_moderator(channel, user_id(rocket, "mike_chen"))
    assert outside.value.error_type == "error-user-not-in-room"
    rocket.roles_add_user_to_role("admin", "alex_turner")
    assert [u["username"] for u in rocket.roles_get_users_in_role("admin")] == [
        "alex_turner",
        "theagentcompany",
    ]
    rocket.roles_remove_user_from_role("admin", "alex_turner")
    assert {"moderator", "owner", "admin"} <= {role["_id"] for role in rocket.roles_list()["roles"]}


def test_what_members_may_not_do(office: ServedOffice) -> None:
    alex = log_in(office, "alex_turner")
    channel, mike = room_id(alex, "dev"), user_id(alex, "mike_chen")
    for forbidden in (
        lambda: alex.channels_invite(channel, mike),
        lambda: alex.channels_kick(channel, user_id(alex, "sarah_johnson")),
        lambda: alex.channels_set_topic(channel, "Mine"),
        lambda: alex.channels_rename(channel, "mine"),
        lambda: alex.channels_delete(room_id=channel),
        lambda: alex.channels_archive(channel),
        lambda: alex.channels_add_moderator(channel, mike),
        lambda: alex.channels_set_default(channel, True),
        lambda: alex.groups_list_all(),
        lambda: alex.roles_get_users_in_role("owner"),
        lambda: alex.rooms_admin_rooms(),
    ):
        with pytest.raises(RocketApiException):
            forbidden()
    assert alex.channels_info(channel="dev")["channel"]["topic"] == "Code"
    log_in(office, "sarah_johnson").channels_invite(channel, mike)  # a moderator may


def test_joining_and_leaving(office: ServedOffice) -> None:
    mike, admin = log_in(office, "mike_chen"), log_in(office)
    channel = room_id(mike, "dev")
    admin.channels_set_join_code(channel, "sesame")
    with pytest.raises(RocketApiException) as wrong:
        mike.channels_join(channel, "parsley")
    assert wrong.value.error_type == "error-code-invalid"
    mike.channels_join(channel, "sesame")
    mike.channels_leave(channel)
    with pytest.raises(RocketApiException, match="not in this room"):
        mike.channels_leave(channel)
    with pytest.raises(RocketApiException) as last:
        admin.channels_leave(channel)
    assert last.value.error_type == "error-you-are-last-owner"


def test_groups_are_their_members_own(office: ServedOffice) -> None:
    sarah, agent = log_in(office, "sarah_johnson"), log_in(office)
    [board] = sarah.groups_list()
    group = board["_id"]
    assert [g["name"] for g in agent.groups_list_all()] == ["board"]
    for closed in (
        lambda: agent.groups_info(room_name="board"),
        lambda: agent.groups_history(group),
        lambda: agent.groups_members(room_id=group),
        lambda: agent.chat_post_message("hi", room_id=group),
        lambda: agent.chat_search(group, "x"),
        lambda: agent.rooms_info(room_id=group),
    ):
        with pytest.raises(RocketApiException):
            closed()
    sarah.groups_invite(group, user_id(sarah, "theagentcompany"))
    agent.chat_post_message("Hello board", channel="#board")
    assert [m["msg"] for m in sarah.groups_history(group, count=1)] == ["Hello board", "theagentcompany"]
    assert {m["username"] for m in agent.groups_members(group="board")} == {
        "mike_chen",
        "sarah_johnson",
        "theagentcompany",
    }
    agent.groups_leave(group)
    secret = sarah.groups_create("plot", members=["mike_chen"])["group"]
    assert secret["t"] == "p"
    for done in (
        sarah.groups_set_topic(secret["_id"], "hush"),
        sarah.groups_set_description(secret["_id"], "d"),
        sarah.groups_set_announcement(secret["_id"], "a"),
        sarah.groups_set_read_only(secret["_id"], True),
        sarah.groups_add_moderator(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_remove_moderator(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_add_leader(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_remove_leader(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_add_owner(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_remove_owner(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_rename(secret["_id"], "plot-2"),
        sarah.groups_close(secret["_id"]),
        sarah.groups_open(secret["_id"]),
        sarah.groups_kick(secret["_id"], user_id(sarah, "mike_chen")),
        sarah.groups_roles(room_id=secret["_id"]),
        sarah.groups_moderators(group="plot-2"),
        sarah.groups_archive(secret["_id"]),
        sarah.groups_unarchive(secret["_id"]),
        sarah.groups_online(secret["_id"]),
        sarah.groups_delete(group="plot-2"),
    ):
        assert done["success"] is True
    assert list(sarah.groups_files(room_name="board")) == []


def test_direct_rooms(office: ServedOffice) -> None:
    agent, mike = log_in(office), log_in(office, "mike_chen")
    [known] = agent.dm_list()
    assert set(known["usernames"]) == {"alex_turner", "theagentcompany"}
    made = agent.dm_create("mike_chen")["room"]
    assert made["rid"] == made["_id"] == agent.dm_create("mike_chen")["room"]["_id"]
    agent.chat_post_message("Hi Mike", channel="@mike_chen")
    agent.chat_post_message("Are you there?", channel=made["_id"])
    history = list(mike.dm_history(made["_id"]))
    assert [m["msg"] for m in history] == ["Are you there?", "Hi Mike"]
    assert [m["msg"] for m in mike.dm_messages(username="theagentcompany")] == ["Are you there?", "Hi Mike"]
    assert mike.dm_counters(made["_id"])["unreads"] == 2
    assert len(list(mike.dm_members(made["_id"]))) == 2
    mike.dm_close(made["_id"])
    agent.chat_post_message("Hello?", room_id=made["_id"])
    assert mike.subscriptions_get_one(made["_id"])["subscription"]["open"] is True
    assert mike.dm_set_topic(made["_id"], "Us")["topic"] == "Us"
    assert mike.dm_open(made["_id"])["success"] and list(mike.dm_files(room_id=made["_id"])) == []
    three = agent.dm_create_multiple(["mike_chen", "alex_turner"])["room"]
    assert three["_id"] == agent.dm_create_multiple(["alex_turner", "mike_chen"])["room"]["_id"]
    assert three["usersCount"] == 3
    assert len(list(agent.dm_list_everyone())) == 3
    sarah = log_in(office, "sarah_johnson")
    with pytest.raises(RocketApiException):
        sarah.dm_history(made["_id"])
    with pytest.raises(RocketApiException) as closed:
        agent.dm_messages_others(made["_id"])
    assert closed.value.error_type == "error-endpoint-disabled"
    with pytest.raises(RocketApiException) as nobody:
        agent.dm_create("nobody")
    assert nobody.value.error_type == "error-invalid-user"
    agent.dm_delete(three["_id"])
    assert len(list(agent.dm_list())) == 2


def test_messages_are_written_changed_and_deleted(office: ServedOffice) -> None:
    agent, alex = log_in(office), log_in(office, "alex_turner")
    channel = room_id(agent, "dev")
    posted = agent.chat_post_message(
        "Look @alex_turner and @all in #general: https://example.org/a.",
        channel="dev",
        alias="Bot",
        attachments=[{"title": "T", "text": "inside"}],
    )
    message = posted["message"]
    assert (posted["channel"], message["rid"], message["alias"]) == ("dev", channel, "Bot")
    assert [m["username"] for m in message["mentions"]] == ["alex_turner", "all"]
    assert message["channels"] == [{"_id": "GENERAL", "name": "general"}]
    assert message["urls"][0]["url"] == "https://example.org/a"
    assert message["attachments"] == [{"title": "T", "text": "inside"}]
    assert message["ts"].endswith("Z") and message["u"]["username"] == "theagentcompany"
    edited = agent.chat_update(channel, message["_id"], "Never mind")["message"]
    assert (edited["msg"], edited["editedBy"]["username"]) == ("Never mind", "theagentcompany")
    assert agent.chat_get_message(message["_id"])["message"]["msg"] == "Never mind"
    for forbidden in (
        lambda: alex.chat_update(channel, message["_id"], "Ha"),
        lambda: alex.chat_delete(channel, message["_id"]),
    ):
        with pytest.raises(RocketApiException) as refused:
            forbidden()
        assert refused.value.error_type == "error-action-not-allowed"
    before = message["ts"]
    agent.chat_delete(channel, message["_id"])
    with pytest.raises(RocketApiException, match="No message found"):
        agent.chat_get_message(message["_id"])
    assert [m["_id"] for m in agent.chat_get_deleted_messages(channel, before)] == [message["_id"]]
    sent = agent.chat_send_message({"rid": channel, "msg": "With an id", "_id": "mine"})["message"]
    assert sent["_id"] == "mine"
    with pytest.raises(RocketApiException):
        agent.chat_send_message({"rid": channel, "msg": "Twice", "_id": "mine"})
    synced = agent.chat_sync_messages(channel, before)["result"]
    assert [m["_id"] for m in synced["updated"]] == ["mine"]
    assert [m["_id"] for m in synced["deleted"]] == [message["_id"]]


def test_threads(office: ServedOffice) -> None:
    agent, alex = log_in(office), log_in(office, "alex_turner")
    channel = room_id(agent, "dev")
    [thread] = agent.chat_get_threads_list(channel)
    assert (thread["msg"], thread["tcount"]) == ("Who knows about #general?", 1)
    agent.chat_send_message({"rid": channel, "tmid": thread["_id"], "msg": "So do I"})
    agent.chat_send_message({"rid": channel, "tmid": thread["_id"], "msg": "Loudly", "tshow": True})
    replies = [m["msg"] for m in agent.chat_get_thread_messages(thread["_id"])]
    assert replies == ["I do", "So do I", "Loudly"]
    assert next(m["msg"] for m in agent.channels_history(channel)) == "Loudly"
    shown = [m["msg"] for m in agent.channels_history(channel, showThreadMessages="true")]
    assert "So do I" in shown and "So do I" not in [m["msg"] for m in agent.channels_history(channel)]
    assert user_id(agent, "theagentcompany") in agent.chat_get_message(thread["_id"])["message"]["replies"]
    agent.chat_unfollow_message(thread["_id"])
    assert list(agent.chat_get_threads_list(channel, type="following")) == []
    agent.chat_follow_message(thread["_id"])
    assert len(list(agent.chat_get_threads_list(channel, type="following"))) == 1
    assert (
        len(agent.chat_sync_thread_messages(thread["_id"], "2020-01-01T00:00:00Z")["messages"]["update"]) == 3
    )
    assert len(agent.chat_sync_thread_list(channel, "2020-01-01T00:00:00Z")["threads"]["update"]) == 1
    with pytest.raises(RocketApiException):
        alex.chat_send_message({"rid": channel, "tmid": "nothing", "msg": "x"})


def test_reactions_pins_stars_mentions_and_search(office: ServedOffice) -> None:
    agent, alex = log_in(office), log_in(office, "alex_turner")
    channel = room_id(agent, "dev")
    question = next(m for m in agent.channels_history(channel) if m["msg"].startswith("Who"))
    assert question["reactions"] == {":thumbsup:": {"usernames": ["alex_turner"]}}
    agent.chat_react(question["_id"], "tada")
    agent.chat_react(question["_id"], ":thumbsup:")
    alex.chat_react(question["_id"], "thumbsup", shouldReact=False)
    reactions = agent.chat_get_message(question["_id"])["message"]["reactions"]
    assert reactions == {
        ":thumbsup:": {"usernames": ["theagentcompany"]},
        ":tada:": {"usernames": ["theagentcompany"]},
    }
    with pytest.raises(RocketApiException, match="Invalid emoji"):
        agent.chat_react(question["_id"], "<script>")
    agent.chat_pin_message(question["_id"])
    assert [m["pinnedBy"]["username"] for m in alex.chat_get_pinned_messages(channel)] == ["theagentcompany"]
    with pytest.raises(RocketApiException):
        alex.chat_unpin_message(question["_id"])
    agent.chat_unpin_message(question["_id"])
    assert list(agent.chat_get_pinned_messages(channel)) == []
    alex.chat_star_message(question["_id"])
    assert len(list(alex.chat_get_starred_messages(channel))) == 1
    assert "starred" not in agent.chat_get_message(question["_id"])["message"]
    alex.chat_unstar_message(question["_id"])
    assert list(alex.chat_get_starred_messages(channel)) == []
    assert [m["msg"] for m in agent.chat_get_mentioned_messages(channel)] == ["Good morning @theagentcompany"]
    mentions = list(agent.channels_get_all_user_mentions_by_channel(channel))
    assert [m["msg"] for m in mentions] == ["Good morning @theagentcompany"]
    assert [m["msg"] for m in agent.chat_search(channel, "MORNING")] == ["Good morning @theagentcompany"]
    assert list(agent.chat_search(channel, "%25")) == []  # a wildcard of SQL, as the library must escape it


def test_my_rooms_and_what_is_unread(office: ServedOffice) -> None:
    agent = log_in(office)
    direct = next(iter(agent.dm_list()))["_id"]
    subscription = agent.subscriptions_get_one(direct)["subscription"]
    assert (subscription["unread"], subscription["alert"], subscription["name"]) == (1, True, "alex_turner")
    agent.subscriptions_read(direct)
    assert agent.subscriptions_get_one(direct)["subscription"]["unread"] == 0
    agent.subscriptions_unread(direct)
    assert agent.subscriptions_get_one(direct)["subscription"]["unread"] == 1
    assert {s["name"] for s in agent.subscriptions_get()["update"]} == {"alex_turner", "dev", "general"}
    assert {r.get("name") for r in agent.rooms_get()["update"]} == {None, "dev", "general"}
    assert agent.rooms_info(room_name="dev")["room"]["lastMessage"]["msg"] == "Who knows about #general?"
    assert agent.rooms_favorite(room_name="dev")["success"]
    assert agent.subscriptions_get_one(room_id(agent, "dev"))["subscription"]["f"] is True
    assert {r["t"] for r in agent.rooms_admin_rooms()} == {"c", "p", "d"}
    mike = log_in(office, "mike_chen")
    mike.rooms_leave("GENERAL")
    assert mike.subscriptions_get_one("GENERAL")["subscription"] is None
    found = agent.spotlight("e")
    assert "dev" in [r["name"] for r in found["rooms"]] and len(found["users"]) == 3
    assert [r["name"] for r in agent.directory({"type": "channels", "text": "dev"})] == ["dev"]


def test_files_are_sent_and_fetched(office: ServedOffice, tmp_path: Path) -> None:
    agent, mike = log_in(office), log_in(office, "mike_chen")
    [board] = mike.groups_list()
    note = tmp_path / "a note.txt"
    note.write_text("some words")
    kept = mike.rooms_media(board["_id"], str(note))["file"]
    assert list(mike.groups_files(room_id=board["_id"])) == []
    shown = mike.rooms_media_confirm(board["_id"], kept["_id"], msg="Here")["message"]
    assert (shown["msg"], shown["file"]["name"]) == ("Here", "a note.txt")
    [listed] = mike.groups_files(room_id=board["_id"])
    url = office.urls["chat"] + listed["path"]
    assert mike.session.get(url, headers=mike.headers).text == "some words"
    assert agent.session.get(url, headers=agent.headers).status_code == 404
    assert agent.session.get(url).status_code == 401
    mike.chat_delete(board["_id"], shown["_id"])
    assert mike.session.get(url, headers=mike.headers).status_code == 404
    assert list((office.tenant.folder / "chat").iterdir()) == []
