"""The tables of this service. Times are text, `2026-03-02T09:00:00.000Z`, so that they sort as they are.

People are referred to by their username in the office (`theagentcompany`, whom the forge shows as `root`).
Issues and merge requests share a table, because labels, assignees, notes and most filters treat them alike.
"""

SCHEMA = """
CREATE TABLE forge_users (
    id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL
);
CREATE TABLE forge_tokens (
    token TEXT PRIMARY KEY, username TEXT NOT NULL, kind TEXT NOT NULL, created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE forge_namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT NOT NULL,
    kind TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', visibility TEXT NOT NULL DEFAULT 'public',
    created_at TEXT NOT NULL
);
CREATE TABLE forge_projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace_id INTEGER NOT NULL REFERENCES forge_namespaces ON DELETE CASCADE,
    path TEXT NOT NULL COLLATE NOCASE, name TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
    default_branch TEXT NOT NULL, visibility TEXT NOT NULL, archived INTEGER NOT NULL DEFAULT 0,
    creator TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, last_activity_at TEXT NOT NULL,
    forked_from INTEGER REFERENCES forge_projects ON DELETE SET NULL,
    topics TEXT NOT NULL DEFAULT '[]', settings TEXT NOT NULL DEFAULT '{}',
    is_empty INTEGER NOT NULL DEFAULT 1, readme TEXT,
    next_issue INTEGER NOT NULL DEFAULT 1, next_merge_request INTEGER NOT NULL DEFAULT 1,
    next_milestone INTEGER NOT NULL DEFAULT 1, next_pipeline INTEGER NOT NULL DEFAULT 1,
    UNIQUE (namespace_id, path)
);
CREATE INDEX forge_projects_forks ON forge_projects (forked_from);
CREATE TABLE forge_avatars (
    project_id INTEGER PRIMARY KEY REFERENCES forge_projects ON DELETE CASCADE,
    filename TEXT NOT NULL, content BLOB NOT NULL
);
CREATE TABLE forge_stars (
    project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE, username TEXT NOT NULL,
    PRIMARY KEY (project_id, username)
) WITHOUT ROWID;
CREATE TABLE forge_members (
    source TEXT NOT NULL, source_id INTEGER NOT NULL, username TEXT NOT NULL, access_level INTEGER NOT NULL,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL, expires_at TEXT,
    PRIMARY KEY (source, source_id, username)
) WITHOUT ROWID;
CREATE INDEX forge_members_person ON forge_members (username);
CREATE TABLE forge_protected_branches (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    name TEXT NOT NULL, push_level INTEGER NOT NULL, merge_level INTEGER NOT NULL,
    allow_force_push INTEGER NOT NULL DEFAULT 0, UNIQUE (project_id, name)
);

CREATE TABLE forge_labels (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    name TEXT NOT NULL, color TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', priority INTEGER,
    UNIQUE (project_id, name)
);
CREATE TABLE forge_milestones (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    iid INTEGER NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', state TEXT NOT NULL,
    due_date TEXT, start_date TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (project_id, iid), UNIQUE (project_id, title)
);

CREATE TABLE forge_issuables (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    kind TEXT NOT NULL, iid INTEGER NOT NULL, title TEXT NOT NULL, description TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL, author TEXT NOT NULL,
    milestone_id INTEGER REFERENCES forge_milestones ON DELETE SET NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, closed_at TEXT, closed_by TEXT, due_date TEXT,
    confidential INTEGER NOT NULL DEFAULT 0, locked INTEGER NOT NULL DEFAULT 0,
    issue_type TEXT NOT NULL DEFAULT 'issue',
    UNIQUE (project_id, kind, iid)
);
CREATE INDEX forge_issuables_state ON forge_issuables (project_id, kind, state);
CREATE INDEX forge_issuables_milestone ON forge_issuables (milestone_id);
CREATE TABLE forge_merge_requests (
    id INTEGER PRIMARY KEY REFERENCES forge_issuables ON DELETE CASCADE,
    source_project_id INTEGER NOT NULL, source_branch TEXT NOT NULL, target_branch TEXT NOT NULL,
    head_sha TEXT, base_sha TEXT, start_sha TEXT, merged_at TEXT, merged_by TEXT,
    merge_commit_sha TEXT, squash_commit_sha TEXT,
    squash INTEGER NOT NULL DEFAULT 0, remove_source_branch INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX forge_merge_requests_source ON forge_merge_requests (source_project_id, source_branch);
CREATE TABLE forge_labelled (
    issuable_id INTEGER NOT NULL REFERENCES forge_issuables ON DELETE CASCADE,
    label_id INTEGER NOT NULL REFERENCES forge_labels ON DELETE CASCADE,
    PRIMARY KEY (issuable_id, label_id)
) WITHOUT ROWID;
CREATE INDEX forge_labelled_label ON forge_labelled (label_id);
CREATE TABLE forge_assigned (
    issuable_id INTEGER NOT NULL REFERENCES forge_issuables ON DELETE CASCADE,
    role TEXT NOT NULL, position INTEGER NOT NULL, username TEXT NOT NULL,
    PRIMARY KEY (issuable_id, role, position)
) WITHOUT ROWID;
CREATE INDEX forge_assigned_person ON forge_assigned (username, role);
CREATE TABLE forge_approvals (
    issuable_id INTEGER NOT NULL REFERENCES forge_issuables ON DELETE CASCADE, username TEXT NOT NULL,
    created_at TEXT NOT NULL, PRIMARY KEY (issuable_id, username)
) WITHOUT ROWID;
CREATE TABLE forge_notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    issuable_id INTEGER NOT NULL REFERENCES forge_issuables ON DELETE CASCADE,
    author TEXT NOT NULL, body TEXT NOT NULL, internal INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE INDEX forge_notes_issuable ON forge_notes (issuable_id);

CREATE TABLE forge_releases (
    project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE, tag TEXT NOT NULL,
    name TEXT NOT NULL, description TEXT NOT NULL, author TEXT NOT NULL, created_at TEXT NOT NULL,
    released_at TEXT NOT NULL, PRIMARY KEY (project_id, tag)
) WITHOUT ROWID;
CREATE TABLE forge_wiki_pages (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    slug TEXT NOT NULL, title TEXT NOT NULL, format TEXT NOT NULL, content TEXT NOT NULL,
    author TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, UNIQUE (project_id, slug)
);
CREATE TABLE forge_pipelines (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    iid INTEGER NOT NULL, ref TEXT NOT NULL, sha TEXT NOT NULL, status TEXT NOT NULL, source TEXT NOT NULL,
    username TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, started_at TEXT,
    finished_at TEXT, UNIQUE (project_id, iid)
);
CREATE TABLE forge_jobs (
    id INTEGER PRIMARY KEY, pipeline_id INTEGER NOT NULL REFERENCES forge_pipelines ON DELETE CASCADE,
    name TEXT NOT NULL, stage TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL,
    started_at TEXT, finished_at TEXT
);
CREATE INDEX forge_jobs_pipeline ON forge_jobs (pipeline_id);
CREATE TABLE forge_events (
    id INTEGER PRIMARY KEY, project_id INTEGER NOT NULL REFERENCES forge_projects ON DELETE CASCADE,
    author TEXT NOT NULL, action TEXT NOT NULL, target_type TEXT, target_id INTEGER, target_iid INTEGER,
    target_title TEXT, push_data TEXT, created_at TEXT NOT NULL
);
CREATE INDEX forge_events_project ON forge_events (project_id);
"""
