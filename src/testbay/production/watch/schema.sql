create table if not exists series (
    id integer primary key, service text not null, target text not null, name text not null, instance text not null,
    kind text not null default '', unique (service, target, name, instance));
create table if not exists rounds (series integer not null, at_ms integer not null, verdict integer not null, took_us integer);
create table if not exists hours (series integer, start_s integer, data blob not null, primary key (series, start_s)) without rowid;
create table if not exists sums (
    width_s integer, series integer, start_s integer, passed integer, failed integer, stale integer, skipped integer, errors integer,
    took_us integer, timed integer, most_us integer, primary key (width_s, series, start_s)) without rowid;
create table if not exists standings (series integer primary key, record text not null);
create table if not exists incidents (id integer primary key, opened real not null, closed real not null, record text not null);
create table if not exists notices (id integer primary key, state text not null, record text not null);
create table if not exists happenings (incident integer not null, at real not null, text text not null, author text not null);
create index if not exists happenings_of on happenings (incident);
create table if not exists beats (name text not null, at real not null, kind text not null, text text not null);
create index if not exists beats_of on beats (name, at);
create table if not exists facts (name text primary key, value text not null);
