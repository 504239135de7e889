"""The tables of this service: what a path has besides its content, and who is signed in."""

SCHEMA = """
CREATE TABLE drive_shares (
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, path TEXT NOT NULL, owner TEXT NOT NULL, recipient TEXT,
    token TEXT UNIQUE, permissions INTEGER NOT NULL, password TEXT, expires TEXT, name TEXT NOT NULL,
    created INTEGER NOT NULL
);
CREATE INDEX drive_shares_path ON drive_shares (path);
CREATE TABLE drive_properties (
    url TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (url, name)
) WITHOUT ROWID;
CREATE TABLE drive_sessions (token TEXT PRIMARY KEY, username TEXT NOT NULL) WITHOUT ROWID;
"""
"""Paths start with a slash and have none at the end; `url` is WsgiDAV's reference (quoted, folders end in a
slash); `created` is in seconds since the epoch, `expires` a date such as 2026-03-31."""
