#!/usr/bin/env bash
# Build the peer that golden data and benchmarks are made with: llama-cpp-python from its source package,
# once for AVX2 alone and once with AVX-512, each in its own virtual environment under
# ${ENGINE_PEERS_DIR:-~/.cache/weos-engine/peers}. About five minutes a build on two cores.
# A peer already built with the same version and flags is left alone.
#
# usage: tools/peers.sh [avx2|avx512]...      (both when none is named)
set -euo pipefail

version=0.3.36
root="${ENGINE_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/weos-engine/peers}"
avx2="-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
avx512="$avx2 -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"

build() {
    local directory="$root/$1" flags="$2"
    local recipe="llama-cpp-python $version $flags"
    if [[ -f "$directory/recipe" && "$(<"$directory/recipe")" == "$recipe" ]]; then
        echo "peer $1: already built in $directory"
        return
    fi
    rm -rf "$directory"
    "${PYTHON:-python3}" -m venv "$directory"
    export CMAKE_ARGS="$flags" CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
    # Without --no-cache-dir pip would hand the second environment the first one's wheel.
    "$directory/bin/pip" install --quiet --no-cache-dir --no-binary llama-cpp-python \
        "llama-cpp-python==$version" gguf numpy
    "$directory/bin/python" -c "import llama_cpp; print('peer $1:', llama_cpp.llama_print_system_info().decode())"
    # Last, so that an interrupted build is begun again.
    echo "$recipe" >"$directory/recipe"
}

mkdir -p "$root"
[[ $# -gt 0 ]] || set -- avx2 avx512
for peer in "$@"; do
    case "$peer" in
    avx2) build avx2 "$avx2" ;;
    avx512) build avx512 "$avx512" ;;
    *) echo "unknown peer '$peer': avx2 or avx512" >&2 && exit 2 ;;
    esac
done
