#!/usr/bin/env bash
# Builds the extension with a sanitizer, apart from the installed one, and runs the core's tests on it.
#
#   tools/sanitize.sh address,undefined [pytest arguments]
#   tools/sanitize.sh thread [pytest arguments]
#
# Wants a set-up .venv (make develop). Without arguments the thread sanitizer runs what has threads, the others all.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizers=${1:?name the sanitizers: address,undefined or thread}
shift
python=$PWD/.venv/bin/python
build=$PWD/build/sanitize/${sanitizers//,/-}
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$("$python" -c 'import tomli; print(tomli.load(open("pyproject.toml", "rb"))["project"]["version"])')

PATH=$PWD/.venv/bin:$PATH cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DSKBUILD_PROJECT_VERSION="$version" -DENGINE_TESTS=ON -DENGINE_SANITIZE="$sanitizers" -DPython_EXECUTABLE="$python" \
    -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
"$python" -m cmake --build "$build"

# A tree of its own, where the package finds this extension. Without `site`, Python does not see the editable install.
tree=$build/tree
rm -rf "$tree"
mkdir -p "$tree"
cp -r pyproject.toml engine protocol tests "$tree"
cp "$build"/_core*.so "$tree/engine/"

if [[ $sanitizers == thread ]]; then
    runtime=$(g++ -print-file-name=libtsan.so)
    determinism=tests/csrc/test_determinism.py
    tests=(tests/csrc/test_run_loop.py "$determinism"::test_company_changes_nothing "$determinism"::test_other_shapes)
else
    # The C++ library must be there before the first exception is thrown through the runtime.
    runtime="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
    tests=(tests/csrc)
fi
[[ $# -gt 0 ]] || set -- "${tests[@]}"

cd "$tree"
# Python itself never gives back all it takes. One test limits the address space, which a sanitizer needs whole.
PYTHONPATH=$packages LD_PRELOAD=$runtime \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
    "$python" -S -m pytest -p no:cacheprovider -q -k "not system_refuses" "$@"
