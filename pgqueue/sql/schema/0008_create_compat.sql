-- The schemas in which pg_background's names were created.

create table pgqueue.compat (
  schema_name text primary key,
  version text not null,
  objects text[] not null,
  grants_usage boolean not null,
  installed_at timestamptz not null default clock_timestamp(),
  constraint compat_version_is_known check (version in ('1.8', '2.0'))
);
comment on table pgqueue.compat is 'The schemas in which pgqueue.install_compat has created pg_background''s names';
comment on column pgqueue.compat.objects is 'The created objects, in the order in which they are dropped';
comment on column pgqueue.compat.grants_usage is 'Whether pgbackground_role was given the usage of the schema';
