"""Tracks and pools: who continues whom, what is dropped, and when."""

import pytest
import torch

from crisp.errors import InputError
from crisp.refine.problem import ShapeBasis
from crisp.refine.shape_step import ActiveShape
from crisp.shape.sdf import AnalyticSphere
from crisp.tracking.pool import AssociationConfig, Sighting, TrackPool, associate, fingerprint


def sighting(x_m, *, diameter_m=0.1, code=(0.0,)):
    T = torch.eye(4, dtype=torch.float64)
    T[0, 3] = x_m
    return Sighting(T, torch.tensor(code), diameter_m)


def observe(pool, *sightings, weights="a", matched=(), taken=()):
    """Each with three points that say where it stood."""
    points = [torch.full((3, 3), float(s.centre_world_m[0])) for s in sightings]
    return pool.observe(sightings, points, weights=weights, matched=matched, taken=taken)


def points_of(pool, track, *, weights="a"):
    """A track's points, all of them."""
    found = pool.pooled([track], weights=weights, most_points=10_000)
    return None if found is None else found.pnc[0][found.valid[0]]


def test_the_nearest_pair_goes_first_and_each_is_used_once():
    # Seen at 0.012: 12 mm from the first known, 8 mm from the second, whose nearest is the other, 1 mm off.
    known = [sighting(0.0), sighting(0.02)]
    assert associate(known, [sighting(0.012), sighting(0.021)]) == [0, 1]
    assert associate(known, [sighting(0.012)]) == [1]
    # 1 mm off on either side of the second: one of them takes it, the other must go to the first, 21 mm off.
    assert sorted(associate(known, [sighting(0.0192), sighting(0.021)])) == [0, 1]
    assert associate([], [sighting(0.0)]) == [None]
    assert associate(known, []) == []


def test_what_is_too_far_or_of_another_shape_is_new():
    known = [sighting(0.0)]
    assert associate(known, [sighting(0.031)]) == [None]
    assert associate(known, [sighting(0.031)], AssociationConfig(centre_m=0.04)) == [0]
    # 0.13 is 1.3 times as large, and 0.13 / 1.3 = 0.1 the other way round.
    assert associate(known, [sighting(0.0, diameter_m=0.13)]) == [None]
    assert associate([sighting(0.0, diameter_m=0.13)], [sighting(0.0)]) == [None]
    assert associate(known, [sighting(0.0, diameter_m=0.12)]) == [0]
    codes = AssociationConfig(code_distance=0.5)
    assert associate(known, [sighting(0.0, code=(0.6,))], codes) == [None]
    assert associate(known, [sighting(0.0, code=(0.4,))], codes) == [0]


def test_tracks_follow_objects_that_the_camera_walks_around():
    pool = TrackPool()
    first = observe(pool, sighting(0.0), sighting(0.5))
    second = observe(pool, sighting(0.51), sighting(0.01), sighting(1.0))
    assert second[:2] == first[::-1]
    assert len({*first, *second}) == 3
    # 0.04 is within reach of where the object was last (0.01 + 0.03), not of where it began.
    assert observe(pool, sighting(0.04)) == [first[0]]
    torch.testing.assert_close(
        points_of(pool, first[0])[:, 0], torch.tensor([0.0] * 3 + [0.01] * 3 + [0.04] * 3)
    )


def test_a_match_uses_a_track_and_changes_nothing():
    pool = TrackPool()
    (name,) = observe(pool, sighting(0.0))
    assert pool.match([sighting(0.4), sighting(0.02)], weights="a") == [None, name]
    assert pool.match([sighting(0.04)], weights="a") == [None], "0.02 is not where it was last"
    assert pool.frames(name) == 1


def test_what_was_matched_before_keeps_its_track_from_the_others():
    pool = TrackPool()
    (name,) = observe(pool, sighting(0.0))
    # The second stands nearer, but the track was the first one's when its points were used.
    kept, other = observe(pool, sighting(0.02), sighting(0.001), matched=[name, None])
    assert kept == name and other != name and pool.frames(name) == 2
    # A track that an object which is not certified was matched with is not free either.
    (third,) = observe(pool, sighting(0.02), taken=[name, other])
    assert third not in (name, other) and pool.frames(name) == 2
    # 0.05 is 3 cm from 0.02 and a little more: it keeps its name, its points stay out.
    assert observe(pool, sighting(0.0501), matched=[name]) == [name]
    assert (
        pool.frames(name) == 2 and pool.match([sighting(0.02), sighting(0.02)], weights="a").count(name) == 1
    )


