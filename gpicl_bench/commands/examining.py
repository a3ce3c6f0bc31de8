"""`doctor`: what works here, and what to do about the rest."""

import argparse
from dataclasses import asdict

from gpicl_bench.commands.document import add_json, write
from gpicl_bench.doctor import Finding, examine

HELP = "look at versions, devices, data, the cache, fingerprints and plug-ins"
EXAMPLES = ("doctor", "doctor --thorough", "doctor --json")
EXIT_STATUS = {1: "something is broken"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--thorough", action="store_true", help="check the fingerprints of all splits")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    findings = examine(options.thorough)
    broken = [finding for finding in findings if finding.state == "broken"]
    if options.json:
        write({"broken": len(broken), "findings": [asdict(finding) for finding in findings]})
    else:
        _print(findings, broken)
    return 1 if broken else 0


def _print(findings: list[Finding], broken: list[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    section = None
    for finding in findings:
        if finding.section != section:
            section = finding.section
            print(section)
        state = finding.state.upper() if finding.state == "broken" else finding.state
        print(f"  {state:7}  {finding.name:{width}}  {finding.detail}")
        if finding.hint:
            print(f"  {'':7}  {'':{width}}  what to do: {finding.hint}")
    names = "; ".join(f"{finding.section}: {finding.name}" for finding in broken)
    print(f"{len(broken)} broken: {names}" if broken else "nothing is broken")
