#!/usr/bin/env bash
# Licences, origins and bans of the dependencies, by cargo deny: what deny.toml asks. `deny.sh advisories` asks for
# known faults instead, which needs the database of advisories from the network.
set -euo pipefail
source "$(dirname "$0")/common.sh"

python_tools packaging/deny-requirements.txt
[ $# -gt 0 ] || set -- bans licenses sources
cargo deny --locked check --hide-inclusion-graph "$@"
