"""Schedules as Optax 0.2.8 defines them (optax/schedules/_schedule.py and _join.py), literally, in numpy."""

from __future__ import annotations

import numpy as np


def exponential_decay(init_value, transition_steps, decay_rate, staircase=False):
    def schedule(count):
        p = count / transition_steps
        if staircase:
            p = np.floor(p)
        return np.where(count <= 0, init_value, init_value * np.power(decay_rate, p))

    return schedule


def polynomial_schedule(init_value, end_value, power, transition_steps):
    def schedule(count):
        count = np.clip(count, 0, transition_steps)
        frac = 1 - count / transition_steps
        return (init_value - end_value) * (frac**power) + end_value

    return schedule


def cosine_decay_schedule(init_value, decay_steps, alpha=0.0):
    def schedule(count):
        count = np.minimum(count, decay_steps)
        cosine_decay = 0.5 * (1 + np.cos(np.pi * count / decay_steps))
        return init_value * ((1 - alpha) * cosine_decay + alpha)

    return schedule


def _linear_interpolate(start, end, pct):
    return (end - start) * pct + start


def _cosine_interpolate(start, end, pct):
    return end + (start - end) / 2.0 * (np.cos(np.pi * pct) + 1)


def piecewise_interpolate_schedule(interpolate_type, init_value, boundaries_and_scales):
    interpolate_fn = {"linear": _linear_interpolate, "cosine": _cosine_interpolate}[interpolate_type]
    boundaries, scales = zip(*sorted(boundaries_and_scales.items()), strict=True)

    def schedule(count):
        bounds = np.stack((0, *boundaries))
        values = np.cumprod(np.stack((init_value, *scales)))
        interval_sizes = np.maximum(bounds[1:] - bounds[:-1], 1)
        indicator = np.logical_and(bounds[:-1] <= count, count < bounds[1:])
        pct = (count - bounds[:-1]) / interval_sizes
        interp_vals = interpolate_fn(values[:-1], values[1:], pct)
        return indicator.dot(interp_vals) + (bounds[-1] <= count) * values[-1]

    return schedule


def linear_onecycle_schedule(
    transition_steps, peak_value, pct_start=0.3, pct_final=0.85, div_factor=25.0, final_div_factor=1e4
):
    return piecewise_interpolate_schedule(
        "linear",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            int(pct_final * transition_steps): 1.0 / div_factor,
            transition_steps: 1.0 / final_div_factor,
        },
    )


def cosine_onecycle_schedule(transition_steps, peak_value, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    return piecewise_interpolate_schedule(
        "cosine",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            int(transition_steps): 1.0 / (div_factor * final_div_factor),
        },
    )


def join_schedules(schedules, boundaries):
    def schedule(step):
        output = schedules[0](step)
        for boundary, one in zip(boundaries, schedules[1:], strict=True):
            output = np.where(step < boundary, output, one(step - boundary))
        return output

    return schedule


def warmup_cosine_decay_schedule(init_value, peak_value, warmup_steps, decay_steps, end_value=0.0):
    alpha = 0.0 if peak_value == 0.0 else end_value / peak_value
    return join_schedules(
        [
            polynomial_schedule(init_value, peak_value, 1, warmup_steps),
            cosine_decay_schedule(peak_value, decay_steps - warmup_steps, alpha),
        ],
        [warmup_steps],
    )
