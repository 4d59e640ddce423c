-- The pages and the API of operators in Flower. Each answer is one JSON value: the page and the API show the same.

-- name: bound_page
-- For the rest of the transaction.
select set_config('statement_timeout', %(milliseconds)s::text, true)

-- name: page_reader
select jsonb_build_object('role', current_user, 'is_administrator', pg_has_role('pgqueue_admin', 'member'),
                          'sees_all_jobs', pg_has_role('pgqueue_admin', 'member') or pg_has_role('pgqueue_monitor', 'member'))

-- name: search_jobs
select pgqueue._search_jobs(%(state)s, %(queue)s, %(label)s, %(role)s, %(statement)s, %(sqlstate)s, %(error)s, %(since)s::timestamptz,
                            %(until)s::timestamptz, %(before)s::bigint, %(limit)s::int, %(patience)s::float8 * interval '1 s')

-- name: page_job
-- Long texts are cut: a page shows no more, and Flower holds no more.
select to_jsonb(j) - 'handle'
       || jsonb_build_object('statement', left(c.statement, 100000), 'is_statement_cut', length(c.statement) > 100000,
                             'params', case when c.params is not null then array(select left(p, 10000) from unnest(c.params) p limit 200) end,
                             'notices', c.notices, 'retried_as', c.retried_as, 'can_be_retried', c.can_be_retried, 'is_readable', c.is_readable,
                             'attempted', (select jsonb_agg(to_jsonb(a) - 'id' order by a.attempt) from pgqueue.attempts a where a.id = %(id)s::bigint),
                             'now', clock_timestamp())
from pgqueue.jobs j cross join pgqueue.job_content c
where j.id = %(id)s::bigint and c.id = %(id)s::bigint

-- name: page_queues
select jsonb_agg(to_jsonb(q) || jsonb_build_object('oldest_ready_seconds', case when q.oldest_ready_at is not null then greatest(0, extract(epoch from clock_timestamp() - q.oldest_ready_at)) end)
                 order by q.queue)
from pgqueue.queues q
-- Celery's own: for events, control commands and their answers.
where q.queue !~ '^celeryev[.]|[.]pidbox$' and (q.ready + q.delayed + q.claimed + q.waiting > 0 or q.paused or q.consumers > 0)

-- name: page_throughput
select jsonb_agg(to_jsonb(t)) from pgqueue._throughput() t

-- name: page_dead_letters
select jsonb_agg(to_jsonb(d)) from pgqueue._dead_letters(%(queue)s, %(limit)s::int) d

-- name: page_schedules
select jsonb_agg(to_jsonb(s) - 'cron' - 'every' order by s.name, s.owner) from (select * from pgqueue.schedules order by name, owner limit %(limit)s::int) s

-- name: page_workers
select jsonb_agg(to_jsonb(w) order by w.worker) from pgqueue.workers w

-- name: cancel_job_by_number
insert into pgqueue.job_order (act, id) values ('cancel_jobs', %(id)s::bigint) returning count
