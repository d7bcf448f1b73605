#!/usr/bin/env bash
# An engine on a private socket, one answer streamed through it, its metrics; nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")/.."

model=smollm2-135m-instruct
question=${QUESTION:-Why is the sky blue? Answer in two sentences.}
folder=$(mktemp -d)
export ENGINE_SOCKET=$folder/engine.sock PATH=$PWD/.venv/bin:$PATH

stop() {
  if [[ -n ${engine:-} ]]; then
    kill -TERM "$engine" 2>/dev/null || true
    wait "$engine" || true
  fi
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

engine-ctl serve &
engine=$!
until [[ -S $ENGINE_SOCKET ]]; do
  kill -0 "$engine" 2>/dev/null || exit 1
  sleep 0.05
done

engine-ctl models pull "$model" >&2
printf '\n> %s\n\n' "$question" >&2
engine-ctl run "$model" "$question" --max-tokens 128 --metrics
