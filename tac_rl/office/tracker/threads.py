"""What hangs on an issue: comments, links and relations to other issues."""

from collections.abc import Iterable, Mapping
from typing import Any

from tac_rl.office.tenant import Tenant
from tac_rl.office.tracker.issues import record_activity, shown_number
from tac_rl.office.tracker.records import (
    Act,
    add,
    change,
    check_external,
    missing,
    refused,
    remove,
    text_of_html,
)

OPPOSITE = {
    "blocking": "blocked_by",
    "start_before": "start_after",
    "finish_before": "finish_after",
    "duplicate": "duplicate",
    "relates_to": "relates_to",
}
OPPOSITE |= {there: here for here, there in OPPOSITE.items()}


def create_comment(
    act: Act, project: str, issue: str, values: Mapping[str, Any], *, identifier: str | None = None
) -> str:
    tenant = act.tenant
    check_external(tenant, "tracker_comments", project, values, "Issue Comment")
    if values["parent"] is not None:
        _check_thread(tenant, issue, values["parent"])
    html = values["comment_html"]
    record = {**act.record(identifier), **values, "project": project, "issue": issue}
    record |= {"actor": act.username, "comment_stripped": text_of_html(html), "edited_at": None}
    with tenant.transaction():
        add(tenant, "tracker_comments", record)
        what = {"field": "comment", "new": html, "new_id": record["id"], "issue_comment": record["id"]}
        record_activity(act, project, issue, "created", comment="created a comment", **what)
    return str(record["id"])


def _check_thread(tenant: Tenant, issue: str, parent: str) -> None:
    row = tenant.row("SELECT issue, parent FROM tracker_comments WHERE id = ?", parent)
    if row is None or row["issue"] != issue or row["parent"] is not None:
        raise refused("The parent must be a top-level comment of the same issue")


def update_comment(act: Act, comment: str, values: Mapping[str, Any]) -> None:
    row = act.tenant.row("SELECT * FROM tracker_comments WHERE id = ?", comment)
    assert row is not None
    check_external(act.tenant, "tracker_comments", row["project"], values, "Issue Comment", but=comment)
    values = {name: value for name, value in values.items() if name != "parent"}
    with act.tenant.transaction():
        if "comment_html" in values:
            html = values["comment_html"]
            values |= {"comment_stripped": text_of_html(html), "edited_at": act.at}
            what = {"field": "comment", "old": row["comment_html"], "new": html, "issue_comment": comment}
            record_activity(act, row["project"], row["issue"], "updated", comment="updated a comment", **what)
        change(act, "tracker_comments", comment, values)


def delete_comment(act: Act, project: str, issue: str, comment: str) -> None:
    with act.tenant.transaction():
        remove(act.tenant, "tracker_comments", comment)
        record_activity(act, project, issue, "deleted", field="comment", comment="deleted the comment")


def create_link(act: Act, project: str, issue: str, values: Mapping[str, Any]) -> str:
    tenant = act.tenant
    _check_url(tenant, issue, values, "")
    record = {**act.record(), **values, "project": project, "issue": issue}
    with tenant.transaction():
        add(tenant, "tracker_links", record)
        what = {"field": "link", "new": values["url"], "new_id": record["id"]}
        record_activity(act, project, issue, "created", comment="created a link", **what)
    return str(record["id"])


def update_link(act: Act, project: str, issue: str, link: str, values: Mapping[str, Any]) -> None:
    tenant = act.tenant
    old = tenant.value("SELECT url FROM tracker_links WHERE id = ?", link)
    _check_url(tenant, issue, values, link)
    with tenant.transaction():
        change(act, "tracker_links", link, values)
        if "url" in values:
            what = {"field": "link", "old": old, "new": values["url"], "old_id": link, "new_id": link}
            record_activity(act, project, issue, "updated", comment="updated a link", **what)


def delete_link(act: Act, project: str, issue: str, link: str) -> None:
    with act.tenant.transaction():
        old = act.tenant.value("SELECT url FROM tracker_links WHERE id = ?", link)
        remove(act.tenant, "tracker_links", link)
        what = {"field": "link", "old": old, "old_id": link}
        record_activity(act, project, issue, "deleted", comment="deleted the link", **what)


def _check_url(tenant: Tenant, issue: str, values: Mapping[str, Any], but: str) -> None:
    other = tenant.value(
        "SELECT 1 FROM tracker_links WHERE issue = ? AND url = ? AND id != ?", issue, values.get("url"), but
    )
    if other is not None:
        raise refused("URL already exists for this Issue")


def relate(act: Act, project: str, issue: str, relation: str, others: Iterable[str]) -> None:
    """Relate an issue to others; each pair has one relation, so a new one takes the old one's place."""
    tenant = act.tenant
    with tenant.transaction():
        for other in dict.fromkeys(others):
            if other == issue:
                raise refused("An issue can't be related to itself")
            if tenant.value("SELECT 1 FROM tracker_issues WHERE id = ?", other) is None:
                raise missing()
            _unrelate(tenant, issue, other)
            ends = {"issue": issue, "related_issue": other, "relation_type": relation, "project": project}
            add(tenant, "tracker_relations", {**act.record(), **ends})
            what = {"field": relation, "new": shown_number(tenant, other), "new_id": other}
            record_activity(act, project, issue, "updated", comment=f"added {relation} relation", **what)


def unrelate(act: Act, project: str, issue: str, other: str) -> None:
    with act.tenant.transaction():
        relation = _unrelate(act.tenant, issue, other)
        if relation is None:
            raise missing()
        what = {"field": relation, "old": shown_number(act.tenant, other), "old_id": other}
        record_activity(act, project, issue, "deleted", comment=f"removed {relation} relation", **what)


def _unrelate(tenant: Tenant, issue: str, other: str) -> str | None:
    found = tenant.row(
        "SELECT id, relation_type FROM tracker_relations"
        " WHERE (issue = ? AND related_issue = ?) OR (issue = ? AND related_issue = ?)",
        *(issue, other, other, issue),
    )
    if found is None:
        return None
    remove(tenant, "tracker_relations", found["id"])
    return str(found["relation_type"])


def relations_of(tenant: Tenant, issue: str) -> dict[str, list[str]]:
    """Relation -> UUIDs of the issues that this one has it with."""
    related: dict[str, list[str]] = {}
    for row in tenant.rows(
        "SELECT * FROM tracker_relations WHERE issue = ? OR related_issue = ? ORDER BY created_at",
        *(issue, issue),
    ):
        if row["issue"] == issue:
            related.setdefault(row["relation_type"], []).append(row["related_issue"])
        else:
            related.setdefault(OPPOSITE[row["relation_type"]], []).append(row["issue"])
    return related
