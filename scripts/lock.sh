#!/bin/sh
# Resolves requirements/*.txt: pinned, hashed, for every platform, with no address of any index.
# Usage: sh scripts/lock.sh UV [OPTION…], where --upgrade takes newer versions than those locked.
set -eu
uv=$1
shift
cd "$(dirname "$0")/../requirements"

compile() {
    "$uv" --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}

compile "$@" ../pyproject.toml --output-file core.txt
compile "$@" ../pyproject.toml --extra parquet --extra lance --extra plots --extra postgres --extra redis --extra otel --extra oidc \
    dev.in build.in \
    --constraint core.txt --output-file dev.txt
compile "$@" ../pyproject.toml --extra postgres --extra redis --extra otel --extra oidc \
    --constraint dev.txt --output-file container.txt
compile build.in --constraint dev.txt --output-file build.txt
compile "$@" clients.in --output-file clients.txt
compile "$@" ../pyproject.toml --extra torch slow.in build.in --override without-torch.in \
    --constraint dev.txt --output-file slow.txt
