"""``segstudio doctor``: versions, devices, paths; for a bug report."""

from __future__ import annotations

from segstudio.cli.common import JsonFlag

__all__ = ["doctor"]


def doctor(json: JsonFlag = False) -> int:
    """Say what this installation and this machine are; works when parts of it are broken."""
    from segstudio.cli.tables import format_table, print_json
    from segstudio.session.diagnostics import build_diagnostics

    facts = build_diagnostics()
    if json:
        print_json(facts)
        return 0
    cpu = facts["cpu"]
    rows: list[list[object]] = [
        ["segstudio", facts["segstudio"] + (" (frozen)" if facts["frozen"] else "")],
        ["python", facts["python"]],
        ["system", facts["system"]],
        ["processor", f"{cpu['name'] or cpu['machine']}, {cpu['cores']} cores"],
        ["features", " ".join(cpu["features"]) or "-"],
        ["devices", ", ".join(facts["devices"]) or "none"],
        ["plugins", ", ".join(facts["plugins"]) or "none"],
    ]
    rows += [[name, version] for name, version in facts["versions"].items() if version]
    rows += [[name, path] for name, path in facts["paths"].items() if path]
    print(format_table(["what", "is"], rows))
    for problem in facts["problems"]:
        print(f"Problem: {problem}")
    if not facts["problems"]:
        print("No problem was found.")
    return 0
