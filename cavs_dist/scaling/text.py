"""The outlook as tables and sentences."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from cavs_dist.scaling.footprint import BUCKET, FLOAT, total
from cavs_dist.scaling.outlook import Outlook
from cavs_dist.setting import Setting

UNITS = ("B", "KB", "MB", "GB", "TB")


def print_outlook(outlook: Outlook, setting: Setting, console: Console) -> None:
    """Print tables of the model, the stages, memory, traffic and speed, and then what they rest on."""
    console.print(parts_table(outlook), stages_table(outlook), memory_table(outlook), held_table(outlook))
    console.print(traffic_table(outlook), speed_table(outlook))
    sentences = [*conclusions(outlook), "Assumed:", *(f"- {rest}" for rest in assumptions(outlook, setting))]
    console.print(*sentences, sep="\n", highlight=False, markup=False)


def parts_table(outlook: Outlook) -> Table:
    """Return the parameters of each part of the model, at its size after the last stage."""
    table = Table("part", "parameters", title="The model after the last stage", title_justify="left")
    for name, count in outlook.size.parts.items():
        table.add_row(name, f"{count:,}")
    table.add_row("all", f"{outlook.size.parameters:,}")
    table.add_row("of these trained", f"{outlook.size.trained:,}")
    return table


def stages_table(outlook: Outlook) -> Table:
    """Return a row a stage, at the batch of the config."""
    columns = "stage", "classes", "clips", "updates", "of twins", "exemplars", "rehearsed slots"
    table = Table(*columns, title="Stages", title_justify="left")
    for stage in outlook.work.stages:
        counts = stage.stage, stage.classes, stage.clips, stage.updates, stage.twins, stage.exemplars
        table.add_row(*(f"{count:,}" for count in counts), f"{stage.rehearsed:.1f}")
    return table


def memory_table(outlook: Outlook) -> Table:
    """Return a rank's memory by ZeRO stage."""
    table = Table(
        "GPUs", *(f"ZeRO {zero}" for zero in outlook.rows[0].memory), title="Memory a GPU", title_justify="left"
    )
    for row in outlook.rows:
        table.add_row(f"{row.ranks:,}", *(amount(total(held)) for held in row.memory.values()))
    return table


def held_table(outlook: Outlook) -> Table:
    """Return what a rank's memory holds at the ZeRO stage of the config."""
    title = f"What it holds at engine.zero={outlook.zero}"
    table = Table("part", *(f"{row.ranks:,}" for row in outlook.rows), title=title, title_justify="left")
    for name in outlook.rows[0].memory[outlook.zero]:
        table.add_row(name, *(amount(row.memory[outlook.zero][name]) for row in outlook.rows))
    return table


def traffic_table(outlook: Outlook) -> Table:
    """Return what a rank sends, in an update but for the two rows that say otherwise."""
    table = Table("bytes", *(f"{row.ranks:,}" for row in outlook.rows), title="Traffic", title_justify="left")
    exemplars = "exemplars that a GPU sends" if outlook.exchange else "exemplars that all GPUs together read"
    table.add_row("gradients, weights, norms that a GPU sends", *(amount(row.sent) for row in outlook.rows))
    table.add_row(exemplars, *(amount(row.rehearsed) for row in outlook.rows))
    table.add_row("collisions that are summed", *(amount(row.collisions[1]) for row in outlook.rows))
    table.add_row("the same before a stage", *(amount(row.collisions[0]) for row in outlook.rows))
    table.add_row("shortlists that a GPU sends after a stage", *(amount(row.merged) for row in outlook.rows))
    return table


def speed_table(outlook: Outlook) -> Table:
    """Return how fast updates are, and what they spend most time on."""
    columns = "GPUs", "batch", "fits", "updates", "s/update", "slots/s", "each", "hours", "longest"
    table = Table(*columns, title="Speed (each: a GPU's, against the first row's)", title_justify="left")
    for row in outlook.rows:
        table.add_row(
            f"{row.ranks:,}",
            f"{row.batch:,}",
            "no" if row.uneven else "yes",
            f"{row.updates:,}",
            f"{row.forecast.seconds:.3g}",
            number(row.forecast.throughput),
            f"{row.efficiency:.0%}",
            number(row.hours),
            row.forecast.bound,
        )
    return table


def conclusions(outlook: Outlook) -> Iterator[str]:
    """Yield which rows are for another batch, where it stops scaling, and what does not fit a device."""
    for row in outlook.rows:
        if row.uneven:
            yield f"{gpus(row.ranks)}: {row.uneven}. Its row is for optim.batch={row.batch}."
    last, beyond = outlook.last, outlook.beyond
    why = f"most of what {gpus(beyond.ranks)} lose goes into {beyond.loss}" if beyond else "beyond, the batch ends"
    yield (
        f"Where it stops: up to {gpus(last.ranks)} (by doubling, a batch of {last.batch:,}) each does at least half of "
        f"what one alone would; {why}. The config's batch can be cut for at most {gpus(outlook.most)}."
    )
    room = outlook.known.rates.device_bytes
    for row in outlook.rows:
        held = row.memory[outlook.zero]
        if total(held) > room:
            slots = int((room - total(held) + held["activations"]) // outlook.size.saved)
            advice = f"at most {slots} slots a GPU do at once: set engine.micro_batch to {slots * row.ranks} or less"
            advice = advice if slots > 0 else "nor does a slot"
            yield f"{gpus(row.ranks)}: {amount(total(held))} do not fit into {amount(room)}; {advice}."


def assumptions(outlook: Outlook, setting: Setting) -> Iterator[str]:
    """Yield what the numbers rest on, a sentence each."""
    rates = outlook.known.rates
    used = ["node", "device_bytes", "update_seconds", "inside", "between", "latency", "storage", "draw"]
    used += ["slot_seconds"] if rates.slot_seconds else ["flops16" if outlook.half else "flops32", "utilisation"]
    used += ["decode"] if rates.decode or not outlook.work.pixels else ["pixels"]
    if not rates.slot_seconds:
        yield (
            f"a slot takes {outlook.slot_seconds:.3g} s of a device: {outlook.size.flop / 1e9:.1f} GFLOP of products "
            "and convolutions, forward, backward and the teacher's, counted on the meta device, at the rates below"
        )
    yield f"weights, gradients and moments are float32, and arithmetic {'bf16' if outlook.half else 'float32'}"
    yield (
        "activations are what autograd keeps of the task's own loss, counted on the meta device in float32: under bf16 "
        "between half of it and all; a method's other terms, workspaces and fragmentation come on top"
    )
    bucket = amount(FLOAT * BUCKET)
    yield f"reduction is DeepSpeed's buffer of {bucket}, which it allocates whole from ZeRO 1 on (reduce_bucket_size)"
    yield "engine.zero offers 0 to 2: the column of ZeRO 3 is its formula"
    yield "gradients go along a ring after the backward pass, whole at every ZeRO stage, as DeepSpeed 0.19 does it"
    yield f"{max(setting.run.data.workers, 1)} workers a GPU decode while the device computes (data.workers)"
    if outlook.exchange:
        yield "exemplars lie evenly on all ranks, and each is as large as a mean clip"
    yield from outlook.known.assumptions(used)


def gpus(ranks: int) -> str:
    """Write a number of GPUs."""
    return f"{ranks:,} GPU" + "s" * (ranks != 1)


def amount(size: float) -> str:
    """Write bytes with three digits and a unit."""
    value, unit = float(size), 0
    while value >= 999.5 and unit + 1 < len(UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}"


def number(value: float) -> str:
    """Write a number with three digits, more if it has more before its point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
