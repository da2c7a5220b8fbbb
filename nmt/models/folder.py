"""The model folder: weights, settings and tokenizers, whole at every instant and checked on reading.

Whatever is asked of a folder that is no model, or whose files are missing, damaged or altered, is a ModelError.
"""

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nmt.config import ModelSettings, Settings, parse_settings, to_toml
from nmt.config.load import describe_misfit
from nmt.config.model import CELLS
from nmt.errors import ConfigError, ModelError
from nmt.io.files import building, read_json, read_regular, replacing, sha256, write_text
from nmt.models.build import Undrawn, build_language_model, build_model
from nmt.models.language_model import LanguageModel
from nmt.models.seq2seq import Seq2Seq
from nmt.models.snapshot import Snapshot, safetensors_of
from nmt.text.tokenizer import Tokenizers, load_tokenizers, tokenizer_files
from nmt.text.vocab import EOS

FORMAT_VERSION = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.toml", "model.json"
LEXICON = "lexicon.safetensors"
"""The file that a folder may do without; announced like the others while it is there."""


Size = Annotated[int, Field(gt=0, strict=True)]


@dataclass(frozen=True)
class Vocabularies:
    """The sizes that a model's tables have; a language model has one table, and so one vocabulary, joint."""

    src: Size
    tgt: Size
    joint: bool

    @classmethod
    def of(cls, tokenizers: Tokenizers) -> "Vocabularies":
        """Return the sizes for the pieces of tokenizers."""
        return cls(len(tokenizers.src), len(tokenizers.tgt), tokenizers.joint)


