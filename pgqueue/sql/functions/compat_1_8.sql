-- The names of pg_background 1.8, created in the first schema of search_path by pgqueue.install_compat.
--
-- Functions that launch a job have no SET clause, which would hide the caller's search_path, because the job inherits it.

create or replace function pgqueue._create_pg_background_1_8()
  returns void
  language plpgsql volatile
as $create$
begin
  create type pg_background_handle as (pid int, cookie bigint);
  create type pg_background_stats as (
    workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, workers_active int,
    avg_execution_ms float8, max_workers int);
  create type pg_background_progress as (progress_pct int, progress_msg text);

  create function pg_background_launch(sql text, queue_size int default 0) returns int language plpgsql volatile strict as $$
  begin
    return (select t.pid from pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, null) t);
  end $$;
  create function pg_background_detach(pid int) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', pid, 'mismatch', '55000'));
  end $$;

  create function pg_background_launch_v2(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_submit_v2(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('none', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_detach_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', pid, 'cookie', cookie, 'mismatch', '55000'));
  end $$;
  create function pg_background_cancel_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._cancel_tracked_now(pid, cookie, 0, false);
  end $$;
  create function pg_background_cancel_v2_grace(pid int, cookie bigint, grace_ms int) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._cancel_tracked_now(pid, cookie, grace_ms, true);
  end $$;
  create function pg_background_wait_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._wait_tracked(pid, cookie, null);
  end $$;
  create function pg_background_wait_v2_timeout(pid int, cookie bigint, timeout_ms int) returns boolean language plpgsql volatile strict as $$
  begin
    return pgqueue._wait_tracked(pid, cookie, timeout_ms);
  end $$;
  perform pgqueue._create_reader('pg_background_result(pid int)', 'pgqueue._read_tracked(pid, null, ''1.8'')');
  perform pgqueue._create_reader('pg_background_result_v2(pid int, cookie bigint)', 'pgqueue._read_tracked(pid, cookie, ''1.8'')');

  create function pg_background_list_v2() returns setof record language plpgsql volatile as $$
  begin
    return query
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed from pgqueue._list_tracked() l;
  end $$;
  create function pg_background_stats_v2() returns pg_background_stats language plpgsql volatile as $$
  begin
    return (select (s.workers_launched, s.workers_completed, s.workers_failed, s.workers_canceled, s.workers_active, s.avg_execution_ms,
                    s.max_workers)::pg_catalog.record from pgqueue._tracked_stats() s);
  end $$;
  create function pg_background_progress(pct int, msg text default null) returns void language plpgsql volatile as $$
  begin
    perform pgqueue._report_progress('pg_background_progress', pct, msg);
  end $$;
  create function pg_background_get_progress_v2(pid int, cookie bigint) returns pg_background_progress language plpgsql volatile as $$
  begin
    return pgqueue._progress_of_tracked(pid, cookie);
  end $$;

  create function grant_pg_background_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, true, print_commands);
  end $$;
  create function revoke_pg_background_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, false, print_commands);
  end $$;
end
$create$;
comment on function pgqueue._create_pg_background_1_8() is 'Creates the names of pg_background 1.8 in the first schema of search_path';
