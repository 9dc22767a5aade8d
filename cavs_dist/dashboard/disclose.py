"""What of a config may leave the machine: no place that tells who runs it or where, no password in a URL."""

import getpass
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HIDDEN = "_"


def disclosed(value: Any) -> Any:
    """Return a config as W&B gets it: of absolute paths the last part, of URLs what names the file."""
    if isinstance(value, dict):
        return {str(key): disclosed(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [disclosed(child) for child in value]
    return _text(value) if isinstance(value, str) and "/" in value else value


def _text(text: str) -> str:
    """Disclose a path or a URL; user and host are hidden in what is left of it too."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        url = urlsplit(text)
        text = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    elif text.startswith(("/", "~", "..")):
        text = Path(text).name
    for name in _own_names():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", HIDDEN, text)
    return text


def _own_names() -> set[str]:
    names = {platform.node(), platform.node().partition(".")[0], Path.home().name}
    with suppress(KeyError, OSError):  # a container's user may have no name
        names.add(getpass.getuser())
    return names - {""}
