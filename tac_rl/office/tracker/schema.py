"""The tables of the tracker.

Records have Plane's field names, so that one declaration (`resources.py`) validates, stores and shows
them. People are usernames; `assignees`, `labels` and `members` are JSON lists in their record, because
they are always read with it. Times are ISO 8601 in UTC, dates YYYY-MM-DD, booleans 0 and 1.
"""

_RECORD = """
    id TEXT PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    created_by TEXT NOT NULL, updated_by TEXT"""
_OF_PROJECT = f"""{_RECORD},
    project TEXT NOT NULL REFERENCES tracker_projects(id) ON DELETE CASCADE"""
_OF_ISSUE = f"""{_OF_PROJECT},
    issue TEXT NOT NULL REFERENCES tracker_issues(id) ON DELETE CASCADE"""
_EXTERNAL = "external_source TEXT, external_id TEXT"

SCHEMA = f"""
CREATE TABLE tracker_accounts (username TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE tracker_sessions (token TEXT PRIMARY KEY, username TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE tracker_projects ({_RECORD},
    name TEXT NOT NULL UNIQUE, identifier TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL, description_text TEXT, description_html TEXT,
    network INTEGER NOT NULL, project_lead TEXT, default_assignee TEXT,
    emoji TEXT, icon_prop TEXT, logo_props TEXT NOT NULL, cover_image TEXT,
    module_view INTEGER NOT NULL, cycle_view INTEGER NOT NULL, issue_views_view INTEGER NOT NULL,
    page_view INTEGER NOT NULL, intake_view INTEGER NOT NULL,
    is_time_tracking_enabled INTEGER NOT NULL, is_issue_type_enabled INTEGER NOT NULL,
    guest_view_all_features INTEGER NOT NULL, archive_in INTEGER NOT NULL, close_in INTEGER NOT NULL,
    timezone TEXT NOT NULL, default_state TEXT, archived_at TEXT, last_number INTEGER NOT NULL, {_EXTERNAL});

CREATE TABLE tracker_members (
    project TEXT NOT NULL REFERENCES tracker_projects(id) ON DELETE CASCADE,
    username TEXT NOT NULL, role INTEGER NOT NULL, sort_order REAL NOT NULL, created_at TEXT NOT NULL,
    PRIMARY KEY (project, username)
) WITHOUT ROWID;
CREATE INDEX tracker_members_username ON tracker_members (username);

CREATE TABLE tracker_states ({_OF_PROJECT},
    name TEXT NOT NULL, description TEXT NOT NULL, color TEXT NOT NULL, slug TEXT NOT NULL,
    sequence REAL NOT NULL, "group" TEXT NOT NULL, is_triage INTEGER NOT NULL, "default" INTEGER NOT NULL,
    {_EXTERNAL}, UNIQUE (project, name));

CREATE TABLE tracker_labels ({_OF_PROJECT},
    name TEXT NOT NULL, description TEXT NOT NULL, color TEXT NOT NULL, sort_order REAL NOT NULL,
    parent TEXT REFERENCES tracker_labels(id) ON DELETE SET NULL, {_EXTERNAL}, UNIQUE (project, name));

CREATE TABLE tracker_issues ({_OF_PROJECT},
    sequence_id INTEGER NOT NULL, name TEXT NOT NULL,
    description_html TEXT NOT NULL, description_stripped TEXT NOT NULL,
    priority TEXT NOT NULL, state TEXT NOT NULL REFERENCES tracker_states(id),
    assignees TEXT NOT NULL, labels TEXT NOT NULL,
    parent TEXT REFERENCES tracker_issues(id) ON DELETE SET NULL,
    point INTEGER, start_date TEXT, target_date TEXT, completed_at TEXT, archived_at TEXT,
    is_draft INTEGER NOT NULL, sort_order REAL NOT NULL, {_EXTERNAL}, UNIQUE (project, sequence_id));
CREATE INDEX tracker_issues_created ON tracker_issues (project, created_at);
CREATE INDEX tracker_issues_state ON tracker_issues (state);
CREATE INDEX tracker_issues_parent ON tracker_issues (parent);

CREATE TABLE tracker_comments ({_OF_ISSUE},
    comment_html TEXT NOT NULL, comment_stripped TEXT NOT NULL, access TEXT NOT NULL, actor TEXT NOT NULL,
    parent TEXT REFERENCES tracker_comments(id) ON DELETE CASCADE, edited_at TEXT, {_EXTERNAL});
CREATE INDEX tracker_comments_issue ON tracker_comments (issue, created_at);

CREATE TABLE tracker_links ({_OF_ISSUE},
    title TEXT, url TEXT NOT NULL, metadata TEXT NOT NULL, UNIQUE (issue, url));

CREATE TABLE tracker_attachments ({_OF_ISSUE},
    attributes TEXT NOT NULL, asset TEXT NOT NULL, size INTEGER NOT NULL, is_uploaded INTEGER NOT NULL,
    {_EXTERNAL});
CREATE INDEX tracker_attachments_issue ON tracker_attachments (issue);

CREATE TABLE tracker_relations ({_OF_ISSUE},
    related_issue TEXT NOT NULL REFERENCES tracker_issues(id) ON DELETE CASCADE,
    relation_type TEXT NOT NULL, UNIQUE (issue, related_issue));
CREATE INDEX tracker_relations_related ON tracker_relations (related_issue);

CREATE TABLE tracker_activities (
    id TEXT PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    project TEXT NOT NULL REFERENCES tracker_projects(id) ON DELETE CASCADE,
    issue TEXT REFERENCES tracker_issues(id) ON DELETE SET NULL,
    issue_comment TEXT REFERENCES tracker_comments(id) ON DELETE SET NULL,
    verb TEXT NOT NULL, field TEXT, old_value TEXT, new_value TEXT, comment TEXT NOT NULL,
    old_identifier TEXT, new_identifier TEXT, actor TEXT NOT NULL, epoch INTEGER NOT NULL);
CREATE INDEX tracker_activities_issue ON tracker_activities (issue, created_at);
CREATE INDEX tracker_activities_comment ON tracker_activities (issue_comment);

CREATE TABLE tracker_cycles ({_OF_PROJECT},
    name TEXT NOT NULL, description TEXT NOT NULL, start_date TEXT, end_date TEXT, owned_by TEXT NOT NULL,
    sort_order REAL NOT NULL, timezone TEXT NOT NULL, logo_props TEXT NOT NULL, archived_at TEXT, {_EXTERNAL});
CREATE INDEX tracker_cycles_project ON tracker_cycles (project);

CREATE TABLE tracker_modules ({_OF_PROJECT},
    name TEXT NOT NULL, description TEXT NOT NULL, description_text TEXT, description_html TEXT,
    start_date TEXT, target_date TEXT, status TEXT NOT NULL, lead TEXT, members TEXT NOT NULL,
    sort_order REAL NOT NULL, logo_props TEXT NOT NULL, archived_at TEXT, {_EXTERNAL},
    UNIQUE (project, name));

CREATE TABLE tracker_cycle_issues ({_OF_PROJECT},
    issue TEXT NOT NULL UNIQUE REFERENCES tracker_issues(id) ON DELETE CASCADE,
    cycle TEXT NOT NULL REFERENCES tracker_cycles(id) ON DELETE CASCADE);
CREATE INDEX tracker_cycle_issues_cycle ON tracker_cycle_issues (cycle);

CREATE TABLE tracker_module_issues ({_OF_ISSUE},
    module TEXT NOT NULL REFERENCES tracker_modules(id) ON DELETE CASCADE, UNIQUE (issue, module));
CREATE INDEX tracker_module_issues_module ON tracker_module_issues (module);

CREATE TABLE tracker_intake ({_OF_PROJECT},
    issue TEXT NOT NULL UNIQUE REFERENCES tracker_issues(id) ON DELETE CASCADE,
    status INTEGER NOT NULL, snoozed_till TEXT, source TEXT, source_email TEXT,
    duplicate_to TEXT REFERENCES tracker_issues(id) ON DELETE SET NULL, {_EXTERNAL});
"""
