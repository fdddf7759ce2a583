"""The engine against a deliberately naive count, written from the definitions and not from the engine.

Everything here is loops over voxels and a flood fill: no scipy, no shared helper. 1,000 random label volumes, every
preset, anisotropic voxels, touching vessels, tube voltages, thickness modes and overrides; no difference is allowed.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import PRESETS, score

CASES = 1000
BATCH = 50
CORONARY = {1: "LM", 2: "LAD", 3: "LCX", 4: "RCA"}
ELSEWHERE = {11: "aorta", 12: "aortic_valve", 13: "mitral_valve", 14: "other"}
NAMES = {**CORONARY, **ELSEWHERE}

NAIVE_PRESETS = {
    "agatston-1990": {"mm2": 1.0},
    "literature": {"mm2": 1.0, "isotropic": True},
    "ge-smartscore": {"mm2": 1.0},
    "terarecon": {"mm2": 1.0},
    "philips": {"mm2": 0.5, "mass_hu": 112.5},
    "siemens": {},
    "canon": {"pixels": 4},
    "orcascore": {"connectivity": 6, "strict": True, "lm_is_lad": True},
    "nlst-de-vos-2017": {"connectivity": 26, "mm3": 1.5, "slabs": (3.0, 1.5)},
    "deepcac": {"pixels": 4},
}
ROWS = {
    70: (207, 318, 477, 636),
    80: (177, 271, 408, 544),
    100: (145, 222, 334, 446),
    120: (130, 200, 300, 400),
    135: (119, 183, 274, 364),
}
BETWEEN = {90: (80, 100), 110: (100, 120), 130: (120, 135), 140: (120, 135)}


def naive_thresholds(kvp):
    if kvp is None:
        return ROWS[120]
    if kvp in ROWS:
        return ROWS[kvp]
    low, high = BETWEEN[kvp]
    slope = [(math.log(b) - math.log(a)) / (high - low) for a, b in zip(ROWS[low], ROWS[high], strict=True)]
    return tuple(math.exp(math.log(a) + s * (kvp - low)) for a, s in zip(ROWS[low], slope, strict=True))


def neighbours(connectivity):
    found = []
    for dz in (-1, 0, 1):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                steps = abs(dz) + abs(dy) + abs(dx)
                if steps == 0:
                    continue
                allowed = {
                    4: dz == 0 and steps == 1,
                    8: dz == 0,
                    6: steps == 1,
                    26: True,
                }[connectivity]
                if allowed:
                    found.append((dz, dy, dx))
    return found


def flood(labelled, connectivity):
    """Return the components of {(z, y, x): label} as lists of voxels."""
    todo = set(labelled)
    steps = neighbours(connectivity)
    components = []
    for start in sorted(labelled):
        if start not in todo:
            continue
        todo.remove(start)
        stack, members = [start], []
        while stack:
            z, y, x = stack.pop()
            members.append((z, y, x))
            for dz, dy, dx in steps:
                other = (z + dz, y + dy, x + dx)
                if other in todo and labelled[other] == labelled[start]:
                    todo.remove(other)
                    stack.append(other)
        components.append(members)
    return components


def naive_islands(labelled, connectivity, min_pixels, min_voxels):
    """Return the islands (lists of voxels of one lesion in one slice) that are large enough."""
    islands = []
    for component in flood(labelled, connectivity):
        if len(component) < min_voxels:
            continue
        by_slice = {}
        for voxel in component:
            by_slice.setdefault(voxel[0], []).append(voxel)
        islands += [island for island in by_slice.values() if len(island) >= min_pixels]
    return islands


def naive_slabs(hu, labels, dz, thickness, increment):
    """Average slices to slabs; return (hu, labels, increment, acquired z of each slab's centre)."""
    n = len(hu)
    total = n * dz
    count = math.ceil(total / increment - 1e-6)
    start = (total - count * increment) / 2
    new_hu, new_labels, positions = [], {}, []
    for s in range(count):
        centre = start + (s + 0.5) * increment
        positions.append(centre / dz - 0.5)
        share = {}
        for k in range(n):
            overlap = min(centre + thickness / 2, (k + 1) * dz) - max(centre - thickness / 2, k * dz)
            if overlap > 1e-6:
                share[k] = overlap
        length = sum(share.values())
        plane = []
        for y in range(len(hu[0])):
            row = []
            for x in range(len(hu[0][0])):
                average = sum(w * hu[k][y][x] for k, w in share.items()) / length
                row.append(math.floor(average + 0.5 + 1e-6))
                votes = {}
                for k, w in share.items():
                    if (k, y, x) in labels:
                        votes[labels[k, y, x]] = votes.get(labels[k, y, x], 0.0) + w / length
                if votes:
                    best = max(votes.values())
                    new_labels[s, y, x] = min(v for v, w in votes.items() if round(w * 1e6) >= round(best * 1e6))
            plane.append(row)
        new_hu.append(plane)
    return new_hu, new_labels, increment, positions


def naive_isotropic(hu, labelled, spacing, threshold, strict, connectivity, min_pixels):
    """Return {label: volume} after linear interpolation along z."""
    dz, dy, dx = spacing
    parts = max(1, round(dz / math.sqrt(dy * dx)))
    reached = (lambda v: v > threshold + 1e-6) if strict else (lambda v: v >= threshold - 1e-6)
    dense = (lambda v: v > threshold) if strict else (lambda v: v >= threshold)
    columns = {(y, x) for _, y, x in labelled}
    fine = {}
    for y, x in columns:
        for z in range(len(hu)):
            for j in range(parts):
                offset = (j + 0.5) / parts - 0.5
                beside = z + (1 if offset > 0 else -1 if offset < 0 else 0)
                beside = min(max(beside, 0), len(hu) - 1)
                here, there = hu[z][y][x], hu[beside][y][x]
                if (z, y, x) in labelled:
                    label = labelled[z, y, x]
                elif dense(here) or beside == z:
                    continue
                elif (beside, y, x) in labelled:
                    label = labelled[beside, y, x]
                else:
                    continue
                if reached(here + abs(offset) * (there - here)):
                    fine[z * parts + j, y, x] = label
    volumes = dict.fromkeys(NAMES, 0.0)
    for island in naive_islands(fine, connectivity, min_pixels, 1):
        volumes[fine[island[0]]] += len(island) * dy * dx * dz / parts
    return volumes


def smallest(amount, unit):
    """Return how many units reach an amount, allowing for the last bits of a division."""
    count = 1
    while count * unit < amount * (1 - 1e-9):
        count += 1
    return count


def naive_score(case):
    """Return the scores of a case as plain numbers."""
    rules = dict(NAIVE_PRESETS[case["preset"]])
    connectivity = case["connectivity"] or rules.get("connectivity", 8)
    if case["minimum_pixels"] is not None:
        rules = {key: value for key, value in rules.items() if key not in ("mm2", "mm3")}
        rules["pixels"] = case["minimum_pixels"]
    thresholds = naive_thresholds(case["kvp"])
    strict = rules.get("strict", False)
    lower = rules["mass_hu"] * thresholds[0] / 130 if "mass_hu" in rules else thresholds[0]

    def reach(value, limit):
        return value > limit if strict else value >= limit

    hu, dz, dy, dx = case["hu"].tolist(), *case["spacing"]
    labelled = {}
    for z, plane in enumerate(case["labels"].tolist()):
        for y, row in enumerate(plane):
            for x, value in enumerate(row):
                if value in NAMES and reach(hu[z][y][x], lower):
                    labelled[z, y, x] = 2 if value == 1 and rules.get("lm_is_lad") else value
    slabs = rules.get("slabs")
    if slabs is None and case["mode"] == "resample" and dz < 2.97:
        slabs = (3.0, 3.0)
    if slabs == (3.0, 1.5) and abs(dz - 1.5) < 0.015 and case["thickness"] == 3.0:
        slabs = None
    if slabs is not None:
        hu, labelled, dz, _ = naive_slabs(hu, labelled, dz, *slabs)
    area, volume = dy * dx, dz * dy * dx
    scale = 1.0 if case["mode"] == "none" else dz / 3
    min_pixels = rules.get("pixels", smallest(rules["mm2"], area) if "mm2" in rules else 1)
    min_voxels = smallest(rules["mm3"], volume) if "mm3" in rules else 1
    dense = {v: label for v, label in labelled.items() if reach(hu[v[0]][v[1]][v[2]], thresholds[0])}
    counted_from = {v: label for v, label in labelled.items() if reach(hu[v[0]][v[1]][v[2]], lower)}
    islands = naive_islands(dense, connectivity, max(1, min_pixels), min_voxels)
    counted = {}
    for island in naive_islands(counted_from, connectivity, max(1, min_pixels), min_voxels):
        counted.update({voxel: counted_from[voxel] for voxel in island})
    isotropic = naive_isotropic(
        hu,
        dense,
        (dz, dy, dx),
        thresholds[0],
        strict,
        connectivity if connectivity in (4, 8) else 8,
        max(1, min_pixels),
    )
    agatston_at, weight_at = {}, {}
    for island in islands:
        top = max(hu[z][y][x] for z, y, x in island)
        weight = 1 + (top >= thresholds[1]) + (top >= thresholds[2]) + (top >= thresholds[3])
        for voxel in island:
            agatston_at[voxel] = area * weight * scale
            weight_at[voxel] = weight
    lesions = flood(counted, 6 if connectivity == 6 else 26)
    return {
        "vessels": {
            name: summary(value, counted, lesions, hu, agatston_at, weight_at, volume, isotropic, rules)
            for value, name in NAMES.items()
        },
        "lesions": sorted(
            (
                NAMES[counted[lesion[0]]],
                len(lesion),
                max(hu[z][y][x] for z, y, x in lesion),
                round(sum(hu[z][y][x] for z, y, x in lesion) / len(lesion), 6),
                round(sum(agatston_at.get(voxel, 0.0) for voxel in lesion), 6),
            )
            for lesion in lesions
        ),
        "extent": extent([z for (z, _, _), label in counted.items() if label in CORONARY], dz),
    }


def summary(value, counted, lesions, hu, agatston_at, weight_at, volume, isotropic, rules):
    voxels = [voxel for voxel, label in counted.items() if label == value]
    values = [hu[z][y][x] for z, y, x in voxels]
    scored = [voxel for voxel in voxels if voxel in agatston_at]
    plain = len(voxels) * volume
    return {
        "agatston": sum(agatston_at[voxel] for voxel in scored),
        "volume_mm3": isotropic[value] if rules.get("isotropic") else plain,
        "mass_mg": 0.769e-3 * sum(values) * volume,
        "lesions": sum(counted[lesion[0]] == value for lesion in lesions),
        "voxels": len(voxels),
        "max_hu": max(values) if values else None,
        "mean_hu": sum(values) / len(values) if values else None,
        "density": sum(weight_at[voxel] for voxel in scored) / len(scored) if scored else None,
        "volume_isotropic_mm3": isotropic[value],
    }


def extent(slices, dz):
    return (max(slices) - min(slices) + 1) * dz if slices else 0.0


def same(got, expected):
    """Return whether two numbers agree to 1e-9 of their size, or are both absent."""
    if got is None or expected is None:
        return got is expected
    return math.isclose(got, expected, rel_tol=1e-9, abs_tol=0.0)


def random_case(seed):
    """Return a small scan with calcified, touching, branching labels and values on and beside every threshold."""
    draw = random.Random(seed)
    rng = np.random.default_rng(seed)
    shape = (draw.randint(3, 7), draw.randint(8, 14), draw.randint(8, 14))
    kvp = draw.choice([None, 70, 80, 90, 100, 110, 120, 120, 120, 130, 135, 140])
    limits = naive_thresholds(kvp)
    edges = [math.floor(limit) + step for limit in (*limits, 0.865 * limits[0]) for step in (-1, 0, 1)]
    density = draw.uniform(0.05, 0.7)
    calcium = rng.random(shape) < density
    hu = np.where(calcium, rng.choice([*edges, 900, 1500], shape), rng.integers(-100, 129, shape)).astype(np.int16)
    values = draw.sample([1, 2, 3, 4, 11, 12, 13, 14], draw.randint(1, 4)) + draw.choice([[], [7]])
    labels = rng.choice([0, *values], shape).astype(np.uint8)
    if draw.random() < 0.6:
        labels = (
            np.asarray(values, dtype=np.uint8)[rng.integers(0, len(values), (1, 1, shape[2]))]
            .repeat(shape[0], 0)
            .repeat(shape[1], 1)
        )
        labels = np.where(rng.random(shape) < draw.uniform(0.5, 1.0), labels, 0).astype(np.uint8)
    dz = draw.choice([0.625, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.27, 5.0])
    preset = list(NAIVE_PRESETS)[seed % len(NAIVE_PRESETS)]
    return {
        "hu": hu,
        "labels": labels,
        "spacing": (dz, draw.choice([0.25, 0.4, 0.488, 0.5, 0.977]), draw.choice([0.3, 0.488, 0.5, 0.9, 1.0])),
        "thickness": draw.choice([None, dz, 3.0]),
        "kvp": kvp,
        "preset": preset,
        "mode": draw.choice(["scale", "scale", "resample", "none"]),
        "connectivity": draw.choice([None, None, None, 4, 8]),
        "minimum_pixels": draw.choice([None, None, None, None, 0, 1, 2, 5]),
    }


def run_engine(case):
    ct = CTVolume(
        case["hu"],
        case["spacing"],
        acquisition=Acquisition(kvp=case["kvp"], slice_thickness_mm=case["thickness"]),
    )
    return score(
        ct,
        case["labels"],
        preset=case["preset"],
        thickness_mode=case["mode"],
        connectivity=case["connectivity"],
        minimum_pixels=case["minimum_pixels"],
        isotropic_volume=True,
    )


def test_every_preset_is_in_the_naive_table():
    assert set(NAIVE_PRESETS) == set(PRESETS)


@pytest.mark.parametrize("first", range(0, CASES, BATCH))
def test_engine_equals_naive_count_on_random_volumes(first):
    for seed in range(first, first + BATCH):
        case = random_case(seed)
        naive, result = naive_score(case), run_engine(case)
        where = f"seed {seed}: { {key: case[key] for key in ('preset', 'kvp', 'mode', 'spacing', 'connectivity')} }"
        for name, expected in naive["vessels"].items():
            got = {**result.vessels, **result.non_coronary}[name].as_dict()
            different = [key for key in expected if not same(got[key], expected[key])]
            assert not different, f"{where}: {name} {different}: {got} instead of {expected}"
        rows = sorted(
            (row.vessel, row.voxels, row.max_hu, round(row.mean_hu, 6), round(row.agatston, 6))
            for row in result.lesions
        )
        assert len(rows) == len(naive["lesions"]), where
        for got, expected in zip(rows, naive["lesions"], strict=True):
            assert got[0] == expected[0]
            assert got[1:] == pytest.approx(expected[1:], rel=1e-6, abs=1e-5), where
        coronary = [naive["vessels"][name] for name in CORONARY.values()]
        for key in ("agatston", "volume_mm3", "mass_mg", "lesions", "voxels", "volume_isotropic_mm3"):
            total = sum(vessel[key] for vessel in coronary)
            assert same(getattr(result.total, key), total), f"{where}: total {key}"
        assert same(result.extent_z_mm, naive["extent"]), where
        assert result.calcified_vessels == sum(vessel["agatston"] > 0 for vessel in coronary), where
        in_slices = sum(sum(scores.values()) for scores in result.slices.values())
        assert same(in_slices, sum(vessel["agatston"] for vessel in naive["vessels"].values())), where


def test_the_random_volumes_exercise_what_they_claim():
    cases = [random_case(seed) for seed in range(200)]
    assert {case["preset"] for case in cases} == set(NAIVE_PRESETS)
    assert {case["mode"] for case in cases} == {"scale", "resample", "none"}
    assert {4, 8, None} == {case["connectivity"] for case in cases}
    touching = 0
    for case in cases:
        left, right = case["labels"][:, :, :-1], case["labels"][:, :, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
    assert touching > 150
