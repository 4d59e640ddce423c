-- The submitting session, as pgqueue.stats and pg_background's calls identify it.

create or replace function pgqueue._begin_session()
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id bigint := coalesce(pgqueue._current_session_id(), pgqueue._random_bigint());
begin
  perform set_config('pgqueue.session_id', id::text, false);
  return id;
end
$$;
comment on function pgqueue._begin_session() is 'Gives this session a number';
grant execute on function pgqueue._begin_session() to pgqueue_user;

create or replace function pgqueue._session_id()
  returns bigint
  language sql volatile
begin atomic
  select coalesce(nullif(current_setting('pgqueue.session_id', true), '')::bigint, pgqueue._begin_session());
end;
comment on function pgqueue._session_id() is 'The number of this session, for pgqueue.stats';
grant execute on function pgqueue._session_id() to pgqueue_user;

create or replace function pgqueue._current_session_id()
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A connection outlives a rollback; a setting made in the transaction does not.
  return coalesce(split_part(pgqueue._loopback_name(), ' ', 2), nullif(current_setting('pgqueue.session_id', true), ''))::bigint;
end
$$;
comment on function pgqueue._current_session_id() is 'The number of this session, NULL before it has submitted anything';
grant execute on function pgqueue._current_session_id() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
