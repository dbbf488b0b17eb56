#!/usr/bin/env bash
# Expected: of an observation of two sensors of which one is masked, the other is used, as
# Kalman filters of partly missing observations do, statsmodels' among them. Two sensors
# that are read in turn then track nearly as well as one that is read all the time.
#
# What happens: a row with any masked entry is ignored as a whole, in filter, smooth, em,
# loglikelihood and filter_update. With two sensors in turn every row has one, so nothing
# is ever used: the estimate stays where it started, for as long as one likes, the
# likelihood is 0, and em learns from nothing. To add a sensor that is often missing thus
# takes away from the first one: more data, and a worse estimate. The note for masked
# observations says so; that nothing at all is left is not reported by any call.
#
# Version: pykalman 0.11.2, against statsmodels 0.15.0.
# Matters to: sensors with rates of their own on one axis of time, which is the reason for
# which one masks single entries at all.
# Source: pykalman/standard.py, _filter_correct: np.any(np.ma.getmask(observation)).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    'pykalman==0.11.2' 'statsmodels==0.15.0' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==2.3.3'
cd "$dir"
venv/bin/python -W ignore - <<'PY'
import numpy as np, pykalman, statsmodels
from pykalman import KalmanFilter
from statsmodels.tsa.statespace.mlemodel import MLEModel

print("guess: what is measured in a row is used, and what is masked is not")
print("versions: pykalman", pykalman.__version__, "statsmodels", statsmodels.__version__)
rng = np.random.default_rng(0)
state = np.cumsum(rng.normal(size=400))
rows = state[:, None] + 0.3 * rng.normal(size=(400, 2))
variance = 0.09

def ours(observed):
    sensors = observed.shape[1]
    model = KalmanFilter(transition_matrices=[[1.0]], observation_matrices=np.ones((sensors, 1)), transition_covariance=[[1.0]],
                         observation_covariance=variance * np.eye(sensors), initial_state_mean=[0.0], initial_state_covariance=[[1.0]])
    return model.filter(observed)[0][:, 0], model.smooth(observed)[0][:, 0], model.loglikelihood(observed)

def theirs(observed):
    plain = np.ma.filled(observed, np.nan)
    sensors = plain.shape[1]
    model = MLEModel(plain, k_states=1, initialization="known", constant=[0.0], stationary_cov=np.eye(1))
    for name, matrix in (("design", np.ones((sensors, 1))), ("transition", np.eye(1)), ("selection", np.eye(1)),
                         ("state_cov", np.eye(1)), ("obs_cov", variance * np.eye(sensors))):
        model[name] = matrix
    return model.ssm.filter().filtered_state[0]

def mask(second_read, first_read=True):
    return np.ma.array(rows, mask=np.stack([np.broadcast_to(~np.asarray(first_read), 400), ~second_read], axis=1))

turn = np.arange(400) % 2 == 0
off = {}
for name, observed in (("the first sensor alone", np.ma.array(rows[:, :1], mask=False)), ("both always", mask(np.full(400, True))),
                       ("with a second one in every tenth row", mask(np.arange(400) % 10 == 0)), ("in turn", mask(turn, ~turn))):
    filtered, smoothed, likelihood = ours(observed)
    off[name] = [float(np.sqrt(((estimate - state) ** 2).mean())) for estimate in (filtered, smoothed, theirs(observed))]
    print(f"seen: {name}: off by {off[name][0]:.2f} filtered, {off[name][1]:.2f} smoothed, {off[name][2]:.2f} in statsmodels; "
          f"log-likelihood {likelihood:.1f}, moved from the start: {bool(np.any(filtered != 0))}")
    assert off[name][2] < 0.35
    if name == "in turn":
        assert (filtered == 0).all() and (smoothed == 0).all() and likelihood == 0
assert off["the first sensor alone"][0] < 0.35 and off["both always"][0] < 0.35
assert off["with a second one in every tenth row"][0] > 3 * off["the first sensor alone"][0]
PY
