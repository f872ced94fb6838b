-- Browsers that have signed in before, see web/credentials.py.
CREATE TABLE devices (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- SHA-256 of the cookie's token
    user_id    bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX devices_user_id ON devices (user_id);
CREATE INDEX devices_expires_at ON devices (expires_at);

CREATE FUNCTION devices_ended() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM devices;
    ELSE
        DELETE FROM devices WHERE user_id IN (SELECT id FROM gone);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_deleted_devices AFTER DELETE ON users REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION devices_ended();
CREATE TRIGGER users_truncated_devices AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION devices_ended();
