#!/usr/bin/env bash
# Builds the extension by a preset, apart from the installed one, and runs tests on it.
#
#   tools/test_preset.sh clang|address|thread [pytest arguments]
#
# Wants a set-up .venv (make develop). Unless tests are named: with clang those that hold bits, with the thread sanitizer
# those of what has threads, with the address sanitizer all of the core's.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?name the preset: clang, address or thread}
shift
python=$PWD/.venv/bin/python
build=$PWD/build/$preset
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

PATH=$PWD/.venv/bin:$PATH
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"

# A tree of its own, where the package finds this extension. Without `site`, Python does not see the editable install;
# processes of pytest-xdist need the option too: --tx "2*popen//python=$PWD/.venv/bin/python -S".
tree=$build/tree
rm -rf "$tree"
mkdir -p "$tree"
cp -r pyproject.toml engine protocol tests "$tree"
cp "$build"/_core*.so "$tree/engine/"

runtime=
case $preset in
clang)
    tests=(tests/engine/test_arithmetic.py tests/test_golden_tiny.py tests/test_golden_architectures.py
        tests/csrc/test_determinism.py tests/csrc/test_architecture_determinism.py)
    ;;
thread)
    runtime=$(g++ -print-file-name=libtsan.so)
    determinism=tests/csrc/test_determinism.py
    tests=(tests/csrc/test_run_loop.py "$determinism"::test_company_changes_nothing "$determinism"::test_other_shapes)
    ;;
address)
    # The C++ library must be there before the first exception is thrown through the runtime.
    runtime="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
    tests=(tests/csrc)
    ;;
*)
    echo "no tests are chosen for the preset $preset" >&2
    exit 2
    ;;
esac
[[ " $*" == *" tests"* ]] || set -- "$@" "${tests[@]}"

cd "$tree"
# Python itself never gives back all it takes. One test limits the address space, which a sanitizer needs whole.
PYTHONPATH=$packages LD_PRELOAD=$runtime ENGINE_TEST_TREE=$tree \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
    "$python" -S -m pytest -p no:cacheprovider -q -k "not system_refuses" "$@"
