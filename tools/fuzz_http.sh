#!/usr/bin/env bash
# Requests made of the OpenAPI document, valid and not, against a real engine with a tiny model: none may be answered
# with a server error or in another shape than the document's, and the engine must still run at the end.
#
#   tools/fuzz_http.sh [examples for each route and phase, 80 if left out] [arguments of schemathesis]
#
# Wants a set-up .venv (make develop). Schemathesis has an environment of its own in build/schemathesis.
set -euo pipefail
cd "$(dirname "$0")/.."

examples=${1:-80}
shift || true
fuzzer=build/schemathesis
if [[ ! -x $fuzzer/bin/schemathesis ]]; then
    .venv/bin/python -m venv "$fuzzer"
    "$fuzzer/bin/pip" --quiet --disable-pip-version-check install 'schemathesis==4.32.5'
fi

folder=$(mktemp -d)
export ENGINE_SOCKET=$folder/engine.sock ENGINE_DATA_DIR=$folder/data ENGINE_MODELS_DIR=$folder/models
stop() {
    [[ -z ${engine:-} ]] || { kill -TERM "$engine" 2>/dev/null || true; wait "$engine" || true; }
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

mkdir "$folder/models"
.venv/bin/python -c 'import sys; from tests.support.gguf_factory import write_tiny_model; write_tiny_model(sys.argv[1])' \
    "$folder/models/tiny.gguf"
.venv/bin/engine-ctl serve --http 127.0.0.1:0 --http-default-model tiny 2>"$folder/log" &
engine=$!
until address=$(grep --only-matching --max-count=1 'http://127.0.0.1:[0-9]*' "$folder/log"); do
    kill -0 "$engine" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.05
done

# Left out: shutdown ends what is tested; pull asks the internet. 501 is the answer of routes of other servers that are
# not here, which a method that the document does not have may find.
cat >"$folder/schemathesis.toml" <<'END'
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "501"]
END
status=0
"$fuzzer/bin/schemathesis" --config-file "$folder/schemathesis.toml" run "$address/openapi.json" --max-examples "$examples" --continue-on-failure \
    --checks not_a_server_error,response_schema_conformance,status_code_conformance \
    --exclude-path-regex '/(shutdown|pull)$' --generation-database none --request-timeout 60 "$@" || status=$?
kill -0 "$engine" || { cat "$folder/log" >&2; exit 1; }
if grep --line-number Traceback "$folder/log"; then exit 1; fi
exit "$status"
