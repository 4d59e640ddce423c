-- after: traceparent
-- The settings of PostgreSQL that a job inherits from the session that submits it, captured once per session.

create or replace function pgqueue._inheritable_names()
  returns text[]
  language sql immutable
begin atomic
  -- The list is PostgreSQL 18's. A name that another version lacks is ignored, and the captured value stores the settings that
  -- another version has in addition.
  select '{array_nulls, backend_flush_after, backslash_quote, bytea_output, check_function_bodies, client_connection_check_interval,
    commit_siblings, constraint_exclusion, cpu_index_tuple_cost, cpu_operator_cost, cpu_tuple_cost, createrole_self_grant,
    cursor_tuple_fraction, DateStyle, debug_logical_replication_streaming, debug_parallel_query, debug_pretty_print,
    debug_print_parse, debug_print_plan, debug_print_rewritten, default_statistics_target, default_table_access_method,
    default_tablespace, default_text_search_config, default_toast_compression, default_transaction_deferrable,
    default_transaction_isolation, default_transaction_read_only, effective_cache_size, effective_io_concurrency,
    enable_async_append, enable_bitmapscan, enable_distinct_reordering, enable_gathermerge, enable_group_by_reordering,
    enable_hashagg, enable_hashjoin, enable_incremental_sort, enable_indexonlyscan, enable_indexscan, enable_material,
    enable_memoize, enable_mergejoin, enable_nestloop, enable_parallel_append, enable_parallel_hash, enable_partition_pruning,
    enable_partitionwise_aggregate, enable_partitionwise_join, enable_presorted_aggregate, enable_self_join_elimination,
    enable_seqscan, enable_sort, enable_tidscan, escape_string_warning, extra_float_digits, file_copy_method, from_collapse_limit,
    geqo, geqo_effort, geqo_generations, geqo_pool_size, geqo_seed, geqo_selection_bias, geqo_threshold, gin_fuzzy_search_limit,
    gin_pending_list_limit, hash_mem_multiplier, icu_validation_level, idle_in_transaction_session_timeout, idle_session_timeout,
    IntervalStyle, io_combine_limit, jit, jit_above_cost, jit_expressions, jit_inline_above_cost, jit_optimize_above_cost,
    jit_tuple_deforming, join_collapse_limit, lc_monetary, lc_numeric, lc_time, local_preload_libraries, lock_timeout,
    log_parameter_max_length_on_error, logical_decoding_work_mem, maintenance_io_concurrency, maintenance_work_mem,
    max_parallel_maintenance_workers, max_parallel_workers, max_parallel_workers_per_gather, md5_password_warnings,
    min_parallel_index_scan_size, min_parallel_table_scan_size, parallel_leader_participation, parallel_setup_cost,
    parallel_tuple_cost, password_encryption, plan_cache_mode, quote_all_identifiers, random_page_cost,
    recursive_worktable_factor, restrict_nonsystem_relation_kind, row_security, scram_iterations, seq_page_cost,
    standard_conforming_strings, statement_timeout, stats_fetch_consistency, synchronize_seqscans, synchronous_commit,
    tcp_keepalives_count, tcp_keepalives_idle, tcp_keepalives_interval, tcp_user_timeout, temp_buffers, temp_tablespaces,
    TimeZone, timezone_abbreviations, trace_notify, trace_sort, transaction_timeout, transform_null_equals,
    vacuum_buffer_usage_limit, vacuum_cost_delay, vacuum_cost_limit, vacuum_cost_page_dirty, vacuum_cost_page_hit,
    vacuum_cost_page_miss, vacuum_failsafe_age, vacuum_freeze_min_age, vacuum_freeze_table_age,
    vacuum_max_eager_freeze_failure_rate, vacuum_multixact_failsafe_age, vacuum_multixact_freeze_min_age,
    vacuum_multixact_freeze_table_age, vacuum_truncate, wal_sender_timeout, wal_skip_threshold, work_mem, xmlbinary, xmloption}'::text[];
end;
comment on function pgqueue._inheritable_names() is
  'The settings that any role may change and that jobs inherit; search_path is handled separately';
grant execute on function pgqueue._inheritable_names() to pgqueue_user;

create or replace view pgqueue.own_seal with (security_barrier) as
  select k.role, encode(sha256(convert_to(k.seal_key || current_setting('pgqueue.captured_settings', true), 'UTF8')), 'hex') as digest
  from pgqueue.role_key k
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_seal is 'A digest of the setting pgqueue.captured_settings that only the current role can compute';
grant select on pgqueue.own_seal to pgqueue_user;

