"""Which families are read from safetensors, and what is said of any other."""

from pathlib import Path

import pytest

from emblem.errors import UnknownFamily
from emblem.models import encoder
from emblem.models.document import Document


@pytest.mark.parametrize("family", ["mpnet", "distilbert", "new", "gte", "t5", "qwen3"])
def test_a_family_without_a_graph_says_what_would_run_it(family: str) -> None:
    config = Document(Path("config.json"), {"model_type": family, "auto_map": {"AutoModel": "x.Y"}})
    with pytest.raises(UnknownFamily, match=f'config.json: model_type: is "{family}"') as caught:
        encoder.read(config)
    assert "ONNX or OpenVINO file" in str(caught.value)
    assert "pip install 'emblem[torch]'" in str(caught.value)
