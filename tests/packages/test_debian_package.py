"""The package of ``make deb`` in clean roots, installed by itself and by the steps of the Containerfile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packages.clean_root import CleanRoot
from tests.packages.containerfile import Image, build
from tests.support.gguf_factory import write_tiny_model

ROOT = Path(__file__).parents[2]
DIST = Path(os.environ.get("ENGINE_TEST_DIST", "/dev/null"))
"""The folder of packages; without it these tests are skipped."""
PACKAGES = sorted(DIST.glob("weos-engine_*_amd64.deb"))
ANSWER = "engine-ctl run /srv/tiny.gguf Once --max-tokens 4 --json"


@pytest.fixture(scope="module", params=PACKAGES, ids=lambda package: package.name)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanRoot]:
    """Debian with the package, a user, and a model."""
    folder = tmp_path_factory.mktemp("debian") / "root"
    root = CleanRoot(folder)
    package = Path(request.param)
    shutil.copy(package, folder / "srv")
    write_tiny_model(folder / "srv" / "tiny.gguf")
    root.install(f"/srv/{package.name}", "man-db", "systemd", "zsh", "fish")
    root.run("useradd --create-home --uid 1000 somebody")
    yield root
    shutil.rmtree(folder)


def as_user(root: CleanRoot, script: str, **variables: str) -> str:
    """What a user's script prints."""
    return root.run(f"cd; {script}", "somebody", HOME="/home/somebody", **variables)


def test_a_user_gets_an_answer(installed: CleanRoot) -> None:
    record = json.loads(as_user(installed, ANSWER))
    assert record["token_ids"]
    assert as_user(installed, "engine-ctl --version").startswith("engine-ctl, version ")


def test_a_grammar_is_tried_in_a_process_that_finds_the_packages(installed: CleanRoot) -> None:
    assert json.loads(as_user(installed, f"{ANSWER} --regex '[a-z]{{1,4}}'"))["result"]


def test_an_older_processor_gives_the_same_bits(installed: CleanRoot) -> None:
    digests = {
        json.loads(as_user(installed, ANSWER, ENGINE_CPU_FEATURES=features))["logits_digest"]
        for features in ("none", "avx2", "avx2,avx512_vnni")
    }
    assert digests == {json.loads(as_user(installed, ANSWER))["logits_digest"]}


def test_models_can_be_fetched(installed: CleanRoot) -> None:
    """The system's own certificates are enough, and the library that was left out is not missed."""
    trusted = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    python = "env -u SSL_CERT_FILE /usr/lib/weos-engine/bin/python3 -I -c"
    assert int(as_user(installed, f"{python} '{trusted}'")) > 50
    asks = "from engine.fetch.hub.session import HubSession; print(HubSession().host)"
    assert as_user(installed, f"{python} '{asks}'") == "huggingface.co\n"
    assert "127.0.0.1:9 cannot be reached" in as_user(
        installed, "HF_ENDPOINT=http://127.0.0.1:9 engine-ctl models pull hf:owner/name:q4_0 2>&1 || true"
    )


def test_pages_units_rules_and_completions_are_where_systems_look(installed: CleanRoot) -> None:
    assert "engine-ctl" in installed.run("man --where engine-ctl-run")
    unit = installed.run("cat /usr/lib/systemd/user/engine.service")
    assert "\nExecStart=/usr/bin/engine-ctl serve" in unit
    installed.run("""
        test -f /usr/lib/systemd/user/engine.socket -a -f /usr/lib/systemd/user/engine-http.socket
        test -f /usr/lib/udev/rules.d/90-engine-energy.rules
        test -f /usr/share/bash-completion/completions/engine-ctl
        test -f /usr/share/zsh/vendor-completions/_engine-ctl
        test -f /usr/share/fish/vendor_completions.d/engine-ctl.fish
        getent group power
    """)


def test_the_programs_that_read_them_find_no_fault(installed: CleanRoot) -> None:
    units = "systemd-analyze --user verify /usr/lib/systemd/user/engine*.s* 2>&1"
    assert as_user(installed, units, XDG_RUNTIME_DIR="/home/somebody") == ""
    pages = "for page in /usr/share/man/man1/engine-ctl*; do man --warnings --local-file $page 2>&1 >/dev/null; done"
    assert as_user(installed, pages) == ""
    installed.run("""
        bash -n /usr/share/bash-completion/completions/engine-ctl
        zsh -n /usr/share/zsh/vendor-completions/_engine-ctl
        fish --no-execute /usr/share/fish/vendor_completions.d/engine-ctl.fish
    """)


def test_a_users_own_packages_are_not_mixed_in(installed: CleanRoot) -> None:
    theirs = "/home/somebody/.local/lib/python3.11/site-packages/engine"
    as_user(installed, f"mkdir -p {theirs}; echo 'raise SystemExit(7)' > {theirs}/__init__.py")
    assert json.loads(as_user(installed, ANSWER, PYTHONPATH=str(Path(theirs).parent)))["token_ids"]


def test_nothing_is_left_behind(installed: CleanRoot) -> None:
    """Last of these: the package is removed."""
    installed.run("apt-get -qq purge --yes weos-engine >/dev/null")
    assert installed.run("find / -xdev -path '*weos-engine*' -not -path '/proc/*' -not -path '/srv/*'") == ""


@pytest.mark.skipif(not PACKAGES, reason="ENGINE_TEST_DIST names no folder with a package")
def test_the_steps_of_the_containerfile_make_an_engine(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "dist").mkdir(parents=True)
    shutil.copy(PACKAGES[0], context / "dist")
    image = Image(CleanRoot(tmp_path / "root"))
    build(image, (ROOT / "packaging" / "container" / "Containerfile").read_text(encoding="utf-8"), context)
    write_tiny_model(image.root.folder / "srv" / "tiny.gguf")
    secrets = image.root.folder / "run" / "secrets"
    secrets.mkdir()
    (secrets / "engine-token").write_text("a secret of more than 16 bytes\n", encoding="utf-8")
    image.root.run("chown engine /run/secrets/engine-token; chmod 0400 /run/secrets/engine-token")
    served = " ".join((*image.entry, *image.arguments)).replace(":8080", ":0")
    answered = image.run(f"""
        {served} 2>log & engine=$!
        until engine-ctl status >/dev/null 2>&1; do kill -0 $engine || {{ cat log >&2; exit 1; }}; done
        {" ".join(image.entry)} run /srv/tiny.gguf Once --max-tokens 4 --json
        kill $engine; wait $engine
    """)
    assert json.loads(answered)["token_ids"]
    assert image.user == "engine"
    shutil.rmtree(image.root.folder)