create or replace view pgqueue.own_session_seal with (security_barrier) as
  -- The digest covers the captured values and the current values. Lengths and the quoting of an array's text keep one value from
  -- passing for another. The word separates it from pgqueue.own_seal. A seal of one session is not valid in another.
  select k.role, left(encode(sha256(convert_to(concat(
      k.seal_key, ' session ', pg_backend_pid(), ' ', length(kept.text), ' ', kept.text,
      array(select current_setting(unnest(pgqueue._inheritable_names()), true)),
      -- The row is hidden from other roles, which may not be allowed to see all settings that this role can.
      case when split_part(kept.text, chr(30), 2) <> '' and split_part(kept.text, chr(30), 3) = k.role::text
        then array(select current_setting(unnest(string_to_array(split_part(kept.text, chr(30), 2), ',')), true)) end), 'UTF8')), 'hex'), 32) as seal
  from pgqueue.role_key k, current_setting('pgqueue.session_settings', true) kept (text)
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_session_seal is
  'A digest of the setting pgqueue.session_settings, and of the current values of the settings that jobs inherit, that only the current role can compute';
grant select on pgqueue.own_session_seal to pgqueue_user;

create or replace view pgqueue.own_session with (security_barrier) as
  select split_part(current_setting('pgqueue.session_settings', true), chr(30), 1)::jsonb as captured
  from pgqueue.own_session_seal s
  where s.seal = current_setting('pgqueue.session_seal', true);
comment on view pgqueue.own_session is
  'The settings that were captured in this session. No row: none yet, or a setting has changed since, or another role has replaced the stored text';
grant select on pgqueue.own_session to pgqueue_user;

create or replace view pgqueue.own_settings with (security_barrier) as
  -- It does not read pgqueue.own_session, because one more view would make each call slower.
  select split_part(current_setting('pgqueue.session_settings', true), chr(30), 1)::jsonb || jsonb_build_object('search_path', current_setting('search_path'))
    || case when concat(current_setting('pgqueue.worker_timeout', true), current_setting('pgqueue.traceparent', true)) <> ''
         then pgqueue._ambient_settings() else '{}' end as settings
  from pgqueue.own_session_seal s
  where s.seal = current_setting('pgqueue.session_seal', true) and coalesce(current_setting('pgqueue.inherit', true), '') = '';
comment on view pgqueue.own_settings is
  'pgqueue._settings for the usual case, in one read. No row: call that function. For functions without a SET clause, which would hide the search_path';
grant select on pgqueue.own_settings to pgqueue_user;

create or replace function pgqueue._session_settings()
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  captured jsonb;
  others text;
  name text;
  usual text;
  begun_with text[] := array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable'];
