select holder, held_seconds, transactions
from (
    select concat('session ', pid, ' of ', usename, ' (', coalesce(nullif(application_name, ''), 'unnamed'), ')') as holder,
           extract(epoch from clock_timestamp() - coalesce(xact_start, backend_start))::float8 as held_seconds,
           age(backend_xmin) as transactions
    from pg_stat_activity
    where backend_xmin is not null and pid <> pg_backend_pid()
    union all
    select concat('prepared transaction ', gid, ' of ', owner),
           extract(epoch from clock_timestamp() - prepared)::float8,
           age(transaction)
    from pg_prepared_xacts
    union all
    select concat('replication slot ', slot_name), null, age(coalesce(xmin, catalog_xmin))
    from pg_replication_slots
    where xmin is not null or catalog_xmin is not null
) held
order by transactions desc
limit 1
