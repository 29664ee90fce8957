"""Where an inference's time goes, layer by layer: a picture of each profiled artefact, and the kinds of operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.records import LayerProfile
from benchmarks.report.content import Picture, Section, Table, drawn
from benchmarks.report.drawing import INK, PALETTE, Drawing, house_style, new_figure, plain, render
from benchmarks.report.words import number, percent

# Longer networks: the layers that take longest, in the order of the inference.
_LAYERS = 24
_KINDS = 8
_SCOPES = {
    "operator": "the runtime's own kernel",
    "delegated": "within a delegate",
    "delegate": "a delegate as a whole",
}


def profiles_section(
    profiles: Sequence[LayerProfile], place: str, number_of_device: int, drawings: list[Drawing]
) -> Section | None:
    """What the profilers of one device told; None: nothing.

    Args:
        profiles: of artefacts on the device.
        place: the device in words.
        number_of_device: in the report; for identifiers.
        drawings: the figures are added here.
    """
    if not profiles:
        return None
    blocks: list[Table | Picture] = [_kinds_table(profiles, place)]
    for count, profile in enumerate(profiles, start=1):
        drawing = layer_bars(profile, f"profile_{number_of_device}_{count}")
        drawings.append(drawing)
        longest = max(profile.layers, key=lambda layer: layer.mean_us)
        alt = f"Time by layer of {profile.artifact} on {place}; longest: {longest.name}, {percent(longest.share)}."
        caption = (
            f"{profile.artifact} in {profile.engine}: microseconds by layer, mean of {profile.counted:,} of "
            f"{profile.runs:,} inferences under the profiler; {number(profile.rest_us)} of "
            f"{number(profile.inference_us)} µs are between layers or rounded down."
        )
        blocks.append(drawn(drawing, alt, caption))
    text = (
        "By the runtime's own profiler, which takes time itself: what an inference takes here is no latency. A "
        "delegate's layers are those that it made of the file's, under its own names; their times are rounded down."
    )
    return Section(f"profile-{number_of_device}", f"Where the time goes, on {place}", (text,), blocks)


@house_style()
def layer_bars(profile: LayerProfile, name: str) -> Drawing:
    """A bar for each layer, from the first to the last, coloured by who computes it."""
    shown = profile.longest(_LAYERS)
    figure = new_figure(1.1 + 0.27 * len(shown))
    axes = figure.subplots()
    for color, scope in zip(PALETTE, _SCOPES, strict=False):
        rows = [row for row, layer in enumerate(shown) if layer.scope == scope]
        if rows:
            axes.barh(rows, [shown[row].mean_us for row in rows], height=0.7, color=color, label=_SCOPES[scope])
    widest = max(layer.mean_us for layer in shown)
    for row, layer in enumerate(shown):
        told = f"{number(layer.mean_us)} ({percent(layer.share, 0)})"
        axes.annotate(told, (layer.mean_us, row), (4, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.set_yticks(np.arange(len(shown)), [plain(layer.name or layer.kind, 44) for layer in shown], fontsize=8.5)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * widest if widest else 1)
    left_out = len(profile.layers) - len(shown)
    axes.set_xlabel("microseconds" + (f"; {left_out} shorter layers are not shown" if left_out else ""), color=INK)
    axes.grid(axis="x")
    axes.legend(loc="lower right", fontsize=9)
    return render(figure, name)


def _kinds_table(profiles: Sequence[LayerProfile], place: str) -> Table:
    rows = []
    for profile in profiles:
        kinds: dict[str, list[float]] = {}
        for layer in profile.layers:
            kinds.setdefault(layer.kind, []).append(layer.mean_us)
        longest = sorted(kinds.items(), key=lambda kind: -sum(kind[1]))[:_KINDS]
        for kind, times in ((kind, times) for kind, times in longest if sum(times)):
            share = percent(sum(times) / profile.inference_us)
            rows.append((profile.artifact, kind, f"{len(times)}", number(sum(times)), share))
    head = ("artefact", "operator", "how many", "µs", "of the inference")
    return Table(f"Kinds of operators that take longest on {place}", head, rows, frozenset({2, 3, 4}))
