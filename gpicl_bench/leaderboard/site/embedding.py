"""Data inside a page."""

import json
from collections.abc import Mapping
from typing import Any


def embedded(data: Mapping[str, Any]) -> Any:
    """JSON that stands inside a script element, whatever its strings hold; sequences become lists.

    >>> embedded({"a": "</script>"})
    Markup('{"a":"\\\\u003c/script\\\\u003e"}')
    """
    from markupsafe import Markup

    text = json.dumps(data, separators=(",", ":"), default=list, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
