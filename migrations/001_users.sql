CREATE TABLE users (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username      text NOT NULL CHECK (char_length(username) BETWEEN 1 AND 32),
    username_key  text COLLATE "C" NOT NULL UNIQUE,
    password_hash text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- One row: `version` rises with every change of the list, `size` is the exact number of users.
CREATE TABLE roster (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL DEFAULT 0,
    size     bigint NOT NULL DEFAULT 0
);
INSERT INTO roster DEFAULT VALUES;

CREATE FUNCTION roster_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    difference bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        SELECT -size INTO difference FROM roster;
    ELSE
        SELECT count(*) * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END INTO difference FROM changed;
    END IF;
    IF difference = 0 THEN  -- as when ON CONFLICT DO NOTHING did nothing
        RETURN NULL;
    END IF;
    UPDATE roster SET version = version + 1, size = size + difference;
    PERFORM pg_notify('roster', (SELECT version FROM roster)::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER users_inserted AFTER INSERT ON users REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();
CREATE TRIGGER users_deleted AFTER DELETE ON users REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();
CREATE TRIGGER users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION roster_changed();
