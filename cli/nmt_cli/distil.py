"""`nmt distil`: what teachers make of a text becomes a corpus of pairs for a student."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nmt.errors import UsageError
from nmt_cli.processes import several_processes
from nmt_cli.resuming import ShardOption, shard_of
from nmt_cli.synthetic import (
    BeamSizeOption,
    CleaningOption,
    LengthPenaltyOption,
    OutputFile,
    PrecisionOption,
    RejectedFile,
    WorkersOption,
    check_outputs,
    with_rules,
    write_and_show,
)
from nmt_cli.terminal import DeviceOption, OnBadUtf8Option, TagOption, file_option, loading, refuse_without


def distil(
    teachers: Annotated[
        list[Path],
        typer.Option("--teacher", metavar="MODEL_DIR", help="Model to learn from; repeat it for an ensemble."),
    ],
    output: OutputFile,
    data_dir: Annotated[
        Path | None, typer.Argument(metavar="DATA_DIR", help="Prepared data: the sources of their training pairs.")
    ] = None,
    text: Annotated[
        Path | None, file_option(help="Text of the source language, one sentence per line, instead of DATA_DIR.")
    ] = None,
    nearest: Annotated[
        Literal["bleu", "chrf"] | None,
        typer.Option(help="Of the n-best list, take what is nearest to the reference by this score, not the best."),
    ] = None,
    rescore: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL_DIR", help="Another teacher, of any vocabulary: it rescores n-best lists."),
    ] = None,
    beam_size: BeamSizeOption = None,
    length_penalty: LengthPenaltyOption = None,
    tag: TagOption = None,
    rejected: RejectedFile = None,
    overrides: CleaningOption = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 1,
    shard: ShardOption = None,
) -> None:
    """Translate training sources by an ensemble of teachers, as a corpus for a student to train on.

    The text that DATA_DIR was prepared from is read again, but for what its rules rejected and what is held out. Bad
    translations are left out and counted by reason, by the same rules.

    \b
    Examples:
      nmt distil data/en-fr --teacher models/a --teacher models/b \\
          --output distilled.tsv
      nmt distil data/en-fr --teacher models/a --nearest chrf \\
          -o distilled.tsv --workers 4
      nmt distil --text mono.en.gz --teacher models/a \\
          --rescore models/c -o forward.tsv
    """
    if (data_dir is None) == (text is None):
        raise UsageError("expected DATA_DIR or --text: one of both")
    if nearest and (text or rescore):
        raise UsageError(f"--nearest compares with references, so it goes without --{'text' if text else 'rescore'}")
    with loading():
        from nmt.io.lines import count_lines
        from nmt.models.folder import read_settings
        from nmt.prepared import PreparedData
        from nmt.prepared.manifest import MANIFEST
        from nmt.synthesis import distillation
        from nmt.synthesis.judging import Outputs, cleaning_of, of_model, refuse_reversed
        from nmt.synthesis.working import LoadedOnce, key_of_pairs
        from nmt.translate import Options, Translator
        from nmt.translate.translator import Job

    check_outputs([text] if text else [], output, rejected)
    refuse_without("--text", {"tag": None if text else tag}, what="text without a corpus")
    search: dict[str, Any] = {"beam_size": beam_size, "length_penalty": length_penalty}
    options, settings = Options(**search, rescore_weight=1 / len(teachers)), read_settings(teachers[0])
    is_small = settings.data.lowercase
    if nearest:
        options = distillation.with_whole_beam(options, settings)
    if rescore:
        options.check_rescoring(options.search(settings))
    change, only, best = partial(with_rules, overrides=overrides), shard_of(shard), distillation.choose_best
    with several_processes() as ranks:
        how: dict[str, Any] = {"device": device, "precision": precision, "gpu": ranks.local_rank if ranks else 0}
        job = Job(LoadedOnce(Translator.load, *teachers, rescoring=rescore or (), **how), options, workers)
        if data_dir:
            prepared = PreparedData.open(data_dir)
            settings, origin, count = prepared.settings, data_dir / MANIFEST, distillation.sources_of(prepared)
            choice = distillation.nearest_reference(nearest, prepared, lowercase=is_small) if nearest else best
            writings = distillation.distil_data(prepared, job, choice, change, lowercase=is_small)
        data = change(cleaning_of(of_model(settings.data)))
        refuse_reversed([*teachers, *(rescore or ())], data)
        if text:
            origin, count = text, count_lines(text) or 0
            writings = distillation.distil_text(text, job, best, data, tag=tag, on_bad_utf8=on_bad_utf8)
        key = key_of_pairs(origin, job, nearest=nearest, rules=(data, tag, on_bad_utf8))
        write_and_show(writings, Outputs(output, rejected), key, lines=count, noun="sources", shard=only, ranks=ranks)
