import re
from pathlib import Path

import pytest

from nmt.config import Settings
from nmt.errors import ConfigError, NmtError
from nmt.graph.order import load_nodes, time_side_by_side, with_needs
from nmt.graph.stage import Ingredients
from nmt.graph.stage_kinds import KINDS
from nmt.graph.translating_kinds import DistilStage, ScoreStage, TranslateStage, TuneStage
from tests.nmt.graph.conftest import MakeNodes

ROOT = Path(__file__).parents[3]
DATA = '[stages.data]\ndo = "prepare"\n'
MODEL = DATA + '[stages.model]\ndo = "train"\nneeds = ["data"]\n'
BACK = '[stages.a]\ndo = "backtranslate"\nneeds = ["model"]\ntext = "train.src"\n'
TEXT = '[stages.a]\ndo = "translate"\nneeds = ["model"]\n'
LM = (
    '[stages.text]\ndo = "prepare"\nset.data.train_text = ["train.tgt"]\n'
    '[stages.lm]\ndo = "train"\nneeds = ["text"]\n[stages.mean]\ndo = "average"\nneeds = ["lm"]\n'
    '[stages.more]\ndo = "train"\nneeds = ["text", "mean"]\n[stages.a]\ndo = "translate"\nneeds = ["more"]\n'
)


def test_what_is_needed_comes_first_and_the_rest_stays_as_it_stands(nodes_of: MakeNodes) -> None:
    stages = '[stages.late]\ndo = "train"\nneeds = ["data"]\n[stages.other]\ndo = "prepare"\n' + DATA
    assert [node.name for node in nodes_of(stages)] == ["data", "late", "other"]


def test_a_recipe_without_stages_has_none(nodes_of: MakeNodes) -> None:
    assert nodes_of("") == []


def test_results_are_named_by_their_stages(nodes_of: MakeNodes, tmp_path: Path) -> None:
    stages = MODEL + '[stages.text]\ndo = "translate"\nneeds = ["model"]\n[stages.bleu]\ndo = "score"\nneeds = ["text"]'
    assert [node.result.relative_to(tmp_path / "w").name for node in nodes_of(stages)] == [
        *("data", "model", "text.txt", "bleu.json")
    ]


def test_a_stage_has_the_settings_of_the_recipe_with_its_own_changes_and_the_command_line_wins(
    nodes_of: MakeNodes,
) -> None:
    stages = MODEL + "set.training.seed = 2\nset.training.max_steps = 7\n"
    data, model = nodes_of(stages, ["training.max_steps=9"])
    assert (data.settings.training.seed, data.settings.training.batch_tokens) == (1, 150)
    assert (model.settings.training.seed, model.settings.training.max_steps) == (2, 9)


def test_paths_that_a_stage_sets_count_from_the_folder_of_the_recipe(nodes_of: MakeNodes, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for name in ("train", "valid"):
        for side in ("src", "tgt"):
            (tmp_path / "text" / f"{name}.{side}").write_text("a\n")
    [node] = nodes_of(DATA + 'set.data.root = "text"\n')
    assert node.settings.data.root == tmp_path / "text"


def test_the_result_of_a_stage_stands_in_settings_as_its_name_in_braces(nodes_of: MakeNodes, tmp_path: Path) -> None:
    stages = '[stages.more]\ndo = "prepare"\nneeds = ["data"]\nset.tokenizer.file = "{data}"\n' + DATA
    assert nodes_of(stages)[1].settings.tokenizer.file == tmp_path / "w" / "data"


def test_a_stage_with_all_that_it_needs(nodes_of: MakeNodes) -> None:
    nodes = nodes_of(MODEL + '[stages.other]\ndo = "train"\nneeds = ["data"]\n')
    assert [node.name for node in with_needs(nodes, "model")] == ["data", "model"]


def test_a_stage_that_a_key_names_is_needed_without_being_one_of_the_ensemble(nodes_of: MakeNodes) -> None:
    late = '[stages.late]\ndo = "translate"\nneeds = ["model"]\nright_to_left = "quick"\n'
    quick = '[stages.quick]\ndo = "shortlist"\nneeds = ["r2l", "data"]\n'
    nodes = {node.name: node for node in nodes_of(late + R2L + quick)}
    assert list(nodes) == ["data", "model", "r2l", "quick", "late"]
    assert [need.name for need in nodes["late"].needs] == ["model", "quick"]
    given = nodes["late"].given
    assert [path.name for path in given.all("model")] == ["model"]
    assert [path.name for path in given.beside("right_to_left")] == ["quick"]
    assert [node.name for node in with_needs(list(nodes.values()), "late")] == list(nodes)


def test_who_writes_from_right_to_left_may_be_the_affair_of_a_parent_from_elsewhere(
    nodes_of: MakeNodes, tmp_path: Path
) -> None:
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "model.safetensors").touch()
    parent = f'set.training.parent = "{tmp_path}/parent"\n'
    text = TEXT.replace('["model"]', '["first"]') + 'right_to_left = "{}"\n'
    first = DATA + '[stages.first]\ndo = "train"\nneeds = ["data"]\n'
    model = MODEL.replace(DATA, "")
    assert nodes_of(first + model + parent + text.format("model"))
    with pytest.raises(ConfigError, match=r"model writes from left to right"):
        nodes_of(first + model + parent + "set.model.right_to_left = false\n" + text.format("model"))
    second = '[stages.second]\ndo = "train"\nneeds = ["data", "model"]\n'
    assert nodes_of(first + model + "set.model.right_to_left = true\n" + second + text.format("second"))


