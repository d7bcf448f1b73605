#!/usr/bin/env bash
# Builds the extension by a preset or with another compiler, apart from the installed one, and runs tests on it.
#
#   tools/test_preset.sh clang|address|thread|COMPILER [pytest arguments]
#
# COMPILER is a program, such as g++-11 or clang++-19: a release of its own in build/compilers/COMPILER.
# Wants a set-up .venv (make develop). Unless tests are named: with clang those that hold bits, with another compiler the
# shorter of them, with the thread sanitizer those of what has threads, with the address sanitizer all of the core's.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?name the preset (clang, address or thread) or a compiler}
shift
python=$PWD/.venv/bin/python
build=$PWD/build/$preset
configure=("$preset")
determinism=tests/csrc/test_determinism.py
runtime=
case $preset in
clang)
    tests=(tests/engine/test_arithmetic.py tests/test_golden_tiny.py tests/test_golden_architectures.py
        "$determinism" tests/csrc/test_architecture_determinism.py)
    ;;
thread)
    runtime=$(g++ -print-file-name=libtsan.so)
    tests=(tests/csrc/test_run_loop.py "$determinism"::test_company_changes_nothing "$determinism"::test_other_shapes)
    ;;
address)
    # The C++ library must be there before the first exception is thrown through the runtime.
    runtime="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
    tests=(tests/csrc)
    ;;
*)
    command -v "$preset" >/dev/null || {
        echo "$preset is neither a preset that has tests nor an installed compiler" >&2
        exit 2
    }
    build=$PWD/build/compilers/$preset
    configure=(release -B "$build" -DCMAKE_CXX_COMPILER="$preset")
    tests=(tests/engine/test_arithmetic.py tests/test_golden_tiny.py
        "$determinism"::test_batches_of_any_size "$determinism"::test_company_changes_nothing)
    ;;
esac
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

PATH=$PWD/.venv/bin:$PATH
cmake --preset "${configure[@]}" >/dev/null
cmake --build "$build"

# A tree of its own, where the package finds this extension. Without `site`, Python does not see the editable install;
# processes of pytest-xdist need the option too: --tx "2*popen//python=$PWD/.venv/bin/python -S".
tree=$build/tree
rm -rf "$tree"
mkdir -p "$tree"
cp -r pyproject.toml actors engine protocol tests "$tree"
cp "$build"/_core*.so "$tree/engine/"
[[ " $*" == *" tests"* ]] || set -- "$@" "${tests[@]}"

cd "$tree"
# Python itself never gives back all it takes. One test limits the address space, which a sanitizer needs whole.
PYTHONPATH=$packages LD_PRELOAD=$runtime ENGINE_TEST_TREE=$tree \
    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
    "$python" -S -m pytest -p no:cacheprovider -q -k "not system_refuses" "$@"
