-- +goose Up
CREATE TABLE records (
    id          uuid        NOT NULL,
    time        timestamptz NOT NULL,
    kind        text        NOT NULL,
    host        text,
    supervisord text,
    listener    text,
    grp         text,
    process     text,
    pid         bigint,
    check_name  text,
    status      text,
    action      text,
    reason      text,
    seconds     double precision,
    probe       text,
    url         text,
    status_code integer,
    record      jsonb       NOT NULL,
    PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);

COMMENT ON TABLE records IS 'What supervisor_checks has seen and done, in a partition for each week';
COMMENT ON COLUMN records.record IS 'The whole record; the columns before it are parts of it';

-- What became of one process, the newest first.
CREATE INDEX records_process ON records (process, host, time DESC);
CREATE INDEX records_kind ON records (kind, time DESC);
-- What became of a dependency or a group.
CREATE INDEX records_others ON records ((coalesce(probe, grp)), time DESC) WHERE process IS NULL;
-- What was done, of all the rest of which there is far more.
CREATE INDEX records_actions ON records (time DESC) WHERE kind IN ('restart', 'transition');

-- Uptimer's table, of what probes of URLs have found.
CREATE VIEW supervisor_probe_events AS
SELECT
    id AS uuid,
    time AS event_time,
    'ProbeEvent'::text AS schema_title,
    '0.2.0'::text AS schema_version,
    lower(substring(url FROM '^([^:/]+)://')) AS protocol,
    lower(trim(BOTH '[]' FROM substring(url FROM '^[^/]*//(\[[^]]*\]|[^/:]*)'))) AS hostname,
    coalesce(substring(url FROM '^[^/]*//(?:\[[^]]*\]|[^/:]*):(\d{1,5})(?:/|$)')::integer, CASE WHEN url ILIKE 'https:%' THEN 443 ELSE 80 END) AS port,
    coalesce(substring(url FROM '^[^/]*//[^/]*(/.*)$'), '') AS path,
    coalesce(status_code, 0) AS status_code,
    least(round(coalesce(seconds, 0) * 1000), 2147483647)::integer AS response_time_ms,
    coalesce(reason, '') AS error,
    record ->> 'regex' AS regex,
    (record ->> 'matches_regex')::boolean AS matches_regex
FROM records
WHERE kind = 'probe_result' AND url IS NOT NULL;

COMMENT ON VIEW supervisor_probe_events IS 'Probes of URLs, with the columns of Uptimer''s probe_events';

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'probe_events' AND n.nspname = current_schema()
    ) THEN
        RAISE WARNING 'there is a probe_events already, which is left alone: what probes find is in supervisor_probe_events';
    ELSE
        CREATE VIEW probe_events AS SELECT * FROM supervisor_probe_events;
    END IF;
END
$$;
-- +goose StatementEnd
