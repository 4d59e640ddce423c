#!/bin/sh
# Runs once, when the database is made: the logins of the workers, of Flower and of the application. PostgreSQL's image
# runs it. Each password comes from the file that its variable with _FILE names, or from the variable.
set -eu

for name in WORKER_PASSWORD FLOWER_LOGIN_PASSWORD APP_PASSWORD; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        password=$(cat "$file")
        export "$name=$password"
    fi
done

psql --set=ON_ERROR_STOP=1 --no-psqlrc --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv worker_password WORKER_PASSWORD
\getenv flower_password FLOWER_LOGIN_PASSWORD
\getenv app_password APP_PASSWORD
create role pgqueue_worker nologin;
create role pgqueue_monitor nologin;
create role pgqueue_admin nologin;
create role worker login password :'worker_password' in role pgqueue_worker;
-- Flower observes and administers; it claims neither jobs nor tasks.
create role flower login password :'flower_password' in role pgqueue_monitor, pgqueue_admin;
create role app login password :'app_password';
SQL
