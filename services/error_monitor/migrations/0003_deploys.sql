-- When a service was deployed: what is new since then is shown first.
CREATE TABLE error_monitor.deploys (
    service text NOT NULL,
    commit text NOT NULL,
    deployed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, commit)
);
CREATE INDEX deploys_newest ON error_monitor.deploys (deployed_at DESC);
