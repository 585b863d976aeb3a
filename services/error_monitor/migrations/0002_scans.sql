-- Who scans. `fence` grows with every change of hands; every write of a scan proves that it still holds the newest.
-- `fence` is part of a key on purpose: changing it waits for writes that hold the row FOR KEY SHARE; a renewal does not.
CREATE TABLE error_monitor.leases (
    monitor text PRIMARY KEY,
    fence bigint NOT NULL,
    holder uuid,
    expires_at timestamptz NOT NULL,
    UNIQUE (monitor, fence)
);

-- The instances that were seen lately, and a digest of what each of them is set to read.
CREATE TABLE error_monitor.instances (
    instance uuid PRIMARY KEY,
    monitor text NOT NULL,
    host text NOT NULL,
    reads text NOT NULL,
    seen_at timestamptz NOT NULL
);

-- How far each stream was read. Event and cursor are written in one transaction: neither is ever there alone.
CREATE TABLE error_monitor.cursors (
    stream text PRIMARY KEY,
    source text NOT NULL,
    position jsonb NOT NULL,
    readers jsonb NOT NULL DEFAULT '{}', -- events that have begun and not ended yet, by origin
    version bigint NOT NULL,             -- grows with every write: two readers of one position cannot both be right
    lines bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL,
    moved_at timestamptz NOT NULL
);

CREATE TABLE error_monitor.scans (
    scan_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    monitor text NOT NULL,
    instance uuid NOT NULL,
    fence bigint NOT NULL,
    trigger text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    lines bigint NOT NULL DEFAULT 0,
    events bigint NOT NULL DEFAULT 0,
    new_patterns bigint NOT NULL DEFAULT 0,
    errors jsonb NOT NULL DEFAULT '{}',
    is_complete boolean NOT NULL DEFAULT false -- everything there was has been read
);
CREATE INDEX scans_started ON error_monitor.scans (monitor, started_at DESC);

-- What could not be read, and why: a count that may be too low says so.
CREATE TABLE error_monitor.gaps (
    gap_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL,
    since timestamptz,
    until timestamptz,
    found_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gaps_found ON error_monitor.gaps (found_at DESC);

-- How each source is doing.
CREATE TABLE error_monitor.sources (
    monitor text NOT NULL,
    source text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    ok_at timestamptz,
    failed_at timestamptz,
    next_try_at timestamptz,
    PRIMARY KEY (monitor, source)
);
