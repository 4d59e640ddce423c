-- Settings: read where they are used, so that ALTER DATABASE, ALTER ROLE and SET apply without a restart.

create function pgqueue._setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  select coalesce(nullif(current_setting('pgqueue.' || name, true), ''), fallback);
end;
comment on function pgqueue._setting(text, text) is 'A setting as the calling session has it';

create function pgqueue._worker_setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  -- A session sees ALTER DATABASE and ALTER ROLE only when it logs in. Workers stay logged in, so they read the catalog.
  select coalesce(
    (select nullif(substr(entry, strpos(entry, '=') + 1), '')
     from pg_db_role_setting s, unnest(s.setconfig) entry
     where (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
       and (s.setrole = 0 or s.setrole = quote_ident(session_user)::regrole)
       and split_part(entry, '=', 1) = 'pgqueue.' || name
     order by s.setrole = 0, s.setdatabase = 0
     limit 1),
    fallback);
end;
comment on function pgqueue._worker_setting(text, text) is 'A setting of this database or of the worker''s role, as it is now';

create function pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval)
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::interval));
exception when data_exception then
  -- The server takes any text for a setting it does not know. A slip there must not stop the workers.
  raise warning 'pgqueue.% is not an interval: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;
comment on function pgqueue._worker_interval(text, interval, interval, interval) is 'A setting that is an interval, brought into a range; the fallback when it is none';

create function pgqueue._worker_number(name text, fallback int, least_value int, greatest_value int)
  returns int
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::int));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;
comment on function pgqueue._worker_number(text, int, int, int) is 'A setting that is a number, brought into a range; the fallback when it is none';

create function pgqueue._naptime()
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._setting('naptime', '3 s')::interval;
exception when data_exception then
  return interval '3 s';  -- as the workers take it
end
$$;
comment on function pgqueue._naptime() is 'How often workers look by themselves, as far as the calling session knows';

create function pgqueue._setting_fault(name text, value text)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if name in ('naptime', 'result_ttl', 'worker_timeout') then
    perform nullif(value, '')::interval;
  elsif name in ('max_items', 'max_deliveries', 'max_lost_sessions', 'max_workers', 'max_queues', 'max_exchanges', 'max_bindings', 'max_schedules', 'max_executors_per_role', 'max_messages', 'max_delayed', 'max_megabytes') then
    perform nullif(value, '')::int;
  elsif name = 'loopback' and value not in ('', 'session', 'call') then
    return 'it is session or call';
  elsif name not in ('inherit', 'loopback') then
    return 'there is no such setting';
  end if;
  return null;
exception when data_exception then
  return sqlerrm;
end
$$;
comment on function pgqueue._setting_fault(text, text) is 'What is wrong with a value of a setting; NULL: nothing';

create function pgqueue._faulty_settings()
  returns setof text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- The server takes any name and any text for settings it does not know.
  select concat(split_part(e.entry, '=', 1), ' = ''', e.value, ''' (set for ',
                concat_ws(' in ', case when s.setrole <> 0 then 'role ' || pg_get_userbyid(s.setrole) end,
                          case when s.setdatabase <> 0 then 'database ' || current_database() end,
                          case when s.setrole = 0 and s.setdatabase = 0 then 'all' end), '): ', f.fault)
  from pg_db_role_setting s
  cross join unnest(s.setconfig) c (entry)
  cross join lateral (select c.entry, substr(c.entry, strpos(c.entry, '=') + 1) as value) e
  cross join lateral pgqueue._setting_fault(substr(split_part(e.entry, '=', 1), 9), e.value) f (fault)
  where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    and e.entry like 'pgqueue.%' and f.fault is not null
  order by 1;
end;
comment on function pgqueue._faulty_settings() is 'Settings of this database and of roles that cannot be what was meant: the defaults hold';

create function pgqueue._inheritable_names()
  returns text[]
  language sql immutable
begin atomic
  -- Of PostgreSQL 18. Which of them another version lacks does not matter, and what it has beside them is kept with what was captured.
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
comment on function pgqueue._inheritable_names() is 'The settings that any role may change and that jobs inherit; search_path is treated apart';

create function pgqueue._session_settings()
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
  -- pg_settings costs 0.3 to 0.4 ms, as much as a small transaction: it is read when the session hands in for the first time, and
  -- when one of the settings that jobs inherit has another value than then.
  perform pgqueue._require_enrolled(), pgqueue._require_home();
  select coalesce(jsonb_object_agg(s.name, current_setting(s.name)) filter (where s.source in ('session', 'client', 'user', 'database user')
                                                                           -- Jobs of the batch lane run in sessions that do without these.
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
  -- A login takes what SET refuses, a tablespace that was dropped, say: a job that was given it could never run.
  for name in
    select s.name from pg_settings s where s.source in ('client', 'user', 'database user') and captured ? s.name
  loop
    begin
      perform set_config(name, current_setting(name), true);
      raise exception using errcode = 'PQ000';  -- it is undone
    exception
      when sqlstate 'PQ000' then
        null;
      when others then
        raise warning 'jobs do not inherit the setting "%": %', name, sqlerrm
          using errcode = sqlstate, hint = 'The login has brought it, but it cannot be set any more. Change it with ALTER ROLE or ALTER DATABASE.';
        captured := captured - name;
    end;
  end loop;
  -- A transaction begins with these, so a job that has them needs a session of its submitter: this one would wait for ever.
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

create function pgqueue._capture_settings(caller_search_path text)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  captured jsonb := pgqueue._session_settings() || jsonb_build_object('search_path', caller_search_path);
  custom text;
begin
  if pgqueue._setting('worker_timeout', null) is not null then
    captured := captured || jsonb_build_object('pgqueue.worker_timeout', pgqueue._setting('worker_timeout', null));
  end if;
  -- The server does not list custom settings: those that jobs need are named in pgqueue.inherit.
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

create function pgqueue._settings()
  returns jsonb
  language plpgsql volatile
as $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._capture_settings(pg_catalog.current_setting('search_path'));
end
$$;
comment on function pgqueue._settings() is 'The settings that a job of the caller inherits';
