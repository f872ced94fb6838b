-- What an organiser decides. A `capacity` or an `invitation` that is NULL asks for nothing.
ALTER TABLE roster
    ADD COLUMN title       text    NOT NULL DEFAULT '' CHECK (char_length(title) <= 100),
    ADD COLUMN description text    NOT NULL DEFAULT '' CHECK (char_length(description) <= 500),
    ADD COLUMN open        boolean NOT NULL DEFAULT true,
    ADD COLUMN capacity    bigint  CHECK (capacity > 0),
    ADD COLUMN invitation  text    CHECK (invitation ~ '^[BCDFGHJKMNPQRSTVWXYZ3479]{8}$');

-- Open pages show these, so a change of them is a change of the list.
CREATE FUNCTION roster_configured() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.version := OLD.version + 1;
    PERFORM pg_notify('roster', NEW.version::text);
    RETURN NEW;
END
$$;

CREATE TRIGGER roster_configured BEFORE UPDATE ON roster FOR EACH ROW
    WHEN ((OLD.title, OLD.description, OLD.open, OLD.capacity, OLD.invitation)
        IS DISTINCT FROM (NEW.title, NEW.description, NEW.open, NEW.capacity, NEW.invitation))
    EXECUTE FUNCTION roster_configured();

-- The browsers of organisers.
CREATE TABLE organisers (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- SHA-256 of the cookie's token
    expires_at timestamptz NOT NULL
);

-- Their open pages must lose what only an organiser sees.
CREATE FUNCTION organisers_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE roster SET version = version + 1;
    PERFORM pg_notify('roster', (SELECT version FROM roster)::text);
    RETURN NULL;
END
$$;

-- For each row: a statement that finds no link inserts nobody, and anybody can have it run.
CREATE TRIGGER organisers_changed AFTER INSERT OR DELETE ON organisers
    FOR EACH ROW EXECUTE FUNCTION organisers_changed();
CREATE TRIGGER organisers_truncated AFTER TRUNCATE ON organisers
    FOR EACH STATEMENT EXECUTE FUNCTION organisers_changed();

-- Links that work once: to set a new password where `user_id` says whose, else to become an organiser.
CREATE TABLE one_time_links (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),  -- SHA-256 of the link's token
    user_id    bigint UNIQUE,
    expires_at timestamptz NOT NULL
);

-- One function in place of one for each table: what belongs to a user ends with them. The order is that of
-- queries/sessions.py: in another one, two transactions could wait for each other.
CREATE FUNCTION users_gone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM devices;
        DELETE FROM one_time_links WHERE user_id IS NOT NULL;
        DELETE FROM sessions;
    ELSE
        DELETE FROM devices WHERE user_id IN (SELECT id FROM gone);
        DELETE FROM one_time_links WHERE user_id IN (SELECT id FROM gone);
        DELETE FROM sessions WHERE user_id IN (SELECT id FROM gone);
    END IF;
    RETURN NULL;
END
$$;

DROP TRIGGER users_deleted_sessions ON users;
DROP TRIGGER users_truncated_sessions ON users;
DROP TRIGGER users_deleted_devices ON users;
DROP TRIGGER users_truncated_devices ON users;
DROP FUNCTION sessions_ended();
DROP FUNCTION devices_ended();
CREATE TRIGGER users_deleted_tokens AFTER DELETE ON users REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION users_gone();
CREATE TRIGGER users_truncated_tokens AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION users_gone();
