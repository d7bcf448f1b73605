#!/usr/bin/env bash
# Build the peers that golden data and benchmarks are made with, under ${ENGINE_PEERS_DIR:-~/.cache/weos-engine/peers}:
#   avx2, avx512  llama.cpp as llama-cpp-python's source package carries it, each a virtual environment with the Python
#                 binding and, in build/bin, llama.cpp's own programs (llama-bench, llama-perplexity, ...) on the same
#                 libraries. About five minutes each on two cores.
#   openvino      openvino-genai, from its wheels.
#   server-tests  llama-server's own tests, out of the same source package, with what they import.
# A peer already built with the same version and flags is left alone.
#
# usage: tools/peers.sh [avx2|avx512|openvino|server-tests]...      (the first three when none is named)
set -euo pipefail

llama_version=0.3.36
llama_programs="llama-bench llama-batched-bench llama-perplexity llama-imatrix llama-quantize"
openvino_version=2026.4.0.0
root="${ENGINE_PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/weos-engine/peers}"
avx2="-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
avx512="$avx2 -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_BF16=ON"
jobs="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"

# begin NAME RECIPE: an empty environment in $directory, or false where this recipe's is there already.
begin() {
    directory="$root/$1"
    if [[ -f "$directory/recipe" && "$(<"$directory/recipe")" == "$2" ]]; then
        echo "peer $1: already built in $directory"
        return 1
    fi
    rm -rf "$directory"
    "${PYTHON:-python3}" -m venv "$directory"
}

build_llama() {
    local flags="$2" recipe="llama-cpp-python $llama_version, $llama_programs, $2" directory
    begin "$1" "$recipe" || return 0
    local pip=("$directory/bin/pip" --quiet --disable-pip-version-check) source package
    "${pip[@]}" install cmake ninja scikit-build-core pathspec gguf numpy
    export PATH="$directory/bin:$PATH"
    "${pip[@]}" download --no-deps --no-build-isolation --no-binary llama-cpp-python --dest "$directory" \
        "llama-cpp-python==$llama_version"
    tar -xzf "$directory"/llama_cpp_python-*.tar.gz -C "$directory"
    source="$directory/llama_cpp_python-$llama_version"
    # shellcheck disable=SC2086  # the flags are words
    cmake -S "$source/vendor/llama.cpp" -B "$directory/build" -G Ninja -DCMAKE_BUILD_TYPE=Release $flags \
        -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF \
        -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF >"$directory/build.log"
    # shellcheck disable=SC2086  # the programs are words
    cmake --build "$directory/build" --parallel "$jobs" --target llama $llama_programs >>"$directory/build.log"
    CMAKE_ARGS="-DLLAMA_BUILD=OFF -DLLAVA_BUILD=OFF" "${pip[@]}" install --no-cache-dir --no-binary llama-cpp-python \
        "llama-cpp-python==$llama_version"
    package="$("$directory/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/llama_cpp"
    rm -rf "$package/lib" && ln -s "$directory/build/bin" "$package/lib"
    "$directory/bin/python" -c "import llama_cpp; print('peer $1:', llama_cpp.llama_print_system_info().decode())"
    # Last, so that an interrupted build is begun again.
    echo "$recipe" >"$directory/recipe"
}

build_openvino() {
    # Each is linked to exactly one version of the runtime, which its wheel asks for only roughly.
    local runtime="${openvino_version%.*}"
    local recipe="openvino-genai $openvino_version, openvino $runtime" directory
    begin openvino "$recipe" || return 0
    "$directory/bin/pip" install --quiet --disable-pip-version-check "openvino-genai==$openvino_version" \
        "openvino==$runtime"
    "$directory/bin/python" -c "import openvino_genai; print('peer openvino:', openvino_genai.__version__)"
    echo "$recipe" >"$directory/recipe"
}

fetch_server_tests() {
    local recipe="llama-cpp-python $llama_version, tools/server/tests and models/templates" directory
    begin server-tests "$recipe" || return 0
    local pip=("$directory/bin/pip" --quiet --disable-pip-version-check)
    local within="llama_cpp_python-$llama_version/vendor/llama.cpp"
    "${pip[@]}" install scikit-build-core pathspec
    "${pip[@]}" download --no-deps --no-build-isolation --no-binary llama-cpp-python --dest "$directory" \
        "llama-cpp-python==$llama_version"
    tar -xzf "$directory"/llama_cpp_python-*.tar.gz -C "$directory" --strip-components=3 \
        "$within/tools/server/tests" "$within/models/templates"
    rm "$directory"/llama_cpp_python-*.tar.gz
    # The versions that its requirements name are of their own interpreter's age.
    "${pip[@]}" install pytest requests openai wget filelock
    echo "peer server-tests: $directory/tools/server/tests"
    echo "$recipe" >"$directory/recipe"
}

mkdir -p "$root"
[[ $# -gt 0 ]] || set -- avx2 avx512 openvino
for peer in "$@"; do
    case "$peer" in
    avx2) build_llama avx2 "$avx2" ;;
    avx512) build_llama avx512 "$avx512" ;;
    openvino) build_openvino ;;
    server-tests) fetch_server_tests ;;
    *) echo "unknown peer '$peer': avx2, avx512, openvino or server-tests" >&2 && exit 2 ;;
    esac
done
