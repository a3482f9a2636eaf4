"""The one way in: `nox` lints, checks types and runs the tests; `nox -l` lists the rest."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
COVERED_AT_LEAST = 90
"""Percent of lines and branches."""
INTEROP_AT_LEAST = {"pypi": 30, "npm": 77}
"""How many interop tests of each kind must really run; a suite that skips itself proves nothing."""

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "build", "docs", "site", "tests", "interop"]
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False


def group(name: str) -> list[str]:
    """Gives the requirements of one dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style and format."""
    session.install("-q", *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Checks all types with mypy, and what users see of them with a second checker."""
    session.install("-q", "-e", ".[all]", *group("types"), *group("test"))
    session.run("mypy")
    session.run("mypy", "noxfile.py", "tests/typing/api.py", *map(str, sorted(ROOT.glob("examples/*.py"))))
    session.run("basedpyright", "tests/typing/api.py")
    verified = session.run(
        *("basedpyright", "--verifytypes", "tocsin", "--ignoreexternal", "--outputjson"),
        silent=True,
        success_codes=[0, 1],  # 1 says that some types are inferred, not written
    )
    types_seen = json.loads(str(verified))["typeCompleteness"]["exportedSymbolCounts"]
    if types_seen["withUnknownType"] or not types_seen["withKnownType"]:
        session.error(f"users would see unknown types: {types_seen}")


TESTS = ("-n", "3", "--dist", "worksteal", "tests", "--ignore=tests/interop", "--ignore=tests/docs")
"""All but what has a session of its own; three at a time, for the tests on sockets mostly wait."""

KEEP_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Compiling the tests anew takes each worker longer than collecting them."""


@nox.session
def tests(session: nox.Session) -> None:
    """Runs the tests against the built wheel."""
    session.install("-q", ".[all]", *group("test"))
    session.run("pytest", "-q", *(session.posargs or TESTS), env=KEEP_COMPILED)


@nox.session
def coverage(session: nox.Session) -> None:
    """Runs the tests again, twice as slowly, and fails if they leave too much of the code untouched."""
    session.install("-q", ".[all]", *group("test"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *TESTS)
    session.run("coverage", "combine", "-q", silent=True)
    session.run("coverage", "report", f"--fail-under={COVERED_AT_LEAST}", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Runs the README and the examples, and looks up every link inside the repository."""
    session.install("-q", ".[all]", *group("test"))
    session.run("pytest", "-q", "tests/docs", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Builds the site with the reference, warnings being errors, and follows every link inside of it."""
    session.install("-q", "-e", ".[all]", *group("site"))
    target = Path(session.create_tmp()).resolve() / "html"
    shutil.rmtree(target, ignore_errors=True)
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-E", "docs", str(target), *session.posargs)
    session.run("python", "tests/docs/site_links.py", str(target))


@nox.session
def interop(session: nox.Session) -> None:
    """Runs against servers and clients that nobody here wrote; those from npm need Node.js."""
    wanted = INTEROP_AT_LEAST["pypi"]
    session.install("-q", ".[all]", *group("test"))
    temporary = Path(session.create_tmp()).resolve()
    env = {"TOCSIN_CLIENTS_PYTHON": pypi_clients(session, temporary / "pypi")}
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if not missing:
        wanted += INTEROP_AT_LEAST["npm"]
        env["TOCSIN_NODE_MODULES"] = str(npm_packages(session, temporary / "node"))
    else:
        sentence = f"what comes from npm is left out: {' and '.join(missing)} is not on the PATH"
        if os.environ.get("TOCSIN_REQUIRE_INTEROP"):
            session.error(sentence)
        session.warn(sentence)
    report = temporary / "interop.xml"
    command = ("pytest", "-q", "-n", "2", "tests/interop", f"--junit-xml={report}")
    session.run(*command, *session.posargs, env=env)
    ran = passed(report)
    if not session.posargs and ran < wanted:
        session.error(f"only {ran} of at least {wanted} interop tests ran")


def pypi_clients(session: nox.Session, target: Path) -> str:
    """Installs the pinned public clients into an environment of their own and gives its python."""
    session.run("python", "-m", "venv", "--clear", str(target), silent=True)
    python = str(target / ("Scripts" if os.name == "nt" else "bin") / "python")
    requirements = str(ROOT / "tests" / "interop" / "pypi" / "requirements.txt")
    session.run(python, "-m", "pip", "install", "-q", "-r", requirements, external=True)
    return python


def npm_packages(session: nox.Session, target: Path) -> Path:
    """Installs the pinned servers and clients into a temporary folder and gives their node_modules."""
    target.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "interop" / "node" / name, target)
    with session.chdir(target):
        session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", external=True, silent=True)
    return target / "node_modules"


def passed(report: Path) -> int:
    """Counts the tests of a JUnit report that ran and passed."""
    suites = ET.parse(report).iter("testsuite")  # noqa: S314  our own pytest wrote it
    count = 0
    for suite in suites:
        total, *rest = (int(suite.get(key, "0")) for key in ("tests", "skipped", "failures", "errors"))
        count += total - sum(rest)
    return count


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measures tocsin beside other clients and prints the tables of docs/performance.md; takes minutes."""
    requirements = ROOT / "benchmarks" / "peers" / "requirements.txt"
    session.install("-q", ".[all]", "-r", str(requirements))
    session.run("python", "-m", "benchmarks.peers", *(session.posargs or ("--quick", "--rounds", "7")))


@nox.session
def build(session: nox.Session) -> None:
    """Builds sdist and wheel and uses each in an environment that holds nothing else."""
    session.install("-q", *group("build"))
    target = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(target, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(target), silent=True)
    for artifact in sorted(target.iterdir()):
        home = target.parent / f"try-{artifact.name}"
        session.run("python", "-m", "venv", "--clear", str(home), silent=True)
        python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run(python, "-m", "pip", "install", "-q", str(artifact), external=True)
        session.run(python, str(ROOT / "tests" / "docs" / "bare_install.py"), external=True)
        session.log("%s installs and imports by itself", artifact.name)