def test_a_model_for_the_way_back_goes_there_as_far_as_languages_are_known(nodes_of: MakeNodes) -> None:
    backwards = 'corpora = [{ src = "train.src", tgt = "train.tgt", reversed = true }]\n'
    judged = '[stages.a]\ndo = "backtranslate"\ntext = "train.tgt"\nneeds = ["model", "mean"]\n'
    languages = ("data.src_lang=en", "data.tgt_lang=fr")

    def check(of_data: str, *overrides: str, use: str) -> None:
        data = f'[stages.other]\ndo = "prepare"\n[stages.other.set.data]\n{of_data}'
        back = '[stages.back]\ndo = "train"\nneeds = ["other"]\n[stages.mean]\ndo = "average"\nneeds = ["back"]\n'
        nodes_of(MODEL + data + back + use, overrides)

    for key, use in (("reverse_model", TEXT + 'reverse_model = "mean"'), ("needs", judged)):
        with pytest.raises(
            ConfigError, match=rf"{key}: mean translates from en to fr, expected a model from fr to en$"
        ):
            check("", *languages, use=use)
        check(f"train_src = []\ntrain_tgt = []\n{backwards}", *languages, use=use)
        check(backwards, *languages, use=use)  # it goes both ways
        check("", languages[0], use=use)
        check("", "data.src_lang=en", "data.tgt_lang=en", use=use)
    check("", *languages, use=judged + 'set.data.src_lang = "en"\n')


@pytest.mark.parametrize(("at_once", "expected"), [(1, 17), (2, 12), (3, 12)])
def test_stages_side_by_side_take_as_long_as_those_that_wait_for_each_other(
    nodes_of: MakeNodes, at_once: int, expected: float
) -> None:
    nodes = nodes_of(MODEL + '[stages.other]\ndo = "train"\nneeds = ["data"]\n')
    seconds = {"data": 2.0, "model": 5.0, "other": 10.0}
    assert time_side_by_side(nodes, seconds, at_once=at_once) == expected


R2L = MODEL + '[stages.r2l]\ndo = "train"\nneeds = ["data"]\nset.model.right_to_left = true\n'
TUNED = '[stages.tuned]\ndo = "tune"\nneeds = ["model"]\n'

