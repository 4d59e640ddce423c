-- Where pg_background's names were made.

create table pgqueue.compat (
  schema_name text primary key,
  version text not null,
  objects text[] not null,
  grants_usage boolean not null,
  installed_at timestamptz not null default clock_timestamp(),
  constraint compat_version_is_known check (version in ('1.8', '2.0'))
);
comment on table pgqueue.compat is 'Where pgqueue.install_compat has made pg_background''s names';
comment on column pgqueue.compat.objects is 'What was made there, to be dropped in this order';
comment on column pgqueue.compat.grants_usage is 'Whether pgbackground_role was given the usage of the schema';
