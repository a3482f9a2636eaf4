"""Links lead somewhere, and what the README says about setting up is what is run."""

from __future__ import annotations

import json
import tomllib

import pytest

from doc_pages import ROOT, anchors, blocks, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    dead = []
    for target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert dead == []


def test_there_are_links_to_check():
    assert sum(len(links(page)) for page in pages()) > 10


def test_the_readme_sets_up_with_exactly_two_commands():
    commands = [block.source.strip() for block in blocks(ROOT / "README.md", "sh") if "venv" in block.source]
    assert len(commands) == 2
    assert commands[0].endswith("tocsin demo")
    assert commands[1].endswith("nox")
    assert all(command.startswith("python3 -m venv ") and "\n" not in command for command in commands)


def test_ci_runs_the_readmes_test_command():
    command = blocks(ROOT / "README.md", "sh")[1].source.strip()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] == command


def test_every_json_line_in_the_documentation_is_one_object():
    lines = [line for block in blocks(ROOT / "docs" / "cli.md", "json") for line in block.source.splitlines()]
    events = [json.loads(line)["event"] for line in lines]
    assert set(events) == {"change", "gap", "state", "alarm", "summary", "finding", "report"}


def test_the_changelog_gives_a_reason_for_each_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(name for extra in extras.values() for name in extra)]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Dependencies")[2]
    names = {name.split(">")[0].split("=")[0].split("[")[0] for name in wanted} - {"tocsin"}
    assert {name for name in names if f"`{name}`" not in changelog} == set()
