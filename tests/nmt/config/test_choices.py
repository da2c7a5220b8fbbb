"""What is chosen for a corpus, at each size that was run and at those that are on paper."""

import pytest

from nmt.config import Settings, load_settings
from nmt.config.choices import CorpusSize, choose_settings, vocabulary_for

MULTI30K = CorpusSize(28_995, 486_574, 17_000)


def choose(corpus: CorpusSize, *overrides: str, on_gpu: bool = False) -> Settings:
    return choose_settings(corpus, load_settings(None, overrides), on_gpu=on_gpu)[0]


@pytest.mark.parametrize(
    ("pairs", "pieces"),
    [
        (20, 500),
        (900, 1400),
        (1_000, 1500),
        (3_000, 2000),
        (5_000, 2700),
        (10_000, 4000),
        (28_995, 6000),
        (158_421, 8000),
        (1_000_000, 16_000),
        (20_000_000, 32_000),
        (10**9, 32_000),
    ],
)
def test_a_vocabulary_grows_with_the_pairs(pairs: int, pieces: int) -> None:
    assert vocabulary_for(pairs)[0] == pieces


def test_the_reason_names_the_runs_on_both_sides_and_says_which_were_none() -> None:
    assert vocabulary_for(5_000)[1] == "between 2,000 for 3,000 pairs and 4,000 for 10,000 pairs"
    assert vocabulary_for(500)[1] == "between 500 for 100 pairs (on paper) and 1,500 for 1,000 pairs"


def test_between_runs_that_agree_the_reason_names_no_value() -> None:
    corpus = CorpusSize(pairs=500, pieces=10_000)
    _, lines = choose_settings(corpus, load_settings(), on_gpu=False)
    assert "model.dropout = 0.5: that of 100 to 1,000 pairs" in lines


