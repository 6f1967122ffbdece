"""`make formal`: proves everything registered (or the named proofs) and prints a table; exit status 0 only when all hold."""

from __future__ import annotations

import sys

import click

from .runner import Proof, ProofError, proofs, prove


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Proves the proofs called NAMES, all of them by default."""
    registered = proofs()
    for name in names:
        if name not in registered:
            raise click.UsageError(f"proof must be one of {', '.join(registered)}, not {name!r}")
    chosen: list[Proof] = [registered[name] for name in names] or list(registered.values())
    if not chosen:
        raise click.ClickException("there must be at least one proof, not 0")
    width = max(len(proof.name) for proof in chosen)
    row = f"{{:{width}}}  {{:>7}} {{:>6}}  {{:11}} {{:10}} {{:>8}}  {{}}"
    click.echo(row.format("proof", "asserts", "covers", "engine", "bound", "seconds", "property"))
    failures = []
    for proof in chosen:
        try:
            verdict = prove(proof)
        except ProofError as error:
            failures.append(str(error))
            click.echo(row.format(proof.name, "", "", proof.engine, "FAILED", "", proof.doc))
            continue
        seconds = f"{verdict.seconds:.1f}{'*' if verdict.cached else ' '}"
        click.echo(row.format(proof.name, verdict.asserts, verdict.covers, proof.engine, verdict.bound, seconds, proof.doc))
    click.echo("\nEvery cover was reached. * proved earlier, by the same tools, and not again." if not failures else "")
    for failure in failures:
        click.echo(failure, err=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
