"""`spinalroots models`: what is there, and a model as one file. Nothing heavy is imported here."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, models: Path) -> None:
    """The commands below `models`.

    :param models: folder of the models, unless another one is given.
    """
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = commands.add_parser("list", help="the models that are here")
    out = commands.add_parser("export", help="a model as one file that runs anywhere")
    out.add_argument("model", help="as for predict: a name, a folder, models:/NAME@champion")
    out.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.zip")
    into = commands.add_parser("import", help="a model's file into the folder of the models")
    into.add_argument("file", type=Path, metavar="FILE.zip")
    into.add_argument("--name", help="call it so (default: as it is called)")
    for command, run in ((listed, _list), (out, _export), (into, _import)):
        command.add_argument(
            "--models", type=Path, default=models, help="their folder (default: %(default)s)"
        )
        command.set_defaults(run=run)


def _list(options: argparse.Namespace) -> None:
    from spinalroots.predict.inventory import lines

    print("\n".join(lines(options.models)))


def _export(options: argparse.Namespace) -> None:
    from spinalroots.predict import archive, load

    archive.write(load.find(options.model, options.models), options.out)
    print(f"wrote {options.out}")


def _import(options: argparse.Namespace) -> None:
    from spinalroots.predict import archive

    folder, new = archive.bring_in(options.file, options.models, options.name)
    if new:
        print(f"wrote {folder}; predict with it: spinalroots predict SCAN -o OUT -m {folder}")
    else:
        print(f"{folder} holds this model already")
