-- pgqueue._put_row_job compares what a row trigger has captured: it has no other comparison before it.
drop function if exists pgqueue._is_captured(text, text, text);
drop function if exists pgqueue._has_seen(text, text);
drop function if exists pgqueue._seen_columns(oid, text[]);
-- A claim asks queues and roles by pgqueue._next_queues, and a cancel knows the jobs behind.
drop function if exists pgqueue._queues_in_turn(pgqueue.message_kind, text[], boolean);
drop function if exists pgqueue._count_held(jsonb, bigint[]);
drop function if exists pgqueue._stop_run(bigint, bigint, int, boolean, bigint);
