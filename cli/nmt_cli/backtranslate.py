"""`nmt backtranslate`: text of one language becomes a corpus of pairs."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

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
    judged_option,
    with_rules,
    write_and_show,
)
from nmt_cli.terminal import (
    DeviceOption,
    OnBadUtf8Option,
    TagOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    above_zero,
    loading,
    refuse_without,
    sampling_with,
)


def backtranslate(
    model_dir: Annotated[
        Path, typer.Argument(metavar="BACKWARD_MODEL", help="Model that translates the text into the source language.")
    ],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="Text of the target language, one sentence per line.")],
    output: OutputFile,
    beam_size: BeamSizeOption = None,
    length_penalty: LengthPenaltyOption = None,
    tag: TagOption = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample a translation of each line.", rich_help_panel="Sampling")
    ] = False,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="Drop a tenth of the words of each source, and move others up to 3 places.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Seed of samples and noise.", show_default="1")
    ] = None,
    forward_model: Annotated[
        Path | None,
        judged_option(metavar="MODEL_DIR", help="Model of the other direction, which judges the pairs too."),
    ] = None,
    forward_tag: Annotated[
        str | None,
        judged_option(
            metavar="TAG",
            help="Piece such as <news> put before what that model reads.",
            show_default="of the way back of --tag",
        ),
    ] = None,
    max_disagreement: Annotated[
        float | None,
        judged_option(metavar="X", min=0.0, help="Leave out pairs that the models disagree on by more nats a piece."),
    ] = None,
    keep_share: Annotated[
        float | None,
        judged_option(
            metavar="X", max=1.0, callback=above_zero, help="Keep this share, that both models agree on best."
        ),
    ] = None,
    rejected: RejectedFile = None,
    overrides: CleaningOption = None,
    on_bad_utf8: OnBadUtf8Option = "error",
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 1,
    shard: ShardOption = None,
) -> None:
    """Translate text of the target language back into the source language, as a corpus to train on.

    What is bad is left out and counted by reason: by the cleaning rules that the model's own data went through, phrases
    over and over, and, with --forward-model, pairs that both models do not agree on.

    \b
    Examples:
      nmt backtranslate models/fr-en mono.fr.gz --output synthetic.tsv
      nmt backtranslate models/fr-en mono.fr.gz -o synthetic.tsv \\
          --sample --top-k 10 --workers 4
      nmt backtranslate models/fr-en mono.fr.gz -o synthetic.tsv \\
          --forward-model models/en-fr --keep-share 0.8
      nmt backtranslate models/fr-en mono.fr.gz -o synthetic.tsv --shard 2/8
    """
    with loading():
        from nmt.io.lines import count_lines
        from nmt.models.folder import identity, read_settings
        from nmt.synthesis.back_translation import back_translation, cleaning_of_backward, with_noise
        from nmt.synthesis.judging import Agreement, Judge, Outputs, refuse_reversed
        from nmt.synthesis.working import LoadedOnce, key_of_pairs
        from nmt.translate import Options, Translator
        from nmt.translate.translator import Job

    drawing: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    judging = {"forward_tag": forward_tag, "max_disagreement": max_disagreement, "keep_share": keep_share}
    _refuse_idle(drawing, {} if forward_model else judging, sample=sample, noise=noise, seed=seed)
    check_outputs([text], output, rejected)
    search: dict[str, Any] = {"beam_size": beam_size, "length_penalty": length_penalty}
    sampling = sampling_with(**drawing, seed=seed) if sample else None
    options = Options(**search, sampling=sampling, tag=tag)
    data = with_rules(cleaning_of_backward(read_settings(model_dir).data), overrides)
    refuse_reversed([forward_model] if forward_model else [], data)
    noise_seed, outputs = 1 if seed is None else seed, Outputs(output, rejected, keep_share or 1.0)
    if noise:
        outputs = replace(outputs, changed=partial(with_noise, seed=noise_seed))
    with several_processes() as ranks:
        load = partial(Translator.load, device=device, precision=precision, gpu=ranks.local_rank if ranks else 0)
        backward = LoadedOnce(load, model_dir)
        agreement: Agreement | None = None
        if forward_model:
            agreement = Agreement.of(load(forward_model), backward(), tag=tag, forward_tag=forward_tag)
        judge, job = Judge.of(data, agreement, max_disagreement=max_disagreement), Job(backward, options, workers)
        judges = " ".join(filter(None, [identity(forward_model), forward_tag])) if forward_model else ""
        rules = (data, max_disagreement, on_bad_utf8)
        writing = back_translation(text, job, judge, data, on_bad_utf8=on_bad_utf8)
        write_and_show(
            [writing],
            outputs,
            key_of_pairs(text, job, judges=judges, rules=rules, noise=noise_seed if noise else ""),
            lines=count_lines(text) or 0,
            noun="lines",
            shard=shard_of(shard),
            ranks=ranks,
        )


def _refuse_idle(
    drawing: dict[str, Any], judging: dict[str, Any], *, sample: bool, noise: bool, seed: int | None
) -> None:
    refuse_without("--forward-model", judging, what="two models that judge pairs")
    if not sample:
        refuse_without("--sample", drawing, what="sampling")
    if not (sample or noise):
        refuse_without("--sample or --noise", {"seed": seed}, what="samples and noise")
