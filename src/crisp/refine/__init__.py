"""Correct an estimate by optimisation, and say whether it can be trusted (method, sections 4 to 6).

Everything here sees shapes only through `crisp.shape.sdf.SignedDistance`, so that it is tested on
analytic bodies, with no network.
"""
