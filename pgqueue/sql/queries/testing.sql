-- The test kit: databases for tests, and its helpers in them (pgqueue/testing/helpers.sql).

-- name: create_template_database
create database {name} template template0

-- name: copy_database
-- Through the WAL, the default since PostgreSQL 15, a copy takes twice as long.
create database {name} template {template} {owner} {strategy}

-- name: drop_database
drop database if exists {name} with (force)

-- name: find_database
select oid::bigint from pg_database where datname = %(name)s

-- name: end_database_sessions
select pg_terminate_backend(a.pid, 5000) from pg_stat_activity a where a.datname = %(name)s

-- name: find_role
select true from pg_roles where rolname = %(role)s

-- name: create_login
create role {role} login

-- name: drop_login
drop role if exists {role}

-- name: call_test_helper
select * from {function}({arguments})
