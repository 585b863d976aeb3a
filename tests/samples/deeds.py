"""What a test may do to its database, and the schema in which it does it."""

SCHEMA = """
CREATE TABLE parents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE);
CREATE TABLE children (id serial PRIMARY KEY, parent bigint NOT NULL REFERENCES parents ON DELETE RESTRICT, note text);
CREATE TABLE countries (code text PRIMARY KEY, name text);
INSERT INTO countries VALUES ('de', 'Deutschland'), ('fr', 'France');
CREATE SEQUENCE tickets START 100 INCREMENT 5;
SELECT nextval('tickets');
CREATE SEQUENCE set_back; SELECT setval('set_back', 7, false);
CREATE TABLE events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE UNLOGGED TABLE scratch (line text);
CREATE TABLE audited (id int);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''never deleted''; END';
CREATE TRIGGER no_delete BEFORE DELETE ON audited FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE ruled (id int); CREATE RULE keep AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW names AS SELECT name FROM countries;
CREATE TABLE "odd "" name" (a int);
CREATE TABLE private (id int); ALTER TABLE private ENABLE ROW LEVEL SECURITY;
ALTER TABLE private FORCE ROW LEVEL SECURITY;
DO $$ BEGIN
EXECUTE format('ALTER DATABASE %I SET search_path = public, "$user"', current_database());
EXECUTE format('ALTER DATABASE %I SET app.tenant = ''it''''s, one''', current_database());
EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET "TimeZone" = ''Asia/Tokyo''', current_database());
EXECUTE format('ALTER DATABASE %I OWNER TO pg_monitor', current_database());
EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());
EXECUTE format('REVOKE CREATE ON DATABASE %I FROM pg_monitor', current_database());
EXECUTE format('GRANT CREATE ON DATABASE %I TO pg_signal_backend WITH GRANT OPTION', current_database());
END $$;
"""

ALTER = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
# What a test may do, and whether its database is then renewed (True) or cloned anew (False).
DEEDS: dict[str, tuple[str, bool]] = {
    "nothing": ("SELECT 1", True),
    "insert": ("INSERT INTO parents (name) VALUES ('a'), ('b')", True),
    "related": ("INSERT INTO parents (name) VALUES ('a'); INSERT INTO children (parent) SELECT id FROM parents", True),
    "update": ("INSERT INTO parents (name) VALUES ('a'), ('b'), ('c'); UPDATE parents SET name = name || 'x'", True),
    "delete": ("INSERT INTO parents (name) VALUES ('a'); DELETE FROM parents", True),
    "roll back": ("BEGIN; INSERT INTO parents (name) VALUES ('a'); ROLLBACK", True),
    "leave a transaction open": ("BEGIN; INSERT INTO parents (name) VALUES ('a')", True),
    "nextval": ("SELECT nextval('tickets'), nextval('set_back')", True),
    "setval": ("SELECT setval('set_back', 50, false), setval('parents_id_seq', 9)", True),
    "partition": ("INSERT INTO events VALUES ('2026-05-05', 'x')", True),
    "unlogged rows": ("INSERT INTO scratch VALUES ('x')", True),
    "rows a trigger guards": ("INSERT INTO audited VALUES (1)", True),
    "rows a rule guards": ("INSERT INTO ruled VALUES (1)", True),
    "rows under row security": ("INSERT INTO private VALUES (1)", True),
    "odd name": ('INSERT INTO "odd "" name" VALUES (1)', True),
    "temporary table": ("CREATE TEMPORARY TABLE t (i int); INSERT INTO t VALUES (1)", False),
    "reference": ("SELECT count(*) FROM countries", True),
    "many rows": ("INSERT INTO scratch SELECT 'x' FROM generate_series(1, 6000)", False),
    "seeded table": ("UPDATE countries SET name = 'x'", False),
    "truncate": ("INSERT INTO parents (name) VALUES ('a'); TRUNCATE parents CASCADE", False),
    "create table": ("CREATE TABLE more (i int)", False),
    "alter table": ("ALTER TABLE parents ADD COLUMN age int", False),
    "alter sequence": ("ALTER SEQUENCE tickets RESTART", False),
    "function": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", False),
    "type": ("CREATE TYPE mood AS ENUM ('good')", False),
    "comment": ("COMMENT ON TABLE parents IS 'x'", False),
    "grant": ("GRANT SELECT ON parents TO PUBLIC", False),
    "large object": ("SELECT lo_from_bytea(0, 'x')", False),
    "database setting": (ALTER.format("SET work_mem = 99"), False),
    "database property": (ALTER.format("CONNECTION LIMIT 50"), False),
    "analyze": ("INSERT INTO scratch VALUES ('x'); ANALYZE scratch", False),
    "refresh": ("REFRESH MATERIALIZED VIEW names", False),
    "reindex": ("REINDEX TABLE parents", False),
    "trigger": ("CREATE TRIGGER t BEFORE INSERT ON parents FOR EACH ROW EXECUTE FUNCTION refuse()", False),
    "reset statistics": ("INSERT INTO parents (name) VALUES ('a'); SELECT pg_stat_reset()", False),
    "forget all plans": ("DISCARD ALL", True),
    "session state": ("SET search_path = pg_catalog; PREPARE p AS SELECT 1; LISTEN c; SET ROLE pg_monitor", True),
    "cursor and lock": ("DECLARE c CURSOR WITH HOLD FOR SELECT 1; SELECT pg_advisory_lock(1)", True),
}  # fmt: skip
