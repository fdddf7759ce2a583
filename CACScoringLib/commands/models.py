"""``cacscoring models``: what is installed, one model's card, and models from elsewhere."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from CACScoringLib.commands.console import print_lines, print_table
from CACScoringLib.commands.exit_codes import DONE

if TYPE_CHECKING:
    from CACScoringLib.models import ModelBundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``models``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the models that are installed")
    showing = actions.add_parser("show", help="show one model: checksum, training, card")
    showing.add_argument("model", metavar="MODEL", help="its id, or the folder of a model bundle")
    importing = actions.add_parser("import", help="copy a model bundle to your own models, once it is verified")
    importing.add_argument(
        "source",
        metavar="SOURCE",
        help="folder of a model bundle, or a zip file with one; with --label-map TorchScript too",
    )
    importing.add_argument(
        "--label-map",
        metavar="FILE",
        help="import somebody else's network: JSON that says what goes in and what its channels mean",
    )
    importing.add_argument(
        "--name", metavar="ID", help="id that the model gets (default: the name of the folder or file)"
    )
    importing.add_argument(
        "--trust-torchscript",
        action="store_true",
        help="accept TorchScript, a program that runs with your rights whenever the model is used",
    )
    importing.add_argument("--replace", action="store_true", help="take the place of an imported model of that id")
    removing = actions.add_parser("remove", help="delete a model that was imported")
    removing.add_argument("model", metavar="MODEL", help="its id")
    for each in (listing, showing):
        each.add_argument(
            "--format", choices=("table", "json"), default="table", help="what is printed (default: %(default)s)"
        )


def run(args: argparse.Namespace) -> int:
    """List the models, show one, import one, or remove one."""
    from CACScoringLib.models import remove_model

    if args.action == "list":
        _list_models(args.format)
    elif args.action == "show":
        _show_model(args.model, args.format)
    elif args.action == "import":
        bundle = _import(args)
        print_lines([f"Imported {bundle.id} (method {bundle.method}, sha256 {bundle.sha256[:12]})", str(bundle.folder)])
    else:
        print_lines([f"Removed {remove_model(args.model)}"])
    return DONE


def _import(args: argparse.Namespace) -> ModelBundle:
    """Import a model bundle, or somebody else's network where a declaration says what it is."""
    if args.label_map is None:
        from CACScoringLib.models import import_model

        return import_model(args.source, name=args.name, replace=args.replace)
    from CACScoringLib.models.foreign import import_foreign

    return import_foreign(
        args.source,
        args.label_map,
        name=args.name,
        trust_torchscript=args.trust_torchscript,
        replace=args.replace,
    )


def _list_models(style: str) -> None:
    from CACScoringLib.models import ModelError, installed_models, open_bundle

    entries = []
    for folder in installed_models():
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
