"""``slm prepare-data``: documents to shards of tokens."""

from __future__ import annotations

from pathlib import Path

import click

from slm.configuration import load_configuration


@click.command(name="prepare-data")
@click.option(
    "--dataset", required=True, metavar="PATH", help="A file, a folder of text or JSONL, or `demonstration`, made up."
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder to write; not there yet.")
@click.option("--config", "name", default="tiny_10M", show_default=True, help="Whose vocab_size is the most tokens.")
@click.option("--vocab-size", type=click.IntRange(260, 65_536), help="The most tokens.  [default: the configuration's]")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="A tokenizer.json of prepare-data, to go on with.")
@click.option("--held-out", type=click.Path(path_type=Path), help="Texts to judge by.  [default: a share of PATH's]")
@click.option("--held-out-share", type=click.FloatRange(0, 0.5, min_open=True), default=0.02, show_default=True)
@click.option("--documents", type=click.IntRange(min=30), help="How many the demonstration has.  [default: 12000]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
def command(
    *,
    dataset: str,
    output: Path,
    name: str,
    vocab_size: int | None,
    tokenizer: Path | None,
    held_out: Path | None,
    held_out_share: float,
    documents: int | None,
    seed: int,
) -> None:
    """Read documents, leave out duplicates, hold texts out, learn a vocabulary, and write shards of tokens."""
    from slm.corpus.demonstration import DOCUMENTS, NAME, demonstration
    from slm.corpus.division import divide
    from slm.corpus.documents import read_documents
    from slm.corpus.prepared_data import prepare
    from slm.corpus.vocabulary import Vocabulary

    found = demonstration(seed, documents or DOCUMENTS) if dataset == NAME else read_documents(Path(dataset))
    apart = None if held_out is None else read_documents(held_out)
    division = divide(found, apart, held_out_share, seed)
    size = vocab_size or load_configuration(name).architecture.vocab_size
    vocabulary = size if tokenizer is None else Vocabulary.load(tokenizer)
    made = prepare(division, output, dataset, seed, vocabulary)
    click.echo(
        f"{output}: {made.documents:,} documents to train with ({made.conversations:,} conversations), "
        f"{made.held_out_documents:,} held out, {made.duplicates:,} duplicates left out"
    )
    click.echo(
        f"{made.tokens:,} tokens of {made.vocab_size:,}, {made.training_bytes / made.tokens:.2f} bytes each, "
        f"in {len(made.shards)} shards"
    )
