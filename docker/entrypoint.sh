#!/bin/sh
# Writes libpq's password file, then runs the command. A worker logs in as each job's submitter, so it needs more than one
# password, and libpq has no variable for that. The passwords come from files, `role=/run/secrets/name` for each role in
# PGQUEUE_PASSWORD_FILES, or from PGQUEUE_PASSWORDS, lines of role:password.
set -eu
umask 077

# In the file a backslash protects itself and the colon.
add_password() {
    printf '*:*:*:%s:%s\n' "$1" "$(printf '%s' "$2" | sed 's/[\\:]/\\&/g')" >> "$PGPASSFILE"
}

if [ -n "${PGQUEUE_PASSWORDS:-}${PGQUEUE_PASSWORD_FILES:-}" ]; then
    : "${PGPASSFILE:?names the file to write}"
    : > "$PGPASSFILE"
fi
if [ -n "${PGQUEUE_PASSWORDS:-}" ]; then
    printf '%s\n' "$PGQUEUE_PASSWORDS" | while IFS= read -r line; do
        [ -n "$line" ] || continue
        add_password "${line%%:*}" "${line#*:}"
    done
    unset PGQUEUE_PASSWORDS
fi
for pair in ${PGQUEUE_PASSWORD_FILES:-}; do
    password=$(cat "${pair#*=}")
    add_password "${pair%%=*}" "$password"
done
# Flower knows no file for it.
if [ -n "${FLOWER_PASSWORD_FILE:-}" ]; then
    password=$(cat "$FLOWER_PASSWORD_FILE")
    FLOWER_BASIC_AUTH="${FLOWER_USER:-admin}:$password"
    export FLOWER_BASIC_AUTH
fi
unset password
exec "$@"
