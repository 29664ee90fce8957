"""What was found, in words with its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.record_set import AttackKey
from benchmarks.report.words import count, listing, percent, percent_with_interval, place, points
from benchmarks.summary import AttackSummary, Summary

# Copycat's published levels are near these: much of the victim, and nearly all of it.
LEVELS = (0.90, 0.97)
_OTHER_POOLS = 4


def largest(attacks: Sequence[AttackSummary]) -> list[AttackSummary]:
    """Each thief at the largest of its budgets, in the order in which they stand."""
    found: dict[AttackKey, AttackSummary] = {}
    for attack in attacks:
        known = found.get(attack.series)
        if known is None or attack.budget > known.budget:
            found[attack.series] = attack
    return list(found.values())


def best(attacks: Sequence[AttackSummary]) -> AttackSummary | None:
    """The aggregate with the highest mean fidelity; among equals the one of fewer queries."""
    return max(attacks, key=lambda attack: (attack.fidelity, -attack.queries), default=None)


def best_by_pool(attacks: Sequence[AttackSummary]) -> list[AttackSummary]:
    """The best thief of each pool, each at its largest budget; the best pool first."""
    at_most = largest(attacks)
    tops = [best([a for a in at_most if a.pool == pool]) for pool in dict.fromkeys(a.pool for a in at_most)]
    return sorted((top for top in tops if top is not None), key=lambda top: -top.fidelity)


def first_passing(attacks: Sequence[AttackSummary], thief: AttackSummary, share: float) -> AttackSummary | None:
    """Where the thief's mean relative accuracy is first `share` or more, of all its budgets; None: nowhere."""
    passing = [a for a in attacks if a.series == thief.series and a.relative_accuracy >= share]
    return min(passing, key=lambda attack: attack.budget, default=None)


def verdict(summary: Summary) -> list[str]:
    """Sentences: what leaked, how that compares with knowing nothing and with the victim, what each pool is worth."""
    tops = best_by_pool(summary.attacks)
    if not tops:
        sentences = [_victim_sentence(summary), "No theft was tried, so nothing is known of what leaks."]
    else:
        found = tops[0]
        sentences = [
            _best_sentence(found, len(summary.attacks)),
            f"It is right on {percent_with_interval(found.accuracy, found.accuracy_ci)}: "
            f"{percent(found.relative_accuracy)} of the accuracy of the model that it copied"
            f"{_milestones(summary.attacks, found)}.",
            _random_clause(found),
            _chance_sentence(summary, found),
            _victim_sentence(summary),
            *(_pool_sentence(summary.attacks, top) for top in tops[1 : 1 + _OTHER_POOLS]),
        ]
        if len(tops) > 1 + _OTHER_POOLS:
            sentences.append(f"{len(tops) - 1 - _OTHER_POOLS} more pools, which gave less, are in the tables.")
    return [sentence for sentence in sentences if sentence]


def against_random(attacks: Sequence[AttackSummary]) -> list[str]:
    """Which thieves of one device beat random querying, at which budgets, and which do not: pool by pool."""
    told_apart = [f for f in ("artifact", "answers", "thief_architecture") if len({getattr(a, f) for a in attacks}) > 1]
    groups: dict[str, list[AttackSummary]] = {}
    for attack in sorted(attacks, key=lambda a: a.budget):
        where = ", ".join([attack.pool, *(getattr(attack, field) for field in told_apart)])
        groups.setdefault(where, []).append(attack)
    compared = {where: own for where, group in groups.items() if (own := [a for a in group if a.gain_ci is not None])}
    found = [_compared_sentence(where, own) for where, own in sorted(compared.items())]
    if found:
        found.insert(
            0,
            "A thief beats random where the 95\u00a0% interval of the difference in fidelity from the thief that asked "
            "at random, of the same pool, learner and budget, paired over seeds and test images, lies above 0.",
        )
    alone = [
        f"{name} on {where}"
        for where, group in sorted(groups.items())
        for name in dict.fromkeys(a.name for a in group if a.gain_ci is None and a.strategy != "random")
    ]
    if alone:
        found.append(f"No random thief was measured to hold these against, at some or all budgets: {'; '.join(alone)}.")
    return found


