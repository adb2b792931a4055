"""The model kinds: a record says everything that t5rank needs to know of one.

A kind is one Python file. It defines a head (and a network, where T5's will not do) and registers
the record of both. A recipe imports the file in gin. Python code imports it before it opens a model
folder of that kind. The command line imports it with `t5rank --import MODULE COMMAND`.

    @dataclasses.dataclass(frozen=True)
    class MyHead(heads.TokenHead):
        token_id: int

        def read(self, outputs):
            return self.logits(outputs)[..., 0]

    kinds.register(
        kinds.Kind(
            name="mine",
            head=MyHead,
            network=network.Transformer,
            new_head=lambda vocabulary: MyHead(vocabulary.token_id("yes")),
            describe=lambda model, encoder: "logit of 'yes' at the first decoder step",
        )
    )
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from flax import linen as nn

from t5rank.models.heads import Head
from t5rank.text.templates import RANKT5, TextPrompts
from t5rank.types import PyTree

if TYPE_CHECKING:
    from t5rank.models.ranking import RankingModel

_OURS = ("rankt5", "monot5", "rankt5_encoder", "dual_encoder")  # the files of `t5rank.models`
_registered: dict[str, "Kind"] = {}


@dataclasses.dataclass(frozen=True)
class Option:
    """A setting of new models of a kind: an option of `t5rank convert`.

    Attributes:
      name: without the dashes. A field of the network with this name gets the value; any other
        option goes to `Kind.new_head`.
      help: what the command line says of it.
      metavar: the value in the help.
      choices: what it may be; None takes anything.
      parse: the value of what the command line has.
    """

    name: str
    help: str
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    parse: Callable[[str], Any] = str


@dataclasses.dataclass(frozen=True)
class TransformersScore:
    """Python code that computes the score with the package transformers.

    Attributes:
      loader: the class that loads the weights, such as "T5EncoderModel".
      score: the last lines of a function, which return `[len(texts)]` scores. They have the
        `model`, the tokens of the `texts` as `batch`, and what `load` gave.
      load: lines that load what else the score needs from `folder`.
    """

    loader: str
    score: str
    load: str = ""


class ScoreGraph(Protocol):
    """An ONNX graph of a T5, to which a kind adds its score. Values are names."""

    @property
    def encoded(self) -> str:
        """Encoded tokens, float32 `[batch, length, emb]`."""
        ...

    @property
    def real(self) -> str:
        """Float32 `[batch, length]`, 1 for real tokens and 0 for padding."""
        ...

    @property
    def mean(self) -> str:
        """The mean of the real tokens, float32 `[batch, emb]`; 0 where there is none."""
        ...

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator of ONNX; gives its output."""
        ...

    def constant(self, value: Any) -> str:
        """Adds a constant. Parameters are to be given as float32."""
        ...

    def logits(self, token_ids: tuple[int, ...]) -> str:
        """Logits `[batch, tokens]` of these tokens after the first decoder step."""
        ...


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
      name: the choice of `t5rank convert --head`.
      head: the class of its heads: what goes into the network, how results are read off it, and
        which probability a score has. `config.json` has its name and its fields.
      network: the class of its networks. It has a `config`, and can be called with tokens alone.
        `config.json` has its name and its other fields.
      new_head: makes a head of a vocabulary, and of the options that are no fields of the network.
      describe: says in the model card what the score is.
      has_decoder: whether the network has T5's decoder.
      takes_t5x_network: whether T5X's own network may stand in for `network`.
      prompt: of new models, where none is given. A template is of pairs: the model reads a query
        and a document together. `TextPrompts` are of single texts: its results are vectors.
      model: makes a model of a network and a head; None makes a `RankingModel`.
      options: settings of new models.
      published_options: options for `new_head` of a published model of this name; None where they
        are not known.
      inferred: settings of the network that the shapes of its parameters, by name, tell.
      new_parameters: what a T5 to start from lacks. The name in the tree of parameters, which is
        that of T5X, to the name in the file `score_head.safetensors` of a Hugging Face folder.
      without_new: what a user may do about a checkpoint without these, beside training; a sentence.
      check: looks at a converted model, with a function that reads its parameters, and warns of
        what seems wrong.
      transformers: how the score is computed with transformers; None where it cannot be.
      onnx: adds the score to a graph and gives its name, float32 `[batch]`, or the vectors
        `[batch, dim]`; None where the kind cannot be exported.
    """

    name: str
    head: type[Head]
    network: Callable[..., nn.Module]
    new_head: Callable[..., Head]
    describe: Callable[["RankingModel", Any], str]
    has_decoder: bool = True
    takes_t5x_network: bool = False
    prompt: str | TextPrompts = RANKT5
    model: Callable[..., "RankingModel"] | None = None
    options: tuple[Option, ...] = ()
    published_options: Callable[[str], Mapping[str, Any] | None] = lambda name: None
    inferred: Callable[[Mapping[str, tuple[int, ...]]], Mapping[str, Any]] = lambda shapes: {}
    new_parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without_new: str = ""
    check: Callable[["RankingModel", Any, Callable[[], PyTree]], None] | None = None
    transformers: Callable[["RankingModel", Any], TransformersScore] | None = None
    onnx: Callable[[ScoreGraph, "RankingModel", PyTree], str] | None = None

    @functools.cached_property
    def network_settings(self) -> tuple[str, ...]:
        """Fields of the network beside its `config`."""
        fields = dataclasses.fields(self.network)  # type: ignore[arg-type]
        return tuple(f.name for f in fields if f.name not in ("config", "parent", "name"))


def register(kind: Kind) -> Kind:
    """Makes a kind known under its name.

    Raises:
      ValueError: another kind has its name, the name of its head's class or one of its options.
    """
    for other in _registered.values():
        if other.head.__module__ == kind.head.__module__ and other.name == kind.name:
            continue  # the same file, read again
        names = {option.name for option in other.options if option not in kind.options}
        taken = [option.name for option in kind.options if option.name in names]
        if other.name == kind.name or other.head.__name__ == kind.head.__name__ or taken:
            raise ValueError(
                f"Model kind '{kind.name}' has the head {kind.head.__name__} and the options "
                f"{[option.name for option in kind.options]}; expected names that the kind "
                f"'{other.name}' of '{other.head.__module__}' does not have."
            )
    _registered[kind.name] = kind
    return kind


def known() -> Mapping[str, Kind]:
    """All kinds by name: those of t5rank, and whatever has been registered."""
    for file in _OURS:
        importlib.import_module(f"t5rank.models.{file}")
    return _registered


def of(head: Head) -> Kind:
    """The kind of a head.

    Raises:
      ValueError: it belongs to none.
    """
    return _only(type(head).__name__, lambda kind: kind.head is type(head))


def of_head_named(name: str) -> Kind:
    """The kind whose head's class has a name, as `config.json` has it.

    Raises:
      ValueError: there is none.
    """
    return _only(name, lambda kind: kind.head.__name__ == name)


def _only(head: str, fits: Callable[[Kind], bool]) -> Kind:
    for kind in known().values():
        if fits(kind):
            return kind
    raise ValueError(
        f"Score head '{head}' is of no known model kind; expected one of "
        f"{[kind.head.__name__ for kind in known().values()]}. Import the module that registers "
        "its kind (t5rank --import MODULE COMMAND)."
    )


def with_parameters(names: Mapping[str, Any]) -> Kind | None:
    """The one kind whose new parameters are all among these; None where there is not just one."""
    found = [k for k in known().values() if k.new_parameters and {*k.new_parameters} <= {*names}]
    return found[0] if len(found) == 1 else None


def check(head: Head, module: nn.Module) -> None:
    """Checks that a head and a network belong together.

    Raises:
      ValueError: they do not, or a token of the head is no row of the embedding.
    """
    kind = of(head)
    networks = {other.network for other in known().values()}
    is_theirs = kind.takes_t5x_network and type(module) not in networks
    if type(module) is not kind.network and not is_theirs:
        raise ValueError(
            f"Head '{type(head).__name__}' has the network {type(module).__name__}; expected "
            f"{kind.network.__name__}."
        )
    size = module.config.vocab_size  # type: ignore[attr-defined]
    for token_id in getattr(head, "token_ids", ()):
        if not 0 <= token_id < size:
            raise ValueError(
                f"Head '{type(head).__name__}' has token {token_id}; expected a row of the "
                f"embedding, 0 to {size - 1}. Does the vocabulary belong to this model?"
            )
