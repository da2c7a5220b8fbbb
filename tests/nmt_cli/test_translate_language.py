"""`nmt translate` with a language model."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from nmt.text.tokenizer import tokenizer_files
from nmt.text.tokenizer_training import TokenizerPlan, train_tokenizer
from nmt.translate import Options, Translator

Invoke = Callable[..., Result]
Run = Callable[..., str]
MakeLanguageModel = Callable[..., Path]

LINES = ["bat cow", "", "hat jam kit log", "den"]


@pytest.fixture(scope="module")
def lm(toy_model: Path, tmp_path_factory: pytest.TempPathFactory, make_language_model: MakeLanguageModel) -> Path:
    [tokenizer] = tokenizer_files(toy_model)
    return make_language_model(tmp_path_factory.mktemp("models") / "lm", tokenizer)


@pytest.fixture(scope="module")
def both(toy_model: Path, lm: Path) -> Translator:
    return Translator.load(toy_model, device="cpu", language_model=lm)


def expected(translator: Translator, options: Options) -> str:
    """What the library says, in the form of n-best lists."""
    found = enumerate(translator.translate(LINES, options))
    return "".join(f"{index} ||| {one.text} ||| {one.score:.4f}\n" for index, line in found for one in line)


@pytest.mark.parametrize("rescore", [False, True])
def test_what_the_language_model_says_reaches_the_search(
    run: Run, both: Translator, library: Translator, lm: Path, rescore: bool
) -> None:
    flags = ["--lm-rescore"] if rescore else []
    found = run("--lm", lm, "--lm-weight", "0.4", "--n-best", "2", *flags, lines=LINES)
    assert found == expected(both, Options(lm_weight=0.4, n_best=2, lm_rescore=rescore))
    assert found != expected(library, Options(n_best=2))


def test_the_weight_is_the_models_own_where_none_is_given(run: Run, lm: Path) -> None:
    given = run("--lm", lm, "--lm-weight", "0.1", "--scores", lines=LINES)
    assert run("--lm", lm, "--scores", lines=LINES) == given
    assert run("--lm", lm, "--lm-weight", "0", "--scores", lines=LINES) == run("--scores", lines=LINES)


def test_worker_processes_load_it_too(run: Run, lm: Path) -> None:
    arguments = ["--lm", str(lm), "--lm-weight", "0.4", "--scores"]
    assert run(*arguments, "--workers", "2", lines=LINES) == run(*arguments, lines=LINES)


@pytest.mark.parametrize("arguments", [["--lm-weight", "0.2"], ["--lm-rescore"]])
def test_what_is_about_a_language_model_needs_one(refused: Run, arguments: list[str]) -> None:
    assert refused(*arguments, code=2) == f"error: {arguments[0]} is about a language model; it needs --lm\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lm-rescore", "--sample"], "samples cannot be rescored by other models; leave one of them out"),
        (["--lm-rescore", "--beam", "1"], "search.beam_size = 1 leaves nothing to rescore: set it to 2 or more"),
    ],
)
def test_what_a_language_model_cannot_put_in_order_is_an_error(
    refused: Run, lm: Path, arguments: list[str], message: str
) -> None:
    assert refused("--lm", lm, *arguments, code=2) == f"error: {message}\n"


def test_a_language_model_that_reads_other_pieces_can_only_put_in_order(
    run: Run, refused: Run, toy_model: Path, tmp_path: Path, make_language_model: MakeLanguageModel
) -> None:
    foreign = tmp_path / "joint.spm.model"
    foreign.write_bytes(train_tokenizer(["bato cowo hato jamo kito logo deno"], TokenizerPlan("bpe", 21)))
    other = make_language_model(tmp_path / "other", foreign)
    message = refused("--lm", other)
    assert message.startswith(f"error: {other} has another tokenizer than {toy_model} has for its translations; ")
    assert message.endswith("or use it as it is with --lm-rescore\n")
    assert run("--lm", other, "--lm-weight", "0.001", "--lm-rescore", lines=LINES) == run(lines=LINES)


def test_what_is_no_language_model_is_an_error(refused: Run, toy_model: Path) -> None:
    assert refused("--lm", toy_model) == f"error: {toy_model} holds a translation model, expected a language model\n"
