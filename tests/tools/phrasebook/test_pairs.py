import os
import re
import subprocess
import sys
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path

import pytest

from nmt.errors import DataError
from tools.phrasebook.grammar import START, Derivation, Grammar, read_grammar
from tools.phrasebook.lexicon import Entry
from tools.phrasebook.pairs import (
    LONGEST,
    Phrasebook,
    build_phrasebook,
    combinations_of,
    held_out,
    random_numbers,
    split_phrasebook,
    words_of,
)

IMPLIED = ("a", "an", "some", "this", "cannot", "s")
"""What a phrase may say on its own and say differently in its sentence."""


@cache
def grammar() -> Grammar:
    return read_grammar(files("tools.phrasebook"))


@cache
def book() -> Phrasebook:
    return build_phrasebook(train_pairs=8000, valid_pairs=200, test_pairs=300, seed=1)


@cache
def sample() -> tuple[Derivation, ...]:
    draw = random_numbers(7)
    return tuple(found for found in (grammar().derive(draw) for _ in range(15_000)) if found is not None)


def translations(english: str) -> set[str]:
    """Find what every derivation of an English sentence says in French, by growing all that only uses its words."""
    tokens = re.findall(r"[\w-]+", english.lower().replace("cannot", "can not"))
    words = {*tokens, *(token.removesuffix("s") for token in tokens), *IMPLIED}

    def is_said(text: str) -> bool:
        return words.issuperset(re.findall(r"[\w-]+", text.lower()))

    @cache
    def grow(category: str) -> list[Derivation | Entry]:
        entries = grammar().lexicon.categories.get(category)
        if entries is not None:
            return [
                entry
                for entry in entries
                if any(form and is_said(form) for forms in entry.en.values() for form in forms)
            ]
        return [
            node
            for rule in grammar().rules[category]
            if all(is_said(part) for part in rule.templates["en"] if isinstance(part, str))
            for children in product(*map(grow, rule.categories))
            if is_said(grammar().english(node := Derivation.make(rule, children)))
        ]

    found = [node for node in grow(START) if isinstance(node, Derivation)]
    return {grammar().french(node) for node in found if grammar().english(node) == english}


