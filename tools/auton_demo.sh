#!/usr/bin/env bash
# Agents by a script, from a goal to a kernel that boots and says hello, on each architecture and twice to the same bytes.
# PYTHON and AUTON are those of make develop.
set -euo pipefail
folder=${AUTON_DEMO_FOLDER:-build/auton-demo}
say() { printf '\n$ %s\n' "auton ${*//"$PWD/"/}"; "$AUTON" "$@"; }

# The date of all commits: with it, a second run comes to the same commits.
export SOURCE_DATE_EPOCH=1700000000
rm -rf "$folder"
for arch in x86_64 aarch64 riscv64; do
    for time in first second; do
        "$PYTHON" -m tests.auton.kernel_stage "$folder/$time/$arch" "$arch"
        places=(--repository "$folder/$time/$arch/repository" --config "$folder/$time/$arch/auton.toml")
        say run "A kernel that says hello" --run hello --script "$folder/$time/$arch/script.jsonl" "${places[@]}"
    done
    repository=$folder/second/$arch/repository
    cmp "$folder"/{first,second}/"$arch"/repository/.git/auton/hello/journal.jsonl
    say debug --agent developer --task boot-001 --run hello --repository "$repository" | cut -c -120
    git -C "$repository" checkout --quiet auton/hello/joined
    say validate --build --test "${places[@]}"
done
printf '\nBoth runs of each architecture wrote the same journal, to the byte.\n'
