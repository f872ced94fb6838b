-- No foreign key, which would refuse TRUNCATE users: the trigger below ends the sessions of who is gone.
CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- SHA-256 of the cookie's token
    user_id    bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE FUNCTION sessions_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM sessions;
    ELSE
        DELETE FROM sessions WHERE user_id IN (SELECT id FROM gone);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_deleted_sessions AFTER DELETE ON users REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_ended();
CREATE TRIGGER users_truncated_sessions AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION sessions_ended();

-- What has been spent of each limit (GCRA): a limit is whole again at `full_at`. Not worth a log.
CREATE UNLOGGED TABLE rate_limits (
    key     text COLLATE "C" PRIMARY KEY,
    full_at timestamptz NOT NULL
);
CREATE INDEX rate_limits_full_at ON rate_limits (full_at);
