-- One row per job_id: the single truth about a job. Whoever wants to run it must hold its lease, and its
-- final event counts as sent only when announced_at is set.

CREATE TABLE jobs (
    job_id           text        PRIMARY KEY,
    trace_id         text        NOT NULL,
    agent_id         uuid        REFERENCES agents (agent_id) ON DELETE SET NULL,
    state            text        NOT NULL DEFAULT 'queued'
                                 CHECK (state IN ('queued', 'running', 'completed', 'failed')),
    agent_definition jsonb       NOT NULL,
    input_payload    jsonb       NOT NULL,
    result           jsonb,
    error            jsonb,
    attempts         integer     NOT NULL DEFAULT 0,
    stream_sequence  bigint,
    owner            uuid,
    lease_until      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    event_sent_at    timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    announced_at     timestamptz,
    CHECK ((state IN ('completed', 'failed')) = (finished_at IS NOT NULL)),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
-- Metrics look at the most recently finished jobs.
CREATE INDEX jobs_finished_idx ON jobs (finished_at DESC) WHERE finished_at IS NOT NULL;
-- The two outboxes are nearly always empty, so these indexes cost nothing and make the sweep free.
CREATE INDEX jobs_event_unsent_idx ON jobs (created_at) WHERE event_sent_at IS NULL AND state = 'queued';
CREATE INDEX jobs_unannounced_idx ON jobs (finished_at) WHERE finished_at IS NOT NULL AND announced_at IS NULL;
