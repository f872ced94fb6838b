-- Trigger functions run on whatever search_path a session has, and pg_dump's restores have an empty one.
-- The current one is the schema of these tables alone: db.py sets it for migrations.
ALTER FUNCTION roster_changed() SET search_path FROM CURRENT;
ALTER FUNCTION sessions_ended() SET search_path FROM CURRENT;
