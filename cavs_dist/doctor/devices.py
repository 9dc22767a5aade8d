"""GPUs: what the driver's own program lists, and whether torch sees the same."""

import csv
import os
from collections.abc import Mapping, Sequence

from cavs_dist.doctor.finding import Finding
from cavs_dist.doctor.program import Missing, Refused, Unanswered, ask
from cavs_dist.doctor.seen import Seen, seen_by_torch

LISTING = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits")
HIDING = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
Listed = tuple[str, str, str]  # name, driver, MiB


def devices() -> Finding:
    """Check that torch sees the GPUs that the driver lists."""
    listed, without = [], "nvidia-smi lists none"
    try:
        listed = _listed()
    except (Missing, Refused) as error:
        without = str(error)
    except Unanswered as error:
        return Finding("failed", str(error), "the driver is in trouble: reload it, or leave this node out (--exclude)")
    seen = seen_by_torch()
    if not listed:
        return _unlisted(seen, without)
    return compare(listed, seen, {name: os.environ[name] for name in HIDING if name in os.environ})


def _listed() -> list[Listed]:
    """Return every GPU that nvidia-smi lists. Raises Unanswered, also for nonsense."""
    rows = [[field.strip() for field in row] for row in csv.reader(ask(LISTING).splitlines()) if row]
    if bad := [row for row in rows if len(row) != 3 or not row[1][:1].isdigit()]:
        raise Unanswered(f"nvidia-smi said {','.join(bad[0])[:80]!r}, no name, driver and memory")
    return [(name, driver, size) for name, driver, size in rows]


def _unlisted(seen: Seen, without: str) -> Finding:
    """Judge what torch sees where nvidia-smi lists nothing: an AMD machine, one without GPUs, or a broken driver."""
    if seen.names:
        names = ", ".join(f"{seen.names.count(name)} x {name}" for name in dict.fromkeys(seen.names))
        return Finding("ok", f"torch ({seen.build}) sees {names} ({without})")
    found = f"no GPU, runs go on CPUs ({without}; torch {seen.build})"
    if "exited" in without:
        return Finding("warning", found, "on a login node all is well; where GPUs are, look after the driver")
    return Finding("ok", found)


def compare(listed: Sequence[Listed], seen: Seen, hidden: Mapping[str, str]) -> Finding:
    """Judge the GPUs that are listed beside those that torch sees. hidden: the variables that hide GPUs."""
    name, driver, size = listed[0]
    by = "".join(f", {variable}={value}" for variable, value in hidden.items())
    found = f"driver {driver}, {len(listed)} x {name} ({size} MiB); torch ({seen.build}) sees {len(seen.names)}{by}"
    if not seen.names and any(value in ("", "-1") for value in hidden.values()):
        return Finding("warning", found, "unset the variable that hides them, if they are meant to be used")
    if not seen.names and seen.build == "CPU":
        return Finding("failed", found, "install a build of torch for CUDA")
    if not seen.names:
        return Finding("failed", f"{found} ({seen.why or 'it does not say why'})", "update the driver")
    if len(seen.names) < len(listed) and not hidden:
        return Finding("warning", found, "see nvidia-smi for a GPU that is lost or in use")
    return Finding("ok", found)
