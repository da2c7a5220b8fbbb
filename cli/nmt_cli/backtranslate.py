"""`nmt backtranslate`: text of one language becomes a corpus of pairs."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nmt_cli.pace import LinePace
from nmt_cli.synthetic import (
    CleaningOption,
    OutputFile,
    RejectedFile,
    WorkersOption,
    check_outputs,
    judged_option,
    refuse_without,
    show_outcome,
    with_rules,
    working,
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
    sampling_with,
    setting,
)


def backtranslate(
    model_dir: Annotated[
        Path, typer.Argument(metavar="BACKWARD_MODEL", help="Model that translates the text into the source language.")
    ],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="Text of the target language, one sentence per line.")],
    output: OutputFile,
    beam_size: Annotated[int | None, setting("beam_size")] = None,
    length_penalty: Annotated[float | None, setting("length_penalty")] = None,
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
    precision: Annotated[Literal["auto", "fp32", "bf16", "int8"] | None, setting("precision")] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = 1,
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
    """
    with loading():
        from nmt.io.lines import count_lines
        from nmt.models.folder import identity, read_settings
        from nmt.synthesis.agreement import Agreement
        from nmt.synthesis.back_translation import back_translation, cleaning_of_backward, with_noise
        from nmt.synthesis.judging import Judge, Outputs, refuse_reversed
        from nmt.synthesis.working import key_of_pairs, write_pairs
        from nmt.translate import Options, Translator
        from nmt.translate.translator import Job

    drawing: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    _refuse_idle(drawing, sample=sample, noise=noise, seed=seed)
    if forward_model is None:
        about = {"max_disagreement": max_disagreement, "keep_share": keep_share}
        refuse_without("--forward-model", about, what="two models that judge pairs")
    check_outputs([text], output, rejected)
    search: dict[str, Any] = {"beam_size": beam_size, "length_penalty": length_penalty}
    sampling = sampling_with(**drawing, seed=seed) if sample else None
    options = Options(**search, sampling=sampling, tag=tag)
    data = with_rules(cleaning_of_backward(read_settings(model_dir).data), overrides)
    refuse_reversed([forward_model] if forward_model else [], data)
    load = partial(Translator.load, device=device, precision=precision)
    agreement = Agreement(load(forward_model), load(model_dir)) if forward_model else None
    judge = Judge.of(data, agreement, max_disagreement=max_disagreement)
    job = Job(partial(load, model_dir), options, workers)
    judges = identity(forward_model) if forward_model else ""
    key = key_of_pairs(text, job, judges=judges, rules=(data, max_disagreement, on_bad_utf8))
    pace = LinePace(of=count_lines(text))
    with working(output, pace) as on_lines:
        outcome = write_pairs(
            [back_translation(text, job, judge, data, on_bad_utf8=on_bad_utf8)],
            Outputs(output, rejected),
            key,
            keep_share=keep_share or 1.0,
            changed=partial(with_noise, seed=1 if seed is None else seed) if noise else lambda pair: pair,
            on_lines=on_lines,
        )
    show_outcome(outcome, pace, noun="lines")


def _refuse_idle(drawing: dict[str, Any], *, sample: bool, noise: bool, seed: int | None) -> None:
    if not sample:
        refuse_without("--sample", drawing, what="sampling")
    if not (sample or noise):
        refuse_without("--sample or --noise", {"seed": seed}, what="samples and noise")
