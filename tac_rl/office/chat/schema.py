"""The tables of this service. Times are milliseconds since 1970 (UTC), as Rocket.Chat's own precision is."""

SCHEMA = """
CREATE TABLE chat_users (
    username TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    bio TEXT NOT NULL,
    roles TEXT NOT NULL,             -- of the workspace, with spaces between them: 'user', 'user admin'
    password TEXT,                   -- SHA-256 in hex; NULL: everybody's
    active INTEGER NOT NULL DEFAULT 1,
    status TEXT NOT NULL DEFAULT 'online',
    status_text TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) WITHOUT ROWID;

-- People of the company whose account was deleted or renamed: they don't get another by themselves.
CREATE TABLE chat_former (username TEXT PRIMARY KEY) WITHOUT ROWID;

-- Whoever's name or address changes in the company is known by it here too.
CREATE TRIGGER chat_people_known AFTER INSERT ON people BEGIN
    UPDATE chat_users SET name = NEW.name, email = NEW.email, bio = trim(NEW.title || char(10) || NEW.bio, char(10))
    WHERE username = NEW.username;
END;

CREATE TABLE chat_tokens (
    token TEXT PRIMARY KEY,
    username TEXT NOT NULL REFERENCES chat_users ON UPDATE CASCADE ON DELETE CASCADE,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE chat_rooms (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('channel', 'group', 'direct')),
    name TEXT UNIQUE,                -- NULL: direct
    topic TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    announcement TEXT NOT NULL DEFAULT '',
    creator TEXT NOT NULL REFERENCES chat_users ON UPDATE CASCADE,
    read_only INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    is_default INTEGER NOT NULL DEFAULT 0,
    join_code TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
);
CREATE INDEX chat_rooms_by_kind ON chat_rooms (kind, name);

CREATE TABLE chat_members (
    room TEXT NOT NULL REFERENCES chat_rooms ON DELETE CASCADE,
    username TEXT NOT NULL REFERENCES chat_users ON UPDATE CASCADE ON DELETE CASCADE,
    owner INTEGER NOT NULL DEFAULT 0,
    moderator INTEGER NOT NULL DEFAULT 0,
    leader INTEGER NOT NULL DEFAULT 0,
    open INTEGER NOT NULL DEFAULT 1,
    favorite INTEGER NOT NULL DEFAULT 0,
    joined INTEGER NOT NULL,
    seen INTEGER NOT NULL,           -- read up to this time
    updated INTEGER NOT NULL,
    PRIMARY KEY (room, username)
) WITHOUT ROWID;
CREATE INDEX chat_members_by_user ON chat_members (username, room);

CREATE TABLE chat_messages (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL REFERENCES chat_rooms ON DELETE CASCADE,
    author TEXT NOT NULL REFERENCES chat_users ON UPDATE CASCADE ON DELETE CASCADE,
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT '',   -- Rocket.Chat's `t`: '' is what somebody wrote, 'uj' a person who joined, ...
    thread TEXT REFERENCES chat_messages ON DELETE SET NULL,
    shown INTEGER NOT NULL DEFAULT 0,  -- a reply that is shown in the room too
    edited INTEGER,
    edited_by TEXT,
    pinned INTEGER,
    pinned_by TEXT,
    mentions TEXT,                   -- JSON: [{_id, username, name}]
    reactions TEXT,                  -- JSON: {":smile:": {"usernames": [...]}}
    starred TEXT,                    -- JSON: [user id]
    followers TEXT,                  -- JSON: [user id], of the thread that starts here
    extra TEXT                       -- JSON: what else the REST API gives: alias, attachments, file, channels, ...
);
CREATE INDEX chat_messages_by_room ON chat_messages (room, at);
CREATE INDEX chat_messages_by_thread ON chat_messages (thread, at);

CREATE TABLE chat_deleted (
    id TEXT PRIMARY KEY, room TEXT NOT NULL REFERENCES chat_rooms ON DELETE CASCADE, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX chat_deleted_by_room ON chat_deleted (room, at);

-- The content is in the folder `chat`, under the file's id.
CREATE TABLE chat_files (
    id TEXT PRIMARY KEY,
    room TEXT NOT NULL REFERENCES chat_rooms ON DELETE CASCADE,
    username TEXT NOT NULL REFERENCES chat_users ON UPDATE CASCADE ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    size INTEGER NOT NULL,
    at INTEGER NOT NULL,
    message TEXT REFERENCES chat_messages ON DELETE CASCADE  -- that shows it; NULL: not yet confirmed
);
CREATE INDEX chat_files_by_room ON chat_files (room, name);
CREATE INDEX chat_files_by_message ON chat_files (message);
"""