WRONG = {
    '[stages.a]\ndo = "trian"': "stages.a.do: found 'trian'; did you mean train?",
    '[stages.a]\ndo = "fly"': "stages.a.do: found 'fly'; expected prepare, train, average, shortlist, ",
    "[stages.a]\n": "stages.a has no do; expected prepare",
    "[stages]\na = 3": "stages.a must be a table, found 3",
    '[stages."a/b"]\ndo = "prepare"': "stages.a/b: a stage names a file, expected letters, digits, - and _",
    '[stages.stages]\ndo = "prepare"': "stages.stages: a stage names a file",
    DATA + "last = 3": "stages.data: prepare has no last",
    DATA + '[stages.a]\ndo = "train"\nneeds = ["dat"]': "stages.a.needs: there is no stage dat; did you mean data?",
    DATA + '[stages.a]\ndo = "train"\nneeds = "data"': "stages.a: needs = 'data': input should be a list",
    '[stages.a]\ndo = "prepare"\nneeds = ["c"]\n[stages.b]\ndo = "prepare"\nneeds = ["a"]\n[stages.c]\ndo = "prepare"\n'
    'needs = ["b"]': "stages need each other in a circle: a needs c needs b needs a",
    MODEL + '[stages.a]\ndo = "translate"\nneeds = ["data"]': "a.needs: translate takes model and text and "
    "memory and language model and weights, but data gives data",
    MODEL + '[stages.a]\ndo = "translate"': "stages.a.needs: translate takes model, expected 1 stage that gives it",
    DATA.replace("data", "other")
    + DATA
    + '[stages.a]\ndo = "train"\nneeds = ["data", "other"]': "stages.a.needs: train "
    "takes data, expected 1 stage at most that gives it, found 2",
    DATA + "set.training.sede = 2": "stages.data: unknown setting training.sede; did you mean training.seed?",
    DATA + "set.training.seed = -2": "stages.data: training.seed = -2: input should be greater than or equal to 0",
    DATA + "set.seed = 2": "stages.data: unknown section [seed]",
    DATA
    + '[stages.a]\ndo = "prepare"\nset.tokenizer.file = "{data}"': "stages.a.set: {data} is the result of a stage, "
    "but its needs do not have data",
    DATA + 'set.data.train_src = ["none"]': "none (data.train_src) does not exist",
    DATA + '[stages.a]\ndo = "prepare"\nneeds = ["data"]\nset.tokenizer.file = "{data}"\n'
    'set.data.train_src = ["none"]': "none (data.train_src) does not exist",
    MODEL + '[stages.a]\ndo = "translate"\nneeds = ["model"]\nsource = "none"': "none (source) does not exist",
    MODEL + BACK + "keep_share = 0.5": "stages.a: keep_share needs a second model, to judge",
    MODEL + BACK + 'forward_tag = "<a>"': "stages.a: forward_tag needs a second model, to judge",
    MODEL
    + '[stages.a]\ndo = "distil"\nneeds = ["model", "data"]\ntag = "<a>"': "stages.a: tag is about a text: sources of "
    "data have the tag of their corpus",
    MODEL + BACK + "top_k = 5": "stages.a: top_k needs sample",
    MODEL + BACK + "seed = 5": "stages.a: seed needs sample or noise",
    MODEL + BACK.replace("backtranslate", "distil") + 'nearest = "chrf"': "stages.a: nearest compares with references",
    MODEL
    + '[stages.a]\ndo = "vocabulary"\nneeds = ["model"]': "stages.a: vocabulary adds pieces, symbols or those of a "
    "text, found none of them",
    DATA + LM: "stages.a.needs: translate takes model, expected 1 stage that gives it",
    DATA + "set.training.seed = 2": "stages.data.set: prepare makes no use of training.seed",
    MODEL + "set.data.max_pieces = 9": "stages.model.set: train makes no use of data.max_pieces",
    MODEL + TEXT + "set.training.max_steps = 9": "stages.a.set: translate makes no use of training.max_steps",
    MODEL + TEXT + "set.search.lm_weight = 0.5": "stages.a: set.search.lm_weight has no effect on this stage",
    MODEL + TEXT + "set.search.memory_exact = true": "stages.a: set.search.memory_exact has no effect on this stage",
    MODEL + TEXT + "lm_rescore = true": "stages.a: lm_rescore needs a language model",
    MODEL + TEXT + 'right_to_left = "none"': "stages.a.right_to_left: there is no stage none",
    MODEL + TEXT + 'right_to_left = ["model"]': "stages.a: right_to_left = ['model']: input should be a valid string",
    MODEL + TEXT + 'reverse_model = "data"': "stages.a.reverse_model: expected a stage that gives a translation model, "
    "but data gives data",
    MODEL
    + LM.replace('["more"]', '["model"]')
    + 'reverse_model = "more"': "stages.a.reverse_model: expected a stage that gives a translation model, but more "
    "gives a language model",
    R2L + '[stages.mean]\ndo = "average"\nneeds = ["model"]\n' + TEXT + 'right_to_left = "mean"': "a.right_to_left: "
    "mean writes from left to right; expected a model that is trained with model.right_to_left = true",
    R2L + TEXT.replace('"model"', '"model", "r2l"') + 'right_to_left = "r2l"': "stages.a.right_to_left: r2l is one of "
    "the ensemble in needs; name it here alone, to rescore",
    MODEL + TEXT + 'reverse_model = "model"\nset.search.beam_size = 1': "stages.a: reverse_model: search.beam_size = 1 "
    "leaves nothing to rescore; set it to 2 or more",
    MODEL + TEXT + "set.search.rescore_weight = 0.5": "stages.a: set.search.rescore_weight has no effect on this stage",
    MODEL
    + TEXT
    + 'reverse_model = "model"\nset.search.rescore_weight = 0.5': "stages.a: set.search.rescore_weight has "
    "no effect on this stage",
    MODEL + TUNED + TEXT.replace('"model"', '"model", "tuned"') + 'reverse_model = "model"': "stages.a.reverse_model: "
    "tuned finds no weight of such a model, as it names none; name it there too",
    MODEL
    + TUNED
    + 'reverse_model = "model"\n'
    + TEXT.replace('"model"', '"model", "tuned"'): "stages.a: tuned has found "
    "weights beside reverse_model = 'model'; name it here too",
    MODEL + BACK.replace("backtranslate", "distil") + 'rescore = ["data"]': "stages.a.rescore: expected a stage that "
    "gives a translation model, but data gives data",
    MODEL + BACK.replace("backtranslate", "distil") + 'rescore = ["model"]\nset.search.beam_size = 1': "stages.a: "
    "rescore: search.beam_size = 1 leaves nothing to rescore",
    MODEL + '[stages.a]\ndo = "distil"\nneeds = ["model", "data"]\nnearest = "chrf"\nrescore = ["model"]': "stages.a: "
    "nearest compares with references, so it goes without rescore",
    MODEL + BACK + "set.search.batch_tokens = 9": "stages.a.set: backtranslate makes no use of search.batch_tokens",
    MODEL
    + BACK
    + "set.data.drop_duplicates = false": "stages.a.set: backtranslate makes no use of data.drop_duplicates",
    MODEL + TEXT.replace("translate", "tune") + "set.search.length_penalty = 0.5": "stages.a.set: tune makes no use of "
    "search.length_penalty",
    MODEL + '[stages.a]\ndo = "average"\nneeds = ["model"]\nlast = 0': "stages.a: last = 0: input should be greater",
}


