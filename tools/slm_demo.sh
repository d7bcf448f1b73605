#!/usr/bin/env bash
# A small model from nothing to an answer: tools/slm_demo.sh MINUTES. SLM_PYTHON has PyTorch, ENGINE_CTL is the engine's command.
set -euo pipefail
minutes=$1
folder=${SLM_DEMO_FOLDER:-build/slm-demo}
slm() { "$SLM_PYTHON" -c 'from slm.main import main; main(prog_name="slm")' "$@"; }
say() { printf '\n$ %s\n' "$*"; "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
say slm prepare-data --dataset demonstration --config tiny_10M --output "$folder/data"
say slm train --config tiny_10M --data "$folder/data" --output "$folder/run" --time-budget "$minutes"
say slm export-gguf --model "$folder/run" --output "$folder/tiny.gguf"
say slm quantize --model "$folder/run" --to int8 --output "$folder/tiny-int8.gguf"
say slm quantize --model "$folder/run" --to int4 --data "$folder/data" --output "$folder/tiny-int4.gguf"
say slm evaluate --model "$folder/run" --data "$folder/data" \
    --gguf "$folder/tiny.gguf" --gguf "$folder/tiny-int8.gguf" --gguf "$folder/tiny-int4.gguf"
say "$ENGINE_CTL" run --model "$folder/tiny-int4.gguf" --prompt "Once upon a time, by the sea," --max-tokens 120
say "$ENGINE_CTL" run "$folder/tiny-int4.gguf" "What does the scheduler do?" --max-tokens 60
say "$ENGINE_CTL" run "$folder/tiny-int4.gguf" "Which driver is for 8086:100e?" --max-tokens 60
