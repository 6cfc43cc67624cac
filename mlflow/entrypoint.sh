#!/bin/sh
# Runs a command as the owner of the project folder /work, so that the results are theirs, and without any privilege.
# A container that was not started as root just runs it.
set -eu
[ "$(id -u)" = 0 ] || exec "$@"
user=$(stat -c %u /work) group=$(stat -c %g /work)
if [ "$(stat -c %u /work/runs)" = 0 ]; then chown "$user:$group" /work/runs; fi # made by Docker, if it was missing
exec setpriv --reuid "$user" --regid "$group" --clear-groups --bounding-set=-all --no-new-privs "$@"
