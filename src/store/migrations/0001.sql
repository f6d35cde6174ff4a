-- Times are UTC milliseconds, except a deadline, which is milliseconds of the owner's monotonic clock.
-- A record in `*_blob` was sealed under `*_key` for `*_generation`; what is not sealed is in clear on purpose.

-- One row: the oldest schema whose code may still use this file.
CREATE TABLE schema (min_reader INTEGER NOT NULL);
INSERT INTO schema VALUES (1);

CREATE TABLE data_keys (
    -- Never used again: a record that names a row that is gone must not open under a later one.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    master_key_id TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE integrations (
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    revision INTEGER NOT NULL,
    config_key INTEGER NOT NULL REFERENCES data_keys (id),
    config_generation INTEGER NOT NULL,
    config_blob BLOB NOT NULL,
    PRIMARY KEY (workspace, provider, grant_type)
);

CREATE TABLE connections (
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    connection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    expires_at INTEGER,
    refreshed_at INTEGER,
    grant_key INTEGER REFERENCES data_keys (id),
    grant_generation INTEGER,
    grant_blob BLOB,
    fingerprint BLOB,
    PRIMARY KEY (workspace, provider, grant_type, connection)
);
CREATE INDEX connections_by_fingerprint ON connections (workspace, fingerprint) WHERE fingerprint IS NOT NULL;

CREATE TABLE tokens (
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    connection TEXT NOT NULL,
    resource TEXT NOT NULL,
    token_key INTEGER NOT NULL REFERENCES data_keys (id),
    token_generation INTEGER NOT NULL,
    token_blob BLOB NOT NULL,
    PRIMARY KEY (workspace, provider, grant_type, connection, resource)
);

-- Narrow, and apart from the sealed blobs: a claim is the most frequent write.
CREATE TABLE attempts (
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    connection TEXT NOT NULL,
    id BLOB NOT NULL,
    boot_id TEXT NOT NULL,
    pid_namespace INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    start_time INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    -- How it ended; all NULL while it runs.
    outcome TEXT,
    failures INTEGER,
    retry_at INTEGER,
    ended_at INTEGER,
    note_key INTEGER REFERENCES data_keys (id),
    note_generation INTEGER,
    note_blob BLOB,
    PRIMARY KEY (workspace, provider, grant_type, connection)
) WITHOUT ROWID;

CREATE TABLE pending (
    state_hash BLOB PRIMARY KEY,
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    connection TEXT NOT NULL,
    session_key INTEGER NOT NULL REFERENCES data_keys (id),
    session_generation INTEGER NOT NULL,
    session_blob BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    claimed INTEGER NOT NULL
);

-- Every refresh adds one, and each page that it touches is written to the log: so no index, and no sequence. Only the
-- oldest go, so no id comes again.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    grant_type TEXT NOT NULL,
    connection TEXT NOT NULL,
    what TEXT NOT NULL,
    reason TEXT NOT NULL
);