@pytest.mark.parametrize("stages", WRONG, ids=WRONG.values())
def test_what_is_wrong_with_a_recipe_is_one_line_before_anything_is_done(nodes_of: MakeNodes, stages: str) -> None:
    with pytest.raises(NmtError, match=re.escape(WRONG[stages])) as raised:
        nodes_of(stages)
    assert "toy.toml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_test_text_is_what_is_translated_and_scored_unless_a_stage_says_otherwise(nodes_of: MakeNodes) -> None:
    model = MODEL + '[stages.a]\ndo = "translate"\nneeds = ["model"]\n'
    unset = "set.data = {{test_{side} = 'none'}}\n"
    with pytest.raises(NmtError, match=r"none \(source\) does not exist"):
        nodes_of(model + unset.format(side="src"))
    with pytest.raises(NmtError, match=r"none \(reference\) does not exist"):
        nodes_of(model + '[stages.b]\ndo = "score"\nneeds = ["a"]\n' + unset.format(side="tgt"))
    assert nodes_of(model + "source = 'valid.src'\n" + unset.format(side="src"))


def test_a_text_to_translate_and_a_reference_have_to_be_named() -> None:
    with pytest.raises(ConfigError, match=r"^source is not set, nor is data\.test_src: there is nothing to translate"):
        TranslateStage().files(Ingredients(Settings(), {}))
    with pytest.raises(ConfigError, match=r"^distil takes data or has a text, found neither$"):
        DistilStage().files(Ingredients(Settings(), {}))
    with pytest.raises(
        ConfigError, match=r"^data\.valid_src and data\.valid_tgt are not set: there is nothing to tune"
    ):
        TuneStage().files(Ingredients(Settings(), {}))
    with pytest.raises(ConfigError, match=r"^reference is not set, nor is data\.test_tgt: there is nothing to compare"):
        ScoreStage().files(Ingredients(Settings(), {}))


def test_the_recipes_that_are_shipped_and_that_of_the_page_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for name in ("train", "valid", "test", "test2016", "more"):
        for language in ("en", "fr", "de"):
            for suffix in ("", ".gz"):
                (tmp_path / "corpus" / f"{name}.{language}{suffix}").touch()
    for name in ("pairs.tsv", "mono.en", "mono.fr"):
        (tmp_path / "corpus" / name).touch()
    shipped = load_nodes(ROOT / "recipes/student-en-fr.toml", [f"data.root={tmp_path}/corpus"], tmp_path)
    assert [node.name for node in shipped][-1] == "scores"
    assert {node.does for node in shipped} == set(KINDS) - {"average", "adapt", "vocabulary", "memory", "tune"}
    for language in ("de", "fr"):
        recipe = ROOT / f"recipes/multi30k-en-{language}-diverse.toml"
        assert load_nodes(recipe, [f"data.root={tmp_path}/corpus"], tmp_path)[-1].name == "scores"
    page = (ROOT / "docs/stages.md").read_text(encoding="utf-8")
    _, whole, _, more, _, rescoring, *_ = page.split("```\n")
    backward = '[stages.backward]\ndo = "train"\nneeds = ["data"]\n'
    (tmp_path / "page.toml").write_text(whole + more + backward + rescoring, encoding="utf-8")
    names = [node.name for node in load_nodes(tmp_path / "page.toml", [], tmp_path)]
    assert {"fused", "rescored"} <= set(names)
