"""The dense CRF with one bilateral Potts term and two labels, in three implementations that agree to 1e-4.

Krähenbühl and Koltun, *Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials*, 2011 (arXiv
1210.5644). The unary term is -log of the map, the kernel exp(-|dpos|^2 / (2 sxy^2) - |dcolor|^2 / (2 srgb^2)), which
is normalized symmetrically.
"""
