-- after: functions
-- Objects that are made from functions, once: casts, a constraint trigger, the login and the server of the loopback, the first
-- partitions, the login of the executors.

create constraint trigger notice_is_sent after insert on pgqueue.notice
  deferrable initially deferred for each row execute function pgqueue._send_notice();

do $$
declare
  gate text := 'pgqueue_gate_' || (select oid from pg_database where datname = current_database());
  password text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
  -- There is a role for each database: only the user mapping of this database has its password.
  if to_regrole(gate) is null then
    execute format('create role %I login password %L', gate, password);
  else
    execute format('alter role %I login password %L', gate, password);
  end if;
  execute format('grant pgqueue_gate to %I', gate);
  execute format('create server pgqueue_loopback foreign data wrapper dblink_fdw options (dbname %L, application_name %L, connect_timeout %L, options %L)',
                 current_database(), 'pgqueue loopback', '10', pgqueue._loopback_options());
  execute format('create user mapping for current_user server pgqueue_loopback options (user %L, password %L)', gate, password);
end
$$;

-- With these casts, pgqueue.cancel(7) and similar calls name a job by its number. Functions of the same names for numbers would
-- make a call with a parameter or a literal of unknown type ambiguous.
create cast (bigint as pgqueue.handle) with function pgqueue._handle(bigint) as implicit;

create cast (int as pgqueue.handle) with function pgqueue._handle(int) as implicit;

create cast (smallint as pgqueue.handle) with function pgqueue._handle(smallint) as implicit;

select pgqueue._repair_executor();

select pgqueue._make_partitions();