begin
  select s.captured into captured from pgqueue.own_session s;
  if found then
    return captured;
  end if;
  -- Reading pg_settings takes 0.3 ms to 0.4 ms, as much as a small transaction. It is read when the session submits for the first
  -- time, and again when one of the settings that jobs inherit has changed.
  perform pgqueue._require_enrolled(), pgqueue._require_home();
  select coalesce(jsonb_object_agg(s.name, current_setting(s.name)) filter (where s.source in ('session', 'client', 'user', 'database user')
                                                                           -- Jobs of the batch lane run in sessions without these
                                                                           -- settings.
                                                                           or s.source in ('database', 'global', 'configuration file') and s.setting is distinct from s.boot_val
                                                                              and s.name in ('statement_timeout', 'lock_timeout', 'default_transaction_isolation',
                                                                                             'default_transaction_read_only', 'default_transaction_deferrable')), '{}'),
         string_agg(s.name, ',') filter (where s.name <> all (pgqueue._inheritable_names()))
  into captured, others
  from pg_settings s
  where (s.context = 'user' or s.context = 'superuser' and (select rolsuper from pg_roles where rolname = current_user))
    and s.name not in ('search_path', 'application_name', 'client_encoding', 'client_min_messages', 'role', 'session_authorization',
                       'transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'seed', 'exit_on_error')
    and strpos(s.name, '.') = 0;
  -- A login accepts values that SET refuses, for example a dropped tablespace: a job with such a value could never run.
  for name in
    select s.name from pg_settings s where s.source in ('client', 'user', 'database user') and captured ? s.name
  loop
    begin
      perform set_config(name, current_setting(name), true);
      raise exception using errcode = 'PQ000';  -- The block is rolled back.
    exception
      when sqlstate 'PQ000' then
        null;
      when others then
        raise warning 'jobs do not inherit the setting "%": %', name, sqlerrm
          using errcode = sqlstate, hint = 'The login has brought it, but it cannot be set any more. Change it with ALTER ROLE or ALTER DATABASE.';
        captured := captured - name;
    end;
  end loop;
  -- A transaction begins with these settings, so a job that has them needs a session of its submitter: this one would wait
  -- forever.
  if captured ?| begun_with and not pgqueue._may_log_in(quote_ident(current_user)::regrole) then
    select s.name, s.boot_val into name, usual from pg_settings s where s.name = any (begun_with) and captured ? s.name and s.setting is distinct from s.boot_val limit 1;
    if found then
      raise exception 'role "%" may not log in, so its jobs cannot inherit the setting "%"', current_user, name
        using errcode = '55000', hint = format('Say "set %s to default" or "set %s = %L" first. Or let workers log in as the role: alter role %I login.',
                                               name, name, usual, current_user);
    end if;
    captured := captured - begun_with;
  end if;
  perform set_config('pgqueue.session_settings', concat(captured, chr(30), others, chr(30), quote_ident(current_user)::regrole::oid), false);
  perform set_config('pgqueue.session_seal', (select s.seal from pgqueue.own_session_seal s), false);
  return captured;
end
$$;
comment on function pgqueue._session_settings() is 'The settings of PostgreSQL that were made in this session, or for its login by ALTER ROLE, but for search_path';
grant execute on function pgqueue._session_settings() to pgqueue_user;

create or replace function pgqueue._capture_settings(caller_search_path text)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  captured jsonb := pgqueue._session_settings() || jsonb_build_object('search_path', caller_search_path) || pgqueue._ambient_settings();
  custom text;
begin
  if pgqueue._setting('worker_timeout', null) is not null then
    captured := captured || jsonb_build_object('pgqueue.worker_timeout', pgqueue._setting('worker_timeout', null));
  end if;
  -- The server does not list custom settings: pgqueue.inherit names those that jobs need.
  if current_setting('pgqueue.inherit', true) <> '' then
    for custom in select distinct trim(n) from string_to_table(current_setting('pgqueue.inherit'), ',') n where trim(n) <> '' loop
      if current_setting(custom, true) is not null then
        captured := captured || jsonb_build_object(custom, current_setting(custom, true));
      end if;
    end loop;
  end if;
  return captured;
end
$$;
comment on function pgqueue._capture_settings(text) is 'The settings made in this session, which its jobs inherit';
grant execute on function pgqueue._capture_settings(text) to pgqueue_user;

create or replace function pgqueue._settings()
  returns jsonb
  language plpgsql volatile
as $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._capture_settings(pg_catalog.current_setting('search_path'));
end
$$;
comment on function pgqueue._settings() is 'The settings that a job of the caller inherits';
grant execute on function pgqueue._settings() to pgqueue_user;

create or replace function pgqueue._known_settings(backend_pid int, captured jsonb)
  returns jsonb
  language sql volatile
begin atomic
  -- A program with a connection of its own asks once which settings its jobs inherit. Behind a pooler the session may be another
  -- one by now.
  select case when backend_pid = pg_backend_pid() then captured else pgqueue._settings() end;
end;
comment on function pgqueue._known_settings(int, jsonb) is
  'The settings that the caller has captured in this session; if that was another session, the settings as they are now';
grant execute on function pgqueue._known_settings(int, jsonb) to pgqueue_user;

create or replace function pgqueue._inherited(captured jsonb)
  returns jsonb
  language sql immutable
begin atomic
  select captured - 'pgqueue.worker_timeout';
end;
comment on function pgqueue._inherited(jsonb) is 'The part of captured settings that a job receives';
grant execute on function pgqueue._inherited(jsonb) to pgqueue_user;

create or replace function pgqueue._inherited_timeout(captured jsonb)
  returns interval
  language sql stable
begin atomic
  select nullif((captured ->> 'pgqueue.worker_timeout')::interval, interval '0');
end;
comment on function pgqueue._inherited_timeout(jsonb) is 'The timeout of a job without one: pgqueue.worker_timeout as it was captured';
grant execute on function pgqueue._inherited_timeout(jsonb) to pgqueue_user;

create or replace function pgqueue._ambient_timeout()
  returns interval
  language sql stable
begin atomic
  select nullif(pgqueue._setting('worker_timeout', null)::interval, interval '0');
end;
comment on function pgqueue._ambient_timeout() is 'pgqueue._inherited_timeout of settings that are captured now';
grant execute on function pgqueue._ambient_timeout() to pgqueue_user;

create or replace function pgqueue._with_durability(settings jsonb, durability text)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case when durability = 'async' then settings || '{"synchronous_commit": "off"}'
              -- This overrides the session, the role and the queue. A session that waits for standbys continues to wait for them.
              when durability = 'sync' and coalesce(settings ->> 'synchronous_commit', 'off') = 'off' then settings || '{"synchronous_commit": "on"}'
              else settings end;
comment on function pgqueue._with_durability(jsonb, text) is 'The settings of a job with its own durability';
grant execute on function pgqueue._with_durability(jsonb, text) to pgqueue_user;
