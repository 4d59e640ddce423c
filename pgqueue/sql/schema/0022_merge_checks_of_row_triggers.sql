-- pgqueue._put_row_job compares what a row trigger has captured: it has no other comparison before it.
drop function if exists pgqueue._is_captured(text, text, text);
drop function if exists pgqueue._has_seen(text, text);
drop function if exists pgqueue._seen_columns(oid, text[]);
