"""``segstudio list``: what the registries, the resources and a project hold."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.common import JsonFlag, find_project, open_to_read
from segstudio.core.errors import UnknownNameError, UsageError
from segstudio.core.registry import did_you_mean

if TYPE_CHECKING:
    from segstudio.core.registry import Registry

__all__ = ["KINDS", "list_things"]

Entry = dict[str, Any]


def list_things(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="models, architectures, formats, exporters, tools, label-spaces, mappings, "
            "plugins or runs; all of them (but runs) when left out.",
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Argument(metavar="[DATASET]", help="For runs: the dataset they belong to."),
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="For runs: the project's folder, if it is elsewhere.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything, by kind.")] = False,
    json: JsonFlag = False,
) -> int:
    """List what is at hand."""
    from segstudio.cli.common import load_plugins
    from segstudio.cli.tables import print_json

    if kind is not None and kind not in (*KINDS, "runs"):
        known = [*KINDS, "runs"]
        raise UnknownNameError(f"There is nothing called {kind!r}: {did_you_mean(kind, known)}")
    if kind == "runs":
        entries = _runs(dataset, project)
        print_json(entries) if json else _print(kind, entries)
        return 0
    if dataset is not None or project is not None:
        raise UsageError(f"Only runs belong to a dataset, {kind or 'the rest'} does not.")
    load_plugins()
    if kind is not None and not everything:
        entries = KINDS[kind]()
        print_json(entries) if json else _print(kind, entries)
        return 0
    found = {name: read() for name, read in KINDS.items()}
    if json:
        print_json(found)
        return 0
    for name, entries in found.items():
        print(f"{name.upper()}\n")
        _print(name, entries)
        print()
    return 0


def _models() -> list[Entry]:
    from segstudio.inference.catalogue import all_models

    return [{**model.to_json(), "description": model.title} for model in all_models()]


def _architectures() -> list[Entry]:
    from segstudio.architectures._base import ARCHITECTURES
    from segstudio.core.options import option_fields

    return [
        {
            "name": name,
            "description": f"{page.facts.title}. {page.facts.paper}",
            "title": page.facts.title,
            "paper": page.facts.paper,
            "year": page.facts.year,
            "output_stride": page.facts.output_stride,
            "published": page.facts.published,
            "options": [field.name for field in option_fields(page.Options)],
        }
        for name, page in ARCHITECTURES.items()
    ]


def _formats() -> list[Entry]:
    from segstudio.datasets.base import FORMATS

    return _described(FORMATS)


def _exporters() -> list[Entry]:
    from segstudio.core.options import option_fields
    from segstudio.exporters.base import EXPORTERS

    return [
        {**entry, "options": [field.name for field in option_fields(exporter.Options)]}
        for entry, (_, exporter) in zip(_described(EXPORTERS), EXPORTERS.items(), strict=True)
    ]


def _refiners() -> list[Entry]:
    from segstudio.core.options import option_fields
    from segstudio.inference.refiners.base import REFINERS

    return [
        {**entry, "options": [field.name for field in option_fields(refiner.Options)]}
        for entry, (_, refiner) in zip(_described(REFINERS), REFINERS.items(), strict=True)
    ]


def _tools() -> list[Entry]:
    from segstudio.editing.tool import TOOLS

    return _described(TOOLS)


def _described(registry: Registry[Any]) -> list[Entry]:
    return [{"name": name, "description": thing.description} for name, thing in registry.items()]


def _label_spaces() -> list[Entry]:
    from segstudio.core.label_space import label_space_names, load_label_space

    return [
        {
            "name": space.name,
            "description": space.title,
            "classes": len(space),
            "source": space.source,
        }
        for space in map(load_label_space, label_space_names())
    ]


def _mappings() -> list[Entry]:
    from segstudio.session.mappings import known_mappings

    entries = []
    for document in known_mappings():
        mapping = document.mapping
        entries.append(
            {
                "name": mapping.name,
                "description": document.description,
                "source": mapping.source,
                "target": mapping.target,
                "pairs": len(mapping.pairs),
            }
        )
    return entries


def _plugins() -> list[Entry]:
    from segstudio.core.resources import bundled_plugins
    from segstudio.session.plugins import load_plugins

    bundled = bundled_plugins()
    entries = []
    for plugin in load_plugins():
        # The same words from source, an installation and a frozen program.
        own = bundled is not None and Path(plugin.origin).parent == bundled
        entries.append(
            {
                "name": plugin.name,
                "description": plugin.description,
                "origin": "comes with SegStudio" if own else plugin.origin,
                "registered": list(plugin.registered),
                "error": plugin.error,
            }
        )
    return entries


def _runs(dataset: Path | None, project: Path | None) -> list[Entry]:
    from segstudio.project.layout import ProjectLayout

    if dataset is None and project is None:
        raise UsageError(
            "Name the dataset whose runs are meant: `segstudio list runs DATASET`, "
            "or its project with --project."
        )
    if project is None and dataset is not None and not dataset.is_dir():
        raise UsageError(f"There is no folder {dataset}; check the path.")
    folder = find_project(dataset or Path(), None if project is None else str(project))
    with open_to_read(ProjectLayout(folder)) as store:
        entries = []
        for record in store.runs():
            results = store.results(record.run).values()
            done = sum(result.error is None for result in results)
            entries.append(
                {
                    "name": record.run,
                    "description": f"{record.model} on {record.options.get('device', '?')}",
                    "model": record.model,
                    "label_space": record.label_space.name,
                    "done": done,
                    "failed": len(results) - done,
                    "options": record.options,
                    "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
                    "folder": str(ProjectLayout(folder).run_folder(record.run)),
                }
            )
        return entries


KINDS: dict[str, Callable[[], list[Entry]]] = {
    "models": _models,
    "architectures": _architectures,
    "formats": _formats,
    "exporters": _exporters,
    "refiners": _refiners,
    "tools": _tools,
    "label-spaces": _label_spaces,
    "mappings": _mappings,
    "plugins": _plugins,
}
"""How each kind is read, but for the runs of a project."""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "models": (
        "name",
        "architecture",
        "label_space",
        "published_miou",
        "measured_miou",
        "parameters",
        "size",
        "on_disk",
    ),
    "label-spaces": ("name", "classes", "description"),
    "mappings": ("name", "source", "target", "pairs"),
    "plugins": ("name", "registered", "description", "origin"),
    "runs": ("name", "model", "label_space", "done", "failed", "created"),
}


def _print(kind: str, entries: list[Entry]) -> None:
    from segstudio.cli.tables import format_table

    if not entries:
        print(f"There are no {kind.replace('-', ' ')}.")
        return
    columns = _COLUMNS.get(kind, ("name", "description"))
    rows = [[_cell(name, entry[name]) for name in columns] for entry in entries]
    numbers = [
        place
        for place, name in enumerate(columns)
        if any(
            isinstance(entry[name], (int, float)) and not isinstance(entry[name], bool)
            for entry in entries
        )
    ]
    header = [name.replace("_", " ").replace("miou", "mIoU") for name in columns]
    print(format_table(header, rows, right=numbers))
    for entry in entries:
        if entry.get("error"):
            print(entry["error"])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "size":
        from segstudio.checkpoints.transfer import readable_size

        return readable_size(value)
    if isinstance(value, float):
        return f"{100 * value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else str(value)
