-- In how many scans a pattern was seen: one burst is no reason to change code.
ALTER TABLE error_monitor.patterns ADD COLUMN scans bigint NOT NULL DEFAULT 0;
ALTER TABLE error_monitor.patterns ADD COLUMN last_scan bigint;

-- Root cause, test, patch and proof for one pattern. `fence` grows with every owner; every write proves it.
CREATE TABLE error_monitor.fixes (
    fix_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint text NOT NULL REFERENCES error_monitor.patterns ON DELETE CASCADE,
    repository text NOT NULL,
    base_commit text NOT NULL DEFAULT '',
    trigger text NOT NULL,
    is_dry boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('working', 'refused', 'interrupted', 'dry', 'proven', 'opened', 'merged',
        'closed', 'stopped', 'returned', 'reverted')),
    rung integer NOT NULL CHECK (rung BETWEEN 1 AND 7),
    reason text NOT NULL DEFAULT '',
    cause text NOT NULL DEFAULT '',
    confidence text NOT NULL DEFAULT '',
    test jsonb,
    patch jsonb,
    proof jsonb,
    branch text NOT NULL DEFAULT '',
    pull_number bigint,
    pull_url text NOT NULL DEFAULT '',
    merge_commit text NOT NULL DEFAULT '',
    owner uuid,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    opened_at timestamptz,
    merged_at timestamptz
);
-- At most one fix of a pattern lives, over all instances; and one is worked on in a repository at a time.
CREATE UNIQUE INDEX fixes_one_for_a_pattern ON error_monitor.fixes (fingerprint)
    WHERE state IN ('working', 'proven', 'opened');
CREATE UNIQUE INDEX fixes_one_at_a_time ON error_monitor.fixes (repository) WHERE state IN ('working', 'proven');
CREATE INDEX fixes_newest ON error_monitor.fixes (created_at DESC);
CREATE SEQUENCE error_monitor.fix_fences;

-- What each rung of the ladder said.
CREATE TABLE error_monitor.fix_steps (
    step_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fix_id bigint NOT NULL REFERENCES error_monitor.fixes ON DELETE CASCADE,
    rung integer NOT NULL,
    is_passed boolean NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX fix_steps_of ON error_monitor.fix_steps (fix_id, step_id);

-- Every call of the model, booked at its worst before it is made and at its true price afterwards.
CREATE TABLE error_monitor.fix_calls (
    call_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fix_id bigint NOT NULL REFERENCES error_monitor.fixes ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    is_settled boolean NOT NULL DEFAULT false,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    usd double precision NOT NULL
);
CREATE INDEX fix_calls_at ON error_monitor.fix_calls (at);