@pytest.mark.parametrize(
    ("english", "french"),
    [
        # elision, h mute and h aspiré
        ("I like oranges.", "J'aime les oranges."),
        ("I do not like oranges.", "Je n'aime pas les oranges."),
        ("The hotel is near the church.", "L'hôtel est près de l'église."),
        ("Do you have a hamster?", "Est-ce que vous avez un hamster ?"),
        ("She is drawing the owl.", "Elle dessine le hibou."),
        ("I would like some water, please.", "Je voudrais de l'eau, s'il vous plaît."),
        ("I think that Alice is late.", "Je pense qu'Alice est en retard."),
        ("The train to Rome leaves at eleven o'clock.", "Le train pour Rome part à onze heures."),
        # contraction
        ("We are going to the market on foot.", "Nous allons au marché à pied."),
        ("The bank is next to the museum.", "La banque est à côté du musée."),
        ("The bank is far from the hotel.", "La banque est loin de l'hôtel."),
        ("I am talking to the neighbours.", "Je parle aux voisins."),
        ("He comes from the United States.", "Il vient des États-Unis."),
        ("This is the baker's car.", "C'est la voiture du boulanger."),
        ("She is afraid of mice.", "Elle a peur des souris."),
        ("Go straight on to the station.", "Allez tout droit jusqu'à la gare."),
        ("Go straight on to the castle.", "Allez tout droit jusqu'au château."),
        # articles, partitives, and their negation
        ("I am eating an apple.", "Je mange une pomme."),
        ("I am not eating an apple.", "Je ne mange pas de pomme."),
        ("I am not eating the apple.", "Je ne mange pas la pomme."),
        ("She wants some bread.", "Elle veut du pain."),
        ("She does not want any bread.", "Elle ne veut pas de pain."),
        ("I would like a glass of water, please.", "Je voudrais un verre d'eau, s'il vous plaît."),
        ("I would like two kilos of onions, please.", "Je voudrais deux kilos d'oignons, s'il vous plaît."),
        # agreement and the place of adjectives
        ("The tables are very expensive.", "Les tables sont très chères."),
        ("He is selling a beautiful armchair.", "Il vend un beau fauteuil."),
        ("We are discovering a beautiful island.", "Nous découvrons une belle île."),
        ("They have some red dresses.", "Ils ont des robes rouges."),
        ("They have some pretty dresses.", "Ils ont de jolies robes."),
        ("They do not have any pretty dresses.", "Ils n'ont pas de jolies robes."),
        ("I have a new computer.", "J'ai un nouvel ordinateur."),
        ("Is this coat brown?", "Est-ce que ce manteau est marron ?"),
        ("We are drawing the horses.", "Nous dessinons les chevaux."),
        ("Marie and Julie are happy.", "Marie et Julie sont heureuses."),
        ("Marie and Paul are happy.", "Marie et Paul sont heureux."),
        ("You are happy.", "Vous êtes heureux."),
        ("She is not Italian.", "Elle n'est pas italienne."),
        ("They are tired.", "Ils sont fatigués."),
        ("She is a nurse.", "Elle est infirmière."),
        ("They are nurses.", "Ils sont infirmiers."),
        ("Claire is taller than Paul.", "Claire est plus grande que Paul."),
        ("This is the oldest hotel in Paris.", "C'est le plus vieil hôtel de Paris."),
        ("This is the most interesting city in Italy.", "C'est la ville la plus intéressante d'Italie."),
        # possessives
        ("I am looking for my scarf.", "Je cherche mon écharpe."),
        ("She is calling her friend.", "Elle appelle son ami."),
        # tenses and the verb
        ("She bought a car yesterday.", "Elle a acheté une voiture hier."),
        ("She did not buy a car yesterday.", "Elle n'a pas acheté de voiture hier."),
        ("She went to France last week.", "Elle est allée en France la semaine dernière."),
        ("We got up at half past six.", "Nous nous sommes levés à six heures et demie."),
        ("He will wait for Marie tomorrow.", "Il attendra Marie demain."),
        ("We are eating the cake.", "Nous mangeons le gâteau."),
        ("You must not open the window.", "Vous ne devez pas ouvrir la fenêtre."),
        ("I cannot sleep.", "Je ne peux pas dormir."),
        ("He needs to work.", "Il a besoin de travailler."),
        ("Open the door, please.", "Ouvrez la porte, s'il vous plaît."),
        ("Do not open the door.", "N'ouvrez pas la porte."),
        ("I often watch television.", "Je regarde souvent la télévision."),
        ("I never do the shopping.", "Je ne fais jamais les courses."),
        ("Paul invited her last Monday.", "Paul l'a invitée lundi dernier."),
        ("I did not see them.", "Je ne les ai pas vus."),
        ("He will give us the keys.", "Il nous donnera les clés."),
        ("The dress that I bought is green.", "La robe que j'ai achetée est verte."),
        ("If it rains tomorrow, she will wash the dishes.", "S'il pleut demain, elle fera la vaisselle."),
        # questions
        ("Did you lose the keys?", "Est-ce que vous avez perdu les clés ?"),
        ("Who broke the lamp?", "Qui a cassé la lampe ?"),
        ("Where are my shirts?", "Où sont mes chemises ?"),
        ("How much do these ties cost?", "Combien coûtent ces cravates ?"),
        ("Is there a pharmacy near the station?", "Est-ce qu'il y a une pharmacie près de la gare ?"),
        # numbers, times, dates
        ("I am twenty-one years old.", "J'ai vingt et un ans."),
        ("She is seventy-one years old.", "Elle a soixante et onze ans."),
        ("He is eighty years old.", "Il a quatre-vingts ans."),
        ("He is ninety-nine years old.", "Il a quatre-vingt-dix-neuf ans."),
        ("The lamp costs eighty-one euros.", "La lampe coûte quatre-vingt-un euros."),
        ("The lamp costs two hundred and eighty euros.", "La lampe coûte deux cent quatre-vingts euros."),
        (
            "The next bus to Rome leaves in thirty-one minutes.",
            "Le prochain bus pour Rome part dans trente et une minutes.",
        ),
        ("It is a quarter past three.", "Il est trois heures et quart."),
        ("My birthday is on the first of May.", "Mon anniversaire est le premier mai."),
        ("The party is on the eleventh of July.", "La fête est le onze juillet."),
        ("The bank is closed on Mondays.", "La banque est fermée le lundi."),
        ("It was cold in London last night.", "Il a fait froid à Londres hier soir."),
    ],
)
def test_a_sentence_has_one_translation(english: str, french: str) -> None:
    assert translations(english) == {french}


def test_equal_english_has_equal_french() -> None:
    french: dict[str, str] = {}
    repeated = 0
    for node in sample():
        english = grammar().english(node)
        repeated += english in french
        assert french.setdefault(english, grammar().french(node)) == grammar().french(node)
    assert repeated > 300


def test_sentences_are_clean() -> None:
    for node in sample()[:5000]:
        english, french = grammar().english(node), grammar().french(node)
        assert re.fullmatch(r"[A-Z][A-Za-z',-]*( [A-Za-z',-]+)*[.?!]", english), english
        assert re.fullmatch(r"[A-ZÀÉÊ][\w',-]*( [\w',-]+)*(\.| \?| !)", french), french
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiouh]", english), english
        assert not re.search(r"\b(de|à) les? |\b([Jj]e|[Nn]e|[Qq]ue|se|me) [aeiouéê]", french), french


