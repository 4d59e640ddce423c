-- The result backend: results of tasks, groups and chords.

-- name: store_task_result
select pgqueue._store_task_result(
  %(task_id)s, %(state)s, %(content_type)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));

-- name: read_task_results
select task_id, payload
from pgqueue._task_results(%(task_ids)s::text[]);

-- name: forget_task_result
select pgqueue._forget_task_result(%(task_id)s);

-- name: await_results
select pgqueue._await_results(%(task_ids)s::text[]);

-- name: collect_results
select asleep, task_id, state, payload
from pgqueue._collect_results(%(new_ids)s::text[], %(was_asleep)s);

-- name: stop_awaiting
select pgqueue._stop_awaiting(%(task_ids)s::text[], %(was_asleep)s);

-- name: save_task_group
select pgqueue._save_task_group(%(group_id)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));

-- name: read_task_group
select pgqueue._task_group(%(group_id)s);

-- name: delete_task_group
select pgqueue._delete_task_group(%(group_id)s);

-- name: set_chord_size
select pgqueue._set_chord_size(%(group_id)s, %(size)s, make_interval(secs => %(lifetime_seconds)s::float8));

-- name: grow_chord
select pgqueue._grow_chord(%(group_id)s, make_interval(secs => %(lifetime_seconds)s::float8));

-- name: add_chord_part
select pgqueue._add_chord_part(
  %(group_id)s, %(place)s::int, %(task_id)s, %(payload)s::bytea, make_interval(secs => %(lifetime_seconds)s::float8));

-- name: read_chord_parts
select pgqueue._chord_parts(%(group_id)s);

-- name: finish_chord
select pgqueue._finish_chord(%(group_id)s);

-- name: task_fates
select task_id, fate, queue, outcome
from pgqueue._task_fates(%(task_ids)s::text[], %(workers)s::text[], %(seen_at)s::float8[])

-- name: retry_task
select pgqueue.retry_task(%(task_id)s)
