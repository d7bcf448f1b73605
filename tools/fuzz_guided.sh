#!/usr/bin/env bash
# Coverage-guided fuzzing: inputs that reach new code become examples. Stops at the first input that is neither read nor
# refused, and leaves it in build/fuzz-findings.
#
#   tools/fuzz_guided.sh RUNS [NAME...]
#
# NAME is a program of tests/fuzz/native (gguf, split, model, text; libFuzzer under the address and undefined behaviour
# sanitizers) or a parser of tests/fuzz/parsers.py ("chat template"; atheris); all where none is named. Without RUNS of
# each, 100,000. What is found is kept in build/fuzz-corpus, what each fuzzer says in build/fuzz-logs; of each is told how
# many inputs it ran, and how many of its edges and features they reached. Wants a set-up .venv (make develop) and clang.
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-100000}
shift || true
natives=(gguf split model text)
parsers=("chat template" message frames "importance matrix" grammar schema "record entry" body "request head"
    "cache manifest")
[[ $# -gt 0 ]] || set -- "${natives[@]}" "${parsers[@]}"

python=$PWD/.venv/bin/python
corpus=$PWD/build/fuzz-corpus
findings=$PWD/build/fuzz-findings
logs=$PWD/build/fuzz-logs
mkdir -p "$findings" "$logs"
"$python" -m tests.fuzz.native_examples "$corpus"
flags=(-runs="$runs" -artifact_prefix="$findings/" -rss_limit_mb=4096 -timeout="${ENGINE_FUZZ_TIMEOUT:-20}" -print_final_stats=1)
"$python" -c 'import atheris' 2>/dev/null || "$python" -m pip install --quiet 'atheris==3.0.0'

# Of libFuzzer's lines those that tell how far it came, and all once it has found something.
summary() {
    awk -v name="$1" '
        /inline 8-bit counters/ && !edges { edges = $0; sub(/.*\(/, "", edges); sub(/ .*/, "", edges) }
        /^#[0-9]+[ \t]+DONE/ { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1) } }
        /number_of_executed_units/ { runs = $2 }
        /ERROR|SUMMARY|Traceback|Exception/ { print; found = 1 }
        END { printf "%-18s %10d inputs, %6d of %6d edges, %7d features%s\n", name, runs, cov, edges, ft, found ? ": FOUND" : "" }'
}

for name in "$@"; do
    log=$logs/${name// /-}.log
    if [[ " ${natives[*]} " == *" $name "* ]]; then
        PATH=$PWD/.venv/bin:$PATH cmake --preset fuzz >/dev/null
        PATH=$PWD/.venv/bin:$PATH cmake --build --preset fuzz >/dev/null
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=allocator_may_return_null=1 \
            "build/fuzz/fuzz_$name" "${flags[@]}" "$corpus/$name" 2>&1 | tee "$log" | summary "$name"
    else
        "$python" -m tests.fuzz.guided "$name" "$corpus/${name// /-}" "${flags[@]}" 2>&1 | tee "$log" | summary "$name"
    fi
done
