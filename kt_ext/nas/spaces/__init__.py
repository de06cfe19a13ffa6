"""Spaces of architectures: chains, chains with skip connections, cells, and the spaces of public benchmarks."""
