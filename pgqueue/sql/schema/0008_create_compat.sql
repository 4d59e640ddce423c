-- The schemas in which the names of pg_background and pg_cron were created.

create table pgqueue.compat (
  schema_name text primary key,
  extension text not null default 'pg_background',
  version text not null,
  objects text[] not null,
  grants_usage boolean not null,
  installed_at timestamptz not null default clock_timestamp(),
  constraint compat_version_is_known check (extension = 'pg_background' and version in ('1.8', '2.0') or extension = 'pg_cron' and version = '1.6')
);
comment on table pgqueue.compat is 'The schemas in which pgqueue.install_compat has created pg_background''s names, and pgqueue.install_pg_cron those of pg_cron';
comment on column pgqueue.compat.objects is 'The created objects, in the order in which they are dropped';
comment on column pgqueue.compat.grants_usage is 'Whether pgbackground_role was given the usage of the schema; of pg_cron''s names, whether the schema was created for them';
