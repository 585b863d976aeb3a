-- What the monitor knows. A schema of its own: the tables of somebody else's application are never in the way.
CREATE SCHEMA IF NOT EXISTS error_monitor;

-- All events with one fingerprint are one pattern.
CREATE TABLE error_monitor.patterns (
    fingerprint text PRIMARY KEY,
    type text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',
    frame text NOT NULL DEFAULT '', -- the innermost frame of the application: file and function
    level text NOT NULL,
    category text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    fixable boolean NOT NULL,
    reason text NOT NULL DEFAULT '', -- why it is classified like this
    services text[] NOT NULL DEFAULT '{}',
    example text[] NOT NULL DEFAULT '{}', -- the redacted lines of the newest event
    events bigint NOT NULL CHECK (events > 0),
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved', 'regressed', 'ignored')),
    state_since timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX patterns_last_seen ON error_monitor.patterns (last_seen DESC, fingerprint);

-- How often, minute by minute. The sum over a pattern is its `events`.
CREATE TABLE error_monitor.occurrences (
    fingerprint text NOT NULL REFERENCES error_monitor.patterns ON DELETE CASCADE,
    minute timestamptz NOT NULL,
    source text NOT NULL,
    service text NOT NULL,
    events bigint NOT NULL CHECK (events > 0),
    PRIMARY KEY (fingerprint, minute, source, service)
);
CREATE INDEX occurrences_minute ON error_monitor.occurrences (minute);
