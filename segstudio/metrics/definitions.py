"""What the numbers mean, in words for a person."""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
    "pooled": (
        "Counts of all samples are added up first, then scored; the mean of per-image scores is "
        "another number."
    ),
    "iou": (
        "TP / (TP + FP + FN) over labelled pixels. A class that neither side holds has none; one "
        "that only the prediction holds scores 0 and counts in the mean. mmsegmentation agrees; "
        "torchmetrics gives absent classes 0, detectron2 leaves out all classes that are absent "
        "from the ground truth."
    ),
    "miou_interval": (
        "95 % of 1,000 draws of as many samples with replacement (percentile bootstrap)."
    ),
    "ignored prediction": (
        "A pixel predicted as ignored is a miss of its class and a false positive of none."
    ),
    "entropy": "Stored as round(255 H / log C), so thresholds are good to a 256th of log C.",
    "ece": "15 equal-width confidence bins, open below, closed above.",
    "ece_mass": (
        "The same with 15 bins that hold about equally many pixels; a level of confidence is "
        "never split."
    ),
    "auroc": (
        "How well entropy tells wrong pixels from right ones: the probability that a wrong pixel "
        "has the higher entropy, a tie being half; 0.5 is chance."
    ),
    "auprc": (
        "Area under precision and recall of finding wrong pixels by entropy, as average "
        "precision; chance is the error rate."
    ),
    "fpr95": "Share of the right pixels that are flagged when 95 % of the wrong ones are.",
    "ause": (
        "Area between the error rate of the remaining pixels, the most uncertain removed first, "
        "and that of an oracle; not divided by the error rate."
    ),
    "edge_entropy_ratio": (
        "Mean entropy within 3 px (chessboard) of another class over mean entropy elsewhere."
    ),
    "confident_error_share": "Wrong pixels with entropy below 0.10 log C over all wrong pixels.",
}
"""What the numbers mean, for tooltips and footnotes."""