class _Card(BaseModel):
    """The contents of model.json."""

    model_config = ConfigDict(extra="allow")

    format_version: int
    vocabularies: Vocabularies
    sha256: dict[str, list[str]]
    """The hashes that each file may have."""
    training: dict[str, Any]

    def write(self, folder: Path) -> None:
        write_text(folder / CARD, json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class ModelFolder:
    """Writes a model folder: settings and tokenizers once, then weights as often as they get better.

    `model.json` holds a hash of every file. A new file is announced there before it replaces an old one, so at every
    instant the files on disk, old or new, are among the announced ones.
    """

    path: Path
    _: KW_ONLY
    settings: Settings
    vocabularies: Vocabularies
    tokenizers: Mapping[str, bytes]
    """Names and contents: the data folder that they are from may change in the meantime."""

    def create(self) -> None:
        """Create the folder with config.toml and copies of the tokenizer models, or bring them up to date."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name, content in {CONFIG: to_toml(self.settings).encode("utf-8"), **self.tokenizers}.items():
            path = self.path / name
            old = [sha256(path)] if path.is_file() else []
            if old != [hashlib.sha256(content).hexdigest()]:  # a resumed training asks nothing of a damaged card
                _put(self.path, name, content, old)

    def save(self, model: nn.Module, summary: dict[str, Any]) -> None:
        """Replace the weights, and the training summary in model.json."""
        self.writer(model, summary)()

    def writer(self, model: nn.Module, summary: dict[str, Any]) -> Callable[[], None]:
        """Copy the weights as they are now, and return what saves them."""
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        return partial(self._write, Snapshot(weights), summary)

    def _write(self, snapshot: Snapshot, summary: dict[str, Any]) -> None:
        old, digest = list[str](), hashlib.sha256()
        with suppress(ModelError, KeyError):
            old = _read_card(self.path).sha256[WEIGHTS]
        with replacing(self.path / WEIGHTS) as file:
            for part in safetensors_of(snapshot.tensors()):
                digest.update(part)
                file.write(part)
            self._write_card([digest.hexdigest(), *old], summary)
        self._write_card([digest.hexdigest()], summary)

    def _write_card(self, weight_hashes: list[str], summary: dict[str, Any]) -> None:
        names = (CONFIG, *self.tokenizers)
        hashes = {WEIGHTS: weight_hashes} | {name: [sha256(self.path / name)] for name in names}
        with suppress(ModelError, KeyError):  # there is no card yet, or it is damaged and replaced here; or no lexicon
            hashes[LEXICON] = _read_card(self.path).sha256[LEXICON]  # it outlives the weights that it was learnt from
        card = _Card(format_version=FORMAT_VERSION, vocabularies=self.vocabularies, sha256=hashes, training=summary)
        card.write(self.path)


def write_model(
    model: nn.Module, folder: Path, *, settings: Settings, tokenizers: Tokenizers, summary: dict[str, Any]
) -> None:
    """Write a model and what `model.json` says of it to a new folder, which appears when all is done."""
    sizes = Vocabularies.of(tokenizers)
    with building(folder) as built:
        written = ModelFolder(built, settings=settings, vocabularies=sizes, tokenizers=tokenizers.files)
        written.create()
        written.save(model, summary)


def refuse_used(folder: Path) -> None:
    """Refuse a folder for a new model that is a file, or holds files."""
    if folder.exists() and not folder.is_dir():
        raise ModelError(f"{folder} is a file; a model needs a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise ModelError(f"{folder} holds files already; choose a new or empty folder")


@contextmanager
def copied(folder: Path, out_dir: Path) -> Iterator[Path]:
    """Give a copy of a model, without what its training has left, to change; it becomes `out_dir`, a new or empty
    folder, when the block ends well."""
    refuse_used(out_dir)
    _read_checked(folder)
    names = [WEIGHTS, CONFIG, CARD, LEXICON, *(path.name for path in tokenizer_files(folder))]
    with building(out_dir) as copy:
        for name in names:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, copy / name)
        yield copy


def put_lexicon(folder: Path, content: bytes) -> None:
    """Write the lexicon of a model folder, or replace it."""
    _put(folder, LEXICON, content, _read_card(folder).sha256.get(LEXICON, []))


def _put(folder: Path, name: str, content: bytes, old: Sequence[str]) -> None:
    """Write a file; where a card is already, announce it there, beforehand next to the hashes that it replaces."""
    new = hashlib.sha256(content).hexdigest()

    def announce(hashes: list[str]) -> None:
        if (folder / CARD).exists():
            card = _read_card(folder)
            card.sha256[name] = hashes
            card.write(folder)

    announce([new, *old])
    with replacing(folder / name) as file:
        file.write(content)
    announce([new])


def identity(folder: Path) -> str:
    """Return what tells the models of folders apart: the hash of the card, which holds the hash of every file."""
    _read_card(folder)
    return sha256(folder / CARD)


def read_vocabularies(folder: Path) -> Vocabularies:
    """Read the sizes of a model's tables."""
    return _read_card(folder).vocabularies


def read_training(folder: Path) -> dict[str, Any]:
    """Read what model.json says of the training: step, scores and counts."""
    return _read_card(folder).training


def load_own_tokenizers(folder: Path) -> Tokenizers:
    """Load the tokenizers of a model folder, of the sizes that its tables have."""
    sizes, tokenizers = read_vocabularies(folder), load_tokenizers(folder)
    found = len(tokenizers.src), len(tokenizers.tgt)
    if found != (sizes.src, sizes.tgt):
        raise ModelError(
            f"{folder} has tokenizers of {found[0]:,} source and {found[1]:,} target pieces, but {CARD} says that the "
            f"model has {sizes.src:,} and {sizes.tgt:,}"
        )
    return tokenizers


def load_model(folder: Path, *, device: torch.device) -> tuple[Seq2Seq, Settings]:
    """Load a translation model as `load_either` does; a language model is a ModelError too."""
    model, settings = load_either(folder, device=device)
    if not isinstance(model, Seq2Seq):
        raise ModelError(f"{folder} holds a language model, expected a translation model")
    return model, settings


def load_language_model(folder: Path, *, device: torch.device) -> tuple[LanguageModel, Settings]:
    """Load a language model as `load_either` does; a translation model is a ModelError too."""
    model, settings = load_either(folder, device=device)
    if not isinstance(model, LanguageModel):
        raise ModelError(f"{folder} holds a translation model, expected a language model")
    return model, settings


def build_either(settings: ModelSettings, sizes: Vocabularies, *, seed: int) -> Seq2Seq | LanguageModel:
    """Build a model of whichever kind; the same arguments give the same weights."""
    if settings.kind == "lm":
        return build_language_model(settings, vocab_size=sizes.tgt, seed=seed)
    src, tgt = sizes.src, sizes.tgt
    return build_model(settings, src_vocab_size=src, tgt_vocab_size=tgt, joint=sizes.joint, seed=seed)


def load_either(folder: Path, *, device: torch.device) -> tuple[Seq2Seq | LanguageModel, Settings]:
    """Load a model of whichever kind, ready in evaluation mode."""
    settings, sizes = _read_checked(folder)
    with Undrawn():
        model = build_either(settings.model, sizes, seed=0)
    load_tensors(model, read_tensors(folder / WEIGHTS), where=folder / WEIGHTS)
    return model.eval().to(device), settings


def check_hashes(folder: Path, names: Sequence[str]) -> None:
    """Hold files of a model folder against its model.json."""
    hashes = _read_card(folder).sha256
    for name in names:
        _check_hash(folder / name, hashes.get(name, []))


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Name every weight once, also where modules share it."""
    return {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], *, where: Path) -> None:
    """Copy named weights into the model; names and shapes have to be its own."""
    parameters = dict(model.named_parameters())
    for name in parameters.keys() ^ tensors.keys():
        where_is = "is missing from" if name in parameters else "is not part of the model but in"
        raise ModelError(f"weight {name} {where_is} {where}")
    for name, parameter in parameters.items():
        if parameter.shape != tensors[name].shape:
            raise ModelError(
                f"{where}: weight {name} has shape {list(tensors[name].shape)}, expected {list(parameter.shape)}"
            )
        parameter.data.copy_(tensors[name])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is no regular file")
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist") from error
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def _read_checked(folder: Path) -> tuple[Settings, Vocabularies]:
    """Hold every file against the card; return the settings, and the sizes of the tables.

    A training may put new files and a new card in their places meanwhile: then all is read again.
    """
    card = _read_card(folder)
    try:
        for name, hashes in card.sha256.items():
            if name != LEXICON or (folder / name).exists():
                _check_hash(folder / name, hashes)
    except ModelError:
        if _read_card(folder) == card:
            raise
        return _read_checked(folder)
    settings = read_settings(folder)
    refuse_more_than_is_there(folder / WEIGHTS, settings, card.vocabularies)
    return settings, card.vocabularies


def read_settings(folder: Path) -> Settings:
    """Read the settings of a model folder; what no settings are is a ConfigError."""
    path = folder / CONFIG
    _refuse_no_folder(folder)
    try:
        return parse_settings(read_regular(path).decode("utf-8"), where=str(path))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is damaged: it is not UTF-8") from error


def refuse_more_than_is_there(weights: Path, settings: Settings, sizes: Vocabularies) -> None:
    """Refuse sizes that the file cannot hold before memory is taken for them: a table and a matrix a layer at least."""
    model = settings.model
    layers = matrices = 0
    for stack in model.stacks():
        # without recurrent weights the first layer reads nothing but embeddings
        reads_state = CELLS[stack.cell].recurrent_weights
        matrices += stack.size**2 // 4 if reads_state else stack.size * model.embedding_size
        matrices += (stack.layers - 1) * stack.size**2 // 4
        layers += stack.layers
    least = 4 * (max(sizes.src, sizes.tgt) * model.embedding_size + matrices)
    if least > weights.stat().st_size:
        raise ModelError(
            f"{weights} has {weights.stat().st_size:,} bytes, but a model of {max(sizes.src, sizes.tgt):,} pieces and "
            f"{layers:,} layers, as its vocabularies and {CONFIG} say, takes {least:,} or more"
        )


def _read_card(folder: Path) -> _Card:
    path = folder / CARD
    _refuse_no_folder(folder)
    try:
        card = _Card.model_validate(read_json(path, ModelError))
    except FileNotFoundError as error:
        if (folder / "manifest.json").is_file():
            raise ModelError(
                f"{folder} holds prepared data, not a model; nmt train {shlex.quote(str(folder))} MODEL_DIR makes one"
            ) from error
        raise ModelError(f"{folder} is not a model folder, or its training has not validated yet: no {CARD}") from error
    except ValidationError as error:
        raise ModelError(f"{path} is damaged: {describe_misfit(error)}") from error
    if card.format_version != FORMAT_VERSION:
        raise ModelError(f"{folder} has format version {card.format_version}, this program reads {FORMAT_VERSION}")
    for name in card.sha256:  # nothing but files of model folders is opened because a card says so
        if name not in (WEIGHTS, CONFIG, LEXICON) and not (name.endswith(".spm.model") and Path(name).name == name):
            raise ModelError(f"{path} announces {name!r}, which is no file of a model")
    return card


def _refuse_no_folder(folder: Path) -> None:
    if folder.is_file():
        raise ModelError(f"{folder} is a file, expected the folder of a model")
    if not folder.is_dir():
        raise ModelError(f"model folder {folder} does not exist")


def _check_hash(path: Path, hashes: Sequence[str]) -> None:
    if not path.exists():
        raise ModelError(f"{path} does not exist; the model folder is incomplete")
    if not path.is_file():  # a pipe or a device would never end
        raise ModelError(f"{path} is no regular file")
    if sha256(path) not in hashes:
        raise ModelError(f"{path} has been altered: its SHA-256 is not the one in {CARD}")


Side = Literal["src", "tgt"]


def export_vectors(folder: Path, *, side: Side | None = None) -> Iterator[str]:
    """Return the lines of a model's vectors: "pieces numbers", then each piece but the special ones and its numbers.

    Numbers come back as the same float32. Without a side they are the source's, or those of a language model, which has
    only these: its source is a ConfigError.
    """
    model, _ = load_either(folder, device=torch.device("cpu"))
    tokenizers = load_own_tokenizers(folder)
    if isinstance(model, Seq2Seq):
        embedding = model.tgt_embedding if side == "tgt" else model.src_embedding
        tokenizer = tokenizers.tgt if side == "tgt" else tokenizers.src
    elif side == "src":
        raise ConfigError(f"{folder} holds a language model, which has no source; leave the side out")
    else:
        embedding, tokenizer = model.embedding, tokenizers.tgt
    pieces = tokenizer.pieces
    with torch.inference_mode():
        table = embedding(torch.arange(len(pieces))[None]).squeeze(0)  # [V, E]
    return lines_of(pieces[EOS + 1 :], table[EOS + 1 :])


def lines_of(pieces: Sequence[str], table: Tensor) -> Iterator[str]:
    """Write pieces and their vectors [N, E]; a piece of white space, which no line can hold, is left out."""
    kept = [(i, piece) for i, piece in enumerate(pieces) if piece.split() == [piece]]
    yield f"{len(kept)} {table.shape[1]}\n"
    for i, piece in kept:
        yield f"{piece} {' '.join(f'{number:.9g}' for number in table[i].tolist())}\n"
