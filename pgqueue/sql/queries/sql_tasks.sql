-- SQL statements as Celery tasks.

-- name: seal_steps
-- In a session of pgqueue's own the settings are pgqueue's. Then the job has those of its role.
insert into pgqueue.step_order (settings, step)
select case when %(captures)s then pgqueue._settings() else '{}' end, s.step
from pg_catalog.jsonb_array_elements(%(steps)s::pg_catalog.jsonb) s (step)
returning sealed::pg_catalog.text

-- name: start_sql_task
select pgqueue._start_sql_task(%(id)s, %(token)s, %(step)s::pg_catalog.jsonb, %(previous)s)

-- name: tell_sql_task
select pgqueue._tell_sql_task(%(task_id)s, %(seal)s, %(is_counted)s)

-- name: refuse_sql_task
select pgqueue._refuse_sql_task(%(task_id)s, %(is_counted)s)

-- name: revoke_sql_tasks
select pgqueue._revoke_sql_tasks(%(task_ids)s::pg_catalog.text[], %(terminate)s)
