"""``cacscoring models``: what is installed, and one model's card."""

from __future__ import annotations

import argparse
import json

from CACScoringLib.commands.console import print_lines, print_table
from CACScoringLib.commands.exit_codes import DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``models``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the models that are installed")
    showing = actions.add_parser("show", help="show one model: checksum, training, card")
    showing.add_argument("model", metavar="MODEL", help="its id, or the folder of a model bundle")
    for each in (listing, showing):
        each.add_argument(
            "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
        )


def run(args: argparse.Namespace) -> int:
    """List the models, or show one."""
    if args.action == "list":
        _list_models(args.format)
    else:
        _show_model(args.model, args.format)
    return DONE


def _list_models(style: str) -> None:
    from CACScoringLib.models import ModelError, open_bundle, shipped_models

    entries = []
    for folder in shipped_models():
        try:
            bundle = open_bundle(folder)
            entry = {
                "id": bundle.id,
                "method": bundle.method,
                "version": str(bundle.metadata.get("version", "")),
                "sha256": bundle.sha256,
            }
            entry["state"] = "ready"
        except ModelError as error:
            entry = {"id": folder.name, "method": "", "version": "", "sha256": "", "state": str(error)}
        entries.append(entry)
    if style == "json":
        print_lines([json.dumps(entries, indent=2)])
    elif not entries:
        print_lines(["No models are installed."])
    else:
        columns = ("id", "method", "version", "sha256", "state")
        print_table(
            columns, [[entry[name][:12] if name == "sha256" else entry[name] for name in columns] for entry in entries]
        )


def _show_model(model: str, style: str) -> None:
    from CACScoringLib.models import open_bundle

    bundle = open_bundle(model)
    if style == "json":
        print_lines([json.dumps({"id": bundle.id, "sha256": bundle.sha256, "metadata": bundle.metadata}, indent=2)])
        return
    print_lines(
        [
            f"id      {bundle.id}",
            f"method  {bundle.method}",
            f"sha256  {bundle.sha256}",
            f"folder  {bundle.folder}",
            "",
            bundle.card.rstrip(),
        ]
    )
