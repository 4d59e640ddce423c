#!/bin/sh
# Runs once, when the database is made: the logins of the worker and of the application. PostgreSQL's image runs it.
set -eu

psql --set=ON_ERROR_STOP=1 --no-psqlrc --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv worker_password WORKER_PASSWORD
\getenv app_password APP_PASSWORD
create role pgqueue_worker nologin;
create role worker login password :'worker_password' in role pgqueue_worker;
create role app login password :'app_password';
SQL
