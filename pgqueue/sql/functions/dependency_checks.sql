-- Jobs that wait for others: those whose parents ended while they were being submitted.

create or replace function pgqueue._check_dependencies(max_count int, only_parent bigint default null)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  checked record;
  succeeded bigint[] := '{}';
  unsuccessful bigint[] := '{}';
begin
  -- All rows are locked before it is decided about a batch, as in pgqueue._settle_members.
  perform from pgqueue.dependency d
  where d.parent = any (array(select c.parent from pgqueue.dependency_check c where only_parent is null or c.parent = only_parent))
    -- A scalar subquery keeps the planner from reading all messages.
    and (select m.id from pgqueue.message m where m.id = d.parent) is null
  for update;
  for checked in
    with parent as materialized (
      select c.parent, array_agg(c.id) as ids from pgqueue.dependency_check c where only_parent is null or c.parent = only_parent group by c.parent order by c.parent
    )
    select p.parent, p.ids, m.id is not null as is_left, b.id is not null as is_batch
    from parent p
    left join pgqueue.message m on m.id = p.parent
    left join pgqueue.batch b on b.id = p.parent
    where m.id is null or m.xmax::text = '0'
    limit max_count
  loop
    -- The row of a job is locked before its end looks for rows of dependants. So the end of a job that no transaction has locked
    -- will see those that are committed now. A locked one is looked at again.
    if checked.is_batch then
      begin
        continue when not pgqueue._end_batch_if_done(checked.parent);
      exception when others then
        -- Its callbacks were checked when it was made. If one cannot be enqueued nevertheless, the batches of others end, and this one is tried
        -- again.
        raise warning 'batch % cannot end: %', checked.parent, sqlerrm;
        continue;
      end;
    elsif checked.is_left then
      null;
    elsif (pgqueue._ended_job(checked.parent)).state = 'succeeded' then
      succeeded := succeeded || checked.parent;
    else
      unsuccessful := unsuccessful || checked.parent;
    end if;
    delete from pgqueue.dependency_check c where c.id = any (checked.ids);
  end loop;
  -- All of them together, so that rows are locked in one order.
  if unsuccessful <> '{}' then
    perform pgqueue._settle_dependants(unsuccessful, false);
  end if;
  if succeeded <> '{}' then
    perform pgqueue._settle_dependants(succeeded, true);
  end if;
end
$$;
comment on function pgqueue._check_dependencies(int, bigint) is
  'Releases jobs whose parents ended while they were being submitted: neither transaction saw the other. only_parent: only those of a job whose transaction had an old snapshot';
grant execute on function pgqueue._check_dependencies(int, bigint) to pgqueue_worker;