def _compared_sentence(where: str, attacks: Sequence[AttackSummary]) -> str:
    """`On proxy: entropy and jbda do not beat random at any budget; kcenter does at 2,000 only.`"""
    never, always, some = [], [], []
    for name in dict.fromkeys(attack.name for attack in attacks):
        own = [attack for attack in attacks if attack.name == name]
        against = (
            f" (against {own[0].baseline})" if own[0].baseline not in ("random", f"random ({own[0].learner})") else ""
        )
        won = [f"{attack.budget:,}" for attack in own if attack.beats_random]
        if not won:
            never.append(name + against)
        elif len(won) == len(own):
            always.append(name + against)
        else:
            some.append(f"{name}{against} beats random at {listing(won)} only")
    several = len({attack.budget for attack in attacks}) > 1
    parts = []
    if never:
        verb = "does" if len(never) == 1 else "do"
        parts.append(f"{listing(never)} {verb} not beat random{' at any budget' if several else ''}")
    if always:
        verb = "beats" if len(always) == 1 else "beat"
        parts.append(f"{listing(always)} {verb} random{' at every budget' if several else ''}")
    return f"On {where}: {'; '.join(parts + some)}."


def images_of(pool: str) -> str:
    """What a pool's images are: `100 images of the problem domain`."""
    known = [_images_of_part(part) for part in pool.split("+")]
    return " and ".join(part for part in known if part) if all(known) else f"images of {pool}"


def _images_of_part(part: str) -> str | None:
    if few := re.fullmatch(r"pd:(\d+)", part):
        images = int(few[1])
        return f"{images:,} image{'' if images == 1 else 's'} of the problem domain"
    return {"npd": "procedural images that are not of the problem domain", "proxy": "images of another hospital"}.get(
        part
    )


def _best_sentence(found: AttackSummary, tried: int) -> str:
    seeds = len(found.seeds)
    of = f", the best of {tried} measured," if tried > 1 else ""
    return (
        f"With {images_of(found.pool)} and {count(found.queries)} answers a thief{of} agrees with {found.artifact} on "
        f"{percent(found.fidelity)} of test images that were never queried (95\u00a0% interval "
        f"{100 * found.fidelity_ci[0]:.1f}–{100 * found.fidelity_ci[1]:.1f}\u00a0%, "
        f"{seeds} seed{'s' if seeds > 1 else ''}; pool {found.pool}, strategy {found.name}, "
        f"“{found.answers}” answers of {place(found.device, found.device_kind)})."
    )


def _milestones(attacks: Sequence[AttackSummary], found: AttackSummary) -> str:
    """`; it first passes 90 % of it at 1,000 queries, 97 % at none of its budgets`; nothing of a single budget."""
    if sum(attack.series == found.series for attack in attacks) < 2:
        return ""
    parts = []
    for level in LEVELS:
        passed = first_passing(attacks, found, level)
        if passed is None:
            # Nor any higher level.
            parts.append(f"{percent(level, 0)} at none of its budgets")
            break
        parts.append(f"{percent(level, 0)} at {count(passed.queries)} queries")
    return f"; of that accuracy it first passes {' and '.join(parts)}"


def _random_clause(found: AttackSummary) -> str:
    if found.gain_ci is None:
        at_random = {"random": "It asked at random.", "amplify": "It asked about variants at random."}
        return at_random.get(found.strategy, "No random thief of its pool, learner and budget was measured.")
    low, high = (points(bound) for bound in found.gain_ci)
    beats = "better than" if found.beats_random else "not better than"
    return f"It is {beats} {found.baseline} at the same budget ({low} to {high} points of fidelity)."


def _chance_sentence(summary: Summary, found: AttackSummary) -> str:
    always = f"always naming the most frequent answer agrees on {percent(found.most_frequent)}"
    if summary.victim is None:
        return f"For comparison: {always}."
    return f"For comparison: naming classes by lot agrees on {percent(summary.victim.chance)}, {always}."


def _victim_sentence(summary: Summary) -> str:
    if (victim := summary.victim) is None:
        return ""
    return (
        f"The victim, {victim.architecture}, is right on "
        f"{percent_with_interval(victim.accuracy, victim.accuracy_ci)} of {victim.images:,} test "
        f"images of {victim.dataset}."
    )


def _pool_sentence(attacks: Sequence[AttackSummary], top: AttackSummary) -> str:
    """The best of another pool: pools cost the thief different things, so the best of all is not the whole story."""
    beats = {True: "; better than random", False: "; not better than random", None: ""}[top.beats_random]
    return (
        f"With {images_of(top.pool)} and {count(top.queries)} answers a thief agrees on "
        f"{percent_with_interval(top.fidelity, top.fidelity_ci)} and reaches {percent(top.relative_accuracy)} of the "
        f"victim's accuracy (pool {top.pool}, strategy {top.name}{beats}){_milestones(attacks, top)}."
    )
