"""Prophesee's protocol and COCO's scores once more, slowly and on their own, from their descriptions.

A box is (x, y, w, h, class, score); a labelled object (x, y, w, h, class, area, crowd).
"""

import numpy as np

Found = tuple[float, float, float, float, int, float]
Labelled = tuple[float, float, float, float, int, float, bool]
Image = tuple[list[Labelled], list[Found]]

THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


def images(
    labels: np.ndarray,
    found: np.ndarray,
    sensor: tuple[int, int] = (10**6, 10**6),
    diagonal: float = 30,
    side: float = 10,
) -> list[Image]:
    """Boxes cut at the border, the filter, and an image for each time that keeps a label."""

    def kept(box: np.void) -> tuple[float, float, float, float] | None:
        x, y, w, h = (float(box[k]) for k in "xywh")
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, sensor[0]), min(y + h, sensor[1])
        w, h = x1 - x0, y1 - y0
        large = w >= side and h >= side and w * w + h * h >= diagonal * diagonal
        return (x0, y0, w, h) if large and w > 0 and h > 0 and box["t"] > 500_000 else None

    labels_kept = [(b, cut) for b in labels if (cut := kept(b))]
    found_kept = [(b, cut) for b in found if (cut := kept(b))]
    result = []
    for t in sorted({int(b["t"]) for b, _ in labels_kept}):
        truth = [(*cut, int(b["class_id"]), cut[2] * cut[3], False) for b, cut in labels_kept if b["t"] == t]
        boxes = [
            (*cut, int(b["class_id"]), float(b["class_confidence"]))
            for b, cut in found_kept
            if abs(int(b["t"]) - t) <= 50_000
        ]
        result.append((truth, boxes))
    return result


def overlap(found: Found, truth: Labelled) -> float:
    """Intersection over union; over the found box alone where the label is a crowd."""
    w = min(found[0] + found[2], truth[0] + truth[2]) - max(found[0], truth[0])
    h = min(found[1] + found[3], truth[1] + truth[3]) - max(found[1], truth[1])
    if w <= 0 or h <= 0:
        return 0.0
    whole = found[2] * found[3] + (0 if truth[6] else truth[2] * truth[3] - w * h)
    return w * h / whole


def match(
    truths: list[Labelled], boxes: list[Found], area: tuple[float, float], threshold: float
) -> tuple[list[tuple[float, bool, bool]], int]:
    """(score, hit, ignored) of each box, best first, and the number of objects to find, in one image."""
    ignored = [bool(t[6] or not area[0] <= t[5] <= area[1]) for t in truths]
    order = sorted(range(len(truths)), key=lambda g: ignored[g])
    taken: set[int] = set()
    rows = []
    for box in sorted(boxes, key=lambda b: -b[5])[:100]:
        best, at = min(threshold, 1 - 1e-10), -1
        for g in order:
            if g in taken and not truths[g][6]:
                continue
            if at >= 0 and not ignored[at] and ignored[g]:
                break
            value = overlap(box, truths[g])
            if value >= best:
                best, at = value, g
        taken.add(at)
        outside = not area[0] <= box[2] * box[3] <= area[1]
        rows.append((box[5], at >= 0, ignored[at] if at >= 0 else outside))
    return rows, ignored.count(False)


def curve(data: list[Image], class_id: int, area: tuple[float, float], threshold: float) -> np.ndarray | None:
    """Precision at 101 recalls; None without an object to find."""
    rows, objects = [], 0
    for truth, boxes in data:
        found, some = match(
            [t for t in truth if t[4] == class_id], [b for b in boxes if b[4] == class_id], area, threshold
        )
        rows += found
        objects += some
    if not objects:
        return None
    hits = [hit for _, hit, ignored in sorted(rows, key=lambda row: -row[0]) if not ignored]
    precision = np.zeros(len(RECALLS))
    tp = np.cumsum(hits)
    for i, recall in enumerate(RECALLS):
        reached = [tp[k] / (k + 1) for k in range(len(hits)) if tp[k] / objects >= recall]
        precision[i] = max(reached, default=0.0)
    return precision


def figures(data: list[Image], classes: list[int]) -> dict[str, float | None]:
    """The six figures over some classes."""

    def mean(area: str, thresholds: list[float]) -> float | None:
        curves = [curve(data, k, AREAS[area], t) for k in classes for t in thresholds]
        known = [c for c in curves if c is not None]
        return float(np.mean(known)) if known else None

    return {
        "ap": mean("all", THRESHOLDS),
        "ap50": mean("all", THRESHOLDS[:1]),
        "ap75": mean("all", THRESHOLDS[5:6]),
        "ap_small": mean("small", THRESHOLDS),
        "ap_medium": mean("medium", THRESHOLDS),
        "ap_large": mean("large", THRESHOLDS),
    }
