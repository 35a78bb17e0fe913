"""What a prediction is worth: metrics, correction effort, the expert's score, plausibility.

Every metric is a pure function of arrays on one grid (RAS+, voxels). Shared rules:

* absent from both reference and prediction: NaN, the value is left out of every mean;
* in only one of them (missed or invented): the worst value, 0 for a score, infinity for a distance;
* the reference comes first, the prediction second.
"""
