-- The caller of a view's INSTEAD OF trigger, which acts for the role that has inserted.

create or replace function pgqueue._refuse_without_triggers()
  returns oid
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'with session_replication_role = replica, no trigger carries this out'
    using errcode = '55000', hint = 'Call it where session_replication_role is origin or local. pgqueue.enqueue without a key, and a trigger without one, work everywhere.';
end
$$;
comment on function pgqueue._refuse_without_triggers() is 'Raises an error: INSTEAD OF triggers of views cannot be ENABLE ALWAYS, and without them an INSERT would do nothing and succeed';
grant execute on function pgqueue._refuse_without_triggers() to pgqueue_user, pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._caller()
  returns oid
  language sql stable
begin atomic
  select case when current_setting('session_replication_role') = 'replica' then pgqueue._refuse_without_triggers() else quote_ident(current_user)::regrole::oid end;
end;
comment on function pgqueue._caller() is 'The current role, as the default of a view''s column: an INSERT by another role cannot set it. An error where the view''s INSTEAD OF trigger does not fire';
grant execute on function pgqueue._caller() to pgqueue_user, pgqueue_worker, pgqueue_admin;