@pytest.mark.parametrize(
    ("corpus", "cells", "dropout", "batch", "epochs", "warmup", "every"),
    [
        (CorpusSize(1_000, 21_908, 22_000), 256, 0.5, 640, 60, 400, 258),
        (CorpusSize(3_000, 56_836, 22_000), 256, 0.3, 640, 30, 400, 258),
        (CorpusSize(5_000, 96_664, 22_000), 512, 0.3, 640, 25, 400, 258),
        (MULTI30K, 512, 0.3, 640, 12, 400, 760),
        (CorpusSize(158_421, 1_764_394, 24_000), 512, 0.2, 1600, 6, 400, 1102),
        (CorpusSize(1_000_000, 27_000_000, 50_000), 512, 0.1, 4000, 5, 675, 2000),
        (CorpusSize(20_000_000, 540_000_000, 70_000), 512, 0.1, 4000, 3, 4000, 2000),
    ],
)
def test_each_size_has_what_did_well_with_it(
    corpus: CorpusSize, cells: int, dropout: float, batch: int, epochs: int, warmup: int, every: int
) -> None:
    chosen = choose(corpus)
    training = chosen.training
    assert (chosen.model.hidden_size, chosen.model.embedding_size, chosen.model.dropout) == (cells, cells // 2, dropout)
    assert (training.batch_tokens, training.max_epochs, training.learning_rate) == (batch, epochs, 2.048 / cells)
    assert (training.warmup_steps, training.validate_every) == (warmup, every)


def test_what_is_set_stays_and_the_rest_follows_from_it() -> None:
    given = ("model.hidden_size=64", "training.batch_tokens=1280", "training.max_epochs=2", "training.learning_rate=1")
    chosen = choose(MULTI30K, *given)
    assert (chosen.model.hidden_size, chosen.model.embedding_size, chosen.training.learning_rate) == (64, 32, 1.0)
    assert (chosen.training.batch_tokens, chosen.training.max_epochs) == (1280, 2)
    assert chosen.training.warmup_steps == 380, "half of 760 steps"
    assert chosen.training.validate_every == 152, "a fifth of them"


def test_every_choice_is_a_line_with_its_reason_and_nothing_else_is() -> None:
    lines = choose_settings(MULTI30K, load_settings(None, ["model.dropout=0.2"]), on_gpu=False)[1]
    assert lines == [
        "training.batch_tokens = 640: small ones are more updates",
        "training.max_epochs = 12: between 20 for 10,000 pairs and 12 for 29,000 pairs",
        "model.hidden_size = 512: of 2,000,000 pieces or more they learn more than 256",
        "model.embedding_size = 256: half of the cells",
        "training.learning_rate = 0.004: the best of 512 cells",
        "training.warmup_steps = 400: that of all measured runs",
        "training.validate_every = 760: about once an epoch",
    ]


def test_the_reason_of_a_warm_up_agrees_with_what_a_run_of_so_much_time_makes_of_it() -> None:
    lines = choose_settings(MULTI30K, load_settings(None, ["training.time='20m'"]), on_gpu=False)[1]
    assert "training.warmup_steps = 400: that of all measured runs, but a tenth of the run at most" in lines


def test_a_choice_that_would_have_no_effect_is_not_made() -> None:
    for override in ("training.max_steps=100", "training.time='20m'"):
        assert "max_epochs" not in choose(MULTI30K, override).training.model_fields_set


def test_a_run_of_so_much_time_is_validated_before_its_length_is_known() -> None:
    training = choose(MULTI30K, "training.time='2m'").training
    assert (training.warmup_steps, training.validate_every) == (400, 500)


@pytest.mark.parametrize(
    ("corpus", "epochs", "cells", "dropout"),
    [
        (MULTI30K, 1.9, 256, 0.1),
        (MULTI30K, 3.1, 256, 0.2),
        (MULTI30K, 4.2, 512, 0.25),
        (MULTI30K, 12.0, 512, 0.3),
        (CorpusSize(1_000, 21_908), 4.6, 256, 0.25),
        (CorpusSize(1_000, 21_908), 90.0, 256, 0.5),
        (CorpusSize(158_421, 1_764_394), 1.1, 256, 0.1),
        (CorpusSize(158_421, 1_764_394), 1.2, 512, 0.1),
    ],
)
def test_what_a_time_has_room_for_decides_the_size_of_the_model(
    corpus: CorpusSize, epochs: float, cells: int, dropout: float
) -> None:
    asked, timed = list[Settings](), load_settings(None, ["training.time='4m'"])

    def count(settings: Settings) -> float:
        asked.append(settings)
        return epochs

    chosen, lines = choose_settings(corpus, timed, on_gpu=False, epochs_within=count)
    assert (chosen.model.hidden_size, chosen.model.embedding_size, chosen.model.dropout) == (cells, cells // 2, dropout)
    assert chosen.training.learning_rate == 2.048 / cells
    assert [one.model.hidden_size for one in asked] == [512], "the usual model is timed"
    if (corpus, epochs) == (MULTI30K, 1.9):
        assert lines[1:5] == [
            "model.hidden_size = 256: about 1.9 epochs of 512 cells fit into 4m, which have fewer than 2,000,000 "
            "pieces, of which 256 learn more",
            "model.embedding_size = 128: half of the cells",
            "model.dropout = 0.1: little is learnt by heart in few epochs",
            "training.learning_rate = 0.008: the best of 256 cells",
        ]


@pytest.mark.parametrize(
    ("cells", "rate"), [(64, 0.008), (256, 0.008), (384, 0.0053), (512, 0.004), (1024, 0.002), (65536, 3.1e-05)]
)
def test_the_rate_is_lower_the_larger_a_model_is(cells: int, rate: float) -> None:
    assert choose(MULTI30K, f"model.hidden_size={cells}").training.learning_rate == rate


def test_text_of_less_than_a_batch_is_little() -> None:
    chosen, lines = choose_settings(CorpusSize(5, 30), load_settings(None, ["training.max_epochs=2"]), on_gpu=False)
    assert chosen.model.hidden_size == 256
    assert "model.hidden_size = 256: all epochs have fewer than 2,000,000 pieces, of which 256 learn more" in lines


def test_rate_and_embeddings_are_those_of_the_wider_side() -> None:
    for sizes, embedding, rate in (
        (["model.encoder_size=1024"], 512, 0.002),
        (["model.decoder_size=256"], 256, 0.004),
        (["model.encoder_size=128", "model.decoder_size=128"], 64, 0.008),
    ):
        chosen = choose(MULTI30K, *sizes)
        assert (chosen.model.embedding_size, chosen.training.learning_rate) == (embedding, rate)


@pytest.mark.parametrize("side", ["cell", "encoder_cell", "decoder_cell"])
def test_only_an_lstm_learns_at_the_rate_that_was_measured_for_it(side: str) -> None:
    timed = load_settings(None, ["training.time='4m'", f"model.{side}='rnn'"])
    chosen, _ = choose_settings(MULTI30K, timed, on_gpu=False, epochs_within=lambda _: 1.0)
    assert (chosen.model.hidden_size, chosen.training.learning_rate) == (256, 0.002)


@pytest.mark.parametrize(
    ("overrides", "on_gpu"),
    [([], False), (["training.time='4m'", "model.hidden_size=512"], False), (["training.time='4m'"], True)],
)
def test_epochs_are_only_counted_where_they_decide(overrides: list[str], on_gpu: bool) -> None:
    def count(settings: Settings) -> float:
        raise AssertionError(settings)

    chosen, _ = choose_settings(MULTI30K, load_settings(None, overrides), on_gpu=on_gpu, epochs_within=count)
    assert chosen.model.hidden_size == 512


def test_long_sentences_get_larger_batches() -> None:
    assert choose(CorpusSize(1_000, 100_000)).training.batch_tokens == 1600, "16 of 100 pieces"


def test_a_gpu_gets_larger_batches_and_where_there_is_much_text_a_larger_model() -> None:
    chosen = choose(CorpusSize(1_000_000, 27_000_000), on_gpu=True)
    assert (chosen.model.hidden_size, chosen.model.embedding_size) == (1024, 512)
    assert (chosen.training.batch_tokens, chosen.training.learning_rate) == (16_000, 0.002)
    chosen = choose(MULTI30K, on_gpu=True)
    assert (chosen.model.hidden_size, chosen.training.batch_tokens) == (512, 973)
    assert choose(CorpusSize(1_000, 20_000), on_gpu=True).training.batch_tokens == 640
