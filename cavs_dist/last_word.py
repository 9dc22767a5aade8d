"""What a rank says last, left in the file that torchrun names to each: torchrun itself ends with 1 for every reason."""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "TORCHELASTIC_ERROR_FILE"
NAME = "error.json"  # as torchrun calls it, one below the log folder of each rank
LONGEST = 2000  # characters of a sentence
LARGEST = 1 << 20  # bytes of a file


@dataclass(frozen=True)
class LastWord:
    """Why a rank ended. time: seconds since 1970. code: its exit code."""

    time: float
    code: int
    sentence: str


def leave_last_word(sentence: str, code: int) -> None:
    """Say why this rank ends, if there is a launcher to be told; the first word stands, and a full disk is no matter.

    torchrun shows the sentence in its own account of the failure.
    """
    path = os.environ.get(VARIABLE)
    if path:
        word = {"message": sentence[:LONGEST], "timestamp": str(int(time.time())), "code": code, "time": time.time()}
        with suppress(OSError), Path(path).open("x", encoding="utf-8") as file:
            json.dump(word, file)


def read_last_words(logs: Path) -> tuple[LastWord, ...]:
    """Return what ranks left anywhere below torchrun's log folders, the earliest first; what makes no sense is not."""
    words = []
    for path in logs.rglob(NAME):
        try:
            with path.open("rb") as file:
                value = json.loads(file.read(LARGEST))
            words.append(LastWord(float(value["time"]), int(value["code"]), str(value["message"])[:LONGEST]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return tuple(sorted(words, key=lambda word: word.time))
