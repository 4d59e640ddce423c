#!/bin/sh
# Writes libpq's password file from PGQUEUE_PASSWORDS, lines of role:password, then runs the command. A worker logs in as
# each job's submitter, so it needs more than one password, and libpq has no variable for that.
set -eu

if [ -n "${PGQUEUE_PASSWORDS:-}" ]; then
    umask 077
    printf '%s\n' "$PGQUEUE_PASSWORDS" | while IFS= read -r line; do
        [ -n "$line" ] || continue
        # In the file a backslash protects itself and the colon.
        printf '*:*:*:%s:%s\n' "${line%%:*}" "$(printf '%s' "${line#*:}" | sed 's/[\\:]/\\&/g')"
    done > "$PGPASSFILE"
    unset PGQUEUE_PASSWORDS
fi
exec "$@"