def test_the_oldest_frame_makes_room_at_fifty():
    pool = TrackPool()
    for frame in range(53):
        pool.add("mine", torch.full((2, 3), float(frame)), weights="a")
    points = points_of(pool, "mine")
    assert pool.frames("mine") == 50 and points.shape == (100, 3)
    assert points[::2, 0].tolist() == [float(frame) for frame in range(3, 53)]


def test_tracks_are_rows_padded_and_thinned_over_all_their_frames():
    pool = TrackPool()
    for frame in range(50):
        pool.add("long", torch.full((20, 3), float(frame)), weights="a")
    pool.add("short", torch.full((4, 3), -1.0), weights="a")
    found = pool.pooled(["short", None, "long", "never seen"], weights="a", most_points=100)
    assert found.pnc.shape == (4, 100, 3)
    assert found.valid.sum(-1).tolist() == [4, 0, 100, 0]
    assert (found.pnc[0][found.valid[0]] == -1).all()
    # 1000 points become 100: two of each frame's twenty.
    assert found.pnc[2, :, 0].tolist() == [float(frame) for frame in range(50) for _ in range(2)]
    assert pool.pooled([None, "never seen"], weights="a") is None
    assert pool.pooled([], weights="a") is None


def test_other_weights_drop_everything():
    """Trap 9: points of old weights would be mixed with those of new ones."""
    pool = TrackPool()
    (name,) = observe(pool, sighting(0.0), weights="old")
    pool.add("mine", torch.zeros(1, 3), weights="old")
    assert points_of(pool, "mine", weights="new") is None
    assert points_of(pool, "mine", weights="old") is None, "dropped, not hidden"
    assert pool.match([sighting(0.0)], weights="old") == [None]
    (again,) = observe(pool, sighting(0.0), weights="new")
    assert again != name, "the old track is over"
    assert pool.frames(name) == 0


def test_the_pool_keeps_its_own_copy():
    pool, points = TrackPool(), torch.zeros(2, 3)
    pool.add("mine", points, weights="a")
    points += 1
    assert points_of(pool, "mine").abs().max() == 0


def test_names_of_the_caller_are_left_alone():
    pool = TrackPool()
    pool.add("track-0", torch.zeros(1, 3), weights="a")
    (made,) = observe(pool, sighting(0.0))
    assert made != "track-0"
    assert pool.frames("track-0") == 1


def test_fingerprints_see_every_change():
    weights = {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    same = {"b": torch.tensor([[3.0]]), "w": torch.tensor([1.0, 2.0])}
    assert fingerprint(weights) == fingerprint(same)
    for other in (
        weights | {"w": torch.tensor([1.0, 2.0 + 1e-6])},
        weights | {"b": torch.tensor([3.0])},
        weights | {"w": torch.tensor([1.0, 2.0]).double()},
        {"w": weights["w"]},
    ):
        assert fingerprint(other) != fingerprint(weights)


def test_a_pooled_track_decides_what_one_view_cannot():
    # One view holds a single point at 6 cm from the origin, and noise of 1 cm; the mean over views is 7 cm.
    pool = TrackPool()
    for radius_m in (0.06, 0.07, 0.08):
        pool.add("mine", torch.tensor([[radius_m, 0.0, 0.0]]), weights="a")
    found = pool.pooled(["mine"], weights="a")
    basis = ShapeBasis(torch.tensor([[0.05], [0.10]]), torch.ones(2), torch.tensor([[0.05]]))
    fit = ActiveShape(with_network=False)(AnalyticSphere(), found.pnc, found.valid, basis=basis)
    assert float(fit.shape_code) == pytest.approx(0.07, abs=1e-4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TrackPool(max_frames=0), "at least 1 frame"),
        (lambda: AssociationConfig(centre_m=0.0), "positive centre_m"),
        (lambda: AssociationConfig(diameter_ratio=0.9), "at least 1"),
        (lambda: AssociationConfig(code_distance=0.0), "code_distance"),
        (lambda: TrackPool().add("mine", torch.zeros(0, 3), weights="a"), "mine"),
        (lambda: TrackPool().add("mine", torch.full((1, 3), torch.nan), weights="a"), "finite"),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(InputError, match=says):
        make()
