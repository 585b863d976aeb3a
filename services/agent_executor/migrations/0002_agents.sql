-- Stored agent definitions: a task may name one instead of carrying its own.

CREATE TABLE agents (
    agent_id    uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text        NOT NULL UNIQUE CHECK (name <> ''),
    description text        NOT NULL DEFAULT '',
    definition  jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
-- The list is read newest first, one page at a time.
CREATE INDEX agents_newest_idx ON agents (created_at DESC, agent_id);
