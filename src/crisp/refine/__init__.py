"""Correct an estimate by optimisation (method, section 4).

Everything here sees shapes only through `crisp.shape.sdf.SignedDistance`, so that it is tested on
analytic bodies, with no network.
"""
