#!/bin/sh
# Makes the passwords of docker-compose.yml, once: what is there already stays as it is.
# Each file is readable for the users of the containers; the folder is open to its owner alone.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
cd secrets
umask 022

password() { openssl rand -hex 24; }
keep() { test -e "$1" || printf '%s\n' "$2" > "$1"; }

keep database_password "$(password)"
keep database_address "postgresql://emblem:$(cat database_password)@postgres/emblem"
keep redis_password "$(password)"
keep redis_address "redis://:$(cat redis_password)@redis:6379/0"
test -e redis.conf || printf 'requirepass %s\nsave ""\nappendonly no\nmaxmemory 96mb\nmaxmemory-policy noeviction\n' \
    "$(cat redis_password)" > redis.conf
keep grafana_password "$(password)"
