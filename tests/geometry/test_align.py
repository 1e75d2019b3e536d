"""Registration: known answers, robustness, degenerate inputs, and a plain loop that agrees."""

import subprocess
import sys

import pytest
import torch

from crisp.errors import InputError
from crisp.geometry import align, pose
from crisp.geometry.align import RegistrationConfig, register, weighted_procrustes
from crisp.geometry.points import scoring_subset

SMALL = RegistrationConfig(hypotheses=64)


def _poses(n, generator):
    t = torch.rand(n, 3, generator=generator, dtype=torch.float64) + torch.tensor([-0.5, -0.5, 0.5])
    return pose.from_rotation_translation(pose.random_rotation(n, generator), t)


def _scene(objects=3, points=400, *, outliers=0.0, noise_m=0.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    z = (torch.rand(objects, points, 3, generator=g, dtype=torch.float64) - 0.5) * 0.2
    T = _poses(objects, g)
    x = pose.apply(T, z) + noise_m * torch.randn(z.shape, generator=g, dtype=torch.float64)
    bad = torch.rand(objects, points, generator=g) < outliers
    gross = 0.3 * torch.randn(z.shape, generator=g, dtype=torch.float64)
    return z, torch.where(bad[..., None], x + gross, x), T, bad


def test_procrustes_worked_case():
    # A quarter turn about z takes (1,0,0) to (0,1,0) and (0,2,0) to (-2,0,0); then all moves by (5,6,7).
    z = torch.tensor([[[1.0, 0, 0], [0, 2, 0], [0, 0, 3]]])
    x = torch.tensor([[[5.0, 7, 7], [3, 6, 7], [5, 6, 10]]])
    expected = torch.tensor([[[0.0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]])
    torch.testing.assert_close(weighted_procrustes(z, x, torch.ones(1, 3)), expected, atol=1e-5, rtol=0)


def test_procrustes_weights_silence_and_repeat_points():
    z, x, T, bad = _scene(outliers=0.3)
    torch.testing.assert_close(weighted_procrustes(z, x, (~bad).double()), T, atol=1e-9, rtol=0)
    # Weight 2 is the same as the point twice.
    x = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    weights = torch.ones_like(z[..., 0])
    weights[:, :50] = 2
    twice = [torch.cat([p, p[:, :50]], dim=1) for p in (z, x)]
    torch.testing.assert_close(
        weighted_procrustes(z, x, weights), weighted_procrustes(*twice, torch.ones_like(twice[0][..., 0]))
    )


def test_procrustes_is_the_minimum():
    z, x, _, _ = _scene(noise_m=0.02, seed=3)
    w = torch.rand(z.shape[:2], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    T = weighted_procrustes(z, x, w)

    def cost(T):
        return (w * (pose.apply(T, z) - x).square().sum(-1)).sum(-1)

    steps = 1e-3 * torch.randn(20, 3, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert all((cost(T @ pose.exp(step)) > cost(T)).all() for step in steps)


def test_procrustes_never_returns_a_reflection():
    z, _, _, _ = _scene()
    mirrored = z * torch.tensor([1.0, 1.0, -1.0])
    R = weighted_procrustes(z, mirrored, torch.ones_like(z[..., 0]))[:, :3, :3]
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(3, dtype=torch.float64))


def test_procrustes_gradient_matches_finite_differences():
    z, x, _, _ = _scene(objects=2, points=6, noise_m=0.01)
    w = torch.linspace(0.5, 1.5, 6, dtype=torch.float64).expand(2, 6).clone().requires_grad_()
    # gradient_eps damps the derivative slightly, hence the tolerance.
    assert torch.autograd.gradcheck(
        weighted_procrustes, (z.requires_grad_(), x.requires_grad_(), w), atol=1e-3, rtol=1e-3
    )


DEGENERATE = {
    "plane": [0.1, 0.1, 0.0],
    "disc": [0.1, 0.1, 1e-9],
    "needle": [0.1, 1e-5, 1e-5],
    "line": [0.1, 0.0, 0.0],
    "point": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("extent", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_procrustes_gradient_stays_small_on_degenerate_patches(extent, mirror):
    g = torch.Generator().manual_seed(0)
    z = (torch.randn(2, 200, 3, generator=g) * torch.tensor(extent)).requires_grad_()
    x = z.detach() * torch.tensor([1.0, mirror, 1.0]) + 1e-4 * torch.randn(2, 200, 3, generator=g)
    T = weighted_procrustes(z, x, torch.ones(2, 200))
    (pose.apply(T, z) - x).square().sum(-1).mean().backward()
    assert T.isfinite().all()
    assert torch.linalg.det(T[:, :3, :3]).min() > 0.999
    # Even a free rotation contributes little: without it the gradient of a mean square is 2 |residual| / n.
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad.norm(dim=-1).max() < 0.05


def test_procrustes_without_weight_is_finite():
    z, x, _, _ = _scene()
    z.requires_grad_()
    T = weighted_procrustes(z, x, torch.zeros_like(z[..., 0]))
    T.sum().backward()
    assert T.isfinite().all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_register_survives_forty_percent_gross_outliers():
    z, x, T, bad = _scene(objects=4, points=1000, outliers=0.4, noise_m=0.001)
    found = register(z.float(), x.float(), torch.ones_like(bad))
    assert found.ok.all()
    assert pose.rotation_angle_deg(found.T_camera_object[:, :3, :3], T[:, :3, :3]).max() < 0.2
    assert (found.T_camera_object - T)[:, :3, 3].norm(dim=-1).max() < 3e-4
    torch.testing.assert_close(found.inlier_share, (~bad).double().mean(-1), atol=0.01, rtol=0)
    assert found.residual_m[~bad].max() < 0.01


def test_register_is_exact_on_exact_points():
    z, x, T, bad = _scene(outliers=0.2)
    found = register(z, x, torch.ones_like(bad), config=SMALL)
    torch.testing.assert_close(found.T_camera_object, T, atol=1e-9, rtol=0)


def test_register_ignores_padding_whatever_it_holds():
    z, x, _, bad = _scene(noise_m=0.001)
    plain = register(z, x, torch.ones_like(bad), config=SMALL)
    valid = torch.cat([torch.ones_like(bad), torch.zeros_like(bad)], dim=1)
    zero = torch.zeros_like(z)
    for junk in (zero, torch.full_like(z, torch.nan), zero + 1e6):
        padded = register(torch.cat([z, junk], 1), torch.cat([x, junk], 1), valid, config=SMALL)
        torch.testing.assert_close(padded.T_camera_object, plain.T_camera_object)
        torch.testing.assert_close(padded.inlier_share, plain.inlier_share)
        assert padded.residual_m[:, 400:].isinf().all()


def test_register_of_an_object_does_not_depend_on_its_batch_and_repeats():
    z, x, _, bad = _scene(outliers=0.4, noise_m=0.002)
    valid = torch.ones_like(bad)
    valid[0, 100:] = False
    together = register(z, x, valid, config=SMALL)
    for b in range(3):
        alone = register(z[b : b + 1], x[b : b + 1], valid[b : b + 1], config=SMALL)
        torch.testing.assert_close(alone.T_camera_object[0], together.T_camera_object[b])
    assert register(z, x, valid, config=SMALL).T_camera_object.equal(together.T_camera_object)


def test_register_moves_with_the_camera():
    z, x, _, bad = _scene(outliers=0.3, noise_m=0.002)
    move = _poses(3, torch.Generator().manual_seed(9))
    valid = torch.ones_like(bad)
    moved = register(z, pose.apply(move, x), valid, config=SMALL).T_camera_object
    torch.testing.assert_close(
        moved, move @ register(z, x, valid, config=SMALL).T_camera_object, atol=1e-7, rtol=0
    )


def test_register_reports_hopeless_objects_and_keeps_their_neighbours():
    z, x, T, bad = _scene(objects=6)
    valid = torch.ones_like(bad)
    valid[0] = False
    valid[1, 3:] = False
    z[2], x[2] = 0.05, 0.5
    z[3, :, 1:] = 0
    x[3] = pose.apply(T[3], z[3])
    z[4] = torch.nan
    found = register(z, x, valid, config=SMALL)
    assert found.ok.tolist() == [False] * 5 + [True]
    assert found.T_camera_object.isfinite().all()
    assert found.inlier_share[:5].eq(0).all()
    assert not found.residual_m.isnan().any()
    torch.testing.assert_close(found.T_camera_object[5], T[5], atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", [(0, 10, 3), (2, 0, 3), (2, 3, 3)])
def test_register_accepts_empty_batches(shape):
    found = register(
        torch.zeros(shape), torch.zeros(shape), torch.ones(shape[:2], dtype=torch.bool), config=SMALL
    )
    assert found.T_camera_object.shape == (shape[0], 4, 4)
    assert not found.ok.any()


def test_register_handles_a_planar_patch():
    z, _, T, bad = _scene()
    z[..., 2] = 0
    found = register(z, pose.apply(T, z), torch.ones_like(bad), config=SMALL)
    assert found.ok.all()
    torch.testing.assert_close(found.T_camera_object, T, atol=1e-8, rtol=0)


def test_draws_come_from_valid_points_and_reach_all_of_them():
    valid = torch.zeros(2, 30, dtype=torch.bool)
    valid[0, ::3] = True
    valid[1, 20:] = True
    draws = align.draw_samples(valid, RegistrationConfig(hypotheses=100))
    assert draws.shape == (2, 100, 4)
    for b in range(2):
        assert set(draws[b].flatten().tolist()) == set(valid[b].nonzero().flatten().tolist())


def test_scoring_subset_is_spread_over_the_valid_points():
    valid = torch.tensor([[True] * 8, [False, True] * 4, [False] * 8])
    index, counts = scoring_subset(valid, 4)
    # Every second of eight; all four of the odd ones; none of none.
    assert index[0].tolist() == [0, 2, 4, 6]
    assert index[1].tolist() == [1, 3, 5, 7]
    assert counts.sum(-1).tolist() == [4, 4, 0]


def test_best_draw_agrees_with_the_plain_loop():
    z, x, _, bad = _scene(points=120, outliers=0.4, noise_m=0.002)
    valid = torch.ones_like(bad)
    config = RegistrationConfig(hypotheses=20, scoring_points=120)
    draws = align.draw_samples(valid, config)
    poses = align.hypotheses(z, x, draws)
    cost = align.truncated_cost(poses, z, x, counts=valid, inlier_m=0.01)
    for b in range(3):
        plain = []
        for h in range(20):
            pick = draws[b, h]
            a, c = z[b, pick], x[b, pick]
            U, _, Vt = torch.linalg.svd((c - c.mean(0)).T @ (a - a.mean(0)))
            R = U @ torch.diag(torch.tensor([1, 1, torch.linalg.det(U @ Vt)]).to(U)) @ Vt
            residual = (a := z[b]) @ R.T + (c.mean(0) - R @ z[b, pick].mean(0)) - x[b]
            plain.append(residual.square().sum(-1).clamp(max=0.01**2).sum().item())
        torch.testing.assert_close(cost[b], torch.tensor(plain, dtype=torch.float64), atol=1e-9, rtol=1e-6)
        assert int(cost[b].argmin()) == plain.index(min(plain))


@pytest.mark.parametrize(
    "wrong", [{"hypotheses": 0}, {"sample": 2}, {"inlier_m": 0.0}, {"scoring_points": 3}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        RegistrationConfig(**wrong)


def test_procrustes_damping_is_what_it_says():
    """A slab whose correlation has relative singular values 1 / sqrt(2), 1 / sqrt(2) and next to nothing."""
    z = torch.tensor([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.1, 0], [0, -0.1, 0]], dtype=torch.float64)
    ones = torch.ones(4, dtype=torch.float64)

    def tilt(angle, eps):  # d R / d angle, about x, at 0: the pair of singular values is (1 / sqrt(2), 0)
        turn = pose.exp(torch.stack([*torch.zeros(3, dtype=torch.float64), angle, *torch.zeros(2).double()]))
        return weighted_procrustes(z, pose.apply(turn, z), ones, gradient_eps=eps)[2, 1]

    for eps in (1e-3, 0.3, 1e-9):
        angle = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(tilt(angle, eps), angle)
        # 1 / s becomes s / (s^2 + eps^2): the true slope 1 is short by eps^2 / (s^2 + eps^2), s^2 = 1 / 2.
        assert float(slope) == pytest.approx(1 - eps**2 / (0.5 + eps**2), rel=1e-6, abs=1e-12)


def test_a_first_call_in_inference_mode_spoils_no_later_gradient() -> None:
    """What a library keeps of its first call, it keeps for the process: so in one of its own."""
    script = """
import torch
from crisp.geometry.align import weighted_procrustes
z = torch.rand(2, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
with torch.inference_mode():
    first = weighted_procrustes(z.clone(), z.clone(), torch.ones(2, 9, dtype=torch.float64))
leaf = z.clone().requires_grad_()
T = weighted_procrustes(leaf, z.flip(-1), torch.ones(2, 9, dtype=torch.float64))
T.sum().backward()
assert leaf.grad.isfinite().all() and leaf.grad.abs().max() > 0
assert torch.allclose(first, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_what_agrees_grows_with_the_objects() -> None:
    """A satellite that is 1.2 long: 6 cm. A mug: the 1 cm that holds where nothing is said."""
    assert RegistrationConfig.for_size(1.2).inlier_m == pytest.approx(0.06)
    assert RegistrationConfig.for_size(0.12) == RegistrationConfig.for_size(0.0) == RegistrationConfig()


def test_coordinates_as_wrong_as_a_share_of_the_size_still_give_a_pose() -> None:
    """Off by 4 cm each way, of a body 1.2 across: a pose is found; within 1 cm hardly a point agrees."""
    g = torch.Generator().manual_seed(0)
    z = torch.rand(1, 400, 3, generator=g) - 0.5
    T = torch.eye(4, dtype=torch.float64)
    T[:3, 3] = torch.tensor([0.1, 0.2, 4.0])
    x = (z + 0.04 * torch.randn(1, 400, 3, generator=g)) + T[:3, 3].float()
    valid = torch.ones(1, 400, dtype=torch.bool)
    found = register(z, x, valid, config=RegistrationConfig.for_size(1.2))
    strict = register(z, x, valid, config=RegistrationConfig())
    assert found.ok.all() and float(found.inlier_share) > 0.3 > 10 * float(strict.inlier_share)
    assert (found.T_camera_object[0] - T).abs().max() < 0.02