def test_the_grammar_has_millions_of_sentences_and_hundreds_of_words() -> None:
    assert grammar().count() > 10**9
    assert len(grammar().lexicon.entries()) > 700


def test_the_parts_have_the_sizes_asked_for() -> None:
    assert [len(part) for part in (book().train, book().valid, book().test)] == [8000, 200, 300]


def test_no_sentence_comes_twice() -> None:
    pairs = [*book().train, *book().valid, *book().test]
    assert len({english for english, _ in pairs}) == len(pairs) == 8500


def test_no_sentence_is_longer_than_the_longest() -> None:
    assert max(len(english.split()) for english, _ in book().train) == LONGEST


def combinations_in(pairs: tuple[tuple[str, str], ...]) -> dict[str, set[tuple[str, str]]]:
    """Derive the sentences again, and return the combinations of each sentence of `pairs` that comes up."""
    wanted = {english for english, _ in pairs}
    draw = random_numbers(1)  # the seed of `book`
    met: dict[str, set[tuple[str, str]]] = {}
    while len(met) < len(wanted):
        node = grammar().derive(draw)
        if node is not None and (english := grammar().english(node)) in wanted:
            met.setdefault(english, set()).update(combinations_of(node))
    return met


def test_every_test_sentence_has_a_combination_that_no_training_sentence_has() -> None:
    trained = set().union(*combinations_in(book().train).values())
    for combinations in combinations_in((*book().valid, *book().test)).values():
        assert combinations - trained


def test_held_out_combinations_never_occur_in_training() -> None:
    is_new = held_out(1)
    in_training = {english for english, _ in book().train}
    in_test = {english for english, _ in (*book().valid, *book().test)}
    draw = random_numbers(1)
    for node in filter(None, (grammar().derive(draw) for _ in range(15_000))):
        english = grammar().english(node)
        assert not (is_new(node) and english in in_training)
        assert is_new(node) or english not in in_test


def test_every_word_of_a_test_sentence_occurs_in_training() -> None:
    words = {word for pair in book().train for word in words_of(pair)}
    for pair in (*book().valid, *book().test):
        assert words_of(pair) <= words


def test_words_are_marked_with_their_language() -> None:
    assert words_of(("Help!", "Au secours !")) == {"en Help", "fr Au", "fr secours"}


def test_the_same_seed_gives_the_same_pairs_under_any_hash_seed() -> None:
    code = (
        "from tools.phrasebook.pairs import build_phrasebook\n"
        "print(ascii(build_phrasebook(train_pairs=400, valid_pairs=3, test_pairs=4, seed=5)))"
    )
    here = build_phrasebook(train_pairs=400, valid_pairs=3, test_pairs=4, seed=5)
    root = Path(__file__).parents[3]
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ascii(here)


def test_another_seed_gives_other_pairs() -> None:
    one = build_phrasebook(train_pairs=400, valid_pairs=3, test_pairs=4, seed=5)
    other = build_phrasebook(train_pairs=400, valid_pairs=3, test_pairs=4, seed=6)
    assert len(set(one.train) & set(other.train)) < 40
    assert one.test != other.test


def test_more_pairs_than_the_grammar_gives_are_refused() -> None:
    count = grammar().count()
    message = f"{10**30:,} phrasebook pairs asked for, but the grammar gives {count:,} at most"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        build_phrasebook(train_pairs=10**30 - 1000, seed=1)


def small_grammar(folder: Path, sentences: str) -> Grammar:
    for asset in files("tools.phrasebook").iterdir():
        if asset.name.endswith(".toml"):
            (folder / asset.name).write_text(asset.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "sentences.toml").write_text(sentences, encoding="utf-8")
    return read_grammar(folder)


def test_an_exhausted_grammar_names_what_it_gave(tmp_path: Path) -> None:
    twice_seven = '[[rule]]\nmakes = "sentence"\nslots = { day = "phrase weekday" }\nen = "{day}."\nfr = "{day}."\n' * 2
    small = small_grammar(tmp_path, twice_seven)
    assert {english for english, _ in split_phrasebook(small, sizes=(7, 0, 0), seed=1).train} == {
        *("Monday.", "Tuesday.", "Wednesday.", "Thursday.", "Friday.", "Saturday.", "Sunday.")
    }
    message = "8 training pairs asked for, but the phrasebook's grammar gives 7"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        split_phrasebook(small, sizes=(8, 0, 0), seed=1)


def test_too_few_training_pairs_for_the_test_are_refused() -> None:
    message = "5 validation and test pairs asked for, but 1 training pairs have the words of only 0; ask for more"
    with pytest.raises(DataError, match=f"^{re.escape(message)} training pairs$"):
        build_phrasebook(train_pairs=1, valid_pairs=2, test_pairs=3, seed=1)
