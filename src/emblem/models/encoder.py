"""``config.json`` of a transformers model, as the numbers of an encoder that is built here."""

from collections.abc import Callable, Mapping

from emblem.errors import UnknownFamily
from emblem.model import Encoder
from emblem.models.document import Document
from emblem.models.encoders import bert, modernbert, nomic

_READERS: Mapping[str, Callable[[Document], Encoder]] = {
    "bert": bert.read,
    "roberta": bert.read,
    "xlm-roberta": bert.read,
    "camembert": bert.read,
    "modernbert": modernbert.read,
    "nomic_bert": nomic.read,
}


def read(config: Document) -> Encoder:
    """Understand the encoder, or raise ModelError; UnknownFamily where its family is not ours.

    Fields that only training uses are passed over, and what transformers takes for an absent field
    is taken here too.
    """
    kind = config.need("model_type", str)
    if kind not in _READERS:
        raise UnknownFamily(
            f'{config.file}: model_type: is "{kind}"; from safetensors Emblem reads '
            f"{', '.join(_READERS)}. Any other family needs an ONNX or OpenVINO file in its "
            "repository, or pip install 'emblem[torch]'"
        )
    return _READERS[kind](config)
