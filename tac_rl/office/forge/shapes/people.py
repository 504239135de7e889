"""Users, members, groups and namespaces."""

import sqlite3
from typing import Any

from typing_extensions import TypedDict

from tac_rl.office.base import Person
from tac_rl.office.forge.shapes.view import UserBasic, View
from tac_rl.office.forge.store.people import JOINED, shown


class User(UserBasic, total=False):
    created_at: str
    bio: str
    location: str
    public_email: str | None
    skype: str
    linkedin: str
    twitter: str
    discord: str
    website_url: str
    organization: str
    job_title: str
    pronouns: str | None
    bot: bool
    work_information: str | None
    followers: int
    following: int
    local_time: str | None
    is_followed: bool
    email: str
    commit_email: str
    is_admin: bool
    namespace_id: int | None
    theme_id: int
    color_scheme_id: int
    projects_limit: int
    can_create_group: bool
    can_create_project: bool
    two_factor_enabled: bool
    external: bool
    private_profile: bool
    identities: list[Any]
    confirmed_at: str
    last_sign_in_at: str | None
    current_sign_in_at: str | None
    last_activity_on: str | None


class Member(UserBasic):
    access_level: int
    created_at: str
    expires_at: str | None
    created_by: UserBasic | None
    membership_state: str


class Namespace(TypedDict):
    id: int
    name: str
    path: str
    kind: str
    full_path: str
    parent_id: int | None
    avatar_url: str | None
    web_url: str


class Group(TypedDict, total=False):
    id: int
    web_url: str
    name: str
    path: str
    description: str
    visibility: str
    share_with_group_lock: bool
    require_two_factor_authentication: bool
    project_creation_level: str
    subgroup_creation_level: str
    auto_devops_enabled: bool | None
    emails_disabled: bool
    emails_enabled: bool
    mentions_disabled: bool | None
    lfs_enabled: bool
    request_access_enabled: bool
    avatar_url: str | None
    full_name: str
    full_path: str
    created_at: str
    parent_id: int | None
    projects: list[dict[str, Any]]
    shared_projects: list[dict[str, Any]]


def user(view: View, person: Person) -> User:
    """As administrators and the person themselves see it; others see the public part."""
    shape = User(
        **view.user(person.username),  # type: ignore[typeddict-item]
        created_at=JOINED,
        bio=person.bio,
        location="",
        public_email=person.email,
        skype="",
        linkedin="",
        twitter="",
        discord="",
        website_url="",
        organization=person.team,
        job_title=person.title,
        pronouns=None,
        bot=False,
        work_information=person.title or None,
        followers=0,
        following=0,
        local_time=None,
        is_followed=False,
    )
    viewer = view.person
    if viewer is not None and (viewer.admin or viewer.username == person.username):
        shape["email"] = person.email
        shape["commit_email"] = person.email
        shape["is_admin"] = person.admin
        shape["namespace_id"] = view.tenant.value(
            "SELECT id FROM forge_namespaces WHERE path = ?", shown(person.username)
        )
        shape["theme_id"] = 3
        shape["color_scheme_id"] = 1
        shape["projects_limit"] = 100000
        shape["can_create_group"] = True
        shape["can_create_project"] = True
        shape["two_factor_enabled"] = False
        shape["external"] = False
        shape["private_profile"] = False
        shape["identities"] = []
        shape["confirmed_at"] = JOINED
        shape["last_sign_in_at"] = None
        shape["current_sign_in_at"] = None
        shape["last_activity_on"] = None
    return shape


def member(view: View, row: sqlite3.Row) -> Member:
    return Member(
        **view.user(row["username"]),
        access_level=row["access_level"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        created_by=view.user(row["created_by"]),
        membership_state="active",
    )


def implied_member(view: View, username: str, level: int, since: str) -> Member:
    """Somebody whose membership follows from something else, such as owning the namespace."""
    return Member(
        **view.user(username),
        access_level=level,
        created_at=since,
        expires_at=None,
        created_by=None,
        membership_state="active",
    )


def namespace(view: View, row: sqlite3.Row) -> Namespace:
    group = "groups/" if row["kind"] == "group" else ""
    return Namespace(
        id=row["id"],
        name=row["name"],
        path=row["path"],
        kind=row["kind"],
        full_path=row["path"],
        parent_id=None,
        avatar_url=None,
        web_url=f"{view.base}/{group}{row['path']}",
    )


def group(view: View, row: sqlite3.Row) -> Group:
    return Group(
        id=row["id"],
        web_url=f"{view.base}/groups/{row['path']}",
        name=row["name"],
        path=row["path"],
        description=row["description"],
        visibility=row["visibility"],
        share_with_group_lock=False,
        require_two_factor_authentication=False,
        project_creation_level="developer",
        subgroup_creation_level="maintainer",
        auto_devops_enabled=None,
        emails_disabled=False,
        emails_enabled=True,
        mentions_disabled=None,
        lfs_enabled=True,
        request_access_enabled=True,
        avatar_url=None,
        full_name=row["name"],
        full_path=row["path"],
        created_at=row["created_at"],
        parent_id=None,
    )
